// SPDX-License-Identifier: Apache-2.0
//! Time that a service has to become ready (`late_ms`). Every attempt has such a time, also the attempt after a
//! crash of a ready service: services that are ordered after the service must not wait for ever.

use super::ServiceRecord;
use crate::Millis;

impl ServiceRecord {
    /// Starts the time to become ready at once if the definition names no service in `after`; otherwise
    /// [`ServiceRecord::after_satisfied`] starts the time. The services in `needs` do not matter.
    pub(super) fn start_late_timer_after_predecessors(&mut self, now: Millis) {
        self.blocked_by_after = !self.def.after.is_empty();
        if !self.blocked_by_after {
            self.start_late_timer(now);
        }
    }

    /// Starts the time to become ready, unless the time runs already, or the service was already reported as late.
    pub(super) fn start_late_timer(&mut self, now: Millis) {
        if self.late_at.is_none() && !self.late {
            self.late_at = Some(self.late_deadline(now));
        }
    }

    pub(super) fn late_deadline(&self, now: Millis) -> Millis {
        now.saturating_add(self.def.late_ms)
    }

    /// Starts the time to become ready: the services that this one is ordered after are ready,
    /// or will not be soon.
    pub(crate) fn after_satisfied(&mut self, now: Millis) {
        if std::mem::take(&mut self.blocked_by_after) {
            self.start_late_timer(now);
        }
    }
}
