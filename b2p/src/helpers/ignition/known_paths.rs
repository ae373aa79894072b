// SPDX-License-Identifier: Apache-2.0
//! Files and links that other programs would act on, and that need an action of their own here.

use std::path::Path;

use config::{Config, ZramSize};
use sys::error::{Doing, Error, Result};
use sys::files::replace;

use crate::helpers::compat::{environment_d, tmpfiles};
use crate::helpers::swap::zram;
use crate::helpers::time::zone;

/// Action on a path.
#[derive(Clone, Copy)]
pub enum Handler {
    /// The file gets this content, made of the existing one and the document's.
    Content(fn(&[u8], &[u8]) -> Vec<u8>),
    /// The link is replaced by this action on its target.
    Link(fn(&str, &Config) -> Result<()>),
    /// The file at this path takes effect after it was written.
    AfterWrite(fn(&str) -> Result<()>),
}

/// Paths and their actions, and why.
#[rustfmt::skip]
const HANDLERS: &[(&str, Handler, &str)] = &[
    ("/etc/subuid",    Handler::Content(with_other_users), "podman machine sends one user's line, without its end; --userns=auto needs that of `containers`"),
    ("/etc/subgid",    Handler::Content(with_other_users), "the same"),
    ("/etc/localtime", Handler::Link(set_zone),            "the flag tz= takes precedence, and /etc/timezone has the name as well"),
    ("/etc/tmpfiles.d/podman-docker.conf",     Handler::AfterWrite(docker_socket),   "the link from docker's socket to the user's API"),
    ("/etc/systemd/zram-generator.conf",       Handler::AfterWrite(compressed_swap), "`podman machine init --swap`"),
    ("/etc/environment.d/podman-machine-ssl.conf", Handler::AfterWrite(environment), "certificates for pulls, of podman machine before 6.0"),
    ("/etc/containers/podman-machine",         Handler::AfterWrite(marker),          "podman of the image looks for podman 6's marker, and podman machine before 6.0 writes the old one alone"),
    ("/etc/environment.d/default-env.conf",    Handler::AfterWrite(environment),     "proxies for pulls"),
];

/// Returns the action of a path.
pub fn handler(path: &str) -> Option<Handler> {
    let row = HANDLERS.iter().find(|(known, ..)| *known == path);
    row.map(|(_, handler, _)| *handler)
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

/// Makes the links of tmpfiles.d(5) that lead to a socket that exists.
fn docker_socket(_: &str) -> Result<()> {
    tmpfiles::create(Some("/run/docker.sock"))
}

/// Writes the same marker where podman 6 looks for it.
fn marker(path: &str) -> Result<()> {
    let kind = sys::files::read_text(path)?;
    replace(Path::new("/etc/podman-machine"), kind.as_bytes(), 0o644)
}

fn environment(_: &str) -> Result<()> {
    environment_d::apply()
}

/// Swaps to compressed memory as zram-generator.conf(5) says: `zram-size` is a number of MiB.
fn compressed_swap(path: &str) -> Result<()> {
    let text = sys::files::read_text(path)?;
    let (config, _) = sys::config_sources::read();
    match zram_size(&text) {
        _ if !config.swap_allowed => Ok(()),
        Some(mib) => zram::swap_on(ZramSize::Mib(mib), &config).map(drop),
        None => Err(Error::invalid("zram-size = a number of MiB is right")).on(path),
    }
}

fn zram_size(text: &str) -> Option<u32> {
    let mut settings = text.lines().filter_map(|line| line.split_once('='));
    let size = settings.find(|(name, _)| name.trim() == "zram-size")?.1;
    size.trim().parse().ok().filter(|mib| *mib > 0)
}

/// Sets the time zone by a link to a file of zoneinfo, which may be relative.
fn set_zone(target: &str, config: &Config) -> Result<()> {
    match zone_name(target) {
        _ if config.tz.is_some() => Ok(()),
        Some(name) => zone::set_zone(name),
        None => Err(Error::invalid(format!(
            "target: {target}: a file below /usr/share/zoneinfo is right"
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
    fn size_of_compressed_swap() {
        assert_eq!(zram_size("[zram0]\nzram-size=512\n"), Some(512));
        assert_eq!(zram_size("[zram0]\n zram-size = 7 \n"), Some(7));
        for text in ["", "zram-size=0", "zram-size=min(ram / 2, 4096)", "size=1"] {
            assert_eq!(zram_size(text), None, "{text}");
        }
    }

    #[test]
    fn every_path_has_one_row_and_a_reason() {
        for (path, _, why) in HANDLERS {
            let rows = HANDLERS.iter().filter(|(other, ..)| other == path);
            assert!(rows.count() == 1 && path.starts_with('/') && !why.is_empty());
        }
    }
}
