// SPDX-License-Identifier: Apache-2.0
//! Appearance of lines: `b2p log`'s own, and those of journalctl(1).

use crate::common::json::Json;
use crate::common::log::log_time;
use crate::common::log::record::{KERNEL, Priority, printable, unescape};

/// Form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, origin and text, as `b2p log` shows them.
    #[default]
    Plain,
    /// `Nov 23 20:30:38 box web[12]: text`.
    Short,
    /// `2026-11-23T20:30:38+0000 box web[12]: text`.
    ShortIso,
    /// The text alone.
    Cat,
    /// An object of the journal's fields (systemd.journal-fields(7)).
    Json,
}

/// Appearance of lines.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Form of a line.
    pub format: Format,
    /// Shows the date.
    pub dated: bool,
    /// Shows times in UTC instead of the local time.
    pub utc: bool,
    /// Shows errors in red and warnings in yellow.
    pub colours: bool,
    /// Name of the host.
    pub host: String,
    /// Number of the boot, without hyphens.
    pub boot: String,
    /// Difference of times since 1970 to those of the kernel's log, in microseconds.
    pub offset: i64,
}

impl Style {
    /// Appends a line.
    pub fn line(&self, us: i64, priority: Priority, text: &[u8], out: &mut String) {
        let mut bytes = Vec::with_capacity(text.len());
        unescape(text, &mut bytes);
        let mut shown = String::new();
        printable(&bytes, |c| shown.push_str(c));
        match self.format {
            Format::Plain => self.plain(us, priority, &shown, out),
            Format::Short | Format::ShortIso => self.short(us, priority, &shown, out),
            Format::Cat => {
                out.push_str(origin(priority, &shown).2);
                out.push('\n');
            }
            Format::Json => out.push_str(&self.json(us, priority, &shown).line()),
        }
    }

    fn plain(&self, us: i64, priority: Priority, text: &str, out: &mut String) {
        log_time::append_wall_clock(us, self.dated, self.utc, out);
        out.push(' ');
        let colour = self.colour(priority);
        out.push_str(colour);
        if priority.facility() == KERNEL {
            out.push_str("kernel: ");
        }
        out.push_str(text);
        self.end(colour, out);
    }

    fn short(&self, us: i64, priority: Priority, text: &str, out: &mut String) {
        out.push_str(&match self.format {
            Format::ShortIso => log_time::format_iso(us, self.utc),
            _ => log_time::format_syslog(us, self.utc),
        });
        let (name, pid, message) = origin(priority, text);
        let pid = pid.map_or(String::new(), |pid| format!("[{pid}]"));
        let colour = self.colour(priority);
        let host = &self.host;
        out.push_str(&format!(" {host} {name}{pid}: {colour}{message}"));
        self.end(colour, out);
    }

    fn colour(&self, priority: Priority) -> &'static str {
        match priority.level() {
            0..=3 if self.colours => "\x1b[31m",
            4 if self.colours => "\x1b[33m",
            _ => "",
        }
    }

    fn end(&self, colour: &str, out: &mut String) {
        if !colour.is_empty() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }

    fn json(&self, us: i64, priority: Priority, text: &str) -> Json {
        let (name, pid, message) = origin(priority, text);
        let transport = match (priority.facility(), pid) {
            (KERNEL, _) => "kernel",
            (_, Some(_)) => "syslog",
            _ => "stdout",
        };
        let text = |text: &str| Json::Text(text.to_owned());
        let mut fields = vec![
            ("__REALTIME_TIMESTAMP", text(&us.to_string())),
            (
                "__MONOTONIC_TIMESTAMP",
                text(&us.saturating_sub(self.offset).to_string()),
            ),
            ("_BOOT_ID", text(&self.boot)),
            ("_HOSTNAME", text(&self.host)),
            ("PRIORITY", text(&priority.level().to_string())),
            ("SYSLOG_FACILITY", text(&priority.facility().to_string())),
            ("SYSLOG_IDENTIFIER", text(name)),
            ("_TRANSPORT", text(transport)),
        ];
        if let Some(pid) = pid {
            fields.push(("_PID", text(pid)));
        } else if priority.facility() != KERNEL {
            fields.push(("_SYSTEMD_UNIT", text(&format!("{name}.service"))));
        }
        fields.push(("MESSAGE", text(message)));
        Json::Object(fields)
    }
}

/// Splits a record into the name of its origin, a process and the text: `web: x`, `sshd[12]: x`.
fn origin(priority: Priority, text: &str) -> (&str, Option<&str>, &str) {
    if priority.facility() == KERNEL {
        return ("kernel", None, text);
    }
    let Some((name, message)) = text.split_once(": ").filter(|(n, _)| !n.contains(' ')) else {
        return ("unknown", None, text);
    };
    let with_pid = name.strip_suffix(']').and_then(|name| name.split_once('['));
    match with_pid {
        Some((name, pid)) => (name, Some(pid), message),
        None => (name, None, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(style: &Style, number: u32, text: &str) -> String {
        let mut out = String::new();
        let priority = Priority::new(number).expect("a priority");
        style.line(1_795_465_838_123_999, priority, text.as_bytes(), &mut out);
        out
    }

    #[test]
    fn a_line() {
        let mut style = Style {
            utc: true,
            ..Style::default()
        };
        assert_eq!(
            line(&style, 14, "a: \\xc3\\xa9\\x1b"),
            "20:30:38.123 a: é\\x1b\n"
        );
        assert_eq!(line(&style, 6, "x"), "20:30:38.123 kernel: x\n");
        (style.colours, style.dated) = (true, true);
        let red = "2026-11-23 20:30:38.123 \x1b[31mx\x1b[0m\n";
        assert_eq!(line(&style, 11, "x"), red);
        let yellow = "2026-11-23 20:30:38.123 \x1b[33mx\x1b[0m\n";
        assert_eq!(line(&style, 12, "x"), yellow);
        assert_eq!(line(&style, 13, "x"), "2026-11-23 20:30:38.123 x\n");
    }

    #[test]
    fn forms_of_journalctl() {
        let style = |format| Style {
            format,
            utc: true,
            host: "box".to_owned(),
            boot: "b0".to_owned(),
            offset: 1_795_465_838_000_000,
            ..Style::default()
        };
        for (format, number, text, right) in [
            (
                Format::Short,
                15,
                "web: a: b",
                "Nov 23 20:30:38 box web: a: b\n",
            ),
            (
                Format::Short,
                38,
                "sshd[812]: x",
                "Nov 23 20:30:38 box sshd[812]: x\n",
            ),
            (
                Format::Short,
                6,
                "Linux: x",
                "Nov 23 20:30:38 box kernel: Linux: x\n",
            ),
            (
                Format::Short,
                15,
                "no name",
                "Nov 23 20:30:38 box unknown: no name\n",
            ),
            (
                Format::ShortIso,
                15,
                "web: b",
                "2026-11-23T20:30:38+0000 box web: b\n",
            ),
            (Format::Cat, 15, "web: a: b", "a: b\n"),
        ] {
            assert_eq!(line(&style(format), number, text), right, "{text}");
        }
        let json = line(&style(Format::Json), 30, "web[9]: say \"x\"");
        for part in [
            "{\"__REALTIME_TIMESTAMP\":\"1795465838123999\",\"__MONOTONIC_TIMESTAMP\":\"123999\"",
            "\"PRIORITY\":\"6\",\"SYSLOG_FACILITY\":\"3\",\"SYSLOG_IDENTIFIER\":\"web\"",
            "\"_PID\":\"9\",\"MESSAGE\":\"say \\\"x\\\"\"}\n",
        ] {
            assert!(json.contains(part), "{json}");
        }
        let json = line(&style(Format::Json), 15, "web: x");
        assert!(json.contains("\"_SYSTEMD_UNIT\":\"web.service\""), "{json}");
    }
}
