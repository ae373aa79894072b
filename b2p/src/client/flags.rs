//! `b2p flags`: every setting, its value, and where that came from.

use config::{Flag, Origin};

use crate::client::help::options_known;
use crate::client::json::Json;
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Screen, print, print_error};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "FLAG",  right: false, keep: 0 },
    Column { title: "VALUE", right: false, keep: 0 },
    Column { title: "FROM",  right: false, keep: 3 },
    Column { title: "WHAT IT IS FOR", right: false, keep: 1 },
];

/// `b2p flags [--json]`.
pub fn main(words: &[String]) -> i32 {
    if !options_known("flags", words) {
        return 2;
    }
    let settings = sys::config_sources::read_raw().with_sources(config::origins);
    if words.iter().any(|w| w == "--json") {
        print(&object(&settings).line());
        return 0;
    }
    print(&text(&settings, &Screen::stdout()));
    if !nix::unistd::geteuid().is_root() {
        print_error("b2p: fw_cfg and SMBIOS can be read by root only: sudo b2p flags");
    }
    0
}

type Setting = (&'static Flag, Vec<Origin>);

fn text(settings: &[Setting], screen: &Screen) -> String {
    let mut rows = Vec::new();
    for (flag, given) in settings {
        let what = || (flag.description.to_owned(), Some(Colour::Dim));
        let name = || (flag.name.to_owned(), None);
        if given.is_empty() {
            let value = if flag.default.is_empty() {
                "-"
            } else {
                flag.default
            };
            let default = ("default".to_owned(), Some(Colour::Dim));
            rows.push(vec![name(), (value.to_owned(), None), default, what()]);
        }
        for (at, one) in given.iter().enumerate() {
            // A repeated flag is named once.
            let none: Cell = (String::new(), None);
            let (name, what) = if at == 0 {
                (name(), what())
            } else {
                (none.clone(), none)
            };
            let from = (from(flag, one), Some(Colour::Green));
            rows.push(vec![name, (one.value().to_owned(), None), from, what]);
        }
    }
    render(COLUMNS, &rows, screen)
}

/// The source, and the flag's name there if it is another one.
fn from(flag: &Flag, given: &Origin) -> String {
    let source = given.source.name();
    let name = given.flag.split('=').next().unwrap_or_default();
    let short = name.rsplit(['/', ':']).next().unwrap_or(name);
    let plain = |n: &str| n.trim_start_matches("b2p.").replace('-', "_");
    if plain(short) == flag.short_name() {
        source.to_owned()
    } else {
        format!("{source}, as {short}")
    }
}

/// docs/reference/control.md has the keys.
fn object(settings: &[Setting]) -> Json {
    let one = |given: &Origin| {
        Json::Object(vec![
            ("value", Json::Text(given.value().to_owned())),
            ("source", Json::text(given.source.name())),
            ("flag", Json::text(&given.flag)),
        ])
    };
    let setting = |(flag, given): &Setting| {
        Json::Object(vec![
            ("name", Json::text(flag.name)),
            ("default", Json::text(flag.default)),
            ("given", given.iter().map(one).collect()),
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
        let screen = Screen {
            width: Some(60),
            colour: false,
            glyphs: Glyphs::Ascii,
        };
        let text = text(&settings(), &screen);
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
        let back: serde_json::Value = serde_json::from_str(&object(&settings()).line()).unwrap();
        let flags = back["flags"].as_array().unwrap();
        let host = flags.iter().find(|f| f["name"] == "b2p.hostname").unwrap();
        assert_eq!(host["given"][0]["flag"], "host=box");
        assert_eq!(host["given"][0]["source"], "command line");
        let list = flags.iter().find(|f| f["name"] == "blacklist").unwrap();
        assert_eq!(list["given"].as_array().unwrap().len(), 2);
        assert_eq!(list["default"], serde_json::Value::Null);
    }
}
