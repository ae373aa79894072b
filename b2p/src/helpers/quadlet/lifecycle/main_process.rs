// SPDX-License-Identifier: Apache-2.0
//! Main process of a unit: that of `ExecStart=`, or one that has forked and is named by a message or a file.

use nix::libc::pid_t;
use sys::clock::Millis;

use super::plan::Failure;
use super::{Exit, Kind, Lifecycle, Stage, Step};

/// Time in milliseconds between two reads of the PID file.
const LOOK_MS: Millis = 50;
/// Time in milliseconds for the main process to be found in a unit without a limit for its start
/// (`DefaultTimeoutStartSec=`, systemd-system.conf(5)).
const LIMIT_MS: Millis = 90_000;

impl Lifecycle {
    /// Returns true if the unit has begun, and its main process is not known.
    pub(super) fn seeks_main(&self) -> bool {
        self.plan.kind == Kind::Forking && self.main.is_none() && self.exit.is_none()
    }

    /// Reads the PID file, once the time of the next attempt has passed. A daemon may write the file after its
    /// parent has ended, and an orphan has another parent for a moment. Returns false if there is no step.
    pub(super) fn look_for_main(&mut self, now: Millis) -> bool {
        let is_due = self.look_at.is_none_or(|at| at <= now);
        if is_due {
            self.steps.push_back(Step::FindMain);
            self.awaits = true;
        }
        is_due
    }

    pub(super) fn found_main(&mut self, pid: pid_t, now: Millis) {
        self.main = Some(pid);
        if self.waits_for_ready() {
            let at = self.plan.ready_ms.map(|ms| now.saturating_add(ms));
            self.deadline = self.deadline.or(at);
        }
        let is_answer = self.plan.kind == Kind::Forking && std::mem::take(&mut self.awaits);
        if is_answer && self.stage == Stage::Start {
            self.on_begun(now);
        }
    }

    /// Notes that the PID file names no process. `ExecStartPost=` or another process of the unit may write the
    /// file.
    pub(super) fn lacks_main(&mut self, may_come: bool, now: Millis) {
        if !std::mem::take(&mut self.awaits) {
            return;
        }
        if self.stage == Stage::Start && !self.plan.ignores_failure.post.is_empty() {
            self.on_begun(now);
        } else if may_come {
            self.look_at = Some(now.saturating_add(LOOK_MS));
            self.deadline = self.deadline.or(Some(now.saturating_add(LIMIT_MS)));
        } else {
            self.fail(Failure::new("protocol"), now);
        }
    }

    pub(super) fn on_main_exited(&mut self, exit: Exit, now: Millis) {
        self.exit = Some(exit);
        let is_ignored = self.plan.ignores_failure.start.first() == Some(&true);
        let failure = self.plan.failure(exit).filter(|_| !is_ignored);
        match self.stage {
            // A unit with `Type=notify` that ends without READY=1 has failed.
            Stage::Start if self.plan.kind == Kind::Notify => {
                self.fail(failure.unwrap_or(Failure::new("protocol")), now);
            }
            Stage::Start | Stage::Post | Stage::Running | Stage::Reload => match failure {
                Some(failure) => self.fail(failure, now),
                None if self.plan.remains => {}
                None => self.begin_stop(now),
            },
            _ => {}
        }
    }
}
