// SPDX-License-Identifier: Apache-2.0
//! `b2p flags`: every setting with its value and its source.

use config::{Flag, Origin};

use crate::common::args::only_json_option;
use crate::common::json::Json;
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Terminal, print, print_error};

/// Columns of the table of flags.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "FLAG",  right: false, keep: 0 },
    Column { title: "VALUE", right: false, keep: 0 },
    Column { title: "FROM",  right: false, keep: 3 },
    Column { title: "WHAT IT IS FOR", right: false, keep: 1 },
];

/// Runs `b2p flags [--json]` and returns the exit status.
pub fn main(args: &[String]) -> i32 {
    if !only_json_option("flags", args) {
        return 2;
    }
    let settings = sys::config_sources::read_raw().with_sources(config::origins);
    if args.iter().any(|arg| arg == "--json") {
        print(&flags_json(&settings).line());
        return 0;
    }
    print(&flags_text(&settings, &Terminal::stdout()));
    if !nix::unistd::geteuid().is_root() {
        print_error("b2p: fw_cfg and SMBIOS can be read by root only: sudo b2p flags");
    }
    0
}

/// A flag and its values.
type Setting = (&'static Flag, Vec<Origin>);

fn flags_text(settings: &[Setting], terminal: &Terminal) -> String {
    let rows: Vec<Vec<Cell>> = settings.iter().flat_map(flag_rows).collect();
    render(COLUMNS, &rows, terminal)
}

/// Returns one row for each value of a flag, or one with the default value.
fn flag_rows((flag, origins): &Setting) -> Vec<Vec<Cell>> {
    let name = (flag.name.to_owned(), None);
    let description = (flag.description.to_owned(), Some(Colour::Dim));
    if origins.is_empty() {
        let value = match flag.default {
            "" => "-",
            value => value,
        };
        let source = ("default".to_owned(), Some(Colour::Dim));
        return vec![vec![name, (value.to_owned(), None), source, description]];
    }
    let row = |(index, origin): (usize, &Origin)| {
        let value = (origin.value().to_owned(), None);
        let source = (source(flag, origin), Some(Colour::Green));
        // A flag with several values is named once.
        match index {
            0 => vec![name.clone(), value, source, description.clone()],
            _ => vec![Cell::default(), value, source, Cell::default()],
        }
    };
    origins.iter().enumerate().map(row).collect()
}

/// Returns the source of a value, and the name of the flag in that source if the name differs.
fn source(flag: &Flag, origin: &Origin) -> String {
    let source = origin.source.name();
    let name = origin.flag.split('=').next().unwrap_or_default();
    let name = name.rsplit(['/', ':']).next().unwrap_or(name);
    let short_name = name.trim_start_matches("b2p.").replace('-', "_");
    match short_name == flag.short_name() {
        true => source.to_owned(),
        false => format!("{source}, as {name}"),
    }
}

/// Returns the object of `b2p flags --json`; docs/reference/control.md lists its keys.
fn flags_json(settings: &[Setting]) -> Json {
    let given = |origin: &Origin| {
        Json::Object(vec![
            ("value", Json::Text(origin.value().to_owned())),
            ("source", Json::text(origin.source.name())),
            ("flag", Json::text(&origin.flag)),
        ])
    };
    let setting = |(flag, origins): &Setting| {
        Json::Object(vec![
            ("name", Json::text(flag.name)),
            ("default", Json::text(flag.default)),
            ("given", origins.iter().map(given).collect()),
        ])
    };
    Json::Object(vec![("flags", settings.iter().map(setting).collect())])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::terminal::Glyphs;

    fn settings() -> Vec<Setting> {
        let entry = config::FwCfg {
            name: b"console",
            value: b"shell\n",
        };
        let line = b"quiet host=box blacklist=a blacklist=\"b,c\" b2p.sshd";
        config::origins(&config::Sources {
            cmdline: line,
            fw_cfg: &[entry],
            disk: b"loglevel=warn\n",
            hostname: b"kept",
            ..config::Sources::default()
        })
    }

    #[test]
    fn values_and_where_they_came_from() {
        let terminal = Terminal {
            width: Some(60),
            colour: false,
            glyphs: Glyphs::Ascii,
        };
        let text = flags_text(&settings(), &terminal);
        let line = |start: &str| {
            text.lines()
                .find(|l| l.starts_with(start))
                .unwrap()
                .to_owned()
        };
        let words = |start| line(start).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words("b2p.hostname"),
            "b2p.hostname box command line, as host"
        );
        assert_eq!(words("b2p.console"), "b2p.console shell fw_cfg");
        assert_eq!(words("b2p.loglevel"), "b2p.loglevel warn data disk");
        assert_eq!(words("b2p.sshd"), "b2p.sshd on command line");
        assert_eq!(words("b2p.format"), "b2p.format magic default");
        assert_eq!(words("tz"), "tz - default");
        assert_eq!(words("blacklist"), "blacklist a command line");
        assert_eq!(words("   "), "b,c command line");
        assert!(text.lines().all(|l| l.len() <= 60), "{text}");
    }

    #[test]
    fn json_is_read_back() {
        let back: serde_json::Value =
            serde_json::from_str(&flags_json(&settings()).line()).unwrap();
        let flags = back["flags"].as_array().unwrap();
        let host = flags.iter().find(|f| f["name"] == "b2p.hostname").unwrap();
        assert_eq!(host["given"][0]["flag"], "host=box");
        assert_eq!(host["given"][0]["source"], "command line");
        let list = flags.iter().find(|f| f["name"] == "blacklist").unwrap();
        assert_eq!(list["given"].as_array().unwrap().len(), 2);
        assert_eq!(list["default"], serde_json::Value::Null);
    }
}
