// SPDX-License-Identifier: Apache-2.0
//! Machines whose start goes on without its command, or is cancelled by `start --cancel`.

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

/// Looks at a machine whose keeper this command has just started, and the pause between them.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Ends a machine that starts. One that runs stays: its start is over.
pub fn cancel(machine: &Machine) {
    let name = &machine.name;
    for _ in 0..LOOKS {
        match machine.lock_state() {
            // Its keeper has not taken its lock yet.
            Ok(LockState::Known(State::Stopped | State::Saved)) => thread::sleep(PAUSE),
            Ok(LockState::Known(State::Starting)) => {
                match end(machine) {
                    Ok(how) => eprintln!("({name}) {how}"),
                    Err(error) => {
                        eprintln!("({name}) {error:#}");
                        tell_that_it_continues(machine);
                    }
                }
                return;
            }
            _ => return,
        }
    }
}

/// Kills a machine that has not been ready. One that has may run containers, also those of a memory that continues: it is
/// stopped in order.
fn end(machine: &Machine) -> Result<&'static str> {
    if !machine.live_record().is_some_and(|record| record.ready) {
        kill_one(machine)?;
        return Ok("the start is cancelled: the machine is off");
    }
    let request = json!({"do": "stop", "seconds": STOP_SECONDS});
    control::open(&machine.run_file(control::SOCKET), &request)?;
    Ok("the start is cancelled: the machine was ready, and powers off")
}

/// Says that a machine whose start has failed is not off, and which commands wait for it or end it.
pub fn tell_that_it_continues(machine: &Machine) {
    let state = machine.lock_state();
    if matches!(state, Ok(LockState::Known(State::Starting))) {
        let (name, program) = (&machine.name, compat::program());
        eprintln!(
            "({name}) it continues to start: `{program} wait {name}` waits for it, `{program} kill {name}` ends it"
        );
    }
}
