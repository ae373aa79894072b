// SPDX-License-Identifier: Apache-2.0
//! Options of `init run`: the options of tini, dumb-init and catatonit, distinguished by name where
//! they differ.

use std::ffi::c_int;

/// Signals that stop a process without a terminal, or outside the foreground.
pub const JOB: &[c_int] = &[libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Greatest number of a signal; the least is 1.
const MAX_SIGNAL: usize = 64;

/// Program whose options and behaviour a name selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// tini; also `init run`.
    Tini,
    /// dumb-init: every signal is passed on, the command starts with none blocked, and a signal
    /// that stops the command stops this process.
    DumbInit,
    /// catatonit, which podman executes by these names: always a subreaper, signals of a terminal's
    /// job control are for the foreground alone, and `-P` runs no command.
    Catatonit,
}

impl Dialect {
    fn of(name: &str) -> Dialect {
        match name {
            "dumb-init" => Dialect::DumbInit,
            "catatonit" | "podman-init" => Dialect::Catatonit,
            _ => Dialect::Tini,
        }
    }
}

/// Options before the command.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Program that is imitated.
    pub dialect: Dialect,
    /// No command is run: this process holds namespaces until SIGTERM or SIGINT.
    pub pause: bool,
    /// The command gets a session.
    pub session: bool,
    /// Signals go to the whole process group.
    pub group: bool,
    /// Orphans below this process become its children.
    pub subreaper: bool,
    /// Each orphan is logged.
    pub warn: bool,
    /// Verbosity; 0 hides even warnings.
    pub verbosity: u32,
    /// Signal that this process gets when its parent ends; 0 for none.
    pub parent: c_int,
    /// Statuses that count as success.
    pub good: [bool; 256],
    /// Replacements of signals; 0 drops a signal, -1 keeps it.
    pub rewrite: [i8; MAX_SIGNAL + 1],
    /// Index of the command.
    pub command: usize,
}

/// Reason why no command is run, which decides the output and the exit status.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The help text was requested.
    Help,
    /// The version was requested.
    Version,
    /// The licence was requested.
    Licence,
    /// The command is missing.
    Usage,
    /// The argument is not an option.
    Bad(String),
}

/// Parses as getopt(3) without permutation does: the first argument that is no option is the
/// command.
///
/// # Errors
/// The output and status that replace a run.
pub fn parse(name: &str, words: &[&[u8]]) -> Result<Options, Stop> {
    let mut options = Options::of(Dialect::of(name));
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        match word.strip_prefix(b"-") {
            Some(b"-") => break,
            Some(long) if long.first() == Some(&b'-') => {
                let short = long_option(word)?;
                at += options.letters(&[short], words.get(at).copied())?;
            }
            Some(letters) if !letters.is_empty() => {
                at += options.letters(letters, words.get(at).copied())?;
            }
            _ => {
                at -= 1;
                break;
            }
        }
    }
    options.command = at;
    if at < words.len() || options.pause {
        Ok(options)
    } else {
        Err(Stop::Usage)
    }
}

fn long_option(word: &[u8]) -> Result<u8, Stop> {
    Ok(match word {
        b"--help" => b'h',
        b"--version" => b'V',
        b"--verbose" => b'v',
        b"--single-child" => b'c',
        b"--rewrite" => b'r',
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(Stop::Bad(["unrecognized option '", &*other, "'"].concat()));
        }
    })
}

impl Options {
    /// Returns the options of a dialect without arguments.
    fn of(dialect: Dialect) -> Options {
        let mut options = Options {
            dialect,
            pause: false,
            session: dialect == Dialect::DumbInit,
            group: dialect == Dialect::DumbInit,
            subreaper: dialect == Dialect::Catatonit,
            warn: false,
            verbosity: 1,
            parent: 0,
            good: [false; 256],
            rewrite: [-1; MAX_SIGNAL + 1],
            command: 0,
        };
        options.good[0] = true;
        if dialect == Dialect::Catatonit {
            JOB.iter().for_each(|s| options.rewrite[*s as usize] = 0);
        }
        options
    }

    /// Parses an argument of option letters; returns the number of further arguments that belong to
    /// it.
    fn letters(&mut self, letters: &[u8], next: Option<&[u8]>) -> Result<usize, Stop> {
        let catatonit = self.dialect == Dialect::Catatonit;
        for (i, letter) in letters.iter().enumerate() {
            match letter {
                b'h' => return Err(Stop::Help),
                b'V' => return Err(Stop::Version),
                b'L' if catatonit => return Err(Stop::Licence),
                b'P' if catatonit => self.pause = true,
                b's' => self.subreaper = true,
                b'g' => self.group = true,
                b'w' => self.warn = true,
                b'v' => self.verbosity += 1,
                b'c' => (self.session, self.group) = (false, false),
                b'p' | b'e' | b'r' => {
                    let rest = letters.get(i + 1..).filter(|r| !r.is_empty());
                    let value = rest.or(next).unwrap_or(b"");
                    self.value(*letter, &String::from_utf8_lossy(value))?;
                    return Ok(usize::from(rest.is_none()));
                }
                other => {
                    let why = format!("unrecognized option '-{}'", char::from(*other));
                    return Err(Stop::Bad(why));
                }
            }
        }
        Ok(0)
    }

    fn value(&mut self, letter: u8, value: &str) -> Result<(), Stop> {
        let bad = || Stop::Bad(format!("not a value for -{}: {value}", char::from(letter)));
        match letter {
            b'p' => self.parent = signal(value).ok_or_else(bad)?,
            b'e' => self.good[usize::from(value.parse::<u8>().map_err(|_| bad())?)] = true,
            _ => {
                let (from, to) = value.split_once(':').ok_or_else(bad)?;
                let number = |t: &str| {
                    t.parse::<u8>()
                        .ok()
                        .filter(|n| usize::from(*n) <= MAX_SIGNAL)
                };
                let (from, to) = (number(from), number(to));
                let (Some(from @ 1..), Some(to)) = (from, to) else {
                    return Err(bad());
                };
                self.rewrite[usize::from(from)] = to as i8;
            }
        }
        Ok(())
    }
}

/// Parses `SIGTERM`, `TERM` or a number.
fn signal(text: &str) -> Option<c_int> {
    let bare = text.strip_prefix("SIG").unwrap_or(text);
    let named = (1..=31).find(|n| {
        let name = nix::sys::signal::Signal::try_from(*n).map_or("", |s| s.as_str());
        name.strip_prefix("SIG") == Some(bare)
    });
    named.or_else(|| bare.parse().ok().filter(|n| (1..=64).contains(n)))
}

/// Applies the environment variables of tini and dumb-init, and the consequence of a session for
/// job control: a signal that would suspend stops the command's session for certain, because the
/// kernel discards SIGTSTP to an orphaned process group.
pub fn environment(options: &mut Options, get: impl Fn(&str) -> Option<String>) {
    options.subreaper |= get("TINI_SUBREAPER").is_some();
    options.group |= get("TINI_KILL_PROCESS_GROUP").is_some();
    if let Some(level) = get("TINI_VERBOSITY").and_then(|v| v.parse().ok()) {
        options.verbosity = level;
    }
    if options.session && get("DUMB_INIT_SETSID").as_deref() == Some("0") {
        (options.session, options.group) = (false, false);
    }
    for signal in JOB {
        let entry = &mut options.rewrite[*signal as usize];
        if options.session && *entry == -1 {
            *entry = libc::SIGSTOP as i8;
        }
    }
}

#[cfg(test)]
mod tests;
