// SPDX-License-Identifier: Apache-2.0
//! Target `cmdline`: kernel flags from the command line and other sources.

use config::{
    Config, Diagnostic, DiskSelector, FLAGS, FwCfg, MAX_DIAGNOSTIC_BYTES, MAX_DIAGNOSTICS, Net,
    Sources, Swap, origins, parse,
};

use crate::input::{is_one_line, parts};

pub(crate) const DICTIONARY: &[&str] = &[
    "b2p.",
    "b2p.ssh_key=",
    "b2p.data=",
    "b2p.format=",
    "b2p.hostname=",
    "host=",
    "b2p.net=",
    "ip=",
    "b2p.console=",
    "b2p.podman=",
    "b2p.sshd=",
    "b2p.rescue",
    "b2p.loglevel=",
    "waitusb=",
    "tz=",
    "noutc",
    "nodhcp",
    "noswap",
    "noautologin",
    "ntpserver=",
    "blacklist=",
    "swapfile=",
    "syslog",
    "b2p.rsyslog=",
    "[fd00::1]:514,tcp",
    "b2p.on=",
    "b2p.off=",
    "b2p.modules=",
    "b2p.swap=",
    "b2p.ext=",
    "boot2podman:",
    "b2p.http_proxy=",
    "\x0b\x05\0\x01\x01",
    "\0\0",
    "zram:50%",
    "file:",
    " -- ",
    "\"",
    "ssh-ed25519 ",
    "LABEL=",
    "UUID=",
    "PARTUUID=",
    "/dev/vda",
    "auto",
    "off",
    "10.0.2.15/24,10.0.2.2",
    "10.0.2.15::10.0.2.2:255.255.255.0:box:eth0:off:1.1.1.1",
    "-----BEGIN ",
    "..",
    "CET-1CEST",
    ",",
    ":",
];

/// Parts: the command line, then `name=value` for each fw_cfg entry.
///
/// - The diagnostics are bounded in number, each a line of printable ASCII.
/// - No text of the configuration breaks a line, a path or a terminal.
/// - Parameters after `--` change nothing, and a repeated command line gives the same.
/// - The configuration is the default if `origins` has no flag.
pub fn cmdline(data: &[u8]) {
    let mut parts = parts(data);
    let line = parts.next().unwrap_or(&[]);
    let entries: Vec<FwCfg<'_>> = parts.map(entry).collect();
    check_other_sources(data);
    let (config, diagnostics) = parse(line, &entries);
    assert!(diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    diagnostics.iter().for_each(check_diagnostic);
    check_config(&config);
    check_repetition(line, &entries, &config);
    check_origins(line, &entries, &config);
}

/// Checks the bytes as SMBIOS table, as configuration of the data disk and as its host name. The
/// data disk does not select the data disk.
fn check_other_sources(data: &[u8]) {
    let sources = Sources {
        smbios: data,
        disk: data,
        hostname: data,
        ..Sources::default()
    };
    let (config, diagnostics) = sources.parse();
    assert!(diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    diagnostics.iter().for_each(check_diagnostic);
    check_config(&config);
    let disk = Sources {
        smbios: &[],
        ..sources
    };
    assert_eq!(disk.parse().0.data, DiskSelector::Auto);
    assert!(config::oem_strings(data).iter().all(|s| !s.contains(&0)));
}

fn entry(part: &[u8]) -> FwCfg<'_> {
    let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
    let (name, value) = part.split_at(at);
    FwCfg {
        name,
        value: value.get(1..).unwrap_or(&[]),
    }
}

fn check_diagnostic(diagnostic: &Diagnostic) {
    let line = diagnostic.to_string();
    let printable = line.bytes().all(|b| (b' '..=b'~').contains(&b));
    assert!(
        (1..=MAX_DIAGNOSTIC_BYTES).contains(&line.len()) && printable,
        "{line:?}"
    );
    let (what, why) = line.split_once(": ").unwrap_or_default();
    // A flag may itself begin with a colon.
    let named = !what.is_empty() || line.starts_with(':');
    assert!(named && !why.is_empty(), "{line:?}");
}

/// Returns true if the quotes of a line are paired, so that its last parameter ends with the line.
fn has_paired_quotes(line: &[u8]) -> bool {
    let line = line.split(|b| *b == 0).next().unwrap_or(&[]);
    line.iter()
        .filter(|b| **b == b'"')
        .count()
        .is_multiple_of(2)
}

fn check_repetition(line: &[u8], entries: &[FwCfg<'_>], config: &Config) {
    if !has_paired_quotes(line) || line.contains(&0) {
        return;
    }
    let ended = [line, b" -- b2p.rescue b2p.nonsense=1 \"host=x"].concat();
    assert_eq!(&parse(&ended, entries).0, config, "after the dashes");
    let twice = [line, b" ", line].concat();
    assert_eq!(&parse(&twice, entries).0, config, "repeated");
}

fn check_origins(line: &[u8], entries: &[FwCfg<'_>], config: &Config) {
    let origins = origins(&Sources {
        cmdline: line,
        fw_cfg: entries,
        ..Sources::default()
    });
    let settings = FLAGS.iter().filter(|f| f.alias_of.is_none());
    assert!(
        origins
            .iter()
            .map(|(f, _)| f.name)
            .eq(settings.map(|f| f.name))
    );
    for (flag, given) in &origins {
        assert!(given.len() <= 1 || flag.repeatable, "{}", flag.name);
        assert!(given.iter().all(|g| is_one_line(&g.flag)));
    }
    if origins.iter().all(|(_, given)| given.is_empty()) {
        assert_eq!(config, &Config::default(), "no flags");
    }
}

/// Checks that no text of a configuration can break a line, a path or a terminal.
fn check_config(config: &Config) {
    let texts = [&config.hostname].into_iter().chain(&config.ssh_keys);
    let texts = texts.chain(&config.blacklist).chain(&config.tz);
    let texts = texts.chain(&config.ntpserver);
    let texts = texts.chain(config.rsyslog.iter().map(|to| &to.host));
    texts.for_each(|t| assert!(is_one_line(&t.replace('\t', " ")) && !t.is_empty(), "{t:?}"));
    assert!((1..=64).contains(&config.hostname.len()));
    let zone = config.tz.as_deref().unwrap_or("UTC");
    assert!(!zone.starts_with('/') && !zone.contains(".."), "{zone:?}");
    // Names of services may also have the upper case of a terminal.
    let is_valid = |n: &str| services::service_file::is_name(&n.to_ascii_lowercase());
    assert!(
        config.services.iter().all(|(name, _)| is_valid(name)),
        "{:?}",
        config.services
    );
    assert!(
        config
            .blacklist
            .iter()
            .all(|m| !m.contains(['-', '/', '.']))
    );
    // The name of an extension is also that of a file and of a directory.
    let plain = |n: &String| services::service_file::is_name(n) && config::is_extension_name(n);
    assert!(
        config.extensions.iter().all(plain),
        "{:?}",
        config.extensions
    );
    assert_unique(&config.extensions);
    assert_unique(&config.ssh_keys);
    assert_unique(&config.blacklist);
    let services = config.services.iter().map(|(name, _)| name);
    assert_unique(&services.collect::<Vec<_>>());
    check_disks(config);
    check_net(&config.net);
}

/// Checks the disks that a configuration names.
fn check_disks(config: &Config) {
    check_disk(&config.data);
    let wait = config
        .waitusb
        .iter()
        .inspect(|w| assert!(w.seconds <= 3600));
    let swaps = config.swaps.iter().filter_map(|s| match s {
        Swap::Disk(disk) => Some(disk),
        Swap::Zram(_) | Swap::File(_) => None,
    });
    assert_unique(&config.swaps);
    let disks = config
        .swapfile
        .iter()
        .chain(swaps)
        .chain(wait.filter_map(|w| w.disk.as_ref()));
    for selector in disks {
        assert!(!matches!(selector, DiskSelector::Auto | DiskSelector::Off));
        check_disk(selector);
    }
}

/// Checks that no item occurs twice.
fn assert_unique<T: PartialEq>(items: &[T]) {
    let repeats = |(index, item)| items.iter().skip(index + 1).any(|other| other == item);
    assert!(!items.iter().enumerate().any(repeats));
}

fn check_disk(selector: &DiskSelector) {
    match selector {
        DiskSelector::Auto | DiskSelector::Off => {}
        DiskSelector::Label(text) => assert!(!text.is_empty() && is_one_line(text)),
        DiskSelector::Uuid(text) | DiskSelector::PartUuid(text) => {
            assert!(text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
        }
        DiskSelector::Device(path) => {
            assert!(path.starts_with("/dev/") && is_one_line(path), "{path:?}");
            assert!(
                path.split('/')
                    .skip(1)
                    .all(|s| !matches!(s, "" | "." | ".."))
            );
        }
    }
}

fn check_net(net: &Net) {
    let check_device = |device: &Option<String>| {
        let is_valid = |name: &String| {
            (1..=15).contains(&name.len()) && !name.contains('/') && is_one_line(name)
        };
        assert!(device.as_ref().is_none_or(is_valid), "{device:?}");
    };
    match net {
        Net::Off => {}
        Net::Dhcp { device } => check_device(device),
        Net::Static {
            addr,
            prefix,
            gateway,
            dns,
            device,
        } => {
            let mut addresses = dns.iter().chain(gateway).chain([addr]);
            assert!(
                addresses.all(|a| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast())
            );
            assert!((1..=32).contains(prefix) && dns.len() <= 3);
            check_device(device);
        }
    }
}
