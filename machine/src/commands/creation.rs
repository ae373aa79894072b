// SPDX-License-Identifier: Apache-2.0
//! Creation of a machine that a signal undoes. Undone is what this process has made: a machine of the
//! same name that another command has made meanwhile is left alone.

use super::{follow, interrupt, remove};
use crate::keeper::Purpose;
use crate::store::command_lock::CommandLock;
use crate::store::dirs::remove_all;
use crate::store::draft::{self, discard};
use crate::store::image::Image;
use crate::store::{Dirs, Machine, template};
use anyhow::{Context, Result};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Stage of a creation: what there is to undo.
enum Stage {
    /// Drafts of the image and of the machine.
    Draft,
    /// The machine, whose lock this process holds, with the keeper that this process has started.
    Named(Option<Child>),
    /// Machine of its user: there is nothing to undo.
    Done,
}

/// Creation in progress. A change of the stage and its action are one step:
/// a signal is handled before or after both, and no step follows it.
pub struct Creation {
    /// Directories of all machines.
    pub dirs: Dirs,
    /// Machine that is made.
    pub machine: Machine,
    stage: Mutex<Stage>,
}

impl Creation {
    /// Begins a creation, which signals that ask for the end of this process undo from now on.
    pub fn begin(dirs: &Dirs, machine: &Machine) -> Result<Arc<Self>> {
        let creation = Arc::new(Self {
            dirs: dirs.clone(),
            machine: machine.clone(),
            stage: Mutex::new(Stage::Draft),
        });
        let mut signals = interrupt::signals()?;
        let undone = Arc::clone(&creation);
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The lock is held until the process has ended.
                let mut stage = undone.stage();
                if let Err(error) = undone.undo_stage(&mut stage) {
                    eprintln!("{error:#}");
                }
                std::process::exit(128 + signal);
            }
        });
        Ok(creation)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draft(&self) -> PathBuf {
        draft::path(&self.dirs, &self.machine.name, std::process::id())
    }

    /// Makes the directory of a draft, unless a signal was received: nothing would remove it after that.
    pub fn make_draft(&self, draft: &Path) -> Result<()> {
        let _stage = self.stage();
        draft::make(draft)
    }

    /// Makes the files of the machine in a draft by `fill`, and gives the draft its name. Other
    /// commands that change the machine wait for the lock that is returned.
    pub fn publish(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<CommandLock> {
        let draft = self.draft();
        self.make_draft(&draft)?;
        let filled = fill(&draft).and_then(|()| {
            let lock = CommandLock::take(&draft.join("lock"), "create")?;
            let mut stage = self.stage();
            draft::publish(&draft, &self.machine)?;
            *stage = Stage::Named(None);
            lock.context("no draft")
        });
        if filled.is_err() {
            let _draft = self.stage();
            remove_all(&draft)?;
        }
        filled
    }

    /// Starts the keeper of the machine; returns the stream of its progress.
    pub fn spawn_keeper(&self, lock: &CommandLock) -> Result<UnixStream> {
        let mut stage = self.stage();
        let (dirs, machine) = (&self.dirs, &self.machine);
        let (keeper, progress) = follow::spawn_keeper(dirs, machine, Purpose::Start, Some(lock))?;
        *stage = Stage::Named(Some(keeper));
        Ok(progress)
    }

    /// Leaves the machine to its user.
    pub fn done(&self) {
        *self.stage() = Stage::Done;
    }

    /// Removes the files that were made.
    pub fn undo(&self) -> Result<()> {
        self.undo_stage(&mut self.stage())
    }

    fn undo_stage(&self, stage: &mut Stage) -> Result<()> {
        match std::mem::replace(stage, Stage::Done) {
            Stage::Draft => {
                let cache = self.dirs.cache();
                discard(&Image::draft(&cache, std::process::id()))?;
                let state = template::draft(&cache, std::process::id());
                discard(&state)?;
                remove_all(&template::machine(&self.dirs, &state).run)?;
                discard(&self.draft())
            }
            Stage::Named(keeper) => {
                // A keeper that has not taken its lock yet is known by nothing else.
                if let Some(mut keeper) = keeper {
                    keeper.kill().context("kill the keeper")?;
                    keeper.wait().context("wait for the keeper")?;
                }
                remove::remove_held(&self.dirs, &self.machine)
            }
            Stage::Done => Ok(()),
        }
    }
}
