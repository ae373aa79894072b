// SPDX-License-Identifier: Apache-2.0
//! Origin of each setting.

mod common;

use common::{ED25519, P256, RSA};
use config::{FLAGS, FwCfg, Source, Sources};

fn origins(
    cmdline: &[u8],
    fw_cfg: &[FwCfg<'_>],
) -> Vec<(&'static config::Flag, Vec<config::Origin>)> {
    config::origins(&Sources {
        cmdline,
        fw_cfg,
        ..Sources::default()
    })
}

/// Returns name, value and source of every flag that holds.
fn given(line: &str, entries: &[(&str, &str)]) -> Vec<(&'static str, String, Source)> {
    let entries: Vec<FwCfg<'_>> = entries
        .iter()
        .map(|(name, value)| FwCfg {
            name: name.as_bytes(),
            value: value.as_bytes(),
        })
        .collect();
    let all = origins(line.as_bytes(), &entries).into_iter();
    all.flat_map(|(flag, given)| {
        let values = given.into_iter();
        values.map(|g| (flag.name, g.value().to_owned(), g.source))
    })
    .collect()
}

const LINE: Source = Source::CommandLine;

#[test]
fn every_setting_once_and_nothing_given_by_default() {
    let all = origins(b"quiet console=ttyS0", &[]);
    assert!(all.iter().all(|(_, given)| given.is_empty()));
    let settings = FLAGS.iter().filter(|f| f.alias_of.is_none()).count();
    assert_eq!(all.len(), settings);
}

#[test]
fn the_value_that_holds_and_its_source() {
    let entries = [("format", "blank"), ("tz", "UTC\n"), ("rescue", "")];
    assert_eq!(
        given("host=box b2p.format=never b2p.sshd", &entries),
        [
            ("b2p.format", "never".to_owned(), LINE),
            ("b2p.hostname", "box".to_owned(), LINE),
            ("b2p.sshd", "on".to_owned(), LINE),
            ("b2p.rescue", "on".to_owned(), Source::FwCfg),
            ("tz", "UTC".to_owned(), Source::FwCfg),
        ]
    );
    let all = origins(b"host=box", &[]);
    let flags: Vec<_> = all.iter().flat_map(|(_, g)| g).map(|g| &g.flag).collect();
    assert_eq!(flags, ["host=box"]);
}

#[test]
fn invalid_flags_do_not_hold() {
    let entries = [("format", "blank")];
    assert_eq!(
        given("b2p.format=x b2p.nonsense=1", &entries),
        [("b2p.format", "blank".to_owned(), Source::FwCfg)]
    );
}

#[test]
fn a_flag_that_is_wrong_in_part_holds_in_part() {
    let line = "b2p.off=a/b,web ip=10.0.0.2::10.0.0.1:255.0.0.0:-x-:eth0:off";
    let names: Vec<_> = given(line, &[])
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["b2p.net", "b2p.off"]);
}

#[test]
fn every_value_of_a_repeatable_flag_is_listed_and_no_key_is_shown() {
    let line = format!("b2p.ssh_key=\"{RSA}\" blacklist=a blacklist=b,c");
    let keys = format!("{ED25519}\n# not this\n{P256}\n");
    let all = given(&line, &[("ssh_key", &keys)]);
    let short: Vec<_> = all.iter().map(|(n, _, s)| (*n, *s)).collect();
    assert_eq!(
        short,
        [
            ("b2p.ssh_key", Source::FwCfg),
            ("b2p.ssh_key", Source::FwCfg),
            ("b2p.ssh_key", LINE),
            ("blacklist", LINE),
            ("blacklist", LINE),
        ]
    );
    assert_eq!(all[2].1, "\"ssh-rsa ...\"");
    assert_eq!(all[4].1, "b,c");
}

#[test]
fn settings_by_another_flag_have_its_origin() {
    let line = "ip=10.0.0.2::10.0.0.1:255.255.255.0:box:eth0:off";
    let all = given(line, &[]);
    assert_eq!(all[0], ("b2p.hostname", "box".to_owned(), LINE));
    assert_eq!(all.len(), 2);
    assert_eq!(given(&format!("{line} host=other"), &[])[0].1, "other");
    assert_eq!(
        given("nodhcp", &[]),
        [
            ("b2p.net", "off".to_owned(), LINE),
            ("nodhcp", "on".to_owned(), LINE),
        ]
    );
}

#[test]
fn the_host_name_file_of_the_disk_is_the_lowest_source() {
    let hostname = |cmdline, kept| {
        let all = config::origins(&Sources {
            cmdline,
            hostname: kept,
            disk: b"host=x #\nb2p.http_proxy=http://me:secret@p:1\n",
            ..Sources::default()
        });
        let shown: Vec<String> = all
            .iter()
            .flat_map(|(_, given)| given)
            .map(|g| g.flag.clone())
            .collect();
        shown.join(" ")
    };
    let proxy = "b2p.http_proxy=http://...@p:1";
    assert_eq!(hostname(b"", b"kept\n"), format!("hostname=kept {proxy}"));
    let by_ip = hostname(b"ip=::::box:eth0:dhcp", b"kept\n");
    assert!(by_ip.starts_with("ip=box ip=::::box"), "{by_ip}");
    assert_eq!(hostname(b"host=a", b"kept\n"), format!("host=a {proxy}"));
}
