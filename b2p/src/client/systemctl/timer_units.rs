// SPDX-License-Identifier: Apache-2.0
//! Timer units of an owner: those of files, and `podman-auto-update.timer`.

use super::enable_update_timer;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::timer::{SUFFIX, UnitTimer, all, progress};
use crate::helpers::quadlet::unit::Unit;
use crate::helpers::timers::update_timer::UNIT;

/// A timer unit, as far as systemctl(1) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Unit of a file; `None` for `podman-auto-update.timer`.
    pub unit: Option<UnitTimer>,
    /// The timer runs.
    pub is_active: bool,
}

/// Finds a timer by its name, and its text.
pub fn find(owner: &Owner, name: &str) -> Option<(Timer, Option<Unit>)> {
    if !name.ends_with(SUFFIX) {
        return None;
    }
    let mut own = of(owner);
    let at = own.iter().position(|(timer, _)| timer.unit == name);
    match at.map(|at| own.swap_remove(at)) {
        Some((timer, unit)) => Some((of_unit(timer), Some(unit))),
        // Updates are those of all users: a user's command means the machine's timer.
        None if name == UNIT => {
            let is_active = enable_update_timer::is_enabled();
            Some((
                Timer {
                    unit: None,
                    is_active,
                },
                None,
            ))
        }
        None => None,
    }
}

/// Returns the timers of an owner's files.
pub fn of(owner: &Owner) -> Vec<(UnitTimer, Unit)> {
    let mut all = all();
    all.retain(|(timer, _)| timer.uid == owner.uid);
    all
}

/// Returns a timer of a file.
pub fn of_unit(timer: UnitTimer) -> Timer {
    Timer {
        is_active: progress(&timer).is_some(),
        unit: Some(timer),
    }
}
