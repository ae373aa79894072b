// SPDX-License-Identifier: Apache-2.0
//! Diagnostics: each fault is reported once, with help, and changes nothing.

mod common;

use common::{ED25519, check, check_part, read};
use config::{Config, DiskSelector, FormatPolicy, MAX_DIAGNOSTICS, Net};

#[test]
fn unknown_flags_name_the_nearest() {
    for (line, nearest) in [
        ("b2p.fromat=blank", "b2p.format"),
        ("b2p.hostnmae=x", "b2p.hostname"),
        ("b2p.key=x", "b2p.ssh_key"),
        ("b2p.ssh-keys=x", "b2p.ssh_key"),
        ("b2p.DATA=off", "b2p.data"),
        ("b2p.tz=UTC", "tz"),
        ("b2p.log_level=info", "b2p.loglevel"),
    ] {
        let name = line.split('=').next().unwrap_or_default();
        let why = "ignored: no such flag; did you mean";
        check(line, &format!("{name} (command line): {why} {nearest}?"));
    }
    check("b2p.", "b2p. (command line): ignored: no such flag");
    check(
        "b2p.zzzzzzzz",
        "b2p.zzzzzzzz (command line): ignored: no such flag",
    );
}

#[test]
fn unknown_values_are_not_shown_where_they_could_be_secret() {
    let (_, diagnostics) = read("b2p.ssh_kye=\"-----BEGIN OPENSSH PRIVATE KEY----- b3Bl\"");
    assert!(!diagnostics[0].contains("b3Bl"), "{diagnostics:?}");
}

#[test]
fn a_repeated_flag_names_the_value_that_applies() {
    let (config, diagnostics) = read("b2p.format=blank quiet b2p.format=never");
    assert_eq!(config.format, FormatPolicy::Never);
    assert_eq!(
        diagnostics,
        ["b2p.format=never (command line): given twice; this later one wins over b2p.format=blank",]
    );
    let (config, diagnostics) = read("b2p.hostname=a host=b");
    assert_eq!(config.hostname, "b");
    assert_eq!(
        diagnostics,
        ["host=b (command line): given twice; this later one wins over b2p.hostname=a",]
    );
    let (config, diagnostics) = read("ip=off b2p.net=dhcp");
    assert_eq!(config.net, Net::Dhcp { device: None });
    assert_eq!(diagnostics.len(), 1);
    // An equal value is no mistake, even in another spelling.
    for line in [
        "b2p.rescue b2p.rescue=yes",
        "b2p.net=off ip=none",
        "host=a host=a",
    ] {
        assert_eq!(read(line).1, [""; 0], "{line}");
    }
}

#[test]
fn a_valid_value_applies_before_or_after_an_invalid_one() {
    let (config, diagnostics) = read("b2p.data=off b2p.data=nowhere");
    assert_eq!(config.data, DiskSelector::Off);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    let (config, diagnostics) = read("b2p.data=nowhere b2p.data=off");
    assert_eq!(config.data, DiskSelector::Off);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
}

#[test]
fn an_open_quote_is_named() {
    let (config, diagnostics) = read("b2p.format=\"blank b2p.net=off");
    assert_eq!(config, Config::default());
    assert!(diagnostics[0].starts_with("b2p.format (command line): a double quote is not closed"));
    let (config, diagnostics) = read(&format!("b2p.ssh_key=\"{ED25519}"));
    assert_eq!(config.ssh_keys, [ED25519]);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    check_part(
        "dyndbg=\"file x.c b2p.rescue",
        "dyndbg (command line): a double quote",
    );
    assert_eq!(read("dyndbg=\"file x.c +p").1, [""; 0]);
}

#[test]
fn bytes_that_are_no_text() {
    let (config, diagnostics) = config::parse(b"b2p.data=LABEL=\xff\xfe b2p.\xff=1", &[]);
    assert_eq!(config, Config::default());
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(lines[0].starts_with("b2p.data=LABEL=\\xff\\xfe (command line): ignored: not UTF-8"));
    assert_eq!(lines[1], "b2p.\\xff (command line): ignored: no such flag");
}

#[test]
fn at_most_max_diagnostics_are_listed() {
    let line = "b2p.x ".repeat(MAX_DIAGNOSTICS + 7);
    let (_, diagnostics) = read(&line);
    assert_eq!(diagnostics.len(), MAX_DIAGNOSTICS + 1);
    assert_eq!(
        diagnostics[MAX_DIAGNOSTICS],
        "7 more flags: wrong as well, not shown"
    );
    assert_eq!(
        read(&"b2p.x ".repeat(MAX_DIAGNOSTICS)).1.len(),
        MAX_DIAGNOSTICS
    );
}
