// SPDX-License-Identifier: Apache-2.0
//! Links and directories of tmpfiles.d(5), in the subset that podman machine writes.

use std::path::Path;

use config::{Config, Podman, Rootless};
use sys::account_files;
use sys::error::{Doing, Error, Result};
use sys::paths::{USER_PODMAN_SOCKET, USER_RUNTIME_DIRS};

use super::conf_files;
use crate::common::confined::{Attributes, Tree};
use crate::common::terminal::print_error;
use crate::common::user_text;

/// Directory of the files.
const DIR: &str = "/etc/tmpfiles.d";
/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A line.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Link to a target; true if the link replaces an existing file.
    Link(&'a str, &'a str, bool),
    /// Directory with mode, user and group; an attribute that a line leaves out is not changed.
    Directory(&'a str, Option<u32>, Option<&'a str>, Option<&'a str>),
}

/// `systemd-tmpfiles --create [--prefix=PATH]`; returns the exit status.
pub fn main(args: &[String]) -> i32 {
    let prefix = args.iter().find_map(|arg| arg.strip_prefix("--prefix="));
    let known = |arg: &String| arg == "--create" || arg.starts_with("--prefix=");
    if !args.iter().all(known) || !args.iter().any(|arg| arg == "--create") {
        print_error(
            "systemd-tmpfiles: --create and --prefix=PATH are known here; this is boot2podman, without systemd",
        );
        return 1;
    }
    match create(prefix) {
        Ok(()) => 0,
        Err(why) => {
            print_error(&format!("systemd-tmpfiles: {why}"));
            1
        }
    }
}

/// Makes the entries of the files whose paths are below `prefix`.
///
/// # Errors
/// A file cannot be read, or a line cannot be carried out; the others are.
pub fn create(prefix: Option<&str>) -> Result<()> {
    let files = conf_files(Path::new(DIR)).into_iter();
    Error::join(
        files
            .filter_map(|path| create_of(&path, prefix).err())
            .collect(),
    )
}

/// Makes the entries of one file whose paths are below `prefix`.
///
/// # Errors
/// The file cannot be read, or a line cannot be carried out; the others are.
pub fn create_of(path: &Path, prefix: Option<&str>) -> Result<()> {
    let root = Tree::open(Path::new("/"))?;
    let (config, _) = sys::config_sources::read();
    let text = user_text::read(path, MAX_BYTES)?.unwrap_or_default();
    apply(&root, &String::from_utf8_lossy(&text), prefix, &config).on(path)
}

fn apply(root: &Tree, text: &str, prefix: Option<&str>, config: &Config) -> Result<()> {
    let is_wanted = |path: &str| prefix.is_none_or(|p| Path::new(path).starts_with(p));
    let mut errors = Vec::new();
    let lines = text.lines().map(str::trim);
    // A line of another path may be of any kind.
    let path = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .map_or_else(String::new, str::to_owned)
    };
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines.filter(|line| is_wanted(&path(line))) {
        let outcome = match parse(line) {
            Ok(line) => make(root, &line, config),
            Err(why) => Err(why),
        };
        errors.extend(outcome.err());
    }
    Error::join(errors)
}

fn parse(line: &str) -> Result<Line<'_>> {
    let mut fields = line.split_whitespace();
    let (kind, path) = (
        fields.next().unwrap_or_default(),
        fields.next().unwrap_or_default(),
    );
    let mut given = || fields.next().filter(|field| *field != "-");
    let (mode, user, group) = (given(), given(), given());
    let argument = fields.nth(1).unwrap_or_default();
    match kind {
        _ if !path.starts_with('/') => {}
        "L" | "L+" if !argument.is_empty() => {
            return Ok(Line::Link(path, argument, kind == "L+"));
        }
        "d" | "D" => match mode.map(|mode| u32::from_str_radix(mode, 8)).transpose() {
            Ok(mode) if mode.is_none_or(|mode| mode <= 0o7777) => {
                return Ok(Line::Directory(path, mode, user, group));
            }
            _ => {}
        },
        _ => {}
    }
    Err(Error::invalid(format!(
        "{line}: not supported; must be L, L+ or d with an absolute path"
    )))
}

fn make(root: &Tree, line: &Line<'_>, config: &Config) -> Result<()> {
    let (mode, uid, gid) = (0o755, 0, 0);
    match *line {
        Line::Directory(path, of_line, user, group) => {
            let existing = root.attributes(path)?;
            let other = existing.unwrap_or(Attributes { mode, uid, gid });
            let attributes = Attributes {
                mode: of_line.unwrap_or(other.mode),
                uid: number("/etc/passwd", user, other.uid)?,
                gid: number("/etc/group", group, other.gid)?,
            };
            root.directory(path, attributes)
        }
        Line::Link(path, _, false) if root.kind(path)?.is_some() => Ok(()),
        // A link to a socket without a listener would break docker's command.
        Line::Link(path, target, _) if !leads_somewhere(target, config) => Err(Error::invalid(
            format!("{path}: stays as it is: {target} is not there"),
        )),
        Line::Link(path, target, _) => root.symlink(path, target, Attributes { mode, uid, gid }),
    }
}

/// Returns the number of a name, or the number that is given, or `other`.
fn number(file: &str, name: Option<&str>, other: u32) -> Result<u32> {
    let Some(name) = name else { return Ok(other) };
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = sys::files::read_text(file)?;
    let found = account_files::present(&text, name).map(|identity| identity.uid);
    found.ok_or_else(|| Error::invalid(format!("{name}: not in {file}")))
}

/// Returns true if the directory of an absolute target exists, or if the target is the socket of the
/// user's podman, which PID 1 makes when Ignition has been applied.
fn leads_somewhere(target: &str, config: &Config) -> bool {
    let dir = Path::new(target).parent();
    let is_on = config.podman != Podman::Off && config.rootless != Rootless::Off;
    let is_api = || target == format!("{USER_RUNTIME_DIRS}/{}/{USER_PODMAN_SOCKET}", config.uid);
    !target.starts_with('/') || dir.is_some_and(Path::is_dir) || (is_on && is_api())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    #[test]
    fn parse_reads_each_kind_of_line() {
        let line = "L+  /run/docker.sock   -    -    -     -   /run/podman/podman.sock";
        assert_eq!(
            parse(line),
            Ok(Line::Link(
                "/run/docker.sock",
                "/run/podman/podman.sock",
                true
            ))
        );
        assert_eq!(parse("L /a - - - - b"), Ok(Line::Link("/a", "b", false)));
        assert_eq!(
            parse("d /a 0700 root root -"),
            Ok(Line::Directory(
                "/a",
                Some(0o700),
                Some("root"),
                Some("root")
            ))
        );
        assert_eq!(parse("d /a"), Ok(Line::Directory("/a", None, None, None)));
        let argument = parse("L /a 0755 7 - 10d b");
        assert_eq!(argument, Ok(Line::Link("/a", "b", false)));
        for line in [
            "x /a",
            "L /a",
            "L+ a - - - - b",
            "d /a 99",
            "w /a - - - - 1",
            "d",
        ] {
            assert!(why(parse(line)).contains("not supported"), "{line}");
        }
    }

    #[test]
    fn links_below_a_prefix() {
        let temp = Temp::new();
        let root = Tree::open(temp.dir()).unwrap();
        let text = "# a comment\nL+ /run/a - - - - x\nL+ /run/ab - - - - y\n";
        let config = Config::default();
        let applied = apply(&root, text, Some("/run/a"), &config);
        // Only root may give a link to root.
        if nix::unistd::geteuid().is_root() {
            applied.unwrap();
            assert_eq!(fs::read_link(temp.path("run/a")).unwrap(), Path::new("x"));
        }
        assert!(temp.path("run/ab").symlink_metadata().is_err());
        let nowhere = "L+ /run/a - - - - /run/user/7777/podman/podman.sock\n";
        assert!(why(apply(&root, nowhere, None, &config)).contains("stays as it is"));
    }

    #[test]
    fn a_line_of_another_path_fails_nothing_and_a_directory_keeps_its_owner() {
        let temp = Temp::new();
        let root = Tree::open(temp.dir()).unwrap();
        let config = Config::default();
        let text = "z /x\nQ\nd /a - - - 10d\n";
        apply(&root, text, Some("/run/docker.sock"), &config).unwrap();
        assert!(apply(&root, text, None, &config).is_err());
        fs::create_dir(temp.path("d")).unwrap();
        if nix::unistd::geteuid().is_root() {
            apply(&root, "d /d 0700 7 8\nd /d\nd /d - 9\n", None, &config).unwrap();
            let seen = root
                .attributes("/d")
                .unwrap()
                .map(|a| (a.mode & 0o7777, a.uid, a.gid));
            assert_eq!(seen, Some((0o700, 9, 8)));
        }
        assert!(why(apply(&root, "d /e - no-such-user\n", None, &config)).contains("not in"));
    }

    #[test]
    fn a_link_to_a_socket_of_pid_1_is_made_before_the_socket_exists() {
        let on = Config {
            uid: 7777,
            ..Config::default()
        };
        let off = Config {
            rootless: Rootless::Off,
            ..on.clone()
        };
        let no_podman = Config {
            podman: Podman::Off,
            ..on.clone()
        };
        let socket = "/run/user/7777/podman/podman.sock";
        for (target, config, want) in [
            (socket, &on, true),
            (socket, &off, false),
            (socket, &no_podman, false),
            ("/run/user/7778/podman/podman.sock", &on, false),
            ("/run/x", &off, true),
            ("podman/podman.sock", &off, true),
        ] {
            assert_eq!(leads_somewhere(target, config), want, "{target}");
        }
    }
}
