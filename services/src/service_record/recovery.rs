// SPDX-License-Identifier: Apache-2.0
//! Take-over of one service after a crash of PID 1.

use super::{Effects, ServiceRecord};
use crate::Millis;
use crate::service::ReadyWhen;
use crate::state::State;
use crate::state_to_restore::{Running, StateToRestore};

impl ServiceRecord {
    /// Takes over a service that is off from the previous execution of PID 1.
    pub(crate) fn take_over(
        &mut self,
        now: Millis,
        state: StateToRestore,
        process: Option<Running>,
        out: &mut Effects,
    ) {
        if self.state != State::Off || self.invalid.is_some() {
            return;
        }
        match (process, state) {
            (Some(process), _) => {
                self.take_over_process(now, process, state == StateToRestore::Off, out)
            }
            (None, StateToRestore::On) => self.wait_for_dependencies(now),
            (None, StateToRestore::Done) => self.enter(now, State::Done),
            (None, StateToRestore::Failed) => self.enter(now, State::Failed),
            (None, StateToRestore::Off) => return,
        }
        self.timestamps.asked.get_or_insert(now);
    }

    fn take_over_process(&mut self, now: Millis, process: Running, stop: bool, out: &mut Effects) {
        let Running { pid, will_notify } = process;
        self.timestamps.spawned.get_or_insert(now);
        if self.def.ready == ReadyWhen::Exit || will_notify {
            self.enter(now, State::Starting { pid, started: now });
            self.late_at = Some(now.saturating_add(self.def.late_ms));
        } else {
            // READY=1 may have been sent to the execution that crashed.
            self.enter(now, State::Up { pid, started: now });
            self.become_ready(now, out);
        }
        self.stop_requested = stop;
    }
}
