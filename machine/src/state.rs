// SPDX-License-Identifier: Apache-2.0
//! States of a machine.

use serde::{Deserialize, Serialize};
use std::fmt;

/// State of a machine. The words are docker-machine's, in `ls` and `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The podman API has answered.
    Running,
    /// The processors stand still: asked for, or the host's disk is full.
    Paused,
    /// Memory is on disk; `start` continues from there.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_one_state() {
        for state in State::ALL {
            assert_eq!(State::parse(state.word()), Some(state));
        }
        assert_eq!(State::parse("running"), None);
    }
}
