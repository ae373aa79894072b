// SPDX-License-Identifier: Apache-2.0
//! Phases of the boot, in the order in which they run. Read this file first.
//!
//! A phase that fails is logged as degraded with its reason, and the next phase runs. If no userland is
//! found, PID 1 starts a rescue shell; the later phases and the services do not run. [`crate::startup`]
//! runs the phases, then starts the services.
//!
//! A degraded line reports a part of the machine that was requested and does not work.

use std::path::Path;
use std::time::Duration;

use config::Config;
use log::{debug, info};
use sys::clock::{now, since_boot};
use sys::error::{Doing, Error, Result};
use sys::modules::Modules;
use sys::uevent::{self, UeventSocket};
use sys::{config_sources, kmsg, net, syscall};

use crate::event_sources::EventSources;
use crate::service_table::names;
use crate::state::{PhaseTime, SystemState};
use crate::{
    cgroups, crypto_selftests, identity, mounts, net_interface, root, service_table, session,
    sysctl, template, user,
};

// Names of the phases that other modules use: after a crash, or when the configuration changes, they replace the
// degraded lines of these phases. The names of the other phases are in the rows.
/// Phase that opens the socket of uevents and loads early drivers.
pub const DEVICES: &str = "devices";
/// Phase that sets the host name.
pub const HOSTNAME: &str = "hostname";
/// Phase that writes the keys that may log in.
pub const KEYS: &str = "keys";
/// Phase that makes the user who may log in, and the environment of all users.
pub const SESSIONS: &str = "sessions";

/// One phase of the boot.
pub struct BootPhase {
    /// Name in the log, in degraded lines and in `b2p boot`.
    pub name: &'static str,
    /// Returns true if the phase has work on this machine.
    pub when: fn(&Config) -> bool,
    /// Work of the phase.
    pub run: fn(&mut SystemState) -> Result<()>,
    /// Purpose of the phase: a sentence that is true after the phase has succeeded.
    pub why: &'static str,
}

/// Phases from the kernel's start of PID 1 to a root that programs can run in.
#[rustfmt::skip]
pub const ROOT_PHASES: &[BootPhase] = &[
    BootPhase { name: "mount-api",     when: always,                               run: |_| mounts::mount_api(),                     why: "/proc, /sys, /dev and /run are mounted; every later phase uses them" },
    BootPhase { name: "early-flags",   when: always,                               run: read_early_flags_and_start_log,              why: "the flags of the command line and of SMBIOS are known, and later messages are in the kernel log" },
    BootPhase { name: "expedite-boot", when: outside_container,                    run: expedite_boot,                               why: "RCU grace periods are short until the machine is ready, and the kernel's crypto self-tests use idle time only" },
    BootPhase { name: "root-modules",  when: outside_container,                    run: load_root_modules,                           why: "the kernel has erofs, for the userland image, and overlayfs, for the writable root" },
    BootPhase { name: "root",          when: outside_container,                    run: |_| root::assemble(),                        why: "/ is the userland: a read-only image in RAM with a writable tmpfs above it" },
];

/// Phases in the new root that prepare the kernel's interfaces. These phases do not depend on the configuration.
#[rustfmt::skip]
pub const USERLAND_PHASES: &[BootPhase] = &[
    BootPhase { name: "mounts",        when: always,                               run: |_| mounts::mount_rest(),                    why: "devpts, /dev/shm, cgroup2 and tracefs are mounted" },
    BootPhase { name: "cgroups",       when: always,                               run: create_cgroups,                              why: "the controllers of cgroup v2 are enabled, and PID 1 is in a leaf cgroup" },
    BootPhase { name: "loopback",      when: always,                               run: |_| net::set_up("lo").doing("lo"),           why: "lo has 127.0.0.1 and ::1" },
];

/// Phases that configure this machine; the services start after these phases. A template is a virtual
/// machine whose memory a host copies. A template skips the phases with `not_template`, which create the
/// identity of a machine, or touch the parts that differ between copies: network cards and fw_cfg. Each copy
/// runs the whole table when its service `template` ends (the reaction `leave_template`).
#[rustfmt::skip]
pub const CONFIGURATION_PHASES: &[BootPhase] = &[
    BootPhase { name: DEVICES,         when: not_template,                         run: open_uevents_and_load_drivers,               why: "fw_cfg, power buttons and network cards get their drivers, and later uevents are received" },
    BootPhase { name: "flags",         when: not_template,                         run: read_and_apply_host_flags,                   why: "the flags of fw_cfg apply, whose driver the phase `devices` has loaded" },
    BootPhase { name: "network-card",  when: not_template,                         run: list_missing_card,                           why: "a network card that flags request and that is missing is listed as degraded" },
    BootPhase { name: "sysctl",        when: always,                               run: set_sysctls,                                 why: "containers have the limits that they need, and packets are forwarded to them" },
    BootPhase { name: "port-markers",  when: |config| config.host_publishes_ports, run: |_| identity::write_port_markers(),          why: "podman asks the host to publish the ports of containers, as in a podman machine" },
    BootPhase { name: HOSTNAME,        when: always,                               run: set_hostname,                                why: "prompts, logs, DHCP and podman use the host name" },
    BootPhase { name: "varlink-links", when: |config| config.varlink,              run: |_| service_table::link_registry(),          why: "clients of varlink find the socket of an interface by its name" },
    BootPhase { name: "machine-id",    when: not_template,                         run: |_| identity::write_machine_id(),            why: "programs can tell machines apart" },
    BootPhase { name: "clock-minimum", when: outside_container,                    run: |_| identity::correct_clock(),               why: "the clock shows 2026 or later, so that TLS certificates are not rejected as not yet valid" },
    BootPhase { name: KEYS,            when: not_template,                         run: |state| identity::write_keys(&state.config), why: "sshd finds the keys that may log in" },
    BootPhase { name: "docker-socket", when: always,                               run: link_docker_socket,                          why: "docker's clients find podman's API at /run/docker.sock" },
    BootPhase { name: SESSIONS,        when: always,                               run: prepare_sessions,                            why: "people who log in have a name, a home and an environment" },
];

/// Makes the link to podman's socket. A failure is a warning only: the creator of a container may have mounted a
/// socket of the host at this path.
fn link_docker_socket(state: &mut SystemState) -> Result<()> {
    session::link_docker_socket(&state.config, None);
    Ok(())
}

/// Makes the user, and the environment of all users.
fn prepare_sessions(state: &mut SystemState) -> Result<()> {
    let user = user::make(&state.config);
    // The environment is written even if the user could not be made.
    let outcomes = [user, sys::session::write_environment(&state.config)];
    Error::join(outcomes.into_iter().filter_map(Result::err).collect())
}

fn always(_: &Config) -> bool {
    true
}

fn not_template(config: &Config) -> bool {
    !template::is_template(config)
}

fn outside_container(_: &Config) -> bool {
    root::outside_container()
}

/// Runs [`CONFIGURATION_PHASES`], then gives the uevent socket, the child that loads drivers and the power buttons to the
/// event loop.
pub fn configure_machine(state: &mut SystemState, sources: &mut EventSources) {
    // The failures are in the degraded list.
    let _ = run_phases(CONFIGURATION_PHASES, state);
    sources.uevents = state.uevents.take();
    sources.early_drivers = state.early_drivers.take();
    sources.buttons.open_all();
}

/// Runs each phase that has work, also after a failure, and returns the first failure.
pub fn run_phases(phases: &[BootPhase], state: &mut SystemState) -> Result<()> {
    let mut result = Ok(());
    for phase in phases {
        let start = since_boot();
        let (name, why) = (phase.name, phase.why);
        if !(phase.when)(&state.config) {
            debug!("phase {name}: nothing to do");
            continue;
        }
        let outcome = (phase.run)(state);
        let took = since_boot().saturating_sub(start);
        state.phases.push(PhaseTime {
            name,
            start_us: micros(start),
            took_us: micros(took),
        });
        match &outcome {
            Ok(()) => debug!("phase {name} took {} us: {why}", took.as_micros()),
            Err(_) => debug!("phase {name} failed after {} us", took.as_micros()),
        }
        // If a phase runs again, in a copy of a template or after a crash, its new outcome replaces its degraded line.
        state.degraded.set_err(name, outcome.as_ref().map(drop));
        result = result.and(outcome.doing(name));
    }
    result
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn read_early_flags_and_start_log(state: &mut SystemState) -> Result<()> {
    // The sysctl kernel.printk_devkmsg is set before the first line, because the kernel otherwise
    // drops all but ten lines in five seconds. The kernel ignores the value without a newline.
    let _ = std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
    state.config = config_sources::read_early();
    state.verify_modules = state.config.modules == config::Modules::Verified;
    kmsg::init_logger(kmsg::level_filter(state.config.loglevel));
    let version = env!("CARGO_PKG_VERSION");
    info!("{version} starts {} ms after the kernel", state.started);
    Ok(())
}

fn expedite_boot(_: &mut SystemState) -> Result<()> {
    syscall::expedite_rcu(true);
    crypto_selftests::deprioritize();
    Ok(())
}

fn load_root_modules(state: &mut SystemState) -> Result<()> {
    root::load_root_modules(&mut state.verify_modules)
}

fn create_cgroups(_: &mut SystemState) -> Result<()> {
    cgroups::create(Path::new(cgroups::ROOT))
}

/// Subject of the degraded line about early drivers ([`load_early_drivers`]).
pub const EARLY_DRIVERS: &str = "drivers";
/// Time limit for loading early drivers, in milliseconds.
const EARLY_DRIVERS_MS: i32 = 5_000;

/// Opens the socket of uevents, then loads early drivers. The socket is open before the pass over sysfs, so that a
/// device that appears between the two is received. In a container no driver is loaded.
fn open_uevents_and_load_drivers(state: &mut SystemState) -> Result<()> {
    let mut errors = Vec::new();
    match UeventSocket::open().doing("open the uevent socket, without which hot-plug does not work")
    {
        Ok(uevents) => state.uevents = Some(uevents),
        Err(error) => errors.push(error),
    }
    if root::outside_container() {
        errors.extend(load_early_drivers(state).err());
    }
    Error::join(errors)
}

/// Loads the drivers that services wait for ([`uevent::is_early`]) in a child: a driver that hangs
/// on its hardware must not hang PID 1.
fn load_early_drivers(state: &mut SystemState) -> Result<()> {
    let mut modules = Modules::open(Path::new("/"))?;
    modules.configure(&state.config.blacklist, state.verify_modules);
    let load = || {
        uevent::coldplug(Path::new(uevent::SYSFS), &mut modules, uevent::is_early);
    };
    match syscall::in_child(load) {
        Some(child) if child.exited_within(EARLY_DRIVERS_MS) => {}
        Some(child) => {
            let seconds = EARLY_DRIVERS_MS / 1000;
            let why = format!("still being loaded after {seconds} s; a device may hang");
            state.degraded.add(EARLY_DRIVERS, why);
            state.early_drivers = Some(child);
        }
        None => state.degraded.add(
            EARLY_DRIVERS,
            "not loaded: the kernel could create no process that loads them",
        ),
    }
    state.modules = Some(modules);
    Ok(())
}

/// Copies the settings of fw_cfg to files, where helpers read them. Reads every source of flags that exists now (the
/// data disk is not mounted yet) and applies the flags of PID 1 itself: the log level, and the blacklist and signatures
/// of modules.
fn read_and_apply_host_flags(state: &mut SystemState) -> Result<()> {
    let copied = config_sources::copy_fw_cfg();
    let (config, diagnostics) = config_sources::read();
    state.config = config;
    state.degraded.set_flags(&diagnostics);
    apply_flags(state);
    debug!(
        "flags: read {} ms after the kernel; net: {:?}",
        now(),
        state.config.net
    );
    copied
}

/// Adds a line of the service `net` if no card can get the requested configuration. The phase itself succeeds: the
/// reaction `update-network-line` removes the line once a card appears.
fn list_missing_card(state: &mut SystemState) -> Result<()> {
    if let Some(why) = net_interface::missing_interface(&state.config.net) {
        state.degraded.add(names::NET, why);
    }
    Ok(())
}

fn apply_flags(state: &mut SystemState) {
    log::set_max_level(kmsg::level_filter(state.config.loglevel));
    state.verify_modules |= state.config.modules == config::Modules::Verified;
    if let Some(modules) = state.modules.as_mut() {
        modules.configure(&state.config.blacklist, state.verify_modules);
    }
}

/// Writes the sysctls. In a container, a setting that the kernel refuses keeps the value that the
/// container's creator chose.
fn set_sysctls(_: &mut SystemState) -> Result<()> {
    if root::in_container() && sysctl::are_read_only() {
        debug!("sysctls are read-only, and stay as they are");
        return Ok(());
    }
    match sysctl::apply() {
        Err(error) if root::in_container() => {
            debug!("refused sysctls keep the values of the container's creator: {error}");
            Ok(())
        }
        applied => applied,
    }
}

fn set_hostname(state: &mut SystemState) -> Result<()> {
    sys::hostname::set(&state.config.hostname, &sys::files::replace_at_once)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_reason_and_a_name_of_its_own() {
        let phases = || {
            [ROOT_PHASES, USERLAND_PHASES, CONFIGURATION_PHASES]
                .into_iter()
                .flatten()
        };
        assert!(phases().all(|phase| !phase.why.is_empty()));
        let mut names: Vec<_> = phases().map(|phase| phase.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_phase_that_fails_does_not_stop_the_next() {
        const PHASES: &[BootPhase] = &[
            BootPhase {
                name: "bad",
                when: always,
                run: |_| Err(Error::invalid("broken")),
                why: "x",
            },
            BootPhase {
                name: "good",
                when: always,
                run: |state| {
                    state.config.rescue = true;
                    Ok(())
                },
                why: "x",
            },
            BootPhase {
                name: "skipped",
                when: |_| false,
                run: |_| Err(Error::invalid("not to be run")),
                why: "x",
            },
        ];
        let mut state = SystemState::default();
        let outcome = run_phases(PHASES, &mut state).map_err(|error| error.to_string());
        assert_eq!(outcome, Err("bad: broken".to_owned()));
        assert!(state.config.rescue);
        assert_eq!(state.degraded.iter().count(), 1);
        assert_eq!(state.phases.len(), 2);
    }
}
