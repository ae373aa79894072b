// SPDX-License-Identifier: Apache-2.0
//! End of a machine as by a power cut: `kill`, `rm -f`, and what undoes a start.

use crate::fault::Fault;
use crate::keeper::control;
use crate::store::{Machine, lock};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

/// Time that a keeper has to hear that its machine is killed.
const KEEPER_ANSWERS: Duration = Duration::from_secs(2);
/// Pause between two looks at a keeper that ends.
const PAUSE: Duration = Duration::from_millis(5);

/// Tells the keeper that the end of QEMU is asked for; returns false if it does not answer.
fn tell_keeper(machine: &Machine) -> bool {
    let socket = machine.run_file(control::SOCKET);
    let answer = control::ask_within(&socket, &json!({"do": "kill"}), KEEPER_ANSWERS);
    answer.is_ok_and(|answer| answer["done"] == true)
}

/// Kills a process. One of another pid namespace has no pid here, and 0 is this process's own group (kill(2)).
fn kill_visible(pid: i32) -> Result<(), Errno> {
    match pid {
        ..=0 => Err(Errno::EPERM),
        _ => signal(Pid::from_raw(pid), Signal::SIGKILL),
    }
}

fn invisible(machine: &Machine) -> anyhow::Error {
    Fault::new(format!(
        "Error: QEMU of machine \"{}\" runs in another pid namespace, such as that of the host or of a container: \
         end it there",
        machine.name
    ))
    .into()
}

/// Waits for a keeper that ends by itself, because its QEMU has ended; returns false if it goes on.
fn has_ended(machine: &Machine) -> Result<bool> {
    let deadline = Instant::now() + KEEPER_ANSWERS;
    while lock::holder(&machine.run_file("keeper.pid"))?.is_some() {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Kills QEMU, and waits until it and its keeper have ended. A keeper that has not started QEMU yet
/// is killed itself; a QEMU that it has started in that moment is the next to be killed.
pub fn kill_one(machine: &Machine) -> Result<()> {
    let is_told = machine.locks()?.keeper.is_some() && tell_keeper(machine);
    let mut has_killed = false;
    loop {
        let locks = machine.locks()?;
        let Some(pid) = locks.qemu.or(locks.keeper) else {
            let is_recorded = is_told && machine.end_record().is_some_and(|end| end.clean);
            if has_killed && !is_recorded {
                crate::keeper::killed(machine);
            }
            return Ok(());
        };
        let is_keeper = locks.qemu.is_none();
        // QEMU may have ended before this look, and its keeper records the end.
        if is_told && is_keeper && has_ended(machine)? {
            continue;
        }
        has_killed = true;
        match kill_visible(pid) {
            Ok(()) | Err(Errno::ESRCH) => {}
            // The keeper ends it.
            Err(Errno::EPERM) if pid <= 0 && is_told => {}
            Err(_) if pid <= 0 => return Err(invisible(machine)),
            Err(error) => return Err(error).context("kill QEMU"),
        }
        lock::wait_free(&machine.run_file("qemu.pid"))?;
        // A keeper that does not answer may not end either: it is the next to be killed.
        if is_told || is_keeper {
            lock::wait_free(&machine.run_file("keeper.pid"))?;
        }
    }
}
