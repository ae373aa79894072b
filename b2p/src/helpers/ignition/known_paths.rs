// SPDX-License-Identifier: Apache-2.0
//! Files and links that other programs would act on: those that need an action of their own here, and those
//! that nobody reads.

use std::path::Path;
use std::time::Duration;

use config::{Config, ZramSize};
use sys::error::{Doing, Error, Result};

use crate::common::{tool, users};
use crate::helpers::cloud::apply as cloud;
use crate::helpers::compat::{session_environment, sysctl, tmpfiles};
use crate::helpers::swap::zram;
use crate::helpers::time::zone;

/// Program that loads a module with those that it needs.
const MODPROBE: &str = "/usr/sbin/modprobe";
/// Time limit of one module.
const LOAD_LIMIT: Duration = Duration::from_secs(10);

/// Action on a path.
#[derive(Clone, Copy)]
pub enum Handler {
    /// The file gets this content, made of the existing one and the document's, and is then judged.
    Content(fn(&[u8], &[u8]) -> Vec<u8>, fn(&[u8]) -> Result<()>),
    /// The action on the document's content takes the place of the file.
    Text(fn(&str) -> Result<()>),
    /// The link is replaced by this action on its target.
    Link(fn(&str, &Config) -> Result<()>),
    /// The file at this path takes effect after it was written.
    AfterWrite(fn(&str) -> Result<()>),
}

/// Paths and their actions, and why.
#[rustfmt::skip]
const HANDLERS: &[(&str, Handler, &str)] = &[
    ("/etc/subuid",    Handler::Content(with_other_users, one_owner), "podman machine sends one user's line, without its end; --userns=auto needs that of `containers`"),
    ("/etc/subgid",    Handler::Content(with_other_users, one_owner), "the same"),
    ("/etc/hostname",  Handler::Text(hostname),            "the kernel's name, that of the DHCP client and /etc/hosts follow, and a flag takes precedence"),
    ("/etc/localtime", Handler::Link(set_zone),            "the flag tz= takes precedence, and /etc/timezone has the name as well"),
    ("/etc/systemd/zram-generator.conf",       Handler::AfterWrite(compressed_swap), "`podman machine init --swap`"),
    ("/etc/environment",                       Handler::AfterWrite(environment),     "pam_env reads it for each session"),
];

/// Directories whose files `*.conf` have an action, and why.
#[rustfmt::skip]
const DIRECTORIES: &[(&str, Handler, &str)] = &[
    ("/etc/environment.d/",  Handler::AfterWrite(environment),   "proxies for pulls; certificates for them, of podman machine before 6.0"),
    ("/etc/sysctl.d/",       Handler::AfterWrite(sysctl::load),  "systemd-sysctl reads them at boot"),
    ("/etc/modules-load.d/", Handler::AfterWrite(load_modules),  "systemd-modules-load reads them at boot"),
    ("/etc/tmpfiles.d/",     Handler::AfterWrite(entries),       "systemd-tmpfiles reads them at boot; podman machine's is the link from docker's socket to the user's API"),
];

/// Files of [`UNREAD`] that are not reported: podman machine writes the same settings to a file that is read here as
/// well.
const REDUNDANT: &[&str] = &[
    "/etc/systemd/system.conf.d/podman-machine-ssl.conf",
    "/etc/systemd/system.conf.d/default-env.conf",
    "/etc/systemd/user.conf.d/default-env.conf",
];

/// Starts of paths that no program of this machine reads, and what is right here.
#[rustfmt::skip]
const UNREAD: &[(&str, &str)] = &[
    ("/etc/NetworkManager/",         "there is no NetworkManager; use the flag b2p.net="),
    ("/etc/sysconfig/network",       "there are no such scripts; use the flag b2p.net="),
    ("/etc/systemd/network/",        "there is no systemd-networkd; use the flag b2p.net="),
    ("/etc/systemd/resolved.conf",   "there is no systemd-resolved; use the flag b2p.net="),
    ("/etc/systemd/timesyncd.conf",  "there is no systemd-timesyncd; use the flag ntpserver="),
    ("/etc/chrony",                  "there is no chrony; use the flag ntpserver="),
    ("/etc/systemd/system.conf",     "there is no systemd; variables of every podman are in /etc/environment.d"),
    ("/etc/systemd/user.conf",       "there is no systemd; variables of every podman are in /etc/environment.d"),
    ("/etc/systemd/journald.conf",   "there is no journald; use the flags syslog and b2p.rsyslog="),
    ("/etc/systemd/logind.conf",     "there is no systemd-logind; sessions and users' services need none"),
    ("/etc/ssh/sshd_config.d/",      "sshd reads /etc/ssh/sshd_config alone; a file with that path takes the place of the image's"),
    ("/etc/sysusers.d/",             "there is no systemd-sysusers; use passwd.users and passwd.groups of the document"),
    ("/etc/udev/",                   "there is no udev; the kernel names and makes devices"),
    ("/etc/vconsole.conf",           "there is no systemd-vconsole-setup; the console has the kernel's keys"),
    ("/etc/zincati/",                "there is no Zincati; use `b2p upgrade`"),
    ("/etc/docker/daemon.json",      "there is no dockerd; podman reads /etc/containers/registries.conf.d and containers.conf.d"),
    ("/etc/firewalld/",              "there is no firewalld; podman makes the rules of published ports"),
    ("/etc/modprobe.d/",             "PID 1 loads drivers without it; use the flag blacklist=MODULE, and MODULE.OPTION=VALUE on the kernel's command line"),
    ("/etc/fstab",                   "nobody reads it at boot; use a .mount unit, or the flag b2p.share= for a folder of the host"),
    ("/etc/cron",                    "there is no cron; use `at` in a file of /var/lib/boot2podman/services"),
];

/// Returns the action of a path.
pub fn handler(path: &str) -> Option<Handler> {
    let row = HANDLERS.iter().find(|(known, ..)| *known == path);
    let is_in = |dir: &str| {
        let name = path.strip_prefix(dir);
        name.is_some_and(|name| name.ends_with(".conf") && !name.contains('/'))
    };
    let directory = || DIRECTORIES.iter().find(|(dir, ..)| is_in(dir));
    row.or_else(directory).map(|(_, handler, _)| *handler)
}

/// Returns the setting that replaces a file which no program reads.
pub fn unread(path: &str) -> Option<&'static str> {
    let row = UNREAD.iter().find(|(start, _)| path.starts_with(start));
    row.filter(|_| !REDUNDANT.contains(&path))
        .map(|(_, right)| *right)
}

/// Fails if two users of subuid(5) have a number in common: each could read the files of the other's containers.
fn one_owner(text: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(text);
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let lines: Vec<_> = text
        .lines()
        .filter_map(|l| Some((name(l), users::range(l)?)))
        .collect();
    for (at, (name, range)) in lines.iter().enumerate() {
        let mut others = lines.iter().skip(at + 1);
        let other =
            others.find(|(other, of_other)| other != name && users::overlap(*range, *of_other));
        if let Some((other, _)) = other {
            let why = format!(
                "numbers of {name} are those of {other}, too; must have ranges of their own"
            );
            return Err(Error::invalid(why));
        }
    }
    Ok(())
}

/// Names the machine.
fn hostname(text: &str) -> Result<()> {
    let mut lines = text.lines().map(str::trim);
    let name = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let missing = || Error::invalid("must have a line with a name");
    cloud::hostname(name.ok_or_else(missing)?)
}

/// Loads the modules of a file of modules-load.d(5).
fn load_modules(path: &str) -> Result<()> {
    let text = sys::files::read_text(path)?;
    let names = text.lines().map(str::trim);
    let names = names.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let load = |name: &str| {
        let done = tool::run(MODPROBE, &["--", name], LOAD_LIMIT)?;
        match done.code {
            Some(0) => Ok(()),
            _ => Err(Error::invalid(format!("{name}: {}", done.last_lines))),
        }
    };
    Error::join(names.filter_map(|name| load(name).err()).collect()).on(path)
}

/// Returns the new lines of subuid(5), and the existing ones of other names.
fn with_other_users(existing: &[u8], new: &[u8]) -> Vec<u8> {
    let name = |line: &[u8]| line.split(|b| *b == b':').next().map(<[u8]>::to_vec);
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(<[u8]>::to_vec).collect()
    };
    let mut all = lines(new);
    let names: Vec<_> = all.iter().map(|line| name(line)).collect();
    let others = lines(existing).into_iter();
    all.extend(others.filter(|line| !names.contains(&name(line))));
    all.iter()
        .flat_map(|line| [line, &b"\n"[..]].concat())
        .collect()
}

/// Makes the links and directories of a file of tmpfiles.d(5), and names other lines.
fn entries(path: &str) -> Result<()> {
    tmpfiles::create_of(Path::new(path), None)
}

fn environment(_: &str) -> Result<()> {
    session_environment::apply()
}

/// Swaps to compressed memory as zram-generator.conf(5) says: `zram-size` is a number of MiB.
fn compressed_swap(path: &str) -> Result<()> {
    let text = sys::files::read_text(path)?;
    let (config, _) = sys::config_sources::read();
    match zram_size(&text) {
        _ if !config.swap_allowed => Ok(()),
        Some(mib) => zram::swap_on(ZramSize::Mib(mib), &config).map(drop),
        None => Err(Error::invalid("must have zram-size = a number of MiB")).on(path),
    }
}

fn zram_size(text: &str) -> Option<u32> {
    let mut settings = text.lines().filter_map(|line| line.split_once('='));
    let size = settings.find(|(name, _)| name.trim() == "zram-size")?.1;
    size.trim().parse().ok().filter(|mib| *mib > 0)
}

/// Directory of the zones, to which podman machine 5.4 leads the link of a host whose zone it does not know.
const ZONES: &str = "/usr/share/zoneinfo";

/// Sets the time zone by a link to a file of zoneinfo, which may be relative.
fn set_zone(target: &str, config: &Config) -> Result<()> {
    match zone_name(target) {
        _ if config.tz.is_some() || target.trim_end_matches('/') == ZONES => Ok(()),
        Some(name) => zone::set_zone(name),
        None => Err(Error::invalid(format!(
            "target: {target}: must be a file below /usr/share/zoneinfo"
        ))),
    }
}

fn zone_name(target: &str) -> Option<&str> {
    let (dir, name) = target.split_once("/usr/share/zoneinfo/").or_else(|| {
        let relative = target.strip_prefix("../usr/share/zoneinfo/")?;
        Some(("", relative))
    })?;
    let is_inside =
        |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    let leads_up = dir.split('/').all(|part| matches!(part, "" | ".."));
    (leads_up && Path::new(name).components().all(is_inside)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_of_others_stay() {
        let existing = b"core:100000:1000000\ncontainers:2147483647:2147483648\n";
        let merged = with_other_users(existing, b"core:100000:65536");
        let want = b"core:100000:65536\ncontainers:2147483647:2147483648\n";
        assert_eq!(merged, want);
        assert_eq!(with_other_users(want, b"core:100000:65536"), want);
        assert_eq!(with_other_users(b"", b""), b"");
    }

    #[test]
    fn ranges_of_two_users_that_overlap_are_named() {
        let of = |core: &str| format!("core:{core}\neve:1100000:65536\ncore:1:5\n\nx\n");
        for (core, fits) in [
            ("100000:1000000", true),
            ("100000:1000001", false),
            ("1165536:1", true),
            ("1165535:1", false),
            ("1100001:2", false),
            ("18446744073709551615:18446744073709551615", true),
        ] {
            let judged = one_owner(of(core).as_bytes());
            assert_eq!(judged.is_ok(), fits, "{core}");
            let why = judged
                .map_err(|why| why.to_string())
                .err()
                .unwrap_or_default();
            assert!(
                fits || why.starts_with("numbers of core are those of eve"),
                "{why}"
            );
        }
    }

    #[test]
    fn files_that_nobody_reads_are_named_and_those_of_podman_machine_are_not() {
        for path in REDUNDANT {
            assert_eq!(unread(path), None);
        }
        for (path, part) in [
            (
                "/etc/NetworkManager/system-connections/a.nmconnection",
                "b2p.net=",
            ),
            ("/etc/systemd/system.conf.d/a.conf", "/etc/environment.d"),
            ("/etc/chrony.conf", "ntpserver="),
            ("/etc/cron.d/a", "`at`"),
            (
                "/etc/ssh/sshd_config.d/20-a.conf",
                "/etc/ssh/sshd_config alone",
            ),
            ("/etc/systemd/logind.conf.d/a.conf", "none"),
            ("/etc/modprobe.d/a.conf", "blacklist="),
            ("/etc/fstab", ".mount unit"),
        ] {
            assert!(
                unread(path).is_some_and(|right| right.contains(part)),
                "{path}"
            );
        }
        for path in [
            "/etc/systemd/system/a.service",
            "/etc/motd",
            "/etc/docker/certs.d/r/ca.crt",
            "/srv/etc/chrony",
        ] {
            assert_eq!(unread(path), None, "{path}");
        }
        for (path, is_known) in [
            ("/etc/sysctl.d/a.conf", true),
            ("/etc/sysctl.d/a", false),
            ("/etc/sysctl.d/a/b.conf", false),
            ("/etc/modules-load.d/a.conf", true),
            ("/etc/hostname", true),
            ("/etc/tmpfiles.d/a.conf", true),
        ] {
            assert_eq!(handler(path).is_some(), is_known, "{path}");
        }
    }

    #[test]
    fn zones_absolute_and_relative() {
        for (target, name) in [
            ("/usr/share/zoneinfo/Europe/Berlin", Some("Europe/Berlin")),
            ("../usr/share/zoneinfo/UTC", Some("UTC")),
            ("../../usr/share/zoneinfo/UTC", Some("UTC")),
            ("/usr/share/zoneinfo/../../../etc/shadow", None),
            ("/opt/usr/share/zoneinfo/UTC", None),
            ("/etc/shadow", None),
            ("", None),
        ] {
            assert_eq!(zone_name(target), name, "{target}");
        }
    }

    #[test]
    fn a_host_without_a_known_zone_names_the_directory() {
        let config = Config::default();
        assert!(set_zone("/usr/share/zoneinfo", &config).is_ok());
        assert!(set_zone("/usr/share/zoneinfo/", &config).is_ok());
        assert!(set_zone("/usr/share", &config).is_err());
    }

    #[test]
    fn size_of_compressed_swap() {
        assert_eq!(zram_size("[zram0]\nzram-size=512\n"), Some(512));
        assert_eq!(zram_size("[zram0]\n zram-size = 7 \n"), Some(7));
        for text in ["", "zram-size=0", "zram-size=min(ram / 2, 4096)", "size=1"] {
            assert_eq!(zram_size(text), None, "{text}");
        }
    }

    #[test]
    fn every_path_has_one_row_and_a_reason() {
        for (path, _, why) in DIRECTORIES {
            assert!(path.ends_with('/') && !why.is_empty());
        }
        for (path, _, why) in HANDLERS {
            let rows = HANDLERS.iter().filter(|(other, ..)| other == path);
            assert!(rows.count() == 1 && path.starts_with('/') && !why.is_empty());
        }
    }
}
