// SPDX-License-Identifier: Apache-2.0
//! Table of flags: complete, consistent, and rendered as in docs/reference/flags.md.

mod common;

use common::{ED25519, good, read, read_all};
use config::{Config, FLAGS, Flag, MAX_DIAGNOSTIC_BYTES, flags_markdown};

/// Example for each text in the `values` column.
const TEXTS: &[(&str, &str)] = &[
    ("<tag>", "home"),
    ("<path>", "/mnt/home"),
    ("<url>", "http://p:3128"),
    ("<host>:<port>", "p:3128"),
    ("[,<host>...]", ",.example"),
    ("<host>", "10.0.0.0/8"),
    ("\"<type> <base64> <comment>\"", ""),
    ("<label>", "b2p-data"),
    ("<uuid>", "1234-ABCD"),
    ("<disk>", "vdb"),
    ("<uid>", "1234"),
    ("<percent>", "50"),
    ("<MiB>", "64"),
    ("<partition>", "sda1"),
    ("[,<name>...]", ",tools"),
    ("<name>", "box"),
    ("[,<dns>...]", ",10.0.2.3"),
    ("<addr>/<prefix>,<gateway>", "10.0.2.15/24,10.0.2.2"),
    (
        "<client>:<server>:<gateway>:<netmask>",
        "10.0.2.15::10.0.2.2:255.255.255.0",
    ),
    ("<hostname>:<device>:<autoconf>", "box:eth0:off"),
    ("<dns0>:<dns1>:<ntp0>", "10.0.2.3:10.0.2.4:10.0.2.5"),
    ("<seconds>", "5"),
    ("<HH>:<MM>", "04:30"),
    ("<zone>", "Europe/Berlin"),
    ("[:<port>][,tcp]", ":6514,tcp"),
    ("<server>", "pool.ntp.org"),
    ("[,<module>...]", ",pcspkr"),
    ("[,<service>...]", ",web"),
    ("<service>", "net"),
    ("<module>", "floppy"),
    ("<program>", "runc"),
];

/// Returns every documented value of a flag, with examples for its texts.
fn values(flag: &Flag) -> Vec<String> {
    let real = |value: &str| {
        let value = TEXTS.iter().fold(value.to_owned(), |value, (text, real)| {
            value.replace(text, if real.is_empty() { ED25519 } else { real })
        });
        assert!(
            !value.contains('<'),
            "{}: no example for {value}",
            flag.name
        );
        value
    };
    flag.values.split(", ").map(real).collect()
}

#[test]
fn every_documented_value_is_taken() {
    for flag in FLAGS {
        for value in values(flag) {
            let config = good(&format!("\"{}={value}\"", flag.name));
            let changed = config != Config::default();
            let default = flag.default == value || ["on", "any"].contains(&value.as_str());
            assert!(
                changed || default || flag.name == "nodhcp",
                "{}={value}",
                flag.name
            );
            let (other, diagnostics) = read_all("", &[(flag.short_name(), &value)]);
            assert_eq!(diagnostics, [""; 0], "{}", flag.name);
            assert_eq!(other, config, "{}", flag.name);
        }
    }
}

#[test]
fn every_default_is_the_default() {
    for flag in FLAGS.iter().filter(|flag| !flag.default.is_empty()) {
        let line = format!("{}={}", flag.name, flag.default);
        assert_eq!(good(&line), Config::default(), "{line}");
        let first = flag.values.split(", ").next().unwrap_or_default();
        assert!(
            first == flag.default || first.contains('<'),
            "{}",
            flag.name
        );
    }
}

#[test]
fn only_bare_flags_may_have_no_value() {
    for flag in FLAGS {
        assert_eq!(
            read(flag.name).1.is_empty(),
            flag.value_optional,
            "{}",
            flag.name
        );
    }
}

#[test]
fn rows_are_well_formed() {
    for (at, flag) in FLAGS.iter().enumerate() {
        // A name without `b2p.` belongs to one setting, because names of fw_cfg have no prefix.
        let mut others = FLAGS.iter().skip(at + 1);
        let alias = |other: &Flag| other.alias_of == Some(flag.name);
        assert!(
            others.all(|other| other.short_name() != flag.short_name() || alias(other)),
            "{}",
            flag.name
        );
        assert!(
            !flag.values.is_empty() && !flag.description.is_empty(),
            "{}",
            flag.name
        );
        assert!(
            !flag.name.contains('-'),
            "{}: names are kept with _",
            flag.name
        );
        for text in [flag.name, flag.values, flag.default, flag.description] {
            assert!(
                text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{text}"
            );
            assert!(
                !text.contains('|') && !text.contains('`'),
                "{text}: breaks the table"
            );
        }
        if let Some(same) = flag.alias_of {
            let known = FLAGS
                .iter()
                .any(|flag| flag.name == same && flag.alias_of.is_none());
            assert!(known, "{} is the same as nothing", flag.name);
        }
    }
}

/// Checks that the longest diagnostics are not cut, so that the allowed values at their end are
/// complete.
#[test]
fn the_longest_diagnostics_are_not_cut() {
    for flag in FLAGS {
        let value = "\u{1}".repeat(100);
        for line in [
            format!("{}={value}", flag.name),
            format!("{}={value}", flag.name.replace('_', "-")),
        ] {
            let (_, diagnostics) = read(&line);
            assert_eq!(diagnostics.len(), 1, "{line}");
            assert!(
                diagnostics[0].len() <= MAX_DIAGNOSTIC_BYTES,
                "{}",
                diagnostics[0]
            );
            assert!(diagnostics[0].ends_with(flag.values), "{}", diagnostics[0]);
        }
    }
}

#[test]
fn the_table_has_a_row_for_every_flag() {
    let table = flags_markdown();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), FLAGS.len() + 2);
    for (row, flag) in rows.iter().skip(2).zip(FLAGS) {
        assert!(row.starts_with(&format!("| `{}", flag.name)), "{row}");
    }
    for row in rows {
        assert_eq!(row.matches('|').count(), 5, "{row}");
    }
    assert!(table.contains(
        "| `b2p.format=` | `magic`, `blank`, `never` | `magic` | disks that may be formatted"
    ));
    assert!(table.contains("| `b2p.ssh_key=` (repeatable) | `\"<type> <base64> <comment>\"` |  |"));
    assert!(table.contains("| `b2p.rescue` | `off`, `on` | `off` |"));
}
