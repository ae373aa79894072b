// SPDX-License-Identifier: Apache-2.0
//! Take-over of services that another supervisor has left: PID 1 after a crash.

use super::Supervisor;
use crate::Millis;
pub use crate::intent::{Intent, Running};
use crate::service_record::ServiceRecord;
use crate::state::{Change, ServiceId, State};

impl Supervisor {
    /// Returns what the next execution of PID 1 restores for the service.
    #[must_use]
    pub fn intent(&self, id: ServiceId) -> Intent {
        self.record(id).map_or(Intent::Off, intent)
    }

    /// Takes over a service that is off. A service with a process is starting or up, and is stopped if it is not to run;
    /// a service without a process starts if it is to run. Returns the changes.
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
