// SPDX-License-Identifier: Apache-2.0
//! Arguments of scp(1), rsync(1), sshfs(1) and ssh(1) for `scp` and `mount`.

use crate::fault::Fault;
use crate::store::field;

/// End of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Path on this host.
    Local(String),
    /// Path in a machine.
    Remote {
        /// User, if one is given.
        user: Option<String>,
        /// Name of the machine.
        machine: String,
        /// Path.
        path: String,
    },
    /// Standard input or output.
    Standard,
}

impl Place {
    /// Parses `[[user@]machine:]path`. `localhost:` leads to a path of this host that contains a
    /// colon; on Windows, one letter is a drive.
    #[must_use]
    pub fn parse(text: &str, windows: bool) -> Place {
        if text == "-" {
            return Place::Standard;
        }
        let Some((host, path)) = text.split_once(':') else {
            return Place::Local(text.to_owned());
        };
        let is_drive = host.len() == 1 && host.starts_with(|c: char| c.is_ascii_alphabetic());
        if windows && is_drive {
            return Place::Local(text.to_owned());
        }
        let (user, machine) = match host.split_once('@') {
            Some((user, machine)) => (Some(user.to_owned()), machine),
            None => (None, host),
        };
        match machine {
            "localhost" => Place::Local(path.to_owned()),
            machine => Place::Remote {
                user,
                machine: machine.to_owned(),
                path: path.to_owned(),
            },
        }
    }

    /// Refuses a user that is no login name: sshfs and ssh would take it for an option.
    ///
    /// # Errors
    /// A user that is none.
    pub fn check_user(&self) -> Result<(), Fault> {
        match self {
            Place::Remote {
                user: Some(user), ..
            } if !field::is_login(user) => {
                let text =
                    format!("Error: {user}: must be a login name of letters, digits, _, . and -");
                Err(Fault::new(text))
            }
            _ => Ok(()),
        }
    }

    /// Returns the machine.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        match self {
            Place::Remote { machine, .. } => Some(machine),
            _ => None,
        }
    }

    /// Returns the argument of scp, rsync and sshfs. `alias` returns a machine's name for ssh.
    fn argument(&self, alias: fn(&str) -> String) -> String {
        match self {
            // A colon before any slash, or a dash at the front, would make another thing of it.
            Place::Local(path) => {
                let first = path.split('/').next().unwrap_or_default();
                match first.contains(':') || first.starts_with('-') {
                    true => format!("./{path}"),
                    false => path.clone(),
                }
            }
            Place::Remote {
                user,
                machine,
                path,
            } => match user {
                Some(user) => format!("{user}@{}:{path}", alias(machine)),
                None => format!("{}:{path}", alias(machine)),
            },
            Place::Standard => "-".to_owned(),
        }
    }
}

/// Options of `scp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Directories with all they contain.
    pub recursive: bool,
    /// Changes alone, by rsync.
    pub delta: bool,
    /// No progress.
    pub quiet: bool,
}

/// Returns the program and the arguments of a copy. `config` is the path of ssh's configuration.
///
/// # Errors
/// Two ends that cannot be copied between.
pub fn copy(
    from: &Place,
    to: &Place,
    options: Options,
    config: &str,
    alias: fn(&str) -> String,
) -> Result<Vec<String>, Fault> {
    if let Some(words) = stream(from, to, config, alias)? {
        return Ok(words);
    }
    let both = from.machine().is_some() && to.machine().is_some();
    let mut words: Vec<String> = Vec::new();
    if options.delta {
        if both {
            let text = "Error: rsync cannot copy from one machine to another: leave --delta out";
            return Err(Fault::new(text));
        }
        words.push("rsync".into());
        if !options.quiet {
            words.push("--progress".into());
        }
        words.extend(["-e".into(), format!("ssh -F {}", rsync_quoted(config))]);
    } else {
        words.extend(["scp", "-F", config, "-3"].map(str::to_owned));
    }
    if options.recursive {
        words.push("-r".into());
    }
    if options.quiet {
        words.push("-q".into());
    }
    words.extend(["--".into(), from.argument(alias), to.argument(alias)]);
    Ok(words)
}

/// Returns the command of a copy from standard input or to standard output.
fn stream(
    from: &Place,
    to: &Place,
    config: &str,
    alias: fn(&str) -> String,
) -> Result<Option<Vec<String>>, Fault> {
    let (remote, command) = match (from, to) {
        (Place::Standard, remote @ Place::Remote { .. }) => (remote, "cat >"),
        (remote @ Place::Remote { .. }, Place::Standard) => (remote, "cat <"),
        (Place::Standard, _) | (_, Place::Standard) => {
            let text = "Error: the other end of `-` has to be machine:path";
            return Err(Fault::new(text));
        }
        _ => return Ok(None),
    };
    let Place::Remote {
        user,
        machine,
        path,
    } = remote
    else {
        return Ok(None);
    };
    let host = match user {
        Some(user) => format!("{user}@{}", alias(machine)),
        None => alias(machine),
    };
    let command = format!("{command} {}", shell_quoted(path));
    Ok(Some(
        ["ssh", "-F", config, &host, "--", &command]
            .map(str::to_owned)
            .to_vec(),
    ))
}

/// Returns the program and the arguments of `mount` or, with `unmount`, of its end. Without a mount
/// point, the path in the machine is taken.
///
/// # Errors
/// A mount point without a machine, where a machine is needed.
pub fn mount(
    from: &Place,
    point: Option<&str>,
    unmount: bool,
    config: &str,
    alias: fn(&str) -> String,
) -> Vec<String> {
    let path = match from {
        Place::Local(path) | Place::Remote { path, .. } => path.as_str(),
        Place::Standard => "-",
    };
    let point = point.unwrap_or(path);
    // sshfs and fusermount know no `--`.
    let point = match point.starts_with('-') {
        true => format!("./{point}"),
        false => point.to_owned(),
    };
    match unmount {
        true => vec!["fusermount".into(), "-u".into(), point],
        false => vec![
            "sshfs".into(),
            "-F".into(),
            config.to_owned(),
            from.argument(alias),
            point,
        ],
    }
}

/// rsync splits the command of `-e` at blanks, and takes a doubled quote within quotes for one.
fn rsync_quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "''"))
}

fn shell_quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn alias(name: &str) -> String {
        format!("podman-machine-{name}")
    }

    fn remote(user: Option<&str>, machine: &str, path: &str) -> Place {
        Place::Remote {
            user: user.map(str::to_owned),
            machine: machine.to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn places_are_split_at_the_first_colon() {
        let local = |path: &str| Place::Local(path.to_owned());
        #[rustfmt::skip]
        let rows = [
            ("/tmp/foo", false, local("/tmp/foo")),
            ("localhost:C:\\path", false, local("C:\\path")),
            ("u@localhost:a:b", false, local("a:b")),
            ("myuser@myfunhost:/home/docker/foo", false, remote(Some("myuser"), "myfunhost", "/home/docker/foo")),
            ("myfunhost:C:\\path", false, remote(None, "myfunhost", "C:\\path")),
            ("C:\\path", true, local("C:\\path")),
            ("c:/path", true, local("c:/path")),
            ("C:path", false, remote(None, "C", "path")),
            ("box:", false, remote(None, "box", "")),
            ("a@b@c:x", false, remote(Some("a"), "b@c", "x")),
            ("-", false, Place::Standard),
            ("", false, local("")),
        ];
        for (text, windows, expected) in rows {
            assert_eq!(Place::parse(text, windows), expected, "{text}");
        }
    }

    #[test]
    fn copies_have_their_arguments() {
        let options = |recursive, delta, quiet| Options {
            recursive,
            delta,
            quiet,
        };
        #[rustfmt::skip]
        let rows: &[(&str, &str, Options, &[&str])] = &[
            ("/tmp/foo", "box:/x", options(true, false, false), &["scp", "-F", "/c d", "-3", "-r", "--", "/tmp/foo", "podman-machine-box:/x"]),
            ("root@box:/x", "other:/y", options(false, false, true), &["scp", "-F", "/c d", "-3", "-q", "--", "root@podman-machine-box:/x", "podman-machine-other:/y"]),
            ("/tmp/foo", "box:/x", options(true, true, false), &["rsync", "--progress", "-e", "ssh -F '/c d'", "-r", "--", "/tmp/foo", "podman-machine-box:/x"]),
            ("box:/x", ".", options(false, true, true), &["rsync", "-e", "ssh -F '/c d'", "-q", "--", "podman-machine-box:/x", "."]),
            ("localhost:a:b", "box:", options(false, false, false), &["scp", "-F", "/c d", "-3", "--", "./a:b", "podman-machine-box:"]),
            ("-", "u@box:it's", options(false, false, false), &["ssh", "-F", "/c d", "u@podman-machine-box", "--", "cat > 'it'\\''s'"]),
            ("box:/x y", "-", options(false, false, false), &["ssh", "-F", "/c d", "podman-machine-box", "--", "cat < '/x y'"]),
        ];
        for (from, to, options, expected) in rows {
            let (from, to) = (Place::parse(from, false), Place::parse(to, false));
            let words = copy(&from, &to, *options, "/c d", alias).unwrap();
            assert_eq!(words, *expected);
        }
        for (from, to, delta) in [("-", "x", false), ("-", "-", false), ("a:x", "b:y", true)] {
            let (from, to) = (Place::parse(from, false), Place::parse(to, false));
            assert!(copy(&from, &to, options(false, delta, false), "/c", alias).is_err());
        }
    }

    #[test]
    fn mounts_have_their_arguments() {
        #[rustfmt::skip]
        let rows: &[(&str, Option<&str>, bool, &[&str])] = &[
            ("box:/home/core/foo", Some("/tmp/foo"), false, &["sshfs", "-F", "/c", "podman-machine-box:/home/core/foo", "/tmp/foo"]),
            ("u@box:/home/core/foo", None, false, &["sshfs", "-F", "/c", "u@podman-machine-box:/home/core/foo", "/home/core/foo"]),
            ("box:/home/core/foo", Some("/tmp/foo"), true, &["fusermount", "-u", "/tmp/foo"]),
            ("box:-x", None, true, &["fusermount", "-u", "./-x"]),
        ];
        for (from, point, unmount, expected) in rows {
            let from = Place::parse(from, false);
            assert_eq!(mount(&from, *point, *unmount, "/c", alias), *expected);
        }
    }
}
