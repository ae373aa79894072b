// SPDX-License-Identifier: Apache-2.0
//! Rule by which the state of a machine follows from its locks.

use super::record::RunRecord;
use crate::state::State;

/// Holders of the two locks of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Pid of the keeper.
    pub keeper: Option<i32>,
    /// Pid of QEMU.
    pub qemu: Option<i32>,
}

/// State of a machine as its locks show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// The locks agree with this state.
    Known(State),
    /// QEMU runs without a keeper; the next command starts a keeper that adopts it.
    Orphan,
}

/// Derives the state. The keeper's record counts only while the keeper that wrote it holds its
/// lock.
#[must_use]
pub fn lock_state(locks: Locks, record: Option<&RunRecord>, saved: bool) -> LockState {
    let state = |keeper| {
        // The kernel tells no pid of a process in another pid namespace (fcntl(2), pid_namespaces(7)).
        let record = record.filter(|record| keeper <= 0 || record.keeper == keeper);
        record.map_or(State::Starting, |record| record.state)
    };
    let state = match (locks.keeper, locks.qemu) {
        (None, None) if saved => State::Saved,
        (None, None) => State::Stopped,
        (None, Some(_)) => return LockState::Orphan,
        (Some(keeper), Some(_)) => state(keeper),
        (Some(keeper), None) => match state(keeper) {
            State::Starting => State::Starting,
            // The end is recorded, and the keeper is about to end as well.
            State::Stopped if saved => State::Saved,
            State::Stopped => State::Stopped,
            _ => State::Stopping,
        },
    };
    LockState::Known(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(keeper: i32, state: State) -> RunRecord {
        RunRecord {
            keeper,
            ..RunRecord::new(state)
        }
    }

    #[test]
    fn the_state_follows_from_the_locks() {
        let known = LockState::Known;
        let running = record(7, State::Running);
        let starting = record(7, State::Starting);
        let stopped = record(7, State::Stopped);
        let table = [
            (None, None, None, false, known(State::Stopped)),
            (None, None, None, true, known(State::Saved)),
            (None, None, Some(&running), false, known(State::Stopped)),
            (None, Some(9), Some(&running), false, LockState::Orphan),
            (
                Some(7),
                Some(9),
                Some(&running),
                false,
                known(State::Running),
            ),
            (
                Some(8),
                Some(9),
                Some(&running),
                false,
                known(State::Starting),
            ),
            (
                Some(0),
                Some(0),
                Some(&running),
                false,
                known(State::Running),
            ),
            (Some(7), Some(9), None, false, known(State::Starting)),
            (
                Some(7),
                None,
                Some(&starting),
                false,
                known(State::Starting),
            ),
            (Some(7), None, Some(&running), false, known(State::Stopping)),
            (Some(7), None, Some(&running), true, known(State::Stopping)),
            (Some(7), None, Some(&stopped), false, known(State::Stopped)),
            (Some(7), None, Some(&stopped), true, known(State::Saved)),
            (Some(8), None, Some(&stopped), false, known(State::Starting)),
            (Some(8), None, None, false, known(State::Starting)),
            (None, Some(9), Some(&stopped), false, LockState::Orphan),
        ];
        for (keeper, qemu, record, saved, expected) in table {
            let locks = Locks { keeper, qemu };
            assert_eq!(
                lock_state(locks, record, saved),
                expected,
                "{locks:?} {record:?}"
            );
        }
    }
}
