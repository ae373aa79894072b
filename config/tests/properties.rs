// SPDX-License-Identifier: Apache-2.0
//! Properties that hold for every input.
#![allow(clippy::unwrap_used)]

mod common;
mod generated;

use common::KEYS;
use config::{
    Config, Diagnostic, DiskSelector, FLAGS, FwCfg, MAX_DIAGNOSTIC_BYTES, MAX_DIAGNOSTICS, Net,
    Proxy, Sources, Swap, oem_strings, parse,
};
use generated::{config, flags, quote};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Settings for at least 1024 cases of each property; `PROPTEST_CASES` asks for more.
fn settings() -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig {
        cases: base.cases.max(1024),
        failure_persistence: None,
        ..base
    }
}

/// Bytes that resemble flags often enough to pass the first checks.
fn flag_like() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<Vec<u8>> = FLAGS
        .iter()
        .map(|flag| flag.name.as_bytes().into())
        .collect();
    let values = FLAGS.iter().flat_map(|flag| flag.values.split(", "));
    let values: Vec<Vec<u8>> = values.map(|value| value.as_bytes().into()).collect();
    let marks: Vec<Vec<u8>> = [
        "=", " ", "\"", ",", ":", "/", "\\", "\0", "\n", "--", "b2p.", "\x1b[",
    ]
    .iter()
    .map(|mark| mark.as_bytes().to_vec())
    .collect();
    let keys: Vec<Vec<u8>> = KEYS.iter().map(|key| key.as_bytes().into()).collect();
    let piece = prop_oneof![
        3 => select(names),
        2 => select(values),
        5 => select(marks),
        1 => select(keys),
        1 => vec(any::<u8>(), 0..8),
        1 => "[0-9./:,]{1,20}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..4096), flag_like()]
}

fn entry() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let names: Vec<Vec<u8>> = FLAGS
        .iter()
        .map(|flag| flag.short_name().as_bytes().into())
        .collect();
    (prop_oneof![select(names), vec(any::<u8>(), 0..20)], bytes())
}

fn entries<'a>(pairs: &'a [(Vec<u8>, Vec<u8>)]) -> Vec<FwCfg<'a>> {
    let entry = |(name, value): &'a (Vec<u8>, Vec<u8>)| FwCfg { name, value };
    pairs.iter().map(entry).collect()
}

fn is_sound(diagnostic: &Diagnostic) -> bool {
    let line = diagnostic.to_string();
    !line.is_empty()
        && line.len() <= MAX_DIAGNOSTIC_BYTES
        && line.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Returns true if no text of a configuration can break a line, a path or a terminal.
fn is_clean(config: &Config) -> bool {
    let disk = |data: &DiskSelector| match data {
        DiskSelector::Auto | DiskSelector::Off => String::new(),
        DiskSelector::Label(text) | DiskSelector::Uuid(text) | DiskSelector::PartUuid(text) => {
            text.clone()
        }
        DiskSelector::Device(path) => {
            assert!(path.starts_with("/dev/") && !path.contains(".."), "{path}");
            path.clone()
        }
    };
    let mut texts = vec![config.hostname.clone(), disk(&config.data)];
    texts.extend(config.ssh_keys.iter().map(|key| key.replace('\t', " ")));
    texts.extend(config.blacklist.clone());
    texts.extend(config.tz.clone());
    texts.extend(config.ntpserver.clone());
    texts.extend(config.rsyslog.iter().map(|to| to.host.clone()));
    let proxy = [
        &config.proxy.http,
        &config.proxy.https,
        &config.proxy.exceptions,
    ];
    texts.extend(proxy.into_iter().flatten().cloned());
    texts.extend(config.swapfile.as_ref().map(disk));
    texts.extend(config.swaps.iter().filter_map(|swap| match swap {
        Swap::Disk(data) => Some(disk(data)),
        _ => None,
    }));
    texts.extend(
        config
            .waitusb
            .iter()
            .filter_map(|wait| wait.disk.as_ref().map(disk)),
    );
    assert!((1..=64).contains(&config.hostname.len()));
    assert!(config.tz.as_ref().is_none_or(|zone| !zone.contains("..")));
    texts.iter().all(|text| !text.contains(char::is_control))
}

fn is_before_data_disk(name: &str) -> bool {
    FLAGS
        .iter()
        .any(|flag| flag.name == name && flag.before_data_disk)
}

/// Returns an SMBIOS table with these OEM strings and one of another vendor.
fn smbios_table(texts: &[String]) -> Vec<u8> {
    let mut table = vec![11, 5, 0, 1, 1];
    for text in texts.iter().map(String::as_str).chain(["vendor=x"]) {
        table.extend(text.as_bytes());
        table.push(0);
    }
    table.extend([0, 127, 4, 0, 2, 0, 0]);
    table
}

fn kernel_parameter() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "quiet",
            "ro",
            "root=/dev/vda1",
            "console=ttyS0,115200n8",
            "nomodeset"
        ])
        .prop_map(str::to_owned),
        "[a-z]{3,6}\\.[a-z]{1,6}=[a-z0-9]{0,6}",
        "dyndbg=\"file [a-z]{1,5}\\.c \\+p\"",
    ]
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn any_input_gives_a_configuration(line in bytes(), pairs in vec(entry(), 0..6)) {
        let (config, diagnostics) = parse(&line, &entries(&pairs));
        prop_assert!(diagnostics.len() <= MAX_DIAGNOSTICS + 1);
        prop_assert!(diagnostics.iter().all(is_sound), "{diagnostics:?}");
        prop_assert!(is_clean(&config), "{config:?}");
        let again = parse(&line, &entries(&pairs));
        prop_assert_eq!(again, (config, diagnostics));
    }

    #[test]
    fn good_flags_give_their_values(config in config(), whole in any::<bool>()) {
        let line: Vec<String> = flags(&config).iter().map(|flag| quote(flag, whole)).collect();
        let (parsed, diagnostics) = parse(line.join(" ").as_bytes(), &[]);
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        prop_assert_eq!(parsed, config);
    }

    #[test]
    fn fw_cfg_gives_the_same(config in config(), end in select(vec!["", "\n", "\0", "\r\n"])) {
        let flags = flags(&config);
        let value = |value: &str| format!("{value}{end}").into_bytes();
        let pairs: Vec<_> = flags
            .iter()
            .map(|(name, text)| (name.trim_start_matches("b2p.").into(), value(text)))
            .collect();
        let (parsed, diagnostics) = parse(b"", &entries(&pairs));
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        prop_assert_eq!(parsed, config);
    }

    #[test]
    fn smbios_gives_the_same(config in config()) {
        let texts: Vec<String> = flags(&config)
            .iter()
            .map(|(name, text)| format!("boot2podman:{}={text}", name.trim_start_matches("b2p.")))
            .collect();
        let table = smbios_table(&texts);
        prop_assert_eq!(oem_strings(&table).len(), texts.len() + 1);
        let (parsed, diagnostics) = Sources { smbios: &table, ..Sources::default() }.parse();
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        prop_assert_eq!(parsed, config);
    }

    #[test]
    fn the_data_disk_gives_what_it_may(config in config(), quoted in any::<bool>()) {
        let late = flags(&config);
        let late = late.iter().filter(|(name, _)| !is_before_data_disk(name));
        let lines: Vec<String> = late
            .map(|(name, text)| match quoted {
                true => format!(" {name} = \"{text}\" \r\n#x\n"),
                false => format!("{}={text}\n", name.trim_start_matches("b2p.")),
            })
            .collect();
        let file = lines.concat();
        let sources = Sources { disk: file.as_bytes(), ..Sources::default() };
        let (parsed, diagnostics) = sources.parse();
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        let default = Config::default();
        let expected = Config {
            data: default.data,
            format: default.format,
            net: default.net,
            rescue: default.rescue,
            host_publishes_ports: default.host_publishes_ports,
            template: default.template,
            routed: default.routed,
            container_ssh: default.container_ssh,
            modules: default.modules,
            waitusb: default.waitusb,
            blacklist: default.blacklist,
            ..config
        };
        prop_assert_eq!(parsed, expected);
    }

    #[test]
    fn every_source_gives_a_configuration(
        line in bytes(), disk in bytes(), name in bytes(), table in bytes(),
        environment in bytes(), hooks in bytes(),
    ) {
        let sources = Sources {
            cmdline: &line,
            fw_cfg: &[],
            smbios: &table,
            disk: &disk,
            document: &disk,
            hostname: &name,
            environment: &environment,
            hooks: &hooks,
        };
        let (config, diagnostics) = sources.parse();
        prop_assert!(diagnostics.iter().all(is_sound), "{diagnostics:?}");
        prop_assert!(is_clean(&config), "{config:?}");
        let alone = Sources { cmdline: &[], smbios: &[], ..sources }.parse().0;
        prop_assert_eq!(alone.data, DiskSelector::Auto);
        prop_assert_eq!(alone.net, Net::Dhcp { device: None });
    }

    #[test]
    fn foreign_words_between_flags_change_nothing(
        config in config(),
        others in vec((kernel_parameter(), any::<Index>()), 0..12),
    ) {
        let mut line: Vec<String> = flags(&config).iter().map(|flag| quote(flag, false)).collect();
        for (other, at) in &others {
            line.insert(at.index(line.len() + 1), other.clone());
        }
        let (parsed, diagnostics) = parse(line.join("  ").as_bytes(), &[]);
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        prop_assert_eq!(parsed, config);
    }

    #[test]
    fn parameters_after_the_dashes_are_for_init(config in config(), rest in bytes()) {
        let line: Vec<String> = flags(&config).iter().map(|flag| quote(flag, true)).collect();
        let line = [line.join(" ").as_bytes(), b" -- ", &rest].concat();
        prop_assert_eq!(parse(&line, &[]), (config, vec![]));
    }

    #[test]
    fn the_command_line_wins_over_fw_cfg(low in config(), high in config()) {
        let pairs: Vec<_> = flags(&low)
            .into_iter()
            .map(|(name, text)| (name.trim_start_matches("b2p.").into(), text.into_bytes()))
            .collect();
        let line: Vec<String> = flags(&high).iter().map(|flag| quote(flag, true)).collect();
        let (parsed, diagnostics) = parse(line.join(" ").as_bytes(), &entries(&pairs));
        prop_assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
        let services = high.services.clone();
        let swaps = high.swaps.clone();
        let mut expected = Config {
            waitusb: high.waitusb.or(low.waitusb),
            tz: high.tz.or(low.tz),
            ntpserver: high.ntpserver.or(low.ntpserver),
            rsyslog: high.rsyslog.or(low.rsyslog),
            proxy: Proxy {
                http: high.proxy.http.or(low.proxy.http),
                https: high.proxy.https.or(low.proxy.https),
                exceptions: high.proxy.exceptions.or(low.proxy.exceptions),
            },
            swapfile: high.swapfile.or(low.swapfile),
            ssh_keys: low.ssh_keys,
            blacklist: low.blacklist,
            services: Vec::new(),
            swaps: Vec::new(),
            ..high
        };
        let union = |low: &mut Vec<String>, high: &[String]| {
            let new: Vec<String> = high.iter().filter(|text| !low.contains(text)).cloned().collect();
            low.extend(new);
        };
        let later = |(name, _): &(String, bool)| !services.iter().any(|(known, _)| known == name);
        expected.services = low.services.into_iter().filter(later).collect();
        expected.services.extend(services);
        let replaced = |low: &Swap| swaps.iter().any(|high| match (low, high) {
            (Swap::Disk(low), Swap::Disk(high)) => low == high,
            (Swap::Zram(_), Swap::Zram(_)) | (Swap::File(_), Swap::File(_)) => true,
            _ => false,
        });
        expected.swaps = low.swaps.into_iter().filter(|low| !replaced(low)).collect();
        expected.swaps.extend(swaps.clone());
        union(&mut expected.ssh_keys, &high.ssh_keys);
        union(&mut expected.blacklist, &high.blacklist);
        prop_assert_eq!(parsed, expected);
    }

    #[test]
    fn a_flag_with_one_wrong_letter_is_suggested(at in any::<Index>(), which in any::<Index>()) {
        let names: Vec<&str> = FLAGS
            .iter()
            .map(|flag| flag.name)
            .filter(|name| name.starts_with("b2p."))
            .collect();
        let name = names[which.index(names.len())];
        let mut wrong = name.as_bytes().to_vec();
        let at = 4 + at.index(wrong.len() - 4);
        wrong[at] = b'#';
        // This name resembles http_proxy just as much.
        prop_assume!(wrong != b"b2p.http#_proxy");
        let (config, diagnostics) = parse(&wrong, &[]);
        prop_assert_eq!(config, Config::default());
        let line = diagnostics[0].to_string();
        prop_assert!(line.ends_with(&format!("did you mean {name}?")), "{line}");
    }
}
