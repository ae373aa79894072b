// SPDX-License-Identifier: Apache-2.0
//! Take-over of services that another supervisor has left: PID 1 after a crash.

use super::Supervisor;
use crate::service_record::ServiceRecord;
use crate::state::{Change, ServiceId, State};
use crate::{Millis, Pid};

/// State that a service is to have, for a supervisor that takes it over.
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

/// Words of the intents in the saved state.
const WORDS: [(Intent, &str); 4] = [
    (Intent::Off, "off"),
    (Intent::On, "on"),
    (Intent::Done, "done"),
    (Intent::Failed, "failed"),
];

impl Intent {
    /// Returns the word for the intent.
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

impl Supervisor {
    /// Returns the state that a service is to have.
    #[must_use]
    pub fn intent(&self, id: ServiceId) -> Intent {
        self.record(id).map_or(Intent::Off, intent)
    }

    /// Takes over a service that is off: with its `process`, or without one by its intent. A
    /// service that is to run and has no process starts; one that is not to run and has a process
    /// is stopped. Returns the changes.
    #[must_use]
    pub fn resume(
        &mut self,
        now: Millis,
        id: ServiceId,
        intent: Intent,
        process: Option<Pid>,
    ) -> Vec<Change> {
        let process = process.filter(|pid| self.find_by_pid(*pid).is_none());
        self.with_id(id, |r, out| r.resume(now, intent, process, out));
        std::mem::take(&mut self.effects.changes)
    }
}

fn intent(record: &ServiceRecord) -> Intent {
    match record.state {
        State::Off | State::Stopping { again: false, .. } => Intent::Off,
        State::Done => Intent::Done,
        State::Failed => Intent::Failed,
        _ if record.stop_requested => Intent::Off,
        _ => Intent::On,
    }
}
