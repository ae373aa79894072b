// SPDX-License-Identifier: Apache-2.0
//! A machine on disk: its files, and its state by locks.

use super::command_lock::CommandLock;
use super::config::MachineConfig;
use super::dirs::Dirs;
use super::files;
use super::greeting;
use super::lock;
use super::lock_state::{LockState, Locks, lock_state};
use super::progress::Progress;
use super::record::{EndRecord, RunRecord};
use crate::compat;
use crate::fault::Fault;
use crate::state::State;
use anyhow::{Context, Result};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the keeper's socket in the runtime directory.
pub const KEEPER_SOCKET: &str = "keeper.sock";

/// Time that a keeper has to tell its state, where its record is not there.
const KEEPER_ANSWERS: Duration = Duration::from_secs(2);

/// File in the machine's directory whose lock QEMU inherits from its keeper. The file exists as long as the machine,
/// while the runtime directory may be removed earlier; on a network file system, other hosts see the lock, too.
pub const LIFE: &str = "qemu.life";

/// Time that a QEMU that ends has for its last calls.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// Number of greetings after which a QEMU without a locked pid file is an error: one QEMU may end and another start
/// between two queries.
const MAX_GREETINGS: u32 = 3;

/// Link in the machine's directory to its runtime directory. Commands of another environment find a
/// machine that runs by it.
const RUN_LINK: &str = "run";

/// Link in the runtime directory to the machine's directory.
pub const DIR_LINK: &str = "dir";

/// Name of a machine, and the directories of its files.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Name.
    pub name: String,
    /// Directory of the files that stay.
    pub dir: PathBuf,
    /// Directory of the sockets.
    pub run: PathBuf,
    /// Directory of images.
    pub cache: PathBuf,
}

/// Describes a machine that does not exist, or that was removed while a command waited for it.
fn missing(name: &str) -> Fault {
    let program = compat::program();
    Fault::new(format!(
        "{} \"{name}\" does not exist. Use \"{program} ls\" to list machines. \
         Use \"{program} create\" to add a new one.",
        compat::kind()
    ))
}

fn replace_link(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let draft = link.with_extension("tmp");
    super::dirs::remove_all(&draft)?;
    symlink(target, &draft)
        .and_then(|()| fs::rename(&draft, link))
        .with_context(|| format!("link {}", link.display()))
}

/// Returns the runtime directory to which a machine's link leads, while it is there and of this user
/// and machine, to which it leads back; else `usual`, which follows from the environment.
fn linked(dir: &Path, usual: PathBuf) -> PathBuf {
    let target = fs::read_link(dir.join(RUN_LINK)).ok();
    let leads_back = |target: &Path| {
        let own = fs::canonicalize(dir).ok();
        own.is_some() && fs::canonicalize(target.join(DIR_LINK)).ok() == own
    };
    let own = target.filter(|target| {
        let known = target.file_name() == usual.file_name() || leads_back(target);
        known && super::dirs::check_owner(target).is_ok()
    });
    own.unwrap_or(usual)
}

impl Machine {
    /// Returns a machine that may not exist.
    #[must_use]
    pub fn at(dirs: &Dirs, name: &str) -> Self {
        let dir = dirs.machines().join(name);
        Self {
            name: name.to_owned(),
            run: linked(&dir, dirs.run(name)),
            dir,
            cache: dirs.cache(),
        }
    }

    /// Makes the runtime directory, and the links from and to it.
    pub fn make_run(&self) -> Result<()> {
        super::dirs::make_private(&self.run)?;
        replace_link(&self.file(RUN_LINK), &self.run)?;
        replace_link(&self.run_file(DIR_LINK), &self.dir)
    }

    /// Returns the machine of a runtime directory, by the link there ([`DIR_LINK`]), and the directories of all machines.
    pub fn of_run(run: &Path) -> Result<(Dirs, Self)> {
        let link = run.join(DIR_LINK);
        let dir = fs::canonicalize(&link).with_context(|| link.display().to_string())?;
        let name = dir.file_name().and_then(|name| name.to_str());
        let storage = dir.parent().and_then(Path::parent);
        let (name, storage) = name.zip(storage).context("a machine without a name")?;
        let dirs = Dirs {
            storage: storage.to_owned(),
            runtime: run.parent().unwrap_or(run).to_owned(),
        };
        let machine = Self::find(&dirs, name)?;
        Ok((dirs, machine))
    }

    /// Returns an existing machine.
    pub fn find(dirs: &Dirs, name: &str) -> Result<Self> {
        let machine = Self::at(dirs, name);
        let safe = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        if safe && machine.dir.is_dir() {
            return Ok(machine);
        }
        Err(missing(name).into())
    }

    /// Returns the names of all machines, unsorted. A directory that begins with a dot is a machine
    /// that is not complete.
    pub fn names(dirs: &Dirs) -> Result<Vec<String>> {
        let entries = match fs::read_dir(dirs.machines()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| dirs.machines().display().to_string())?,
        };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.')).collect())
    }

    /// Returns a file in the directory that stays.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns a file in the runtime directory.
    #[must_use]
    pub fn run_file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// Returns the socket of the podman API.
    #[must_use]
    pub fn api(&self) -> PathBuf {
        self.run_file("podman.sock")
    }

    /// Reads the configuration.
    pub fn config(&self) -> Result<MachineConfig> {
        let path = self.file("config.json");
        let text = files::read_text(&path).with_context(|| format!("read {}", path.display()))?;
        MachineConfig::parse(&text).with_context(|| self.dir.display().to_string())
    }

    /// Writes the configuration.
    pub fn save(&self, config: &MachineConfig) -> Result<()> {
        files::replace(&self.file("config.json"), config.text().as_bytes())
    }

    /// Takes the lock for a command that changes the machine.
    pub fn lock(&self, command: &str) -> Result<CommandLock> {
        let lock = CommandLock::take(&self.file("lock"), command)?;
        lock.ok_or_else(|| missing(&self.name).into())
    }

    /// Takes the lock for a keeper that no command has started, as systemd starts one: a `clone` that copies the disk
    /// meanwhile is waited for.
    pub fn wait_lock(&self, command: &str) -> Result<CommandLock> {
        let lock = CommandLock::wait(&self.file("lock"), command)?;
        lock.ok_or_else(|| missing(&self.name).into())
    }

    /// Reads the locks. A keeper must not: it would lose its own ([`lock::LifeLock`]).
    pub fn locks(&self) -> Result<Locks> {
        let keeper = lock::holder(&self.run_file("keeper.pid"))?;
        let qemu = match keeper {
            Some(_) => self.qemu()?,
            None => self.lone_qemu()?,
        };
        Ok(Locks { keeper, qemu })
    }

    /// Returns the pid of a QEMU without a keeper. If the keeper was killed before QEMU had locked its pid file, the
    /// function waits for QEMU's greeting, which follows the lock. A QEMU that runs without its files in the runtime
    /// directory is an error: its disk is in use, and no command can reach it.
    pub fn lone_qemu(&self) -> Result<Option<i32>> {
        let life = self.file(LIFE);
        let mut greetings = 0;
        loop {
            if let Some(pid) = self.qemu()? {
                return Ok(Some(pid));
            }
            if !lock::is_handed_over(&life)? {
                // It may have got the one lock before it was asked for the other.
                return self.qemu();
            }
            let socket = self.run_file("qmp.sock");
            // QEMU removes its socket and its pid file before it gives up the lock; the keeper's file stays.
            let was_here = self.run_file("keeper.pid").exists();
            let greets = greeting::greets(&socket)?;
            greetings += u32::from(greets);
            let is_known = greets || was_here && lock::wait_handed_back(&life, LAST_CALLS)?;
            // One that greets has locked its pid file: somebody has removed that.
            if !is_known || greetings > MAX_GREETINGS {
                return Err(self.lost(&life).into());
            }
        }
    }

    /// Describes a machine that runs, and whose runtime directory is gone or on another host.
    fn lost(&self, life: &Path) -> Fault {
        let host = fs::read_to_string(life).unwrap_or_default();
        let on = match host.trim() {
            "" => String::new(),
            host => format!(" on {host}"),
        };
        let (name, run, life) = (&self.name, self.run.display(), life.display());
        Fault::new(format!(
            "Error: machine \"{name}\" runs{on}, but its files in {run} are missing: to stop it in order, send SIGTERM \
             to its keeper, which `pgrep -af 'keeper {name}'` lists there; `fuser {life}` prints the pid of its QEMU"
        ))
    }

    /// Returns the pid of QEMU.
    pub fn qemu(&self) -> Result<Option<i32>> {
        lock::holder(&self.run_file("qemu.pid"))
    }

    /// Returns the state by the locks.
    pub fn lock_state(&self) -> Result<LockState> {
        let locks = self.locks()?;
        let saved = self.file("state/complete").exists();
        Ok(lock_state(locks, self.record_of(locks).as_ref(), saved))
    }

    /// Returns true if QEMU has ended, and its end is recorded.
    pub fn is_off(&self) -> Result<bool> {
        let off = [State::Stopped, State::Saved].map(LockState::Known);
        Ok(off.contains(&self.lock_state()?))
    }

    /// Reads the record of the keeper.
    #[must_use]
    pub fn run_record(&self) -> Option<RunRecord> {
        let text = fs::read_to_string(self.run_file("run.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Reads the record of the running keeper. A keeper must not call this, as for [`Machine::locks`].
    #[must_use]
    pub fn live_record(&self) -> Option<RunRecord> {
        let locks = self.locks().ok()?;
        let keeper = locks.keeper?;
        let record = self.record_of(locks)?;
        // The kernel tells no pid of a process in another pid namespace.
        (keeper <= 0 || record.keeper == keeper).then_some(record)
    }

    /// Returns the record. A keeper that has adopted QEMU, and could not write its own record on a full file system, is
    /// asked for its state; the rest of the record is as the keeper before it has left it.
    fn record_of(&self, locks: Locks) -> Option<RunRecord> {
        let record = self.run_record()?;
        match locks {
            Locks {
                keeper: Some(keeper),
                qemu: Some(_),
            } if keeper > 0 && record.keeper != keeper => {
                let Some(state) = self.ask_state() else {
                    return Some(record);
                };
                Some(RunRecord {
                    keeper,
                    state,
                    ..record
                })
            }
            _ => Some(record),
        }
    }

    /// Asks the keeper for its state: the first line of what a follower gets.
    fn ask_state(&self) -> Option<State> {
        let mut stream = UnixStream::connect(self.run_file(KEEPER_SOCKET)).ok()?;
        stream.set_read_timeout(Some(KEEPER_ANSWERS)).ok()?;
        stream.write_all(b"{\"do\":\"follow\"}\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        match Progress::from_json(&serde_json::from_str(&line).ok()?)? {
            Progress::State(state) => Some(state),
            _ => None,
        }
    }

    /// Returns the port of 127.0.0.1 that leads to sshd, of this run or else of the last one.
    #[must_use]
    pub fn ssh_port(&self, config: &MachineConfig) -> u16 {
        let now = self.live_record().map(|record| record.ssh_port);
        now.filter(|&port| port > 0).unwrap_or(config.ssh_port)
    }

    /// Writes the record of the keeper.
    pub fn save_run_record(&self, record: &RunRecord) -> Result<()> {
        let text = serde_json::to_string_pretty(record)?;
        files::replace(&self.run_file("run.json"), text.as_bytes())
    }

    /// Reads how the last run ended.
    #[must_use]
    pub fn end_record(&self) -> Option<EndRecord> {
        let text = fs::read_to_string(self.file("last.json")).ok()?;
        serde_json::from_str(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_runtime_directory_is_found_in_every_environment() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = |runtime: &str| Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join(runtime),
        };
        let (here, there) = (dirs("here"), dirs("there"));
        let machine = Machine::at(&here, "box");
        fs::create_dir_all(&machine.dir).expect("made");
        assert_eq!(Machine::at(&there, "box").run, there.run("box"));
        machine.make_run().expect("made");
        machine.make_run().expect("made before");
        assert_eq!(Machine::at(&there, "box").run, here.run("box"));
        let (found, same) = Machine::of_run(&machine.run).expect("linked");
        assert_eq!(
            (found, same.dir, same.run),
            (here.clone(), machine.dir.clone(), machine.run.clone())
        );
        // A directory that others can write to, or that is gone, is not the machine's.
        fs::set_permissions(&machine.run, Permissions::from_mode(0o777)).expect("set");
        assert_eq!(Machine::at(&there, "box").run, there.run("box"));
        fs::remove_dir_all(&machine.run).expect("removed");
        let moved = Machine::at(&there, "box");
        assert_eq!(moved.run, there.run("box"));
        moved.make_run().expect("made");
        assert_eq!(Machine::at(&here, "box").run, there.run("box"));
        // A copy of the files, or a machine with another name, has a directory of its own.
        fs::rename(&machine.dir, here.machines().join("other")).expect("renamed");
        assert_eq!(Machine::at(&here, "other").run, here.run("other"));
    }
}
