// SPDX-License-Identifier: Apache-2.0
//! One service that a supervisor takes over from another, after a crash.

use super::{Effects, ServiceRecord};
use crate::Millis;
use crate::intent::{Intent, Running};
use crate::service::ReadyWhen;
use crate::state::State;

impl ServiceRecord {
    /// Takes over a service that is off from the previous execution of PID 1.
    pub(crate) fn resume(
        &mut self,
        now: Millis,
        intent: Intent,
        process: Option<Running>,
        out: &mut Effects,
    ) {
        if self.state != State::Off || self.invalid.is_some() {
            return;
        }
        match (process, intent) {
            (Some(process), _) => self.adopt(now, process, intent == Intent::Off, out),
            (None, Intent::On) => self.wait_for_dependencies(now),
            (None, Intent::Done) => self.enter(now, State::Done),
            (None, Intent::Failed) => self.enter(now, State::Failed),
            (None, Intent::Off) => return,
        }
        self.timestamps.asked.get_or_insert(now);
    }

    fn adopt(&mut self, now: Millis, process: Running, stop: bool, out: &mut Effects) {
        let Running { pid, will_report } = process;
        self.timestamps.spawned.get_or_insert(now);
        if self.def.ready == ReadyWhen::Exit || will_report {
            self.enter(now, State::Starting { pid, started: now });
            self.late_at = Some(self.late_deadline(now));
        } else {
            // READY=1 may have been sent to the supervisor that crashed.
            self.enter(now, State::Up { pid, started: now });
            self.become_ready(now, out);
        }
        self.stop_requested = stop;
    }
}
