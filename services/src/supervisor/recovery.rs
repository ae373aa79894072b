// SPDX-License-Identifier: Apache-2.0
//! Take-over of services that another supervisor has left: PID 1 after a crash.

use super::Supervisor;
use crate::Millis;
pub use crate::intent::{Intent, Running};
use crate::service_record::ServiceRecord;
use crate::state::{Change, ServiceId, State};

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
        process: Option<Running>,
    ) -> Vec<Change> {
        let process = process.filter(|process| self.find_by_pid(process.pid).is_none());
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
