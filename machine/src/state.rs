// SPDX-License-Identifier: Apache-2.0
//! States of a machine, and the rule by which they follow from locks.

use crate::keeper::record::RunRecord;
use serde::{Deserialize, Serialize};
use std::fmt;

/// State of a machine. The words are docker-machine's, in `ls` and `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The podman API has answered.
    Running,
    /// The processors stand still: asked for, or the host's disk is full.
    Paused,
    /// Memory is on disk; `start` goes on from there.
    Saved,
    /// Neither QEMU nor a keeper runs, and no memory is kept.
    Stopped,
    /// The power button is pressed.
    Stopping,
    /// QEMU runs; the podman API has not answered yet.
    Starting,
    /// The configuration cannot be read.
    Error,
    /// The state was not known in time.
    Timeout,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Paused,
        Self::Saved,
        Self::Stopped,
        Self::Stopping,
        Self::Starting,
        Self::Error,
        Self::Timeout,
    ];

    /// Returns the word that `ls` and `status` print.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Saved => "Saved",
            Self::Stopped => "Stopped",
            Self::Stopping => "Stopping",
            Self::Starting => "Starting",
            Self::Error => "Error",
            Self::Timeout => "Timeout",
        }
    }

    /// Finds the state of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Holders of the two locks of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Pid of the keeper.
    pub keeper: Option<i32>,
    /// Pid of QEMU.
    pub qemu: Option<i32>,
}

/// Standing of a machine by its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A state.
    Known(State),
    /// QEMU runs without a keeper, which a new keeper mends.
    Orphan,
}

/// Derives the standing. The keeper's record counts only while the keeper that wrote it holds its
/// lock.
#[must_use]
pub fn standing(locks: Locks, record: Option<&RunRecord>, saved: bool) -> Standing {
    let phase = |keeper| {
        let record = record.filter(|record| record.keeper == keeper);
        record.map_or(State::Starting, |record| record.phase)
    };
    let state = match (locks.keeper, locks.qemu) {
        (None, None) if saved => State::Saved,
        (None, None) => State::Stopped,
        (None, Some(_)) => return Standing::Orphan,
        (Some(keeper), Some(_)) => phase(keeper),
        (Some(keeper), None) => match phase(keeper) {
            State::Starting => State::Starting,
            // The end is recorded, and the keeper is about to end as well.
            State::Stopped if saved => State::Saved,
            State::Stopped => State::Stopped,
            _ => State::Stopping,
        },
    };
    Standing::Known(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(keeper: i32, phase: State) -> RunRecord {
        RunRecord {
            keeper,
            ..RunRecord::new(phase)
        }
    }

    #[test]
    fn the_state_follows_from_the_locks() {
        let known = Standing::Known;
        let running = record(7, State::Running);
        let starting = record(7, State::Starting);
        let stopped = record(7, State::Stopped);
        let table = [
            (None, None, None, false, known(State::Stopped)),
            (None, None, None, true, known(State::Saved)),
            (None, None, Some(&running), false, known(State::Stopped)),
            (None, Some(9), Some(&running), false, Standing::Orphan),
            (
                Some(7),
                Some(9),
                Some(&running),
                false,
                known(State::Running),
            ),
            (
                Some(8),
                Some(9),
                Some(&running),
                false,
                known(State::Starting),
            ),
            (Some(7), Some(9), None, false, known(State::Starting)),
            (
                Some(7),
                None,
                Some(&starting),
                false,
                known(State::Starting),
            ),
            (Some(7), None, Some(&running), false, known(State::Stopping)),
            (Some(7), None, Some(&running), true, known(State::Stopping)),
            (Some(7), None, Some(&stopped), false, known(State::Stopped)),
            (Some(7), None, Some(&stopped), true, known(State::Saved)),
            (Some(8), None, Some(&stopped), false, known(State::Starting)),
            (Some(8), None, None, false, known(State::Starting)),
            (None, Some(9), Some(&stopped), false, Standing::Orphan),
        ];
        for (keeper, qemu, record, saved, expected) in table {
            let locks = Locks { keeper, qemu };
            assert_eq!(
                standing(locks, record, saved),
                expected,
                "{locks:?} {record:?}"
            );
        }
    }

    #[test]
    fn every_word_is_one_state() {
        for state in State::ALL {
            assert_eq!(State::parse(state.word()), Some(state));
        }
        assert_eq!(State::parse("running"), None);
    }
}
