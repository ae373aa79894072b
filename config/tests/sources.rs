// SPDX-License-Identifier: Apache-2.0
//! Sources other than the command line, and their precedence.

mod common;

use common::{ED25519, P256, RSA, good, read_all};
use config::{Config, FormatPolicy, Net, Source, Sources, parse};

#[test]
fn extras_of_the_data_disk() {
    let sources = Sources {
        cmdline: b"b2p.off=bootlocal b2p.http_proxy=http://flag:1",
        environment: b"A=1\nHTTP_PROXY=http://profile:1\nA=it's 2\n9=x\n=\nplain\nHTTPS_PROXY=p:2",
        hooks: b"bootsync\nbootlocal\nno/name\n",
        ..Sources::default()
    };
    let (config, diagnostics) = sources.parse();
    assert_eq!(diagnostics, []);
    let told = |name: &str, on| (name.to_owned(), on);
    assert_eq!(
        config.services,
        [told("bootsync", true), told("bootlocal", false)]
    );
    let all = config.variables();
    let value = |name: &str| {
        all.iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(value("A"), ["it's 2"]);
    assert_eq!(
        value("HTTP_PROXY"),
        ["http://flag:1"],
        "a flag has the last word"
    );
    assert_eq!(value("http_proxy"), ["http://flag:1"]);
    assert_eq!(value("HTTPS_PROXY"), ["p:2"]);
    assert_eq!(all.len(), 4);
}

#[test]
fn entries_are_flags_without_their_prefix() {
    for (name, value, line) in [
        ("format", "never", "b2p.format=never"),
        ("format", "never\n", "b2p.format=never"),
        ("format", "never\r\n\0", "b2p.format=never"),
        ("b2p.format", "never", "b2p.format=never"),
        ("hostname", "box", "b2p.hostname=box"),
        ("host", "box", "host=box"),
        ("ip", "off", "ip=off"),
        ("tz", "UTC\0", "tz=UTC"),
        ("rescue", "", "b2p.rescue"),
        ("rescue", "\n", "b2p.rescue"),
        ("noswap", "on", "noswap"),
        ("blacklist", "a,b\n# no\nc-d\n", "blacklist=a,b,c_d"),
        ("data", "LABEL=my disk", "b2p.data=\"LABEL=my disk\""),
    ] {
        let (config, diagnostics) = read_all("", &[(name, value)]);
        assert_eq!(diagnostics, [""; 0], "{name}");
        assert_eq!(config, good(line), "{name}");
    }
}

#[test]
fn a_file_of_keys() {
    let file = format!("\n# mine\r\n{ED25519}\r\n\n  {RSA}\n#{P256}\nssh-rsa x\n\0");
    let (config, diagnostics) = read_all("", &[("ssh-key", &file)]);
    assert_eq!(config.ssh_keys, [ED25519, RSA]);
    assert_eq!(diagnostics.len(), 1);
    let start = "opt/org.boot2podman/ssh-key=\"ssh-rsa ...\" (fw_cfg, line 7): ignored: ";
    assert!(diagnostics[0].starts_with(start), "{diagnostics:?}");
}

#[test]
fn entries_from_windows() {
    let utf8 = format!("\u{feff}{ED25519}\r\n{RSA}\r\n");
    let (config, diagnostics) = read_all("", &[("ssh_key", &utf8), ("tz", "\u{feff}UTC\r\n")]);
    assert_eq!(config.ssh_keys, [ED25519, RSA]);
    assert_eq!((diagnostics, config.tz.as_deref()), (vec![], Some("UTC")));
    let wide = |mark: &[u8]| -> Vec<u8> {
        let units = ED25519.encode_utf16().flat_map(u16::to_le_bytes);
        mark.iter().copied().chain(units).collect()
    };
    for value in [wide(b"\xff\xfe"), wide(b"")] {
        let entry = config::FwCfg {
            name: b"ssh_key",
            value: &value,
        };
        let (config, diagnostics) = config::parse(b"", &[entry]);
        assert_eq!((config.ssh_keys.len(), diagnostics.len()), (0, 1));
        let said = diagnostics[0].to_string();
        assert!(said.contains("UTF-16; save it as UTF-8"), "{said}");
    }
}

#[test]
fn the_command_line_wins() {
    let line = "b2p.format=never ip=off host=b";
    let entries = [
        ("format", "blank"),
        ("net", "dhcp"),
        ("hostname", "a"),
        ("tz", "UTC"),
    ];
    let (config, diagnostics) = read_all(line, &entries);
    assert_eq!(diagnostics, [""; 0]);
    let expected = Config {
        format: FormatPolicy::Never,
        net: Net::Off,
        hostname: "b".to_owned(),
        tz: Some("UTC".to_owned()),
        ..Config::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn a_bad_value_on_the_command_line_leaves_fw_cfg() {
    let (config, diagnostics) = read_all("b2p.format=x", &[("format", "blank")]);
    assert_eq!(config.format, FormatPolicy::Blank);
    assert_eq!(diagnostics.len(), 1);
}

#[test]
fn keys_are_joined() {
    let line = format!("b2p.ssh_key=\"{RSA}\" b2p.ssh_key=\"{P256}\"");
    let (config, diagnostics) = read_all(&line, &[("ssh_key", &format!("{ED25519}\n{RSA}"))]);
    assert_eq!(diagnostics, [""; 0]);
    assert_eq!(config.ssh_keys, [ED25519, RSA, P256]);
}

#[test]
fn wrong_entries_of_fw_cfg_are_named() {
    for (name, value, diagnostic) in [
        (
            "fromat",
            "x",
            "opt/org.boot2podman/fromat (fw_cfg): ignored: no such flag; did you mean format?",
        ),
        (
            "format",
            "x",
            "opt/org.boot2podman/format=x (fw_cfg): ignored: no such value; \
             it takes magic, blank, never",
        ),
        (
            "format",
            "\n",
            "opt/org.boot2podman/format= (fw_cfg): ignored: needs a value; \
             it takes magic, blank, never",
        ),
        (
            "",
            "",
            "opt/org.boot2podman/ (fw_cfg): ignored: no such flag",
        ),
    ] {
        let (config, diagnostics) = read_all("", &[(name, value)]);
        assert_eq!(diagnostics, [diagnostic]);
        assert_eq!(config, Config::default());
    }
    let (config, diagnostics) = read_all("", &[("net", "off"), ("ip", "dhcp")]);
    assert_eq!(config.net, Net::Dhcp { device: None });
    assert!(
        diagnostics[0].contains("wins over opt/org.boot2podman/net=off"),
        "{diagnostics:?}"
    );
}

#[test]
fn diagnostics_know_their_source() {
    let entry = config::FwCfg {
        name: b"x",
        value: b"",
    };
    let (_, diagnostics) = parse(b"b2p.x", &[entry]);
    let sources: Vec<Source> = diagnostics.iter().map(config::Diagnostic::source).collect();
    assert_eq!(sources, [Source::FwCfg, Source::CommandLine]);
}

#[test]
fn the_command_line_wins_over_fw_cfg_smbios_document_and_disk() {
    let smbios = b"\x0b\x05\0\x01\x01boot2podman:hostname=smbios\0boot2podman:tz=UTC\0\
        boot2podman:fromat=x\0boot2podman:b2p.console=shell\0\0";
    let entry = [config::FwCfg {
        name: b"hostname",
        value: b"fwcfg",
    }];
    let mut sources = Sources {
        hostname: b"kept\n",
        ..Sources::default()
    };
    let name = |sources: &Sources<'_>| sources.parse().0.hostname;
    assert_eq!(name(&sources), "kept");
    sources.disk = b"# mine\nhostname=disk\ntz=CET-1CEST\nloglevel=debug\n";
    assert_eq!(name(&sources), "disk");
    sources.document = b"b2p.hostname=document\n";
    assert_eq!(name(&sources), "document");
    sources.smbios = smbios;
    assert_eq!(name(&sources), "smbios");
    sources.fw_cfg = &entry;
    assert_eq!(name(&sources), "fwcfg");
    sources.cmdline = b"host=line";
    let (config, diagnostics) = sources.parse();
    let expected = Config {
        hostname: "line".to_owned(),
        tz: Some("UTC".to_owned()),
        console: config::Console::Shell,
        loglevel: config::Loglevel::Debug,
        ..Config::default()
    };
    assert_eq!(config, expected);
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    let wrong = "boot2podman:fromat (SMBIOS): ignored: no such flag; did you mean format?";
    assert_eq!(said, [wrong]);
}

#[test]
fn faults_of_the_disks_config_are_named_with_their_line() {
    let sources = Sources {
        disk: b"b2p.data=off\n\nb2p.hostnam=x\nrescue\npodman=never\nhost=a\nhost=b\n",
        hostname: b"not a name\n",
        ..Sources::default()
    };
    let (config, diagnostics) = sources.parse();
    let expected = Config {
        hostname: "b".to_owned(),
        ..Config::default()
    };
    assert_eq!(config, expected);
    let early = "ignored: it is needed before the data disk is mounted; \
                 put it on the command line, in fw_cfg or in SMBIOS";
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "hostname (data disk): ignored: not a host name: letters, digits, dashes inside, \
             dots between; 64 bytes at most"
                .to_owned(),
            format!("b2p.data=off (data disk, line 1): {early}"),
            "b2p.hostnam (data disk, line 3): ignored: no such flag; did you mean b2p.hostname?"
                .to_owned(),
            format!("rescue (data disk, line 4): {early}"),
            "podman=never (data disk, line 5): ignored: no such value; it takes ondemand, boot, off"
                .to_owned(),
            "host=b (data disk, line 7): given twice; this later one wins over host=a".to_owned(),
        ]
    );
}

#[test]
fn a_document_sets_nothing_that_is_needed_before_it_is_read() {
    let sources = Sources {
        document: b"nodhcp\nb2p.data=off\nb2p.user=me:1501\n",
        ..Sources::default()
    };
    let (config, diagnostics) = sources.parse();
    let default = Config::default();
    assert_eq!((config.net, config.data), (default.net, default.data));
    assert_eq!((config.user.as_str(), config.uid), ("me", 1501));
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(
        said.len() == 2
            && said
                .iter()
                .all(|line| line.contains("Ignition or cloud-init")),
        "{said:?}"
    );
}
