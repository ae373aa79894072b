//! Service files: what a machine's owner writes to have a service of their own.
//! `docs/services.md` is the description; here is the whole of what is understood.
//!
//! A file is a line for each thing to say, one word and then its value. Parsing
//! is pure, total and bounded, and a file with any error is refused as a whole:
//! half a service is none.

use crate::Millis;
use crate::account::{self, Account};
use crate::row::{Kill, Ready, Restart, Service, Socket, User};
use crate::status::signal_number;
use crate::words::words;

/// The longest file, in bytes.
pub const LONGEST: usize = 16 * 1024;
/// So many files there may be.
pub const MOST: usize = 64;
/// So many errors of one file are told.
const MOST_ERRORS: usize = 16;
/// A minute has so many milliseconds; no time is longer than an hour.
const MINUTE: Millis = 60_000;

/// What may stand first in a line.
const WORDS: &[&str] = &[
    "exec", "user", "ready", "restart", "socket", "stop", "grace", "late", "dir", "umask", "oom",
    "nofile", "kill", "env", "needs", "limit",
];
/// Those up to here may stand once.
const ONCE: usize = 13;

/// A service that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Everything that is no text.
    row: Service,
    name: String,
    argv: Vec<String>,
    env: Vec<String>,
    needs: Vec<String>,
    limits: Vec<(String, String)>,
    user: Option<Account>,
    socket: Option<String>,
    dir: Option<String>,
}

/// What names are looked up in.
struct Accounts<'a> {
    passwd: &'a str,
    group: &'a str,
}

/// Whether a service may have this name: `[a-z0-9][a-z0-9-]{0,31}`. It is the
/// name of a file, of a cgroup, and stands in front of its lines in the log.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = name.bytes().all(|b| letter(b) || b == b'-');
    good && (1..=32).contains(&name.len()) && !name.starts_with('-')
}

/// Reads the file of the service `name`; `passwd` and `group` are the texts of
/// those files.
///
/// # Errors
/// All errors, each `<name>:<line>: what is wrong: what would be right`.
pub fn parse(name: &str, bytes: &[u8], passwd: &str, group: &str) -> Result<Parsed, Vec<String>> {
    if !is_name(name) {
        return Err(vec![format!(
            "{}:0: not a name: a to z, 0 to 9 and -, at most 32",
            shown(name)
        )]);
    }
    if bytes.len() > LONGEST {
        return Err(vec![format!("{name}:0: too long: at most {LONGEST} bytes")]);
    }
    let accounts = Accounts { passwd, group };
    let mut parsed = Parsed::new(name);
    let (mut errors, mut seen, mut at) = (Vec::new(), 0u32, 0);
    for line in bytes.split(|b| *b == b'\n') {
        at += 1;
        if let Err(why) = parsed.line(line, &mut seen, &accounts) {
            errors.push(format!("{name}:{at}: {why}"));
        }
        if errors.len() >= MOST_ERRORS {
            errors.push(format!("{name}:{at}: and perhaps more: mend these first"));
            return Err(errors);
        }
    }
    let whole = parsed.whole(seen);
    errors.extend(whole.err().map(|why| format!("{name}:{at}: {why}")));
    if errors.is_empty() {
        Ok(parsed)
    } else {
        Err(errors)
    }
}

impl Parsed {
    fn new(name: &str) -> Parsed {
        Parsed {
            row: Service {
                why: "the owner of this machine wants it",
                kill: Kill::Group,
                ..Service::DEFAULT
            },
            name: name.to_owned(),
            argv: Vec::new(),
            env: Vec::new(),
            needs: Vec::new(),
            limits: Vec::new(),
            user: None,
            socket: None,
            dir: None,
        }
    }

    /// Takes one line. `seen` has a bit for each of [`WORDS`].
    fn line(&mut self, line: &[u8], seen: &mut u32, accounts: &Accounts<'_>) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let words = words(text.strip_suffix('\r').unwrap_or(text))?;
        let Some((word, values)) = words.split_first() else {
            return Ok(());
        };
        let place = WORDS.iter().position(|w| w == word);
        let place = place.ok_or_else(|| {
            let known = WORDS.join(" ");
            format!("{}: no such word: one of {known}", shown(word))
        })?;
        let bit = 1 << place;
        if place < ONCE && *seen & bit != 0 {
            return Err(format!("{word}: a second time: once is enough"));
        }
        *seen |= bit;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        self.value(word, &values, accounts).map_err(|right| {
            let given = values.first().copied().unwrap_or("nothing");
            format!("{word}: {}: {right}", shown(given))
        })
    }

    /// Takes the value of `word`; an error is what would be right.
    fn value(
        &mut self,
        word: &str,
        values: &[&str],
        accounts: &Accounts<'_>,
    ) -> Result<(), &'static str> {
        let row = &mut self.row;
        match (word, values) {
            ("exec", [program, ..]) if program.starts_with('/') => {
                self.argv = owned(values);
            }
            ("exec", _) => return Err("a program by its whole path, then its arguments"),
            ("env", [_, ..]) => return self.env(values),
            ("env", _) => return Err("NAME=value"),
            ("needs", [_, ..]) if values.iter().all(|n| is_name(n)) => {
                self.needs.extend(owned(values));
            }
            ("needs", _) => return Err("names of services"),
            ("limit", [file, value @ ..]) if is_limit(file) && !value.is_empty() => {
                self.limits.push(((*file).to_owned(), value.join(" ")));
            }
            ("limit", _) => return Err("a file of its cgroup and a value, such as memory.max 64M"),
            ("socket", [path, options @ ..]) if path.starts_with('/') && path.len() < 108 => {
                row.socket = Some(socket(options, accounts)?);
                self.socket = Some((*path).to_owned());
            }
            ("socket", _) => {
                return Err("a whole path of at most 107 bytes, then: mode, group, boot, datagram");
            }
            ("ready", ["fd", n]) => {
                let fd = n.parse().ok().filter(|n| (3..=255).contains(n));
                row.ready = Ready::Fd(fd.ok_or("fd and a number from 3 to 255")?);
            }
            ("nofile", [soft, hard]) => {
                let limit = |n: &str| n.parse().ok().filter(|n| (1..=1_048_576).contains(n));
                let both = limit(soft)
                    .zip(limit(hard))
                    .filter(|(s, h): &(u64, u64)| s <= h);
                row.nofile = both.ok_or("a number and one not below it, at most 1048576")?;
            }
            (_, [value]) => return self.single(word, value, accounts),
            _ => return Err("one value"),
        }
        Ok(())
    }

    /// The words that have one value.
    fn single(
        &mut self,
        word: &str,
        value: &str,
        accounts: &Accounts<'_>,
    ) -> Result<(), &'static str> {
        let row = &mut self.row;
        match word {
            "user" => {
                let user = account::user(accounts.passwd, accounts.group, value);
                self.user = Some(user.ok_or("a user that /etc/passwd has")?);
            }
            "ready" => {
                row.ready = match value {
                    "exec" => Ready::Forked,
                    "notify" => Ready::Notify,
                    "exit" => Ready::Exit,
                    _ => return Err("exec, notify, exit, or fd and a number"),
                }
            }
            "restart" => {
                row.restart = match value {
                    "always" => Restart::Always,
                    "on-failure" => Restart::OnFailure,
                    "never" => Restart::Never,
                    _ => return Err("always, on-failure or never"),
                }
            }
            "kill" => {
                row.kill = match value {
                    "group" => Kill::Group,
                    "process" => Kill::Process,
                    _ => return Err("group or process"),
                }
            }
            "stop" => {
                row.stop = signal_number(value).ok_or("a signal by its name, such as SIGTERM")?
            }
            "grace" => row.grace_ms = time(value)?,
            "late" => row.late_ms = time(value)?,
            "dir" if value.starts_with('/') => self.dir = Some(value.to_owned()),
            "dir" => return Err("a directory by its whole path"),
            "umask" => row.umask = mode(value)?,
            "oom" => {
                let score = value.parse().ok().filter(|n| (-1_000..=1_000).contains(n));
                row.oom_score_adj = score.ok_or("a number from -1000 to 1000")?;
            }
            _ => return Err("two numbers"), // nofile
        }
        Ok(())
    }

    fn env(&mut self, values: &[&str]) -> Result<(), &'static str> {
        for value in values {
            let (name, _) = value.split_once('=').ok_or("NAME=value")?;
            let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
            if !name.bytes().all(|b| letter(b) || b.is_ascii_digit())
                || !name.bytes().next().is_some_and(letter)
            {
                return Err("a name of letters, digits and _ before the =");
            }
            if name.starts_with("LISTEN_") || name == "NOTIFY_SOCKET" {
                return Err("another name: this one is set by the words socket and ready");
            }
            let same = |e: &String| e.split('=').next() == Some(name);
            if self.env.iter().any(same) {
                return Err("each name once");
            }
            self.env.push((*value).to_owned());
        }
        Ok(())
    }

    /// What only the whole file shows.
    fn whole(&mut self, seen: u32) -> Result<(), &'static str> {
        let said = |word: &str| {
            WORDS
                .iter()
                .position(|w| *w == word)
                .is_some_and(|n| seen & (1 << n) != 0)
        };
        if !said("exec") {
            return Err("exec is missing: exec, a program by its whole path, its arguments");
        }
        if self.row.ready == Ready::Exit {
            if !said("restart") {
                self.row.restart = Restart::OnFailure;
            }
            if self.row.restart == Restart::Always {
                return Err("ready exit, restart always: restart on-failure or never");
            }
        }
        if self.row.ready == Ready::Fd(3) && self.socket.is_some() {
            return Err("ready fd 3, and a socket, which is 3: ready fd 4");
        }
        Ok(())
    }

    /// The row, for good: services live as long as the machine.
    #[must_use]
    pub fn leak(self) -> Service {
        let limits = self.limits.into_iter();
        let limits: Vec<_> = limits.map(|(f, v)| (leak(f), leak(v))).collect();
        Service {
            name: leak(self.name),
            argv: leak_all(self.argv),
            env: leak_all(self.env),
            needs: leak_all(self.needs),
            limits: limits.leak(),
            user: self.user.map(|u| User {
                uid: u.uid,
                gid: u.gid,
                groups: u.groups.leak(),
                name: leak(u.name),
                home: leak(u.home),
                shell: leak(u.shell),
            }),
            socket: self.socket.zip(self.row.socket).map(|(path, s)| Socket {
                path: leak(path),
                ..s
            }),
            dir: self.dir.map_or("/", leak),
            ..self.row
        }
    }
}

/// Of a value that is told, so much that it is known again.
fn shown(value: &str) -> &str {
    let end = value
        .char_indices()
        .nth(40)
        .map_or(value.len(), |(at, _)| at);
    value.get(..end).unwrap_or("")
}

/// What stands after the path of a socket.
fn socket(options: &[&str], accounts: &Accounts<'_>) -> Result<Socket, &'static str> {
    let mut socket = Socket {
        path: "",
        mode: 0o600,
        gid: 0,
        datagram: false,
        on_demand: true,
    };
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "mode" => socket.mode = mode(rest.next().unwrap_or(&""))?,
            "group" => {
                let gid = account::gid(accounts.group, rest.next().unwrap_or(&""));
                socket.gid = gid.ok_or("after group one that /etc/group has")?;
            }
            "boot" => socket.on_demand = false,
            "datagram" => socket.datagram = true,
            _ => return Err("after the path: mode 0660, group NAME, boot, datagram"),
        }
    }
    Ok(socket)
}

/// A file that limits something. Those of the core (`cgroup.procs`, `cgroup.kill`,
/// …) limit nothing, and what is written to them is ours to say.
fn is_limit(file: &str) -> bool {
    let good = file
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_');
    let parts = file.split_once('.');
    good && parts
        .is_some_and(|(from, what)| !from.is_empty() && from != "cgroup" && !what.is_empty())
}

fn mode(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).ok();
    let digits = text.bytes().all(|b| b.is_ascii_digit()); // no sign
    mode.filter(|m| digits && *m <= 0o777)
        .ok_or("octal digits, at most 777")
}

/// `500ms`, `10s`, `2m`; at most an hour.
fn time(text: &str) -> Result<Millis, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(MINUTE),
        _ => None,
    };
    let number: Option<Millis> = number.parse().ok();
    let time = number.zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    time.filter(|t| *t <= 60 * MINUTE)
        .ok_or("a time such as 500ms, 10s or 2m, at most 60m")
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn leak(text: String) -> &'static str {
    text.leak()
}

fn leak_all(texts: Vec<String>) -> &'static [&'static str] {
    texts.into_iter().map(leak).collect::<Vec<_>>().leak()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
