//! Kernel flags, from the command line and from QEMU's fw_cfg.

use config::{
    Config, Diagnostic, DiskSelector, FLAGS, FwCfg, MAX_DIAGNOSTIC_BYTES, MAX_DIAGNOSTICS, Net,
    Sources, Swap, origins, parse,
};

use crate::input::{one_line, parts};

pub(crate) const WORDS: &[&str] = &[
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
/// - So many complaints and no more, each a line of printable ASCII.
/// - Nothing in the configuration can break a line, a path or a terminal.
/// - What follows a `--` changes nothing; saying all of it twice neither.
/// - Where `origins` says that nothing was given, the default holds.
pub fn cmdline(data: &[u8]) {
    let mut parts = parts(data);
    let line = parts.next().unwrap_or(&[]);
    let entries: Vec<FwCfg<'_>> = parts.map(entry).collect();
    elsewhere(data);
    let (config, complaints) = parse(line, &entries);
    assert!(complaints.len() <= MAX_DIAGNOSTICS + 1);
    complaints.iter().for_each(sound);
    clean(&config);
    repeated(line, &entries, &config);
    given(line, &entries, &config);
}

/// The same bytes as the table of SMBIOS, the data disk's file and its name: nothing of
/// that decides on disks or the network.
fn elsewhere(data: &[u8]) {
    let sources = Sources {
        smbios: data,
        disk: data,
        hostname: data,
        ..Sources::default()
    };
    let (config, complaints) = sources.parse();
    assert!(complaints.len() <= MAX_DIAGNOSTICS + 1);
    complaints.iter().for_each(sound);
    clean(&config);
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

fn sound(complaint: &Diagnostic) {
    let line = complaint.to_string();
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

/// Quotes of a line come in pairs, or its last flag takes the rest.
fn closed(line: &[u8]) -> bool {
    let line = line.split(|b| *b == 0).next().unwrap_or(&[]);
    line.iter()
        .filter(|b| **b == b'"')
        .count()
        .is_multiple_of(2)
}

fn repeated(line: &[u8], entries: &[FwCfg<'_>], config: &Config) {
    if !closed(line) || line.contains(&0) {
        return;
    }
    let ended = [line, b" -- b2p.rescue b2p.nonsense=1 \"host=x"].concat();
    assert_eq!(&parse(&ended, entries).0, config, "after the dashes");
    let twice = [line, b" ", line].concat();
    assert_eq!(&parse(&twice, entries).0, config, "said twice");
}

fn given(line: &[u8], entries: &[FwCfg<'_>], config: &Config) {
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
        assert!(given.iter().all(|g| one_line(&g.flag)));
    }
    if origins.iter().all(|(_, given)| given.is_empty()) {
        assert_eq!(config, &Config::default(), "nothing was given");
    }
}

/// No text of a configuration can break a line, a path or a terminal.
fn clean(config: &Config) {
    let texts = [&config.hostname].into_iter().chain(&config.ssh_keys);
    let texts = texts.chain(&config.blacklist).chain(&config.tz);
    let texts = texts.chain(&config.ntpserver);
    let texts = texts.chain(config.rsyslog.iter().map(|to| &to.host));
    texts.for_each(|t| assert!(one_line(&t.replace('\t', " ")) && !t.is_empty(), "{t:?}"));
    assert!((1..=64).contains(&config.hostname.len()));
    let zone = config.tz.as_deref().unwrap_or("UTC");
    assert!(!zone.starts_with('/') && !zone.contains(".."), "{zone:?}");
    // As a file's, but for the capitals of a terminal's name.
    let named = |n: &str| services::service_file::is_name(&n.to_ascii_lowercase());
    assert!(
        config.services.iter().all(|(name, _)| named(name)),
        "{:?}",
        config.services
    );
    assert!(
        config
            .blacklist
            .iter()
            .all(|m| !m.contains(['-', '/', '.']))
    );
    // Each is the name of a file and of a directory.
    let plain = |n: &String| services::service_file::is_name(n) && config::is_extension_name(n);
    assert!(
        config.extensions.iter().all(plain),
        "{:?}",
        config.extensions
    );
    alone(&config.extensions);
    alone(&config.ssh_keys);
    alone(&config.blacklist);
    alone(
        &config
            .services
            .iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>(),
    );
    disk(&config.data);
    let wait = config
        .waitusb
        .iter()
        .inspect(|w| assert!(w.seconds <= 3600));
    let swaps = config.swaps.iter().filter_map(|s| match s {
        Swap::Disk(disk) => Some(disk),
        Swap::Zram(_) | Swap::File(_) => None,
    });
    alone(&config.swaps);
    let disks = config
        .swapfile
        .iter()
        .chain(swaps)
        .chain(wait.filter_map(|w| w.disk.as_ref()));
    for wanted in disks {
        assert!(!matches!(wanted, DiskSelector::Auto | DiskSelector::Off));
        disk(wanted);
    }
    net(&config.net);
}

/// None is there twice.
fn alone<T: PartialEq>(all: &[T]) {
    let again = |(at, one)| all.iter().skip(at + 1).any(|other| other == one);
    assert!(!all.iter().enumerate().any(again));
}

fn disk(disk: &DiskSelector) {
    match disk {
        DiskSelector::Auto | DiskSelector::Off => {}
        DiskSelector::Label(text) => assert!(!text.is_empty() && one_line(text)),
        DiskSelector::Uuid(text) | DiskSelector::PartUuid(text) => {
            assert!(text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
        }
        DiskSelector::Device(path) => {
            assert!(path.starts_with("/dev/") && one_line(path), "{path:?}");
            assert!(
                path.split('/')
                    .skip(1)
                    .all(|s| !matches!(s, "" | "." | ".."))
            );
        }
    }
}

fn net(net: &Net) {
    let card = |card: &Option<String>| {
        let plain = |c: &String| (1..=15).contains(&c.len()) && !c.contains('/') && one_line(c);
        assert!(card.as_ref().is_none_or(plain), "{card:?}");
    };
    match net {
        Net::Off => {}
        Net::Dhcp { device } => card(device),
        Net::Static {
            addr,
            prefix,
            gateway,
            dns,
            device,
        } => {
            let mut all = dns.iter().chain(gateway).chain([addr]);
            assert!(all.all(|a| !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast()));
            assert!((1..=32).contains(prefix) && dns.len() <= 3);
            card(device);
        }
    }
}
