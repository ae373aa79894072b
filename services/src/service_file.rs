// SPDX-License-Identifier: Apache-2.0
//! Service files, which define user services. `docs/guide/services.md`
//! describes the format; this module implements the whole format.
//!
//! Each line is a key and its values. Parsing is pure, total and bounded, and a file with any
//! fault is refused as a whole.

use crate::account::Account;
use crate::calendar::Calendar;
use crate::service::{KillMode, ReadyWhen, Restart, ServiceDef, Socket};
use crate::tokenize::tokenize;
use sys::user_cgroup;

mod error;
mod values;

pub use error::{Expected, Fault, FileError, FileErrors};

/// Maximum size of a file in bytes.
pub const MAX_FILE_BYTES: usize = 16 * 1024;
/// Maximum number of faults of one file that are reported.
const MAX_FAULTS: usize = 16;
/// Maximum number of characters of a value that a fault shows.
const MAX_SHOWN: usize = 64;

/// Tags of PID 1 and of the kernel in the log, which no service may have as its name.
const LOG_TAGS: [&str; 2] = ["boot2podman", "kernel"];

/// Cgroups of every user (`sys::user_cgroup`), which no service of that user may have as its name: the end of the
/// service would end the logins or containers there.
const CGROUPS_OF_USER: [&str; 2] = [user_cgroup::SESSION, user_cgroup::CONTAINERS];

/// A key of the format.
struct Key {
    name: &'static str,
    repeatable: bool,
}

const fn once(name: &'static str) -> Key {
    let repeatable = false;
    Key { name, repeatable }
}

const fn repeatable(name: &'static str) -> Key {
    let repeatable = true;
    Key { name, repeatable }
}

const KEYS: &[Key] = &[
    once("exec"),
    once("at"),
    once("user"),
    once("ready"),
    once("restart"),
    once("final"),
    once("done"),
    once("delay"),
    once("socket"),
    once("stop"),
    once("grace"),
    once("late"),
    once("dir"),
    once("umask"),
    once("oom"),
    once("nofile"),
    once("kill"),
    repeatable("env"),
    repeatable("needs"),
    repeatable("after"),
    repeatable("binds"),
    repeatable("limit"),
];

/// Definition of a service, whose texts still belong to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The definition; its texts are set by [`Parsed::leak`].
    pub def: ServiceDef,
    /// Name of the service.
    pub name: &'a str,
    /// Program and arguments.
    pub argv: Vec<&'a str>,
    /// Exit statuses with which the service is not started again.
    pub final_statuses: Vec<u8>,
    /// Exit statuses with which the service has done its work.
    pub done_statuses: Vec<u8>,
    /// `NAME=value`, each name once.
    pub env: Vec<&'a str>,
    /// Names of services.
    pub needs: Vec<&'a str>,
    /// Names of services that start before this service, if they start at all.
    pub after: Vec<&'a str>,
    /// Names of services that this service needs and is bound to.
    pub binds: Vec<&'a str>,
    /// Files of the service's cgroup and the values that are written to them.
    pub cgroup_files: Vec<(&'a str, &'a str)>,
    /// The service's user, if that is not root.
    pub user: Option<Account<'a>>,
    /// Path of the socket in `def`; empty without a socket.
    pub socket: &'a str,
    /// Working directory.
    pub dir: &'a str,
    /// Times at which the service starts; a service with times does not start at boot.
    pub at: Option<Calendar>,
}

/// Texts of passwd(5) and group(5), in which names are looked up.
#[derive(Clone, Copy)]
struct Accounts<'a> {
    passwd: &'a str,
    group: &'a str,
}

/// Keys that occurred: bit n stands for the nth of [`KEYS`].
#[derive(Clone, Copy, Default)]
struct Seen(u32);

impl Seen {
    fn contains(self, key: &str) -> bool {
        let index = KEYS.iter().position(|k| k.name == key);
        index.is_some_and(|n| self.0 & 1 << n != 0)
    }

    /// Adds the nth key. Returns false for the second occurrence of a key that may occur once.
    fn add(&mut self, n: usize, repeatable: bool) -> bool {
        let first = self.0 & 1 << n == 0;
        self.0 |= 1 << n;
        first || repeatable
    }
}

/// Returns true if a service may have this name: `[a-z0-9][a-z0-9-]{0,63}`. The name is also that
/// of a file and a cgroup, and precedes the service's lines in the log.
#[must_use]
pub fn is_name(name: &str) -> bool {
    control::Name::is_valid(name) && !LOG_TAGS.contains(&name)
}

/// Parses the file of the service `name`. `passwd` and `group` are the texts of those files.
///
/// # Errors
/// The faults of all lines, up to a bound, and the first fault of the file as a whole.
pub fn parse<'a>(
    name: &'a str,
    bytes: &'a [u8],
    passwd: &'a str,
    group: &'a str,
) -> Result<Parsed<'a>, FileErrors> {
    let error = |line: usize, fault: Fault| FileError {
        file: shown(name).to_owned(),
        line,
        fault,
    };
    if !is_name(name) {
        return Err(FileErrors(vec![error(0, Fault::Name)]));
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(FileErrors(vec![error(0, Fault::TooLong)]));
    }
    let accounts = Accounts { passwd, group };
    let mut parsed = Parsed::new(name);
    let (mut errors, mut seen, mut number) = (Vec::new(), Seen::default(), 0);
    for line in bytes.split(|b| *b == b'\n') {
        number += 1;
        if let Err(fault) = parsed.add_line(line, &mut seen, accounts) {
            errors.push(error(number, fault));
        }
        if errors.len() >= MAX_FAULTS {
            errors.push(error(number, Fault::TooMany));
            return Err(FileErrors(errors));
        }
    }
    if let Err(fault) = parsed.complete(seen) {
        errors.push(error(0, fault));
    }
    match errors.is_empty() {
        true => Ok(parsed),
        false => Err(FileErrors(errors)),
    }
}

impl<'a> Parsed<'a> {
    fn new(name: &'a str) -> Parsed<'a> {
        Parsed {
            def: ServiceDef {
                why: "the program of a service file runs",
                kill: KillMode::Cgroup,
                ..ServiceDef::DEFAULT
            },
            name,
            argv: Vec::new(),
            final_statuses: Vec::new(),
            env: Vec::new(),
            needs: Vec::new(),
            after: Vec::new(),
            binds: Vec::new(),
            done_statuses: Vec::new(),
            cgroup_files: Vec::new(),
            user: None,
            socket: "",
            dir: "/",
            at: None,
        }
    }

    fn add_line(
        &mut self,
        line: &'a [u8],
        seen: &mut Seen,
        accounts: Accounts<'a>,
    ) -> Result<(), Fault> {
        let text = std::str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let tokens = tokenize(text).map_err(Fault::Tokens)?;
        let Some((name, values)) = tokens.split_first() else {
            return Ok(());
        };
        let Some(index) = KEYS.iter().position(|k| k.name == *name) else {
            return Err(Fault::UnknownKey(shown(name).to_owned()));
        };
        let Key { name, repeatable } = KEYS[index];
        if !seen.add(index, repeatable) {
            return Err(Fault::Repeated(name));
        }
        self.set(name, values, accounts).map_err(|expected| {
            let given = values.first().copied().unwrap_or("nothing");
            Fault::Value {
                key: name,
                given: shown(given).to_owned(),
                expected,
            }
        })
    }

    /// Checks and completes the values that depend on more than one line.
    fn complete(&mut self, seen: Seen) -> Result<(), Fault> {
        if !seen.contains("exec") {
            return Err(Fault::MissingExec);
        }
        if self.user.as_ref().is_some_and(|user| user.uid != 0)
            && CGROUPS_OF_USER.contains(&self.name)
        {
            return Err(Fault::CgroupOfUser);
        }
        if self.at.is_some() {
            if !seen.contains("ready") {
                self.def.ready = ReadyWhen::Exit;
            }
            if self.def.ready != ReadyWhen::Exit || self.def.socket.is_some() {
                return Err(Fault::TimedServiceStays);
            }
        }
        if self.def.ready == ReadyWhen::Exit {
            if !seen.contains("restart") {
                self.def.restart = Restart::OnFailure;
            }
            if [Restart::Always, Restart::OnSuccess].contains(&self.def.restart) {
                return Err(Fault::OneShotRestarts);
            }
        }
        if self.def.ready == ReadyWhen::Fd(3) && self.def.socket.is_some() {
            return Err(Fault::ReadyOnSocket);
        }
        Ok(())
    }

    /// Returns true if the definition is `def`.
    #[must_use]
    pub fn is(&self, def: &ServiceDef) -> bool {
        let texts_are_equal = self.name == def.name
            && self.argv == def.argv
            && self.final_statuses == def.final_statuses
            && self.env == def.env
            && self.all_needs() == def.needs
            && self.after == def.after
            && self.binds == def.binds
            && self.done_statuses == def.done_statuses
            && self.dir == def.dir
            && self.cgroup_files == def.cgroup_files
            && self.def.socket.map(|_| self.socket) == def.socket.map(|socket| socket.path);
        let is_user = match (&self.user, &def.user) {
            (Some(user), Some(other)) => user.is(other),
            (user, other) => user.is_none() && other.is_none(),
        };
        texts_are_equal && is_user && self.with_texts_of(def) == *def
    }

    /// Returns the definition with the texts of `def`.
    fn with_texts_of(&self, def: &ServiceDef) -> ServiceDef {
        let path = def.socket.map_or("", |socket| socket.path);
        ServiceDef {
            name: def.name,
            argv: def.argv,
            final_statuses: def.final_statuses,
            env: def.env,
            needs: def.needs,
            after: def.after,
            binds: def.binds,
            done_statuses: def.done_statuses,
            dir: def.dir,
            cgroup_files: def.cgroup_files,
            socket: self.def.socket.map(|socket| Socket { path, ..socket }),
            user: def.user,
            ..self.def
        }
    }

    /// Returns the names in `needs`, and those in `binds` that are not among them.
    fn all_needs(&self) -> Vec<&'a str> {
        let further = self.binds.iter().filter(|name| !self.needs.contains(name));
        self.needs.iter().chain(further).copied().collect()
    }

    /// Returns the definition with texts that are never freed: services live as long as the
    /// machine.
    #[must_use]
    pub fn leak(self) -> ServiceDef {
        let mut def = self.def;
        def.needs = leak_all(&self.all_needs());
        def.name = leak(self.name);
        def.argv = leak_all(&self.argv);
        def.final_statuses = self.final_statuses.leak();
        def.env = leak_all(&self.env);
        def.after = leak_all(&self.after);
        def.binds = leak_all(&self.binds);
        def.done_statuses = self.done_statuses.leak();
        def.dir = leak(self.dir);
        let limits = self.cgroup_files.iter();
        let limits: Vec<_> = limits.map(|(f, v)| (leak(f), leak(v))).collect();
        def.cgroup_files = limits.leak();
        if let Some(socket) = &mut def.socket {
            socket.path = leak(self.socket);
        }
        def.user = self.user.map(Account::leak);
        def
    }
}

/// The part of a value that an error message shows: at most [`MAX_SHOWN`] characters, up to the
/// first control character, since messages go to terminals.
fn shown(value: &str) -> &str {
    let mut chars = value.char_indices().enumerate();
    let end = chars.find(|(n, (_, c))| *n == MAX_SHOWN || c.is_control());
    let end = end.map_or(value.len(), |(_, (at, _))| at);
    value.get(..end).unwrap_or("")
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn leak_all(texts: &[&str]) -> &'static [&'static str] {
    texts.iter().map(|t| leak(t)).collect::<Vec<_>>().leak()
}

#[cfg(test)]
mod tests;
