//! The end, as a list: every phase has a deadline, and whatever happens in one,
//! the next comes. The root is RAM and is simply left.

use std::path::Path;

use log::{info, warn};
use nix::sys::reboot::{RebootMode, reboot};
use services::{Event, Manager, Millis, State};

use crate::events::{Ears, collect, turn};
use crate::machine::now;
use crate::signals::How;
use crate::{crash, kmsg, sys};

/// One phase of the end.
struct Phase {
    name: &'static str,
    /// Milliseconds after which the next comes.
    within: Millis,
    run: fn(&mut Manager, &Ears, Millis),
    why: &'static str,
}

#[rustfmt::skip]
const PHASES: &[Phase] = &[
    Phase { name: "services",  within: 6_000,  run: stop,      why: "last started, first stopped: nothing new comes in" },
    Phase { name: "terminate", within: 5_000,  run: terminate, why: "containers and everything else may end by themselves (SIGTERM, and SIGCONT so that stopped ones see it)" },
    Phase { name: "kill",      within: 2_000,  run: kill,      why: "what did not" },
    Phase { name: "sync",      within: 30_000, run: sync,      why: "what is written is on the disk; a dead disk must not hold the machine" },
];

/// Runs the list, then ends the machine. Never returns.
pub fn run(how: How, manager: &mut Manager, ears: &Ears) -> ! {
    crash::ending(how);
    kmsg::say(kmsg::seen(5), &format!("going down for {how:?}"));
    for phase in PHASES {
        let start = now();
        (phase.run)(manager, ears, start.saturating_add(phase.within));
        info!(
            "shutdown: {} took {} ms ({})",
            phase.name,
            now().saturating_sub(start),
            phase.why
        );
    }
    end(how)
}

/// Stops every service, the last first, and waits for their ends until `deadline`.
pub fn stop(manager: &mut Manager, ears: &Ears, deadline: Millis) {
    for id in manager.supervisor.ids().rev() {
        manager.event(now(), Event::Stop(id));
    }
    let stopping = |m: &Manager| {
        let s = &m.supervisor;
        s.ids()
            .any(|id| matches!(s.state(id), State::Stopping { .. }))
    };
    while now() < deadline && stopping(manager) {
        turn(manager, ears, deadline);
    }
}

fn terminate(manager: &mut Manager, ears: &Ears, deadline: Millis) {
    sys::signal_everyone(libc::SIGTERM);
    sys::signal_everyone(libc::SIGCONT);
    gone(manager, ears, deadline);
}

fn kill(manager: &mut Manager, ears: &Ears, deadline: Millis) {
    sys::signal_everyone(libc::SIGKILL);
    gone(manager, ears, deadline);
    if let Some(left) = processes() {
        warn!("still there after SIGKILL: {left}");
    }
}

/// Until nobody is left, or the deadline. Orphans are our children, so SIGCHLD
/// tells; what is not a descendant of ours does not exist.
fn gone(manager: &mut Manager, ears: &Ears, deadline: Millis) {
    collect(manager);
    while now() < deadline && processes().is_some() {
        turn(manager, ears, deadline);
    }
}

/// Names of processes other than PID 1 and the kernel's threads; `None` if none.
fn processes() -> Option<String> {
    let read = std::fs::read_dir("/proc").ok()?;
    let names: Vec<String> = read
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.parse::<u32>().ok()))
        .filter(|pid| *pid != 1)
        .filter_map(|pid| {
            let stat =
                std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
                    .ok()?;
            user_process(&stat).map(|name| format!("{name}[{pid}]"))
        })
        .collect();
    (!names.is_empty()).then(|| names.join(" "))
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

/// In a child: sync(2) has no timeout, and a disk that is gone can hold it for ever.
fn sync(manager: &mut Manager, ears: &Ears, deadline: Millis) {
    let Some(child) = sys::in_child(sys::sync) else {
        return sys::sync(); // no memory for a child: what is written comes first
    };
    while now() < deadline && !child.ended_within(0) {
        turn(manager, ears, (now() + 20).min(deadline));
    }
}

/// What the hardware is asked, in this order, until one does it.
fn end(how: How) -> ! {
    let first = match how {
        How::PowerOff => RebootMode::RB_POWER_OFF,
        How::Reboot => RebootMode::RB_AUTOBOOT,
        How::Halt => RebootMode::RB_HALT_SYSTEM,
    };
    for mode in [first, RebootMode::RB_POWER_OFF, RebootMode::RB_HALT_SYSTEM] {
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
    fn every_phase_is_bounded() {
        assert!(PHASES.iter().all(|p| (1..=60_000).contains(&p.within)));
    }
}
