// SPDX-License-Identifier: Apache-2.0
//! Shells on the consoles, if there is no userland to run or a flag requests a shell. PID 1 reaps
//! and obeys signals meanwhile: the event loop runs over a table of shells.

use std::path::Path;

use config::{Config, Role};
use services::{Manager, Restart, ServiceDef, State, Tty};
use sys::clock::now;
use sys::kmsg;
use sys::service_names::RESCUE_PREFIX;

use crate::console::{for_each_terminal, terminals};
use crate::event_sources::EventSources;
use crate::events::EventLoop;
use crate::root;
use crate::state::SystemState;

/// Time in which the shells must end when one of them has been left, in milliseconds.
const STOP_MS: u64 = 5_000;
/// Console of a hypervisor over virtio (drivers/char/virtio_console.c).
const VIRTIO_CONSOLE: &str = "/dev/hvc0";

/// Returns the terminal of a machine without consoles: the first serial line may have a terminal, and a machine
/// without serial lines, as those of Apple's Virtualization.framework are, may have a virtio console.
fn fallback_terminal(first_serial: &'static str) -> &'static str {
    match Path::new(first_serial).exists() {
        true => first_serial,
        false => VIRTIO_CONSOLE,
    }
}

/// Definition of a shell: that of the userland, or of the initrd if there is no userland.
fn shell(restart: Restart) -> ServiceDef {
    let has_bash = root::has_userland() && Path::new("/bin/bash").exists();
    let argv: &[&str] = match has_bash {
        true => &["/bin/bash", "-l"],
        false => &["/bin/sh"],
    };
    ServiceDef {
        name: RESCUE_PREFIX,
        why: "a person can examine and repair the machine",
        argv,
        restart,
        ..ServiceDef::DEFAULT
    }
}

fn shells(restart: Restart) -> Vec<ServiceDef> {
    let shells = for_each_terminal(&shell(restart), &terminals());
    if !shells.is_empty() {
        return shells;
    }
    vec![ServiceDef {
        name: "rescue",
        tty: Some(Tty {
            path: fallback_terminal(sys::arch::ARCH.first_serial),
        }),
        ..shell(restart)
    }]
}

fn announce(shells: &[ServiceDef], message: &str) {
    let terminals = shells.iter().filter_map(|def| Some(def.tty?.path));
    let terminals = terminals.collect::<Vec<_>>().join(" ");
    let text = format!("rescue shell on {terminals}: {message}");
    kmsg::write(kmsg::ensure_console_priority(kmsg::NOTICE), &text);
}

fn start_all(manager: &mut Manager) {
    for id in manager.supervisor().ids() {
        manager.note(now(), services::Input::Start(id));
    }
}

/// Serves shells until a user exits from one of them, or all have ended.
pub fn serve_until_left(state: &mut SystemState, sources: &mut EventSources) {
    let defs = shells(Restart::Never);
    announce(&defs, "`exit` continues the boot");
    let mut manager = Manager::new(defs, None, kmsg::write_service_line);
    start_all(&mut manager);
    let mut events = EventLoop::new(state, &mut manager, sources);
    events.run_until(is_left);
    // The other shells must not read from consoles that the boot gives to its own services.
    events.stop_services(now() + STOP_MS);
}

/// Returns true if a shell has ended with status 0, or all have ended. A shell whose terminal
/// cannot be opened ends with another status.
fn is_left(manager: &Manager) -> bool {
    let s = manager.supervisor();
    let has_ended = |id| matches!(s.state(id), State::Done | State::Failed);
    s.ids().any(|id| s.state(id) == State::Done) || s.ids().all(has_ended)
}

/// Returns the service that ends the trial of a version without a userland: the program that
/// ends trials is in the userland (b2p/src/helpers/upgrade/commit.rs). The boot menu then
/// starts the previous version.
#[must_use]
pub fn end_of_trial(config: &Config) -> Vec<ServiceDef> {
    let is_trial = config.slot.is_some_and(|slot| slot.role == Role::Trial);
    let reboot = ServiceDef {
        name: "trial",
        why: "a version on trial without a userland is replaced by the previous version",
        argv: &["/bin/busybox", "reboot", "-f", "-d", "60"],
        restart: Restart::Never,
        ..ServiceDef::DEFAULT
    };
    is_trial.then_some(reboot).into_iter().collect()
}

/// Serves shells, and `others` beside them, until the machine is shut down.
pub fn serve_forever(
    state: &mut SystemState,
    sources: &mut EventSources,
    others: Vec<ServiceDef>,
    message: &str,
) -> ! {
    let shells = shells(Restart::Always);
    announce(&shells, message);
    let defs = shells.into_iter().chain(others).collect();
    let mut manager = Manager::new(defs, None, kmsg::write_service_line);
    start_all(&mut manager);
    EventLoop::new(state, &mut manager, sources).run_forever()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_serial_line_the_virtio_console_is_left() {
        assert_eq!(fallback_terminal("/dev/null"), "/dev/null");
        assert_eq!(fallback_terminal("/dev/ttyNone0"), "/dev/hvc0");
    }
}
