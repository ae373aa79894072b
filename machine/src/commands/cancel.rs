// SPDX-License-Identifier: Apache-2.0
//! Cancels the start of a machine (`start --cancel`), or tells that the start continues after its command.

use super::power_cut::kill_one;
use crate::compat;
use crate::keeper::{STOP_SECONDS, control};
use crate::state::State;
use crate::store::Machine;
use crate::store::lock_state::LockState;
use anyhow::Result;
use serde_json::json;
use std::thread;
use std::time::Duration;

/// Number of checks whether the keeper of a new start has taken its lock.
const KEEPER_LOCK_CHECKS: u32 = 20;
/// Interval between two checks of the keeper's lock.
const KEEPER_LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Cancels a start. A machine that already runs is left alone.
pub fn cancel_start(machine: &Machine) {
    let name = &machine.name;
    for _ in 0..KEEPER_LOCK_CHECKS {
        match machine.lock_state() {
            // The keeper of the new start has not taken the lock of the machine yet.
            Ok(LockState::Known(State::Stopped | State::Saved)) => {
                thread::sleep(KEEPER_LOCK_INTERVAL)
            }
            Ok(LockState::Known(State::Starting)) => {
                match kill_or_stop(machine) {
                    Ok(how) => eprintln!("({name}) {how}"),
                    Err(error) => {
                        eprintln!("({name}) {error:#}");
                        warn_start_continues(machine);
                    }
                }
                return;
            }
            _ => return,
        }
    }
}

/// Kills a machine that has never become ready. A machine that was ready, or that continues from a saved memory, may run
/// containers, and is stopped in order.
fn kill_or_stop(machine: &Machine) -> Result<&'static str> {
    if !machine.live_record().is_some_and(|record| record.ready) {
        kill_one(machine)?;
        return Ok("the start is cancelled: the machine is off");
    }
    let request = json!({"do": "stop", "seconds": STOP_SECONDS});
    control::open(&machine.run_file(control::SOCKET), &request)?;
    Ok("the start is cancelled: the machine was ready, and powers off")
}

/// Tells that a machine whose start has failed is not off, and which commands wait for the machine or switch it off.
pub fn warn_start_continues(machine: &Machine) {
    let state = machine.lock_state();
    if matches!(state, Ok(LockState::Known(State::Starting))) {
        let (name, program) = (&machine.name, compat::program());
        eprintln!(
            "({name}) the machine continues to start: `{program} wait {name}` waits until it is ready, \
             `{program} kill {name}` switches it off"
        );
    }
}
