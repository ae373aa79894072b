//! The boot, in the order it happens. Read this file first.
//!
//! A phase that fails is logged with what and why, the machine counts as
//! degraded, and the next phase comes. Without a root there is no next phase:
//! then there is a shell.

use std::path::Path;
use std::time::Duration;

use log::{debug, info};
use services::Manager;

use crate::events::{self, EventSources};
use crate::power_button::PowerButtons;
use crate::service_table::Host;
use crate::state::{self, SystemState};
use crate::{
    cgroups, crypto_selftests, identity, mounts, net_interface, ready, rescue, root, service_table,
    session, sysctl,
};
use sys::clock::{now, since_boot};
use sys::modules::Modules;
use sys::signals::Signals;
use sys::uevent::{self, UeventSocket};
use sys::{config_sources, kmsg, net, syscall};

/// One step of the boot.
pub struct Phase {
    /// In the log and in the list of times.
    pub name: &'static str,
    /// What the machine has when it is done.
    pub why: &'static str,
    run: fn(&mut SystemState) -> Result<(), String>,
}

/// From the kernel's hands to a root that programs can run in.
#[rustfmt::skip]
pub const TO_THE_ROOT: &[Phase] = &[
    Phase { name: "mount-api",   run: |_| mounts::mount_api(), why: "/proc, /sys, /dev and /run: nothing can be known or done without" },
    Phase { name: "log",   run: log, why: "the flags are known, and what happens from here on is in the kernel log" },
    Phase { name: "boost", run: |_| { syscall::expedite_rcu(true); crypto_selftests::deprioritize(); Ok(()) }, why: "until the machine is ready, nobody waits for grace periods or for the kernel's self-tests" },
    Phase { name: "early-modules", run: |m| root::load_early_modules(&mut m.verify_modules), why: "the kernel can read the userland image and stack file systems" },
    Phase { name: "root",  run: |_| root::assemble(), why: "the userland is /, writable, with nothing of it on a disk" },
];

/// From there to the services.
#[rustfmt::skip]
pub const TO_THE_SERVICES: &[Phase] = &[
    Phase { name: "mounts",   run: |_| mounts::mount_rest(), why: "terminals, shared memory, cgroups, bpf, tracing" },
    Phase { name: "cgroups",  run: |_| cgroups::create(Path::new(cgroups::ROOT)), why: "limits hold; every service is in a leaf of its own" },
    Phase { name: "loopback", run: |_| net::set_up("lo").map_err(|e| e.to_string()), why: "127.0.0.1" },
    Phase { name: "devices",  run: devices, why: "the network cards have their drivers, and what is plugged in later will be heard" },
    Phase { name: "flags",    run: all_flags, why: "fw_cfg can be read now: the configuration is complete" },
    Phase { name: "sysctl",   run: |_| forgiven(sysctl::apply()), why: "limits that containers need, forwarding" },
    Phase { name: "hostname", run: |m| Ok(sys::hostname::set(&m.config.hostname)?), why: "prompts, logs, DHCP and podman ask for it" },
    Phase { name: "machine-id", run: |_| identity::write_machine_id(), why: "programs tell machines apart by it" },
    Phase { name: "clock",    run: |_| identity::set_clock(), why: "no certificate is from the future" },
    Phase { name: "keys",     run: |m| identity::write_keys(&m.config), why: "somebody can log in" },
    Phase { name: "sessions", run: |m| { session::rename_user(&m.config.user)?; session::write_environment(&m.config) }, why: "who logs in has a name, a home and an environment" },
];

/// Boots, serves, and never returns.
pub fn run(signals: Signals) -> ! {
    let mut state = SystemState::new();
    let mut sources = EventSources {
        signals,
        uevents: None,
        buttons: PowerButtons::default(),
        control: None,
        reap_pending: false,
    };
    let outcome = all(TO_THE_ROOT, &mut state);
    if !root::assembled() {
        let why = outcome.err().unwrap_or_default();
        let then = format!("there is no userland ({why}); `reboot` starts again");
        let others = rescue::end_of_trial(&state.config);
        rescue::for_ever(&mut state, &mut sources, others, &then);
    }
    let _ = all(TO_THE_SERVICES, &mut state); // each has been said
    sources.bind_control(&mut state);
    identity::warn_without_entropy();
    sources.uevents = state.uevents.take();
    sources.buttons.open_all();
    if state.config.rescue {
        // Who mends something needs the disks.
        state.loader.add_all();
        state.loader.poll(state.modules.as_mut());
        rescue::until_left(&mut state, &mut sources);
    }
    serve(&mut state, &mut sources)
}

/// Starts what the configuration asks for, says when it is there, and stays.
fn serve(state: &mut SystemState, sources: &mut EventSources) -> ! {
    crypto_selftests::deprioritize(); // those that began since
    let rows = service_table::select(&state.config, &Host::detect());
    let cgroups = Path::new(sys::paths::SERVICE_CGROUPS);
    let mut manager = Manager::new(rows, Some(cgroups), kmsg::write_service_line);
    ready::start(&mut manager, &state.config, false);
    events::run(state, &mut manager, sources, |_, m| ready::settled(m));
    ready::announce(state, &mut manager);
    loop {
        events::run(state, &mut manager, sources, |_, _| false);
    }
}

/// Runs every phase; the first failure is the result, and the rest still run.
fn all(phases: &[Phase], state: &mut SystemState) -> Result<(), String> {
    let mut result = Ok(());
    for phase in phases {
        let start = since_boot();
        let outcome = (phase.run)(state);
        let took = since_boot().saturating_sub(start);
        let us = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        state.phases.push(state::Phase {
            name: phase.name,
            start_us: us(start),
            took_us: us(took),
        });
        debug!(
            "phase {} took {} us: {}",
            phase.name,
            took.as_micros(),
            phase.why
        );
        if let Err(why) = outcome {
            state.degraded(phase.name, &why);
            result = result.and(Err(format!("{}: {why}", phase.name)));
        }
    }
    result
}

fn log(state: &mut SystemState) -> Result<(), String> {
    // Before the first line, or all but ten in five seconds are dropped (sysctl
    // kernel.printk_devkmsg; the kernel takes the word with its newline only).
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    state.config = config_sources::read_early();
    state.verify_modules = state.config.modules == config::Modules::Verified;
    kmsg::init_logger(kmsg::level_filter(state.config.loglevel));
    info!(
        "{} starts {} ms after the kernel",
        env!("CARGO_PKG_VERSION"),
        state.started
    );
    Ok(())
}

/// How long the drivers of network cards may keep the boot, in milliseconds.
const DRIVERS_MS: i32 = 5_000;

/// Hears what comes before looking at what is there, so that nothing falls
/// between. In a child: a driver that hangs on its hardware must not hang PID 1.
fn devices(state: &mut SystemState) -> Result<(), String> {
    let heard =
        UeventSocket::open().map_err(|e| format!("device events: {e}: hot-plug does not work"));
    if root::in_container() {
        return heard.map(|h| state.uevents = Some(h)); // its devices have drivers
    }
    let mut modules = Modules::open(Path::new("/"))?;
    modules.configure(&state.config.blacklist, state.verify_modules);
    let load = || {
        uevent::coldplug(Path::new(uevent::SYSFS), &mut modules, uevent::is_early);
    };
    if !syscall::in_child(load).is_some_and(|c| c.exited_within(DRIVERS_MS)) {
        let s = DRIVERS_MS / 1000;
        state.degraded(
            "drivers",
            &format!("not loaded after {s} s; a device may hang; the boot goes on without"),
        );
    }
    state.modules = Some(modules);
    heard.map(|h| state.uevents = Some(h))
}

/// What a namespace may not change is as its owner wants it.
fn forgiven(result: Result<(), String>) -> Result<(), String> {
    match result {
        Err(why) if root::in_container() => {
            debug!("left as it is: {why}");
            Ok(())
        }
        other => other,
    }
}

fn all_flags(state: &mut SystemState) -> Result<(), String> {
    let (config, complaints) = config_sources::read();
    state.config = config;
    ::log::set_max_level(kmsg::level_filter(state.config.loglevel));
    for complaint in complaints {
        state.degraded("flag", &complaint.to_string());
    }
    state.verify_modules |= state.config.modules == config::Modules::Verified;
    if let Some(modules) = state.modules.as_mut() {
        modules.configure(&state.config.blacklist, state.verify_modules);
    }
    if let Some(why) = net_interface::missing_interface(&state.config.net) {
        state.degraded("net", &why);
    }
    debug!("configuration after {} ms: {:?}", now(), state.config.net);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_name_and_a_reason() {
        let mut names: Vec<_> = TO_THE_ROOT
            .iter()
            .chain(TO_THE_SERVICES)
            .map(|p| p.name)
            .collect();
        assert!(
            TO_THE_ROOT
                .iter()
                .chain(TO_THE_SERVICES)
                .all(|p| !p.why.is_empty())
        );
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_phase_that_fails_does_not_stop_the_next() {
        const TWO: &[Phase] = &[
            Phase {
                name: "bad",
                why: "x",
                run: |_| Err("broken".into()),
            },
            Phase {
                name: "good",
                why: "x",
                run: |m| {
                    m.config.rescue = true;
                    Ok(())
                },
            },
        ];
        let mut state = SystemState::default();
        assert_eq!(all(TWO, &mut state), Err("bad: broken".into()));
        assert!(state.config.rescue);
        assert_eq!(state.degraded.len(), 1);
    }
}
