//! The end, as a list: every phase has a deadline, and whatever happens in one,
//! the next comes. The root is RAM and is simply left.
//!
//! Asked once more (a second press of the button, another signal), the phase that
//! waits for others to end by themselves is over at once, and the next begins.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use log::{info, warn};
use nix::sys::reboot::{RebootMode, reboot};
use services::{Event, Manager, Millis};

use crate::events::{EventSources, poll_once, reap_children};
use crate::{crash, mounts, unmount};
use control::ShutdownKind;
use sys::clock::now;
use sys::{kmsg, syscall};

/// One phase of the end.
struct Phase {
    name: &'static str,
    /// Milliseconds after which the next comes.
    within: Millis,
    run: fn(&mut ShutdownContext<'_>),
    why: &'static str,
}

#[rustfmt::skip]
const PHASES: &[Phase] = &[
    Phase { name: "accept",     within: 1_000,  run: accept,     why: "nothing new comes in: the sockets that PID 1 holds are closed" },
    Phase { name: "containers", within: 15_000, run: containers, why: "each gets its own stop signal and podman's ten seconds; none is marked as stopped by a person, so restart policies hold" },
    Phase { name: "services",   within: 6_000,  run: services,   why: "what needs another ends before it" },
    Phase { name: "terminate",  within: 5_000,  run: terminate,  why: "everything else may end by itself (SIGTERM, and SIGCONT so that stopped ones see it)" },
    Phase { name: "kill",       within: 2_000,  run: kill,       why: "what did not" },
    Phase { name: "sync",       within: 30_000, run: sync,       why: "what is written is on the disk, however slow it is: the time counts from its last progress" },
    Phase { name: "unmount",    within: 30_000, run: unmount,    why: "the disks' file systems are clean; a server that is gone must not hold the machine" },
];

/// What a phase works with.
struct ShutdownContext<'a> {
    manager: &'a mut Manager,
    sources: &'a mut EventSources,
    deadline: Millis,
    /// Asked once more during this phase.
    urged: bool,
}

impl ShutdownContext<'_> {
    /// One turn of services and signals; `false` when the phase is over.
    fn poll_once(&mut self) -> bool {
        if self.expired() {
            return false;
        }
        let asked = poll_once(self.manager, self.sources, Some(self.deadline)).asked;
        if asked.is_some() && !self.urged {
            info!("shutdown: asked once more, and goes on without waiting");
            self.urged = true;
        }
        true
    }

    fn expired(&self) -> bool {
        self.urged || now() >= self.deadline
    }

    /// Waits for a child, however often somebody asks; `false` if it was not done.
    /// While there is less and less to write, the deadline moves on: a slow disk
    /// is not a dead one, and nothing of it is to be lost.
    fn wait_for_child(&mut self, child: &syscall::Child) -> bool {
        let within = self.deadline.saturating_sub(now());
        let mut least = u64::MAX;
        while now() < self.deadline && !child.exited_within(0) {
            let soon = (now() + 20).min(self.deadline);
            poll_once(self.manager, self.sources, Some(soon));
            let left = unwritten(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
            if left < least {
                least = left;
                self.deadline = now().saturating_add(within);
            }
        }
        child.exited_within(0)
    }
}

/// Runs the list, then ends the machine. Never returns.
pub fn run(kind: ShutdownKind, manager: &mut Manager, sources: &mut EventSources) -> ! {
    crash::set_shutdown(kind);
    let proc = mounts::restore_proc();
    kmsg::set_console_level(kmsg::CONSOLE_SHOWS_ALL);
    kmsg::write(
        kmsg::console_visible(5),
        &format!("going down for {kind:?}"),
    );
    proc.unwrap_or_else(|e| warn!("{e}"));
    sources.uevents = None; // nobody reads them any more
    sources.control = None;
    let mut context = ShutdownContext {
        manager,
        sources,
        deadline: 0,
        urged: false,
    };
    for phase in PHASES {
        let start = now();
        context.deadline = start.saturating_add(phase.within);
        context.urged = false;
        (phase.run)(&mut context);
        let took = now().saturating_sub(start);
        info!("shutdown: {} took {took} ms ({})", phase.name, phase.why);
    }
    power(kind)
}

/// Stops every service, the last first, and waits for their ends until `deadline`.
pub fn stop(manager: &mut Manager, sources: &mut EventSources, deadline: Millis) {
    services(&mut ShutdownContext {
        manager,
        sources,
        deadline,
        urged: false,
    });
}

fn accept(context: &mut ShutdownContext<'_>) {
    context.manager.close_sockets();
}

/// In a program of its own, which knows conmon and reads JSON. Where no
/// container runs there is nothing to wait for.
fn containers(context: &mut ShutdownContext<'_>) {
    if !processes().is_some_and(|names| names.contains("conmon[")) {
        return;
    }
    let stop = || {
        // Not with what the kernel's command line left in our environment.
        let mut stop = Command::new(sys::paths::B2P);
        let error = stop.arg("containers-stop").env_clear().exec();
        warn!("{}: {error}", sys::paths::B2P);
    };
    let Some(child) = syscall::in_child(stop) else {
        return; // they are terminated with everything else
    };
    while !child.exited_within(0) && context.poll_once() {}
    child.kill();
}

fn services(context: &mut ShutdownContext<'_>) {
    context.manager.note(now(), Event::StopAll);
    context.manager.settle_all(now());
    while !context.manager.supervisor.at_rest() && context.poll_once() {}
}

fn terminate(context: &mut ShutdownContext<'_>) {
    syscall::signal_all_processes(libc::SIGTERM);
    syscall::signal_all_processes(libc::SIGCONT);
    wait_until_none(context);
}

fn kill(context: &mut ShutdownContext<'_>) {
    syscall::signal_all_processes(libc::SIGKILL);
    wait_until_none(context);
    if let Some(left) = processes() {
        warn!("still there after SIGKILL: {left}");
    }
}

/// Until nobody is left, or the phase is over. Orphans are our children, so
/// SIGCHLD tells; what is not a descendant of ours does not exist.
fn wait_until_none(context: &mut ShutdownContext<'_>) {
    context.sources.reap_pending = reap_children(context.manager);
    while processes().is_some() && context.poll_once() {}
}

/// Names of processes other than PID 1 and the kernel's threads; `None` if none,
/// and where there is no /proc to ask.
fn processes() -> Option<String> {
    // Taken for an empty list, a list that could not be read would cut short the
    // time that programs have to end: it is tried again.
    let pids = (0..3).find_map(|_| pids(Path::new("/proc")).ok())?;
    let names: Vec<String> = pids.into_iter().filter_map(name).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// The numbers of all processes but PID 1, or none of them.
fn pids(proc: &Path) -> std::io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(proc)? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok());
        all.extend(number.filter(|pid| *pid != 1));
    }
    Ok(all)
}

/// `name[pid]`, unless it is nobody's program, or gone meanwhile (ESRCH, where
/// its file was open already).
fn name(pid: u32) -> Option<String> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => user_process(&stat).map(|name| format!("{name}[{pid}]")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => None,
        Err(_) => Some(format!("?[{pid}]")),
    }
}

/// The name in a line of proc_pid_stat(5), unless it is a kernel thread
/// (flag PF_KTHREAD) or already a zombie.
fn user_process(stat: &str) -> Option<&str> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    (state != "Z" && flags & 0x0020_0000 == 0).then_some(name)
}

/// What the kernel has still to write, in kB (proc_meminfo(5)).
fn unwritten(meminfo: &str) -> u64 {
    let value = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let counts = |line: &&str| line.starts_with("Dirty:") || line.starts_with("Writeback:");
    meminfo.lines().filter(counts).filter_map(value).sum()
}

/// In a child: a disk that is gone can hold it for ever.
fn sync(context: &mut ShutdownContext<'_>) {
    if unmount::nothing_to_do() {
        return;
    }
    match syscall::in_child(unmount::sync_disks) {
        Some(child) if !context.wait_for_child(&child) => warn!("sync: a disk does not answer"),
        Some(_) => {}
        None => unmount::sync_disks(), // no memory for a child: what is written comes first
    }
}

fn unmount(context: &mut ShutdownContext<'_>) {
    if unmount::nothing_to_do() {
        return;
    }
    match syscall::in_child(unmount::unmount_all) {
        Some(child) if !context.wait_for_child(&child) => warn!("unmount: not done in time"),
        Some(_) => {}
        None => unmount::detach_all(),
    }
}

/// What the hardware is asked, in this order, until one does it.
fn power(kind: ShutdownKind) -> ! {
    for mode in [
        kind.reboot_mode(),
        RebootMode::RB_POWER_OFF,
        RebootMode::RB_HALT_SYSTEM,
    ] {
        // It only ever returns to say why not.
        let Err(e) = reboot(mode);
        warn!("reboot(2) {mode:?}: {e}");
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            std::fs::create_dir_all(dir.join(name)).expect("a directory");
        }
        assert_eq!(pids(&dir).ok(), Some(vec![7]));
        std::fs::remove_dir_all(&dir).expect("it is there");
        assert!(pids(&dir).is_err());
    }

    #[test]
    fn what_is_unwritten_is_dirty_or_on_its_way() {
        let text = "MemTotal: 9 kB\nDirty:      12 kB\nWriteback:   3 kB\nWritebackTmp: 7 kB\n";
        assert_eq!(unwritten(text), 15);
        assert_eq!(unwritten("Dirty: much"), 0);
    }

    #[test]
    fn every_phase_is_bounded() {
        assert!(PHASES.iter().all(|p| (1..=60_000).contains(&p.within)));
    }
}
