// SPDX-License-Identifier: Apache-2.0
//! Timer of `late_ms`: the time that a service has to become ready. The timer runs during every attempt, also during
//! the attempt after a crash of a ready service: services that are ordered after the service must not wait for ever.

use super::ServiceRecord;
use crate::Millis;

impl ServiceRecord {
    /// Starts the late timer at once if the definition names no service in `after`; otherwise
    /// [`ServiceRecord::start_late_timer_if_blocked`] starts the timer. The services in `needs` do not matter.
    pub(super) fn start_late_timer_after_predecessors(&mut self, now: Millis) {
        self.blocked_by_after = !self.def.after.is_empty();
        if !self.blocked_by_after {
            self.start_late_timer(now);
        }
    }

    /// Starts the late timer, unless the timer runs already, or the service was already reported as late.
    pub(super) fn start_late_timer(&mut self, now: Millis) {
        if self.late_at.is_none() && !self.late {
            self.late_at = Some(now.saturating_add(self.def.late_ms));
        }
    }

    /// Starts the late timer if services in `after` have blocked it until now: each is ready, or no longer delays this
    /// service.
    pub(crate) fn start_late_timer_if_blocked(&mut self, now: Millis) {
        if std::mem::take(&mut self.blocked_by_after) {
            self.start_late_timer(now);
        }
    }
}
