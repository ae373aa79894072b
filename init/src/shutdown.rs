// SPDX-License-Identifier: Apache-2.0
//! The shutdown, as a table: every phase has a time limit, and whatever happens in a phase, the
//! next one runs. The root is in RAM and needs no unmount.
//!
//! A second request (of the power button or by a signal) ends the current phase's wait for
//! programs, and the next phase begins.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use control::ShutdownKind;
use log::{info, warn};
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use services::{Manager, Millis};
use sys::clock::now;
use sys::{kmsg, syscall};

use crate::event_sources::{Event, EventSources};
use crate::{crash, emergency_remount, mounts, unmount};

/// One phase of the shutdown.
struct Phase {
    /// Name in the log.
    name: &'static str,
    /// Returns true if the phase has anything to do.
    when: fn() -> bool,
    /// Time limit in milliseconds. In `sync` and `unmount` the time counts from the last decrease
    /// of dirty data.
    within_ms: Millis,
    /// Work of the phase. Returns true if the phase has achieved its purpose.
    run: fn(&mut ShutdownContext<'_>) -> bool,
    /// Purpose of the phase: what holds after it.
    why: &'static str,
}

#[rustfmt::skip]
const PHASES: &[Phase] = &[
    Phase { name: "accept",     when: always,          within_ms: 1_000,  run: close_sockets,   why: "no new client: the listening sockets of services are closed" },
    Phase { name: "containers", when: containers_run,  within_ms: 15_000, run: stop_containers, why: "every container has had its stop signal and ten seconds to end, and no new one starts" },
    Phase { name: "services",   when: always,          within_ms: 6_000,  run: stop_all,        why: "services have ended, each before the services that it needs" },
    Phase { name: "terminate",  when: always,          within_ms: 5_000,  run: terminate,       why: "all other programs have had SIGTERM and time to end" },
    Phase { name: "kill",       when: always,          within_ms: 2_000,  run: kill,            why: "the remaining programs have had SIGKILL" },
    Phase { name: "sync",       when: disks_are_used,  within_ms: 30_000, run: run_sync,        why: "dirty data is on the disks, however slow they are" },
    Phase { name: "unmount",    when: disks_are_used,  within_ms: 30_000, run: run_unmount,     why: "file systems are clean; a file server that is gone does not stop the shutdown" },
];

/// Time between two looks at a child and at the data that it writes, in milliseconds.
const CHILD_POLL_MS: Millis = 20;
/// Priority of the message that begins the shutdown, a notice (syslog(3)).
const NOTICE: u8 = 5;
/// Flag of kernel threads in the stat file of a process (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// Services, events and deadline that a phase works with.
struct ShutdownContext<'a> {
    manager: &'a mut Manager,
    sources: &'a mut EventSources,
    deadline: Millis,
    /// Somebody has requested the shutdown again during this phase.
    hurried: bool,
}

impl ShutdownContext<'_> {
    /// Waits for one wake-up and settles the services. Returns false if the phase has expired.
    fn poll_once(&mut self) -> bool {
        if self.expired() {
            return false;
        }
        let events = self.poll_until(self.deadline);
        let is_request =
            |event: &Event| matches!(event, Event::ShutdownSignal(_) | Event::PowerButton);
        if events.iter().any(is_request) && !self.hurried {
            info!("shutdown: second request; this phase waits no longer");
            self.hurried = true;
        }
        true
    }

    fn poll_until(&mut self, until: Millis) -> Vec<Event> {
        let events = self.sources.poll_once(self.manager, Some(until));
        self.manager.settle_all(now());
        events
    }

    fn expired(&self) -> bool {
        self.hurried || now() >= self.deadline
    }

    /// Waits for a child that writes to disks, even after a second request; returns true if the
    /// child has ended. While the amount of dirty data falls, the deadline moves, so that a slow
    /// disk is not taken for a dead one and no data is lost.
    fn wait_for_child(&mut self, child: &syscall::Child) -> bool {
        let within_ms = self.deadline.saturating_sub(now());
        let mut least = u64::MAX;
        while now() < self.deadline && !child.exited_within(0) {
            self.poll_until((now() + CHILD_POLL_MS).min(self.deadline));
            // Without memory the file cannot be read, which says nothing of the disk.
            let meminfo = fs::read_to_string("/proc/meminfo").ok();
            let left = meminfo.and_then(|text| dirty_kib(&text));
            if let Some(left) = left.filter(|left| *left < least) {
                least = left;
                self.deadline = now().saturating_add(within_ms);
            }
        }
        child.exited_within(0)
    }
}

/// Runs every phase, then switches the machine off or restarts it.
pub fn run(kind: ShutdownKind, manager: &mut Manager, sources: &mut EventSources) -> ! {
    crash::set_shutdown(kind);
    let proc = mounts::restore_proc();
    // From here on, the console is the only place where messages can be read.
    kmsg::set_console_level(kmsg::CONSOLE_SHOWS_ALL);
    let message = format!("going down for {kind:?}");
    kmsg::write(kmsg::ensure_console_priority(NOTICE), &message);
    proc.unwrap_or_else(|e| warn!("{e}"));
    sources.close_for_shutdown();
    let mut context = ShutdownContext {
        manager,
        sources,
        deadline: 0,
        hurried: false,
    };
    for phase in PHASES {
        let start = now();
        context.deadline = start.saturating_add(phase.within_ms);
        context.hurried = false;
        let done = (phase.when)().then(|| (phase.run)(&mut context));
        let outcome = outcome(phase, done, context.hurried);
        let took = now().saturating_sub(start);
        info!("shutdown: {} took {took} ms ({outcome})", phase.name);
    }
    reboot_machine(kind)
}

/// Describes what a phase has achieved: `done` is the value of its `run`, or `None` if it had nothing
/// to do.
fn outcome(phase: &Phase, done: Option<bool>, hurried: bool) -> &'static str {
    match done {
        None => "nothing to do",
        Some(true) => phase.why,
        Some(false) if hurried => "not done: a second request ended it",
        Some(false) => "not done: out of time or memory",
    }
}

fn always() -> bool {
    true
}

fn containers_run() -> bool {
    user_processes().is_some_and(|names| names.contains("conmon["))
}

fn disks_are_used() -> bool {
    !unmount::nothing_to_do()
}

fn close_sockets(context: &mut ShutdownContext<'_>) -> bool {
    context.manager.close_sockets();
    true
}

/// Runs `b2p containers-stop`, a program that knows conmon and reads JSON. It marks no container
/// as stopped by a person, so that restart policies hold at the next boot, and covers
/// /usr/bin/podman, so that no new container starts.
fn stop_containers(context: &mut ShutdownContext<'_>) -> bool {
    let stop = || {
        // The environment holds kernel parameters (bootparam(7)), which are not for programs.
        let mut stop = Command::new(sys::paths::B2P);
        let error = stop.arg("containers-stop").env_clear().exec();
        warn!("{}: {error}", sys::paths::B2P);
    };
    // Without memory for a child, containers are terminated with all other programs.
    let Some(child) = syscall::in_child(stop) else {
        return false;
    };
    while !child.exited_within(0) && context.poll_once() {}
    let done = child.exited_within(0);
    if !done {
        warn!(
            "shutdown: containers-stop has not ended, and is killed: containers may not have had their stop signal"
        );
        child.kill();
    }
    done
}

fn stop_all(context: &mut ShutdownContext<'_>) -> bool {
    context.manager.note(now(), services::Input::StopAll);
    context.manager.settle_all(now());
    while !context.manager.supervisor().at_rest() && context.poll_once() {}
    context.manager.supervisor().at_rest()
}

/// Sends SIGTERM to every process, and SIGCONT, without which a stopped process does not see it.
fn terminate(context: &mut ShutdownContext<'_>) -> bool {
    syscall::signal_all_processes(libc::SIGTERM);
    syscall::signal_all_processes(libc::SIGCONT);
    wait_until_none(context);
    // Programs that have not ended have had their time, unless somebody cut it short.
    !context.hurried
}

fn kill(context: &mut ShutdownContext<'_>) -> bool {
    syscall::signal_all_processes(libc::SIGKILL);
    wait_until_none(context);
    if let Some(left) = user_processes() {
        warn!("still there after SIGKILL: {left}");
    }
    true
}

/// Waits until no process is left, or the phase expires. An orphan becomes a child of PID 1, so
/// SIGCHLD wakes the loop; the deadline bounds every other case.
fn wait_until_none(context: &mut ShutdownContext<'_>) {
    context.sources.reap_children(context.manager);
    while user_processes().is_some() && context.poll_once() {}
}

/// Returns `name[pid]` of every process except PID 1, kernel threads and zombies; `None` if there
/// is none, or if /proc cannot be read in three attempts.
fn user_processes() -> Option<String> {
    // A single error must not be taken for an empty list, which would cut short the time that
    // programs have to end.
    let pids = (0..3).find_map(|_| pids(Path::new("/proc")).ok())?;
    let names: Vec<String> = pids.into_iter().filter_map(process_name).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// Returns the pids of all processes except PID 1.
fn pids(proc: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(proc)? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok());
        pids.extend(pid.filter(|pid| *pid != 1));
    }
    Ok(pids)
}

/// Returns `name[pid]` unless the process is a kernel thread, or has ended (ESRCH if its file was
/// open already).
fn process_name(pid: u32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => user_process(&stat).map(|name| format!("{name}[{pid}]")),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH) => None,
            _ => Some(format!("?[{pid}]")),
        },
    }
}

/// Returns the name in a line of proc_pid_stat(5), unless the process is a kernel thread or a
/// zombie.
fn user_process(stat: &str) -> Option<&str> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    (state != "Z" && flags & PF_KTHREAD == 0).then_some(name)
}

/// Returns the amount of dirty data and of data under writeback, in KiB (proc_meminfo(5)); `None`
/// if the text does not have both.
fn dirty_kib(meminfo: &str) -> Option<u64> {
    let value = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(value("Dirty:")? + value("Writeback:")?)
}

/// Syncs in a child, because a disk that is gone can block sync(2) for ever.
fn run_sync(context: &mut ShutdownContext<'_>) -> bool {
    // Without memory for a child, PID 1 calls sync(2) and accepts that a dead disk may block it.
    let Some(child) = syscall::in_child(unmount::sync_disks) else {
        unmount::sync_disks();
        return true;
    };
    let done = context.wait_for_child(&child);
    if !done {
        warn!("sync: a disk does not answer");
    }
    done
}

/// Unmounts in a child, because a file server that is gone can block umount(2) for ever. Without
/// memory for a child, the file systems are only detached.
fn run_unmount(context: &mut ShutdownContext<'_>) -> bool {
    let work = || {
        unmount::unmount_all();
        if syscall::in_initial_namespaces() {
            emergency_remount::make_read_only();
        }
    };
    let Some(child) = syscall::in_child(work) else {
        unmount::detach_all();
        return false;
    };
    let done = context.wait_for_child(&child);
    if !done {
        warn!("unmount: not done in time");
    }
    done
}

/// Calls reboot(2) with the requested mode, then with power-off and halt, until one succeeds.
fn reboot_machine(kind: ShutdownKind) -> ! {
    let first = kind.reboot_mode();
    for mode in [first, RebootMode::RB_POWER_OFF, RebootMode::RB_HALT_SYSTEM] {
        // The call returns only if it fails.
        let Err(e) = reboot(mode);
        warn!("reboot(2) {mode:?}: {e}");
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_claims_its_purpose_only_if_it_was_achieved() {
        for phase in PHASES {
            assert_eq!(outcome(phase, Some(true), true), phase.why);
            for (done, hurried, text) in [
                (None, false, "nothing to do"),
                (Some(false), false, "not done: out of time or memory"),
                (Some(false), true, "not done: a second request ended it"),
            ] {
                assert_eq!(outcome(phase, done, hurried), text, "{}", phase.name);
            }
        }
    }

    #[test]
    fn kernel_threads_and_zombies_do_not_count() {
        assert_eq!(
            user_process("7 (a) b) S 1 1 1 0 -1 4194304 0"),
            Some("a) b")
        );
        assert_eq!(user_process("7 (kworker/0:1) I 2 0 0 0 -1 2129984 0"), None);
        assert_eq!(user_process("7 (sh) Z 1 1 1 0 -1 4194304 0"), None);
        assert_eq!(user_process("nonsense"), None);
    }

    #[test]
    fn processes_are_the_numbers_but_1() {
        let dir = std::env::temp_dir().join(format!("b2p-pids-{}", std::process::id()));
        for name in ["1", "7", "self", "30x"] {
            fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        assert_eq!(pids(&dir).ok(), Some(vec![7]));
        fs::remove_dir_all(&dir).expect("it is there");
        assert!(pids(&dir).is_err());
    }

    #[test]
    fn what_is_unwritten_is_dirty_or_on_its_way() {
        let text = "MemTotal: 9 kB\nDirty:      12 kB\nWriteback:   3 kB\nWritebackTmp: 7 kB\n";
        assert_eq!(dirty_kib(text), Some(15));
        for unreadable in ["", "Dirty: much\nWriteback: 3 kB\n", "Dirty: 12 kB\n"] {
            assert_eq!(dirty_kib(unreadable), None, "{unreadable:?}");
        }
    }

    #[test]
    fn every_phase_has_a_time_limit() {
        assert!(PHASES.iter().all(|p| (1..=60_000).contains(&p.within_ms)));
    }
}
