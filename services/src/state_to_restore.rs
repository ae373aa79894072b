// SPDX-License-Identifier: Apache-2.0
//! States and processes of services that the next execution of PID 1 takes over after a crash.

use crate::Pid;

/// State of a service that the next execution of PID 1 restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateToRestore {
    /// The service is to stay off.
    Off,
    /// The service is to run.
    On,
    /// The service has ended with success and stays down.
    Done,
    /// The service has ended with a failure and stays down.
    Failed,
}

/// Process of a service that still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// The process.
    pub pid: Pid,
    /// The process has not yet notified PID 1 that it is ready; the descriptor for that is still open.
    pub will_notify: bool,
}

/// Words of the states in the file of `init::saved_state`.
const WORDS: [(StateToRestore, &str); 4] = [
    (StateToRestore::Off, "off"),
    (StateToRestore::On, "on"),
    (StateToRestore::Done, "done"),
    (StateToRestore::Failed, "failed"),
];

impl StateToRestore {
    /// Returns the word for the state.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = WORDS.iter().find(|(state, _)| *state == self);
        found.map_or("", |(_, word)| word)
    }

    /// Returns the state for a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<StateToRestore> {
        let found = WORDS.iter().find(|(_, known)| *known == word);
        found.map(|(state, _)| *state)
    }
}
