// SPDX-License-Identifier: Apache-2.0
//! Intents for services, and the processes of services, which a supervisor leaves to the next one.

use crate::Pid;

/// State of a service that the next execution of PID 1 restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// The service is not to run.
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
    /// The process has not yet reported that it is ready; the descriptor for the report is still
    /// open.
    pub will_report: bool,
}

/// Words of the intents in the saved state.
const WORDS: [(Intent, &str); 4] = [
    (Intent::Off, "off"),
    (Intent::On, "on"),
    (Intent::Done, "done"),
    (Intent::Failed, "failed"),
];

impl Intent {
    /// Returns the name of the intent.
    #[must_use]
    pub fn word(self) -> &'static str {
        let found = WORDS.iter().find(|(intent, _)| *intent == self);
        found.map_or("", |(_, word)| word)
    }

    /// Returns the intent for a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Intent> {
        let found = WORDS.iter().find(|(_, known)| *known == word);
        found.map(|(intent, _)| *intent)
    }
}
