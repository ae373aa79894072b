// SPDX-License-Identifier: Apache-2.0
//! A host that cannot write the machine's disk: the machine stands still, and continues by itself once there is space.

use super::Keeper;
use crate::state::State;
use crate::store::space;
use std::time::{Duration, Instant};

/// Time between two looks at the space of a full disk. Nothing else of a keeper has a timer, and no event tells of space.
const INTERVAL: Duration = Duration::from_secs(5);
/// Bytes with which a machine continues: some of its next writes. If they are not enough, it stands still again.
const ENOUGH_BYTES: u64 = 8 << 20;

/// Returns the reason for which a machine stands still.
pub(super) fn why(full: bool) -> &'static str {
    match full {
        true => "the host's disk is full: free space, and the machine continues",
        false => "the host cannot write the machine's disk; `podman-machine start` tries again",
    }
}

/// Returns true if there is room on the file system, or if it does not tell.
fn has_room(free: Option<u64>) -> bool {
    free.is_none_or(|free| free >= ENOUGH_BYTES)
}

impl Keeper {
    /// Notes that the host could not write the disk.
    pub(super) fn on_disk_failed(&mut self, full: bool) {
        self.next_look = full.then(|| Instant::now() + INTERVAL);
        // Whether the next try succeeds shows when the API answers again.
        self.api_answered = false;
        self.is_api_silent = false;
        // The state and its reason are written in one step.
        let is_paused = self.stop.is_none();
        if is_paused {
            self.record.state = State::Paused;
        }
        self.set_trouble(why(full));
        if is_paused {
            self.set_state(State::Paused);
        }
    }

    /// Notes, for an adopted machine that stands still, why it does.
    pub(super) fn note_failed_disk(&mut self) {
        if self.vm.has_disk_failed().is_ok_and(|failed| failed) {
            let is_full = !has_room(space::free(&self.machine.dir));
            self.on_disk_failed(is_full);
        }
    }

    /// Lets the machine continue if there is space.
    pub(super) fn look_for_space(&mut self) {
        self.next_look = Some(Instant::now() + INTERVAL);
        if !has_room(space::free(&self.machine.dir)) {
            return;
        }
        self.next_look = None;
        eprintln!("there is space on the host: the machine continues");
        if let Err(error) = self.resume() {
            eprintln!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_continues_with_room_for_its_next_writes() {
        assert!(has_room(None) && has_room(Some(ENOUGH_BYTES)));
        assert!(!has_room(Some(ENOUGH_BYTES - 1)) && !has_room(Some(0)));
    }
}
