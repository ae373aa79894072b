//! A shell when nothing else is there, or when it was asked for. PID 1 goes on
//! reaping and obeying signals meanwhile: it is the ordinary loop over another
//! table.

use std::path::Path;

use config::{Config, Role};
use services::{Manager, Restart, ServiceDef, State, Tty};

use crate::console::{for_each_terminal, terminals};
use crate::events::{self, EventSources};
use crate::state::SystemState;
use crate::{ready, root, shutdown};
use sys::clock::now;
use sys::kmsg;
use sys::service_names::RESCUE_PREFIX;

/// How long the other shells have to end, in milliseconds.
const STOP_MS: u64 = 5_000;

/// Where the userland is there, its own; else the initrd's.
fn row(restart: Restart) -> ServiceDef {
    let argv: &[&str] = if root::assembled() && Path::new("/bin/bash").exists() {
        &["/bin/bash", "-l"]
    } else {
        &["/bin/sh"]
    };
    ServiceDef {
        name: RESCUE_PREFIX,
        why: "a person can see what is wrong and mend it",
        argv,
        restart,
        ..ServiceDef::DEFAULT
    }
}

fn shells(restart: Restart) -> Vec<ServiceDef> {
    let rows = for_each_terminal(&row(restart), &terminals());
    if !rows.is_empty() {
        return rows;
    }
    // No console at all: the first serial line may still have somebody.
    let tty = Some(Tty { path: "/dev/ttyS0" });
    vec![ServiceDef {
        name: "rescue",
        tty,
        ..row(restart)
    }]
}

fn announce(then: &str) {
    let places = terminals().join(" ");
    kmsg::write(
        kmsg::console_visible(5),
        &format!("rescue shell on {places}: {then}"),
    );
}

/// Serves shells until one has been left in good order, or all have ended.
pub fn until_left(state: &mut SystemState, sources: &mut EventSources) {
    let mut manager = Manager::new(shells(Restart::Never), None, kmsg::write_service_line);
    announce("`exit` goes on with the boot");
    ready::start_all(&mut manager);
    events::run(state, &mut manager, sources, |_, m| left(m));
    // The others must not read from consoles that the boot gives to its own.
    shutdown::stop(&mut manager, sources, now() + STOP_MS);
}

/// A terminal that cannot be opened ends its shell too, but nobody has left it.
fn left(manager: &Manager) -> bool {
    let s = &manager.supervisor;
    let ended = |id| matches!(s.state(id), State::Done | State::Failed);
    s.ids().any(|id| s.state(id) == State::Done) || s.ids().all(ended)
}

/// A version on trial that has no userland is over: who looks after trials is in there
/// (b2p/src/upgrade/trial.rs), and the boot menu brings the version before.
#[must_use]
pub fn end_of_trial(config: &Config) -> Vec<ServiceDef> {
    let trial = config.slot.is_some_and(|slot| slot.role == Role::Trial);
    let row = ServiceDef {
        name: "trial",
        why: "a version on trial without a userland starts again, with the one before",
        argv: &["/bin/busybox", "reboot", "-f", "-d", "60"],
        restart: Restart::Never,
        ..ServiceDef::DEFAULT
    };
    trial.then_some(row).into_iter().collect()
}

/// Serves shells for ever, and `others` beside them.
pub fn for_ever(
    state: &mut SystemState,
    sources: &mut EventSources,
    others: Vec<ServiceDef>,
    then: &str,
) -> ! {
    let rows = shells(Restart::Always).into_iter().chain(others).collect();
    let mut manager = Manager::new(rows, None, kmsg::write_service_line);
    announce(then);
    ready::start_all(&mut manager);
    loop {
        events::run(state, &mut manager, sources, |_, _| false);
    }
}
