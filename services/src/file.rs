//! Service files: what a machine's owner writes to have a service of their own.
//! `docs/guide/services.md` is the description; here is the whole of what is understood.
//!
//! A file is a line for each thing to say, one word and then its value. Parsing
//! is pure, total and bounded, and a file with any error is refused as a whole:
//! half a service is none.

use crate::Millis;
use crate::account::{self, Account};
use crate::exit_status::signal_number;
use crate::service::{KillMode, ReadyWhen, Restart, ServiceDef, Socket, User};
use crate::tokenize::{number, words};

/// The longest file, in bytes.
pub const LONGEST: usize = 16 * 1024;
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
pub struct Parsed<'a> {
    /// Everything that is no text.
    pub def: ServiceDef,
    /// Its name.
    pub name: &'a str,
    /// Program and arguments.
    pub argv: Vec<&'a str>,
    /// `NAME=value`, each name once.
    pub env: Vec<&'a str>,
    /// Names of services.
    pub needs: Vec<&'a str>,
    /// Files of its cgroup, and what is written to them.
    pub limits: Vec<(&'a str, &'a str)>,
    /// Who it is, where that is not root.
    pub user: Option<Account<'a>>,
    /// The path of the socket in `row`; empty without one.
    pub socket: &'a str,
    /// Its working directory.
    pub dir: &'a str,
}

/// What names are looked up in.
#[derive(Clone, Copy)]
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
pub fn parse<'a>(
    name: &'a str,
    bytes: &'a [u8],
    passwd: &'a str,
    group: &'a str,
) -> Result<Parsed<'a>, Vec<String>> {
    let tell = |at: usize, why: &str| format!("{name}:{at}: {why}");
    if !is_name(name) {
        let right = "not a name: a to z, 0 to 9 and -, at most 32";
        return Err(vec![format!("{}:0: {right}", shown(name))]);
    }
    if bytes.len() > LONGEST {
        return Err(vec![tell(0, "too long: at most 16384 bytes")]);
    }
    let accounts = Accounts { passwd, group };
    let mut parsed = Parsed::new(name);
    let (mut errors, mut seen, mut at) = (Vec::new(), 0u32, 0);
    for line in bytes.split(|b| *b == b'\n') {
        at += 1;
        if let Err(why) = parsed.line(line, &mut seen, accounts) {
            errors.push(tell(at, &why));
        }
        if errors.len() >= MOST_ERRORS {
            errors.push(tell(at, "and perhaps more: mend these first"));
            return Err(errors);
        }
    }
    if let Err(why) = parsed.whole(seen) {
        errors.push(tell(at, why));
    }
    if errors.is_empty() {
        Ok(parsed)
    } else {
        Err(errors)
    }
}

impl<'a> Parsed<'a> {
    fn new(name: &'a str) -> Parsed<'a> {
        Parsed {
            def: ServiceDef {
                why: "the owner of this machine wants it",
                kill: KillMode::Cgroup,
                ..ServiceDef::DEFAULT
            },
            name,
            argv: Vec::new(),
            env: Vec::new(),
            needs: Vec::new(),
            limits: Vec::new(),
            user: None,
            socket: "",
            dir: "/",
        }
    }

    /// Takes one line. `seen` has a bit for each of [`WORDS`].
    fn line(
        &mut self,
        line: &'a [u8],
        seen: &mut u32,
        accounts: Accounts<'a>,
    ) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let words = words(text.strip_suffix('\r').unwrap_or(text))?;
        let Some((word, values)) = words.split_first() else {
            return Ok(());
        };
        let Some(place) = WORDS.iter().position(|w| w == word) else {
            let known = WORDS.join(" ");
            return Err(format!("{}: no such word: one of {known}", shown(word)));
        };
        let bit = 1 << place;
        if place < ONCE && *seen & bit != 0 {
            return Err(format!("{word}: a second time: once is enough"));
        }
        *seen |= bit;
        self.value(word, values, accounts).map_err(|right| {
            let given = values.first().copied().unwrap_or("nothing");
            format!("{word}: {}: {right}", shown(given))
        })
    }

    /// Takes the value of `word`; an error is what would be right.
    fn value(
        &mut self,
        word: &str,
        values: &[&'a str],
        accounts: Accounts<'a>,
    ) -> Result<(), &'static str> {
        let row = &mut self.def;
        match (word, values) {
            ("exec", [program, ..]) if program.starts_with('/') => self.argv = values.to_vec(),
            ("exec", _) => return Err("a program by its whole path, then its arguments"),
            ("env", [_, ..]) => return self.env(values),
            ("env", _) => return Err("NAME=value"),
            ("needs", [_, ..]) if values.iter().all(|n| is_name(n)) => {
                self.needs.extend_from_slice(values);
            }
            ("needs", _) => return Err("names of services"),
            ("limit", &[file, value]) if is_limit(file) => self.limits.push((file, value)),
            ("limit", _) => return Err("a file of its cgroup and a value, such as memory.max 64M"),
            ("socket", [path, options @ ..]) if path.starts_with('/') && path.len() < 108 => {
                row.socket = Some(socket(options, accounts.group)?);
                self.socket = path;
            }
            ("socket", _) => {
                return Err("a whole path of at most 107 bytes, then: mode, group, boot, datagram");
            }
            ("ready", ["fd", n]) => {
                let fd = number(n, 10, 255).filter(|n| *n >= 3);
                row.ready = ReadyWhen::Fd(fd.ok_or("fd and a number from 3 to 255")? as i32);
            }
            ("nofile", [soft, hard]) => {
                let hard = number(hard, 10, 1_048_576).filter(|n| *n > 0);
                let soft = number(soft, 10, hard.unwrap_or(0)).filter(|n| *n > 0);
                let both = soft.zip(hard);
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
        value: &'a str,
        accounts: Accounts<'a>,
    ) -> Result<(), &'static str> {
        let row = &mut self.def;
        match word {
            "user" => {
                let user = account::user(accounts.passwd, accounts.group, value);
                self.user = Some(user.ok_or("a user that /etc/passwd has")?);
            }
            "ready" => {
                row.ready = match value {
                    "exec" => ReadyWhen::Exec,
                    "notify" => ReadyWhen::Notify,
                    "exit" => ReadyWhen::Exit,
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
                    "group" => KillMode::Cgroup,
                    "process" => KillMode::Process,
                    _ => return Err("group or process"),
                }
            }
            "stop" => {
                row.stop_signal =
                    signal_number(value).ok_or("a signal by its name, such as SIGTERM")?;
            }
            "grace" => row.grace_ms = time(value)?,
            "late" => row.late_ms = time(value)?,
            "dir" if value.starts_with('/') => self.dir = value,
            "dir" => return Err("a directory by its whole path"),
            "umask" => row.umask = mode(value)?,
            "oom" => {
                let (sign, digits) = value.strip_prefix('-').map_or((1, value), |d| (-1, d));
                let score = number(digits, 10, 1_000).ok_or("a number from -1000 to 1000")?;
                row.oom_score_adj = sign * score as i32;
            }
            _ => return Err("two numbers"), // nofile
        }
        Ok(())
    }

    fn env(&mut self, values: &[&'a str]) -> Result<(), &'static str> {
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
            if self.env.iter().any(|e| e.split('=').next() == Some(name)) {
                return Err("each name once");
            }
            self.env.push(value);
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
        if self.def.ready == ReadyWhen::Exit {
            if !said("restart") {
                self.def.restart = Restart::OnFailure;
            }
            if self.def.restart == Restart::Always {
                return Err("ready exit, restart always: restart on-failure or never");
            }
        }
        if self.def.ready == ReadyWhen::Fd(3) && self.def.socket.is_some() {
            return Err("ready fd 3, and a socket, which is 3: ready fd 4");
        }
        Ok(())
    }

    /// The row, for good: services live as long as the machine.
    #[must_use]
    pub fn leak(self) -> ServiceDef {
        let mut row = self.def;
        row.name = leak(self.name);
        row.argv = leak_all(&self.argv);
        row.env = leak_all(&self.env);
        row.needs = leak_all(&self.needs);
        row.dir = leak(self.dir);
        let limits = self.limits.iter();
        let limits: Vec<_> = limits.map(|(f, v)| (leak(f), leak(v))).collect();
        row.limits = limits.leak();
        if let Some(socket) = &mut row.socket {
            socket.path = leak(self.socket);
        }
        row.user = self.user.map(|u| User {
            uid: u.uid,
            gid: u.gid,
            groups: u.groups.leak(),
            name: leak(u.name),
            home: leak(u.home),
            shell: leak(u.shell),
        });
        row
    }
}

/// Of a value that is told, so much that it is known again; up to the first
/// control character, since this goes to terminals.
fn shown(value: &str) -> &str {
    let mut chars = value.char_indices().enumerate();
    let end = chars.find(|(n, (_, c))| *n == 40 || c.is_control());
    let end = end.map_or(value.len(), |(_, (at, _))| at);
    value.get(..end).unwrap_or("")
}

/// What stands after the path of a socket.
fn socket(options: &[&str], group: &str) -> Result<Socket, &'static str> {
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
                let gid = account::gid(group, rest.next().unwrap_or(&""));
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
    let mode = number(text, 8, 0o777).ok_or("octal digits, at most 777")?;
    Ok(mode as u32)
}

/// `500ms`, `10s`, `2m`; at most an hour.
fn time(text: &str) -> Result<Millis, &'static str> {
    let units = [("ms", 1), ("s", 1_000), ("m", MINUTE)];
    let is = |(unit, ms): &(&str, Millis)| {
        number(text.strip_suffix(unit)?, 10, 60 * MINUTE / ms).map(|n| n * ms)
    };
    units
        .iter()
        .find_map(is)
        .ok_or("a time such as 500ms, 10s or 2m, at most 60m")
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn leak_all(texts: &[&str]) -> &'static [&'static str] {
    texts.iter().map(|t| leak(t)).collect::<Vec<_>>().leak()
}

#[cfg(test)]
mod tests;
