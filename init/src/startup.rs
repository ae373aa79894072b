// SPDX-License-Identifier: Apache-2.0
//! Start of PID 1: the phases of the boot ([`crate::boot`]), then the services ([`crate::service_table`]), then events
//! until the shutdown ([`crate::events`]).

use std::path::Path;

use log::info;
use services::Manager;
use services::manager::InheritedPipes;
use sys::clock::now;
use sys::error::Result;
use sys::kmsg;
use sys::signals::Signals;

use crate::boot::{ROOT_PHASES, USERLAND_PHASES, configure_machine, run_phases};
use crate::event_sources::{Event, EventSources};
use crate::events::EventLoop;
use crate::service_table::{self, Platform};
use crate::state::SystemState;
use crate::state_file::StateFile;
use crate::{crypto_selftests, degraded, identity, ready, rescue, root};

/// Boots the machine, serves until it is shut down, and never returns.
pub fn run(signals: Signals) -> ! {
    let mut state = SystemState::new();
    let mut sources = EventSources::new(signals);
    root::detect_container();
    let outcome = run_phases(ROOT_PHASES, &mut state);
    if !root::has_userland() {
        let why = missing_userland(root::has_image(), outcome);
        let buttons = root::load_button_modules(&mut state.verify_modules);
        state.degraded.set_err(degraded::POWER_BUTTON, buttons);
        sources.buttons.open_all();
        // A version on trial that has no userland has failed its trial.
        let others = rescue::end_of_trial(&state.config);
        rescue::serve_forever(&mut state, &mut sources, others, &why);
    }
    if root::in_container() {
        info!("the root is as it was found: this is a namespace, or a container");
    }
    continue_boot(&mut state, &mut sources, None)
}

/// Runs the phases after the switch to the userland, starts the services, and handles events until
/// the shutdown. After a crash during these phases, [`crate::recovery`] calls this function again: every
/// phase in [`USERLAND_PHASES`] and [`crate::boot::CONFIGURATION_PHASES`] can be repeated. [`ROOT_PHASES`] do not run again.
pub fn continue_boot(
    state: &mut SystemState,
    sources: &mut EventSources,
    after_crash: Option<InheritedPipes>,
) -> ! {
    // Each failure is listed as degraded.
    let _ = run_phases(USERLAND_PHASES, state);
    configure_machine(state, sources);
    state
        .degraded
        .set_err(degraded::CONTROL, sources.bind_control());
    identity::warn_without_entropy();
    if state.config.rescue {
        // A person who repairs the machine needs its disks.
        state.loader.add_all(|_| true);
        state.loader.poll(state.modules.as_mut());
        rescue::serve_until_left(state, sources);
    }
    // The phase `expedite-boot` has not seen self-tests that started later.
    crypto_selftests::deprioritize();
    let defs = service_table::select(&state.config, &Platform::detect(&state.config));
    let cgroups = Path::new(sys::paths::SERVICE_CGROUPS);
    let mut manager = Manager::new(defs, Some(cgroups), kmsg::write_service_line);
    if let Some(mut pipes) = after_crash {
        manager.take_over_running(now(), &mut pipes);
    }
    ready::start_services(&mut manager, state, false);
    serve(state, sources, &mut manager)
}

/// Handles events until the shutdown, and announces the ready line if that has not been done before
/// a crash. The file in which a crash leaves the state is made first.
pub fn serve(state: &mut SystemState, sources: &mut EventSources, manager: &mut Manager) -> ! {
    state.state_file = state.state_file.take().or_else(StateFile::create);
    let is_ready = state.ready.is_some();
    let mut events = EventLoop::new(state, manager, sources);
    if !is_ready {
        events.run_until(ready::no_gate_pending);
        events.react(&Event::NoGatePending);
    }
    events.run_forever()
}

/// Returns the message of the rescue shell.
fn missing_userland(has_image: bool, outcome: Result<()>) -> String {
    let missing = match has_image {
        true => "there is no userland that can be used",
        false => "there is no userland in the initrd",
    };
    match outcome {
        Ok(()) => format!("{missing}; `reboot` restarts the machine"),
        Err(e) => format!("{missing} ({e}); `reboot` restarts the machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use sys::error::Doing;

    #[test]
    fn a_missing_userland_is_told_from_a_broken_one() {
        let missing = missing_userland(false, Err(Errno::ENOENT).on("/userland.erofs"));
        assert!(missing.contains("in the initrd"), "{missing}");
        for error in [
            Err(Errno::EINVAL).doing("mount erofs"),
            Err(Errno::ENOENT).on("/modules/order"),
        ] {
            let broken = missing_userland(true, error);
            assert!(broken.contains("that can be used"), "{broken}");
        }
    }
}
