// SPDX-License-Identifier: Apache-2.0
//! Take-over of services that the previous execution of PID 1 has left.

use super::Supervisor;
use crate::Millis;
use crate::service_record::ServiceRecord;
use crate::state::{Change, ServiceId, State};
pub use crate::state_to_restore::{Running, StateToRestore};

impl Supervisor {
    /// Returns what the next execution of PID 1 restores for the service.
    #[must_use]
    pub fn state_to_restore(&self, id: ServiceId) -> StateToRestore {
        self.record(id)
            .map_or(StateToRestore::Off, state_to_restore)
    }

    /// Takes over a service that is off. A service with a process is starting or up, and is stopped if it is not to
    /// run; a service without a process starts if it is to run. Returns the changes.
    #[must_use]
    pub fn take_over(
        &mut self,
        now: Millis,
        id: ServiceId,
        state: StateToRestore,
        process: Option<Running>,
    ) -> Vec<Change> {
        let process = process.filter(|process| self.find_by_pid(process.pid).is_none());
        self.with_id(id, |r, out| r.take_over(now, state, process, out));
        std::mem::take(&mut self.effects.changes)
    }
}

fn state_to_restore(record: &ServiceRecord) -> StateToRestore {
    match record.state {
        State::Off | State::Stopping { again: false, .. } => StateToRestore::Off,
        State::Done => StateToRestore::Done,
        State::Failed => StateToRestore::Failed,
        _ if record.stop_requested => StateToRestore::Off,
        _ => StateToRestore::On,
    }
}
