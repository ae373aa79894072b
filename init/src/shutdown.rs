// SPDX-License-Identifier: Apache-2.0
//! The shutdown, as a table. Every phase has a time limit, except if no child can be created: PID 1 then syncs and
//! detaches the file systems itself. The next phase runs after any outcome. The root is in RAM and needs no unmount.
//!
//! A second request, by the power button or a signal, cuts the current phase short. `sync` and `unmount`, which
//! write data, ignore the request.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use control::ShutdownKind;
use log::{info, warn};
use nix::sys::reboot::{RebootMode, reboot};
use services::{Manager, Millis, ServiceDef, ServiceId};
use sys::clock::now;
use sys::service_names::runs_unit;
use sys::{kmsg, syscall};

use crate::child_end::ChildEnd;
use crate::emergency_remount::{self, Remount};
use crate::event_sources::{Event, EventSources};
use crate::service_table::names::{PODMAN, PODMAN_USER};
use crate::writeback::{self, Deadline};
use crate::{crash, mounts, processes, unmount};

mod outcome;

use outcome::Outcome;

/// One phase of the shutdown.
struct ShutdownPhase {
    /// Name in the log.
    name: &'static str,
    /// Returns true if the phase has work.
    when: fn() -> bool,
    /// Time limit in milliseconds. In `sync` and `unmount` the time counts from the last decrease
    /// of dirty data.
    within_ms: Millis,
    /// Work of the phase.
    run: fn(&mut ShutdownContext<'_>) -> Outcome,
    /// Purpose of the phase: a sentence that is true after the phase.
    why: &'static str,
}

#[rustfmt::skip]
const PHASES: &[ShutdownPhase] = &[
    ShutdownPhase { name: "sockets",    when: always,             within_ms: 1_000,  run: close_sockets,   why: "the sockets on which PID 1 listens for services, except those of podman's API, are closed: no client starts a service" },
    ShutdownPhase { name: "units",      when: always,             within_ms: 60_000, run: stop_units,      why: "the services of units (quadlets and unit files) have ended by their stop commands, each before the services that it needs" },
    ShutdownPhase { name: "api",        when: always,             within_ms: 1_000,  run: close_api,       why: "the sockets of podman's API, which stop commands may use, are closed" },
    ShutdownPhase { name: "containers", when: has_conmon,         within_ms: 15_000, run: stop_containers, why: "each container has had its stop signal and time to end, and none starts" },
    ShutdownPhase { name: "services",   when: always,             within_ms: 6_000,  run: stop_all,        why: "all services have ended, each before the services that it needs" },
    ShutdownPhase { name: "terminate",  when: always,             within_ms: 5_000,  run: terminate,       why: "all other programs have had SIGTERM and time to end" },
    ShutdownPhase { name: "kill",       when: always,             within_ms: 2_000,  run: kill,            why: "the remaining programs have had SIGKILL" },
    ShutdownPhase { name: "sync",       when: has_mounts_or_swap, within_ms: 30_000, run: run_sync,        why: "dirty data is on the disks" },
    ShutdownPhase { name: "unmount",    when: has_mounts_or_swap, within_ms: 30_000, run: run_unmount,     why: "file systems are unmounted and clean" },
];

/// Interval, in milliseconds, at which the child and the amount of dirty data are checked.
const CHILD_POLL_MS: Millis = 20;
/// Name of the process that holds a container's terminal and exit status (conmon(8)).
const CONMON: &str = "conmon";
/// Exit status of a child whose program cannot be executed, as in system(3).
const EXEC_FAILED: i32 = 127;

/// Arguments of a phase.
struct ShutdownContext<'a> {
    /// Services.
    manager: &'a mut Manager,
    /// Signals and power buttons; [`EventSources::close_for_shutdown`] has closed the other sources.
    sources: &'a mut EventSources,
    /// Time limit of the phase, in milliseconds of `CLOCK_BOOTTIME`. In `sync` and `unmount`
    /// [`ShutdownContext::wait_for_writer`] extends the limit.
    deadline: Millis,
    /// True if a second request arrived during this phase.
    cut_short: bool,
}

impl ShutdownContext<'_> {
    /// Sleeps until an event or the deadline, and settles the services. Returns false if the phase must end.
    fn poll_once(&mut self) -> bool {
        if self.must_end() {
            return false;
        }
        let events = self.poll_until(self.deadline);
        let is_request =
            |event: &Event| matches!(event, Event::ShutdownSignal(_) | Event::PowerButton);
        if events.iter().any(is_request) && !self.cut_short {
            info!("shutdown: second request; this phase waits no longer");
            self.cut_short = true;
        }
        true
    }

    fn poll_until(&mut self, until: Millis) -> Vec<Event> {
        let events = self.sources.poll_once(self.manager, Some(until));
        self.manager.settle_all(now());
        events
    }

    /// Returns true if the time limit of the phase is over, or a second request has come.
    fn must_end(&self) -> bool {
        self.cut_short || now() >= self.deadline
    }

    /// Waits for a child that writes to disks, even after a second request, and returns its end. While the amount of dirty data falls, the time limit is extended, so that
    /// a slow disk does not count as dead and no data is lost.
    fn wait_for_writer(&mut self, child: &syscall::Child) -> ChildEnd {
        let within_ms = self.deadline.saturating_sub(now());
        let mut extended = Deadline::within(i32::try_from(within_ms).unwrap_or(i32::MAX));
        self.sources.keep_status_of(child);
        while !extended.is_over() && !child.exited_within(0) {
            self.poll_until(now() + CHILD_POLL_MS);
        }
        self.sources.end_of(child)
    }
}

/// Runs every phase, then switches the machine off or restarts it.
pub fn run(kind: ShutdownKind, manager: &mut Manager, sources: &mut EventSources) -> ! {
    crash::set_shutdown(kind);
    let proc = mounts::restore_proc();
    // From here on, the console is the only place where messages can be read.
    kmsg::set_console_level(kmsg::CONSOLE_SHOWS_ALL);
    let message = format!("going down for {}", kind.word());
    kmsg::write(kmsg::ensure_console_priority(kmsg::NOTICE), &message);
    proc.unwrap_or_else(|e| warn!("{e}"));
    sources.close_for_shutdown();
    let mut context = ShutdownContext {
        manager,
        sources,
        deadline: 0,
        cut_short: false,
    };
    for phase in PHASES {
        let start = now();
        context.deadline = start.saturating_add(phase.within_ms);
        context.cut_short = false;
        let outcome = match (phase.when)() {
            true => (phase.run)(&mut context),
            false => Outcome::NothingToDo,
        };
        let took = now().saturating_sub(start);
        let outcome = outcome.describe(phase.why);
        info!("shutdown: {} took {took} ms ({outcome})", phase.name);
    }
    reboot_machine(kind)
}

fn always() -> bool {
    true
}

/// Returns true if a conmon runs, and so a container, or if the processes cannot be listed.
fn has_conmon() -> bool {
    processes::is_running(CONMON)
}

/// Returns true if a file system on a disk or on a server is mounted, if a swap area is in use, or if the
/// list of mounts cannot be read.
fn has_mounts_or_swap() -> bool {
    !unmount::nothing_to_do()
}

/// Closes the sockets of all services but those of podman's API: the stop command of a compose project is a client.
fn close_sockets(context: &mut ShutdownContext<'_>) -> Outcome {
    let is_api = |def: &ServiceDef| [PODMAN, PODMAN_USER].contains(&def.name);
    context.manager.close_sockets(is_api);
    Outcome::Done
}

fn close_api(context: &mut ShutdownContext<'_>) -> Outcome {
    context.manager.close_sockets(|_| false);
    Outcome::Done
}

/// Stops the services that were made from units (quadlets and unit files). This phase precedes `containers`: the
/// stop commands call podman, which `b2p containers-stop` makes unusable.
fn stop_units(context: &mut ShutdownContext<'_>) -> Outcome {
    let supervisor = context.manager.supervisor();
    let is_unit = |id: &ServiceId| {
        let def = supervisor.definition(*id);
        supervisor.is_user_service(*id) && def.is_some_and(|def| runs_unit(def.argv))
    };
    let units: Vec<ServiceId> = supervisor.ids().filter(is_unit).collect();
    if units.is_empty() {
        return Outcome::NothingToDo;
    }
    for id in &units {
        context.manager.note(now(), services::Input::Stop(*id));
    }
    context.manager.settle_all(now());
    let at_rest = |context: &ShutdownContext<'_>| {
        let supervisor = context.manager.supervisor();
        units.iter().all(|id| supervisor.state(*id).at_rest())
    };
    wait_for_rest(context, at_rest)
}

/// Waits until `at_rest` returns true, or the phase must end.
fn wait_for_rest(
    context: &mut ShutdownContext<'_>,
    at_rest: impl Fn(&ShutdownContext<'_>) -> bool,
) -> Outcome {
    while !at_rest(context) && context.poll_once() {}
    match at_rest(context) {
        true => Outcome::Done,
        false => Outcome::unfinished(context.cut_short),
    }
}

/// Runs `b2p containers-stop`, a program that knows conmon and reads JSON. That program marks no
/// container as stopped by a person, so that restart policies apply at the next boot, and bind-mounts a
/// program that refuses to run over /usr/bin/podman, so that no container starts.
fn stop_containers(context: &mut ShutdownContext<'_>) -> Outcome {
    let stop = || {
        // The kernel passes unknown parameters to PID 1 as environment variables (bootparam(7)); programs must not
        // inherit them.
        let mut program = Command::new(sys::paths::B2P);
        let error = program.arg("containers-stop").env_clear().exec();
        warn!("{}: {error}", sys::paths::B2P);
        syscall::exit(EXEC_FAILED);
    };
    // Without memory for a child, containers are terminated with all other programs.
    let Some(child) = syscall::in_child(stop) else {
        return Outcome::NoMemory;
    };
    context.sources.keep_status_of(&child);
    while !child.exited_within(0) && context.poll_once() {}
    let end = context.sources.end_of(&child);
    if end == ChildEnd::Running {
        warn!(
            "shutdown: containers-stop has not ended, and is killed: containers may not have had their stop signal"
        );
        child.kill();
    }
    Outcome::of_child(end, context.cut_short)
}

fn stop_all(context: &mut ShutdownContext<'_>) -> Outcome {
    context.manager.note(now(), services::Input::StopAll);
    context.manager.settle_all(now());
    wait_for_rest(context, |context| context.manager.supervisor().at_rest())
}

/// Sends SIGTERM to every process, and SIGCONT, because a stopped process handles SIGTERM only after it continues.
fn terminate(context: &mut ShutdownContext<'_>) -> Outcome {
    syscall::signal_all_processes(libc::SIGTERM);
    syscall::signal_all_processes(libc::SIGCONT);
    wait_until_none(context);
    // The purpose is achieved even if programs still run, unless a second request shortened their time.
    match context.cut_short {
        true => Outcome::CutShort,
        false => Outcome::Done,
    }
}

fn kill(context: &mut ShutdownContext<'_>) -> Outcome {
    syscall::signal_all_processes(libc::SIGKILL);
    wait_until_none(context);
    if let Some(left) = processes::list_remaining() {
        warn!("shutdown: processes remain after SIGKILL: {left}");
    }
    Outcome::Done
}

/// Waits until no process is left, or the phase must end. An orphan becomes a child of PID 1, so
/// SIGCHLD wakes the loop; the deadline bounds every other case.
fn wait_until_none(context: &mut ShutdownContext<'_>) {
    context.sources.reap_children(context.manager);
    while processes::list_remaining().is_some() && context.poll_once() {}
}

/// Syncs in a child, because syncfs(2) of a disk that is gone may never return.
fn run_sync(context: &mut ShutdownContext<'_>) -> Outcome {
    // Without memory for a child, PID 1 syncs and accepts that a dead disk may block it.
    let Some(child) = syscall::in_child(|| exit_with(writeback::sync_all())) else {
        return Outcome::of_child(ChildEnd::of(writeback::sync_all()), false);
    };
    let end = context.wait_for_writer(&child);
    if end == ChildEnd::Running {
        warn!("shutdown: sync: a disk does not answer");
    }
    Outcome::of_child(end, false)
}

/// Unmounts in a child, because a file server that is gone can block umount(2) for ever. Without
/// memory for a child, the file systems are only detached.
fn run_unmount(context: &mut ShutdownContext<'_>) -> Outcome {
    let work = || {
        let unmounted = unmount::unmount_all();
        let remount = match syscall::in_initial_namespaces() {
            true => emergency_remount::make_read_only(),
            false => Remount::NotNeeded,
        };
        exit_with(are_clean(unmounted, remount));
    };
    let Some(child) = syscall::in_child(work) else {
        unmount::detach_all();
        return Outcome::NoMemory;
    };
    let end = context.wait_for_writer(&child);
    if end == ChildEnd::Running {
        warn!("shutdown: unmount: not done in time");
    }
    Outcome::of_child(end, false)
}

/// Returns true if the file systems on disks are clean. The emergency remount also reaches file systems
/// that a mount has kept busy.
fn are_clean(unmounted: bool, remount: Remount) -> bool {
    match remount {
        Remount::Done => true,
        Remount::NotNeeded => unmounted,
        Remount::Failed => false,
    }
}

/// Ends a child with the exit status that its parent takes for the outcome.
fn exit_with(succeeded: bool) -> ! {
    syscall::exit(i32::from(!succeeded))
}

/// Calls reboot(2) with the requested mode, then with power-off and halt, until one succeeds; a repeated attempt does
/// no harm. Without CAP_SYS_BOOT, PID 1 exits if it runs in a pid namespace, which ends the container only.
fn reboot_machine(kind: ShutdownKind) -> ! {
    let first = kind.reboot_mode();
    for mode in [first, RebootMode::RB_POWER_OFF, RebootMode::RB_HALT_SYSTEM] {
        // The call returns only in the case of a failure.
        let Err(e) = reboot(mode);
        warn!("reboot(2) {mode:?}: {e}");
    }
    if syscall::in_other_pid_namespace() {
        syscall::exit(0);
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_clean_by_unmount_or_by_the_emergency_remount() {
        for (unmounted, remount, clean) in [
            (true, Remount::NotNeeded, true),
            (false, Remount::NotNeeded, false),
            (false, Remount::Done, true),
            (true, Remount::Failed, false),
        ] {
            assert_eq!(are_clean(unmounted, remount), clean, "{remount:?}");
        }
    }

    #[test]
    fn every_phase_has_a_time_limit() {
        assert!(PHASES.iter().all(|p| (1..=60_000).contains(&p.within_ms)));
    }
}
