// SPDX-License-Identifier: Apache-2.0
//! Fields of a record as the journal has them (systemd.journal-fields(7)), and their forms.

use crate::common::json::Json;
use crate::common::log::log_time;
use crate::common::log::name_of_tag;
use crate::common::log::record::{KERNEL, Priority};
use crate::helpers::quadlet::names::Logged;

/// Form of the fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An object on one line.
    Json,
    /// An object with a line for each field.
    JsonPretty,
    /// The time, and a line for each field.
    Verbose,
    /// The Journal Export Format.
    Export,
}

/// Sender of a record, and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Name of a service, a container or a program.
    pub name: &'a str,
    /// The name with the user of a container.
    pub tag: &'a str,
    /// Number of the process, of a record from a socket.
    pub pid: Option<&'a str>,
    /// Text.
    pub message: &'a str,
}

impl<'a> Origin<'a> {
    fn of(tag: &'a str, pid: Option<&'a str>, message: &'a str) -> Origin<'a> {
        Origin {
            name: pid.map_or(tag, |_| name_of_tag(tag)),
            tag,
            pid,
            message,
        }
    }
}

/// Splits a record into its parts: `web: x`, `sshd[12]: x`.
pub fn origin(priority: Priority, text: &str) -> Origin<'_> {
    if priority.facility() == KERNEL {
        return Origin::of("kernel", None, text);
    }
    let Some((name, message)) = text.split_once(": ").filter(|(n, _)| !n.contains(' ')) else {
        return Origin::of("unknown", None, text);
    };
    let with_pid = name.strip_suffix(']').and_then(|name| name.split_once('['));
    match with_pid {
        Some((name, pid)) => Origin::of(name, Some(pid), message),
        None => Origin::of(name, None, message),
    }
}

/// A field.
pub type Field = (&'static str, String);

/// Returns the times of a record; there is no time since the boot without an `offset`.
#[must_use]
pub fn of_time(us: i64, offset: Option<i64>) -> Vec<Field> {
    let mut fields = vec![("__REALTIME_TIMESTAMP", us.to_string())];
    let since_boot = offset.map(|offset| us.saturating_sub(offset).to_string());
    fields.extend(since_boot.map(|us| ("__MONOTONIC_TIMESTAMP", us)));
    fields
}

/// Returns the fields of a record's level, origin and text.
#[must_use]
pub fn of_origin(priority: Priority, text: &str, units: &[Logged]) -> Vec<Field> {
    let origin = origin(priority, text);
    let transport = match (priority.facility(), origin.pid) {
        (KERNEL, _) => "kernel",
        (_, Some(_)) => "syslog",
        _ => "stdout",
    };
    let mut fields = vec![
        ("PRIORITY", priority.level().to_string()),
        ("SYSLOG_FACILITY", priority.facility().to_string()),
        ("SYSLOG_IDENTIFIER", origin.name.to_owned()),
        ("_TRANSPORT", transport.to_owned()),
    ];
    fields.extend(origin.pid.map(|pid| ("_PID", pid.to_owned())));
    if priority.facility() != KERNEL {
        fields.extend(of_unit(&origin, units));
    }
    fields.push(("MESSAGE", origin.message.to_owned()));
    fields
}

fn of_unit(origin: &Origin<'_>, units: &[Logged]) -> Vec<Field> {
    let is_container = origin.pid.is_some();
    let mut units = units.iter();
    let unit = units.find(|unit| unit.name == origin.tag && unit.is_container == is_container);
    let Some(unit) = unit else {
        let own = || ("_SYSTEMD_UNIT", format!("{}.service", origin.name));
        return (!is_container).then(own).into_iter().collect();
    };
    let key = match unit.is_users {
        true => "_SYSTEMD_USER_UNIT",
        false => "_SYSTEMD_UNIT",
    };
    let container = is_container.then(|| ("CONTAINER_NAME", origin.name.to_owned()));
    let fields = [Some((key, unit.unit.clone())), container];
    fields.into_iter().flatten().collect()
}

/// Appends the fields of a record of the time `us`.
pub fn write(layout: Layout, fields: &[Field], us: i64, out: &mut String) {
    let text = |value: &str| Json::Text(value.to_owned());
    match layout {
        Layout::Json => {
            let pairs = fields.iter().map(|(key, value)| (*key, text(value)));
            out.push_str(&Json::Object(pairs.collect()).line());
        }
        Layout::JsonPretty => {
            let line = |(key, value): &Field| {
                let value = text(value).line();
                format!("\t\"{key}\" : {}", value.trim_end())
            };
            let lines: Vec<String> = fields.iter().map(line).collect();
            out.push_str(&format!("{{\n{}\n}}\n", lines.join(",\n")));
        }
        Layout::Verbose => {
            out.push_str(&format!("{}\n", log_time::format_systemd(us)));
            let own = fields.iter().filter(|(key, _)| !key.starts_with("__"));
            own.for_each(|(key, value)| out.push_str(&format!("    {key}={value}\n")));
        }
        Layout::Export => {
            let lines = fields.iter().map(|(key, value)| format!("{key}={value}\n"));
            out.extend(lines);
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: i64 = 1_795_465_838_123_999;

    fn shown(layout: Layout, number: u32, text: &str) -> String {
        let logged = |name: &str, unit: &str, is_container, is_users| Logged {
            name: name.to_owned(),
            unit: unit.to_owned(),
            is_container,
            is_users,
        };
        let units = [
            logged("my-app", "My_App.service", false, false),
            logged("core-web", "web.service", false, true),
            logged("1000/systemd-web", "web.service", true, true),
            logged("systemd-web", "web.service", true, false),
        ];
        let priority = Priority::new(number).expect("a priority");
        let mut fields = of_time(US, Some(1_795_465_838_000_000));
        fields.extend(of_origin(priority, text, &units));
        let mut out = String::new();
        write(layout, &fields, US, &mut out);
        out
    }

    #[test]
    fn an_object_of_the_journal() {
        let json = shown(Layout::Json, 30, "web[9]: say \"x\"");
        for part in [
            "{\"__REALTIME_TIMESTAMP\":\"1795465838123999\",\"__MONOTONIC_TIMESTAMP\":\"123999\"",
            "\"PRIORITY\":\"6\",\"SYSLOG_FACILITY\":\"3\",\"SYSLOG_IDENTIFIER\":\"web\"",
            "\"_PID\":\"9\",\"MESSAGE\":\"say \\\"x\\\"\"}\n",
        ] {
            assert!(json.contains(part), "{json}");
        }
    }

    #[test]
    fn a_record_has_its_unit_and_its_container() {
        for (text, right) in [
            ("web: x", "\"_SYSTEMD_UNIT\":\"web.service\",\"MESSAGE"),
            (
                "my-app: x",
                "\"_SYSTEMD_UNIT\":\"My_App.service\",\"MESSAGE",
            ),
            (
                "core-web: x",
                "\"_SYSTEMD_USER_UNIT\":\"web.service\",\"MESSAGE",
            ),
            (
                "systemd-web[7]: x",
                "\"_SYSTEMD_UNIT\":\"web.service\",\"CONTAINER_NAME\":\"systemd-web\"",
            ),
            (
                "1000/systemd-web[7]: x",
                "\"_SYSTEMD_USER_UNIT\":\"web.service\",\"CONTAINER_NAME\":\"systemd-web\"",
            ),
            ("my-app[7]: x", "\"_PID\":\"7\",\"MESSAGE"),
        ] {
            let json = shown(Layout::Json, 14, text);
            assert!(json.contains(right), "{json}");
        }
    }

    #[test]
    fn an_earlier_boot_has_no_time_since_its_begin() {
        assert_eq!(of_time(US, None).len(), 1);
    }

    #[test]
    fn json_pretty_verbose_and_export_layouts() {
        let pretty = shown(Layout::JsonPretty, 14, "web: x");
        assert!(pretty.starts_with("{\n\t\"__REALTIME_TIMESTAMP\" : \"1795465838123999\",\n\t\"_"));
        assert!(pretty.ends_with("\t\"MESSAGE\" : \"x\"\n}\n"), "{pretty}");
        let verbose = shown(Layout::Verbose, 14, "web: x");
        assert!(
            verbose.contains("\n    PRIORITY=6\n") && !verbose.contains("__"),
            "{verbose}"
        );
        let export = shown(Layout::Export, 14, "web: x");
        assert!(
            export.starts_with("__REALTIME_TIMESTAMP=1795465838123999\n"),
            "{export}"
        );
        assert!(export.ends_with("\nMESSAGE=x\n\n"), "{export}");
    }
}
