// SPDX-License-Identifier: Apache-2.0
//! One boot with faults, and its outcome.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::inject::{Plan, Trace};
use super::visit::{self, Expect};
use super::{LIMIT, Namespace, POWERED_OFF, READY, RESCUE, Running};

/// State that a boot with faults reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Ready, without a complaint.
    Up,
    /// Ready, with a reported reason for missing parts.
    Degraded,
    /// A rescue shell was offered.
    Rescue,
    /// PID 1 executed itself again and logged the crash.
    Again,
    /// PID 1 could not log anything, and obeys signals.
    Mute,
}

/// Result of a boot.
#[derive(Debug)]
pub struct Verdict {
    /// State that the boot reached.
    pub outcome: Outcome,
    /// The calls that failed.
    pub trace: Trace,
    /// Output of PID 1.
    pub output: String,
    /// Duration from the first moment to the last.
    pub took: Duration,
}

/// Start of a degraded line.
pub const DEGRADED: &str = "boot2podman: degraded ";
/// Time for which PID 1 must sleep without waking up to count as settled.
const QUIET: Duration = Duration::from_millis(15);
/// Time without any further output after which a PID 1 that is not ready counts as mute.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Way in which the shutdown is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A signal.
    Signal,
    /// A request for an immediate shutdown.
    Request,
    /// A request for a shutdown in a second.
    Scheduled,
}

/// Boots with faults, makes a visit, and shuts the machine down. `usual` are the degraded lines of
/// a boot without faults.
///
/// # Errors
/// PID 1 died, spins, does not answer although no call fails any more, or does not shut down.
pub fn run(ns: &Namespace, plan: Plan, ending: Ending, usual: &[String]) -> Result<Verdict> {
    let pid1 = ns.with(plan).start()?;
    let result = visited(&pid1, plan, ending, usual);
    // PID 1 has ended by now: the trace is complete.
    let state = pid1.about("status").unwrap_or_default();
    let _ = pid1.signal(libc::SIGKILL);
    let _ = pid1.end(LIMIT);
    let took = pid1.age();
    let (trace, output) = (pid1.trace(), pid1.output());
    match result {
        Ok(outcome) => Ok(Verdict {
            outcome,
            trace,
            output,
            took,
        }),
        Err(why) => {
            let calls = trace.calls.iter().take(4).map(ToString::to_string);
            let calls = calls.collect::<Vec<_>>().join(", ");
            bail!("{plan:?} {ending:?} {calls}: after {took:?}: {why:#}\n{output}{state}")
        }
    }
}

fn visited(pid1: &Running, plan: Plan, ending: Ending, usual: &[String]) -> Result<Outcome> {
    let settled = settle(pid1, usual)?;
    // With one fault, the control socket must exist unless PID 1 has reported its absence. With a
    // class of faults, the channel need not exist.
    let one = !matches!(plan, Plan::From(..));
    let open = |text: &str| !text.contains("degraded control");
    let expect = match settled {
        Outcome::Up | Outcome::Degraded if one && open(&pid1.output()) => Expect::Done,
        _ => Expect::Nothing,
    };
    let visit = visit::all(pid1, expect);
    let settled = settle(pid1, usual)?;
    if settled != Outcome::Again {
        visit?;
    }
    let asked = match (ending, expect) {
        (Ending::Request, Expect::Done) => visit::end(pid1, 0),
        (Ending::Scheduled, Expect::Done) => visit::end(pid1, 1),
        _ => pid1.signal(libc::SIGUSR2),
    };
    if asked.is_err() {
        // PID 1 may have ended now: the lost message may have been the answer to the request.
        let _ = pid1.signal(libc::SIGUSR2);
    }
    if ending == Ending::Scheduled {
        unless_forgotten(pid1);
    }
    gone(pid1, settled)
}

/// Sends a signal if PID 1 reports that a crash has made it forget a scheduled shutdown.
fn unless_forgotten(pid1: &Running) {
    let deadline = Instant::now() + LIMIT;
    while pid1.ended().is_none() && Instant::now() < deadline {
        if said(&pid1.output(), &[]) == Some(Outcome::Again) {
            let _ = pid1.signal(libc::SIGUSR2); // PID 1 may have ended now
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets PID 1 settle, and shuts PID 1 down.
///
/// # Errors
/// The errors of [`run`].
pub fn live(pid1: &Running, usual: &[String]) -> Result<Outcome> {
    let settled = settle(pid1, usual)?;
    pid1.signal(libc::SIGUSR2)?;
    gone(pid1, settled)
}

fn gone(pid1: &Running, settled: Outcome) -> Result<Outcome> {
    let end = pid1.end(LIMIT)?;
    ensure!(
        end == POWERED_OFF,
        "asked for the end, it ended so: {end:?}"
    );
    // A fault during the shutdown may have been the first one.
    let again = pid1.trace().execs > 0;
    Ok(if again { Outcome::Again } else { settled })
}

/// Waits until PID 1 has nothing more to do.
fn settle(pid1: &Running, usual: &[String]) -> Result<Outcome> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(end) = pid1.ended() {
            bail!("it is gone: {end:?}");
        }
        let said = said(&pid1.output(), usual);
        let file = || pid1.read("/run/boot2podman/ready").is_ok();
        let outcome = match said {
            None if file() => Some(Outcome::Degraded),
            None if pid1.silent_for() > SILENCE => Some(Outcome::Mute),
            other => other,
        };
        if let Some(outcome) = outcome
            && quiet(pid1)?
        {
            return Ok(outcome);
        }
        ensure!(
            Instant::now() < deadline,
            "never quiet for {QUIET:?}: it spins, or hangs"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the outcome that the output shows.
fn said(output: &str, usual: &[String]) -> Option<Outcome> {
    let again = ["PID 1 got signal", "PID 1 panicked", "PID 1 crashed"];
    let has = |text: &str| output.contains(text);
    if again.iter().any(|a| has(a)) {
        Some(Outcome::Again)
    } else if has(RESCUE) {
        Some(Outcome::Rescue)
    } else if has(READY) {
        let mut bad = output.lines().filter(|l| l.contains(DEGRADED));
        let bad = bad.any(|line| !usual.iter().any(|u| u == line));
        Some(if bad { Outcome::Degraded } else { Outcome::Up })
    } else {
        None
    }
}

/// Returns true if PID 1 sleeps, and keeps sleeping.
fn quiet(pid1: &Running) -> Result<bool> {
    let switches = || -> Result<u64> {
        Ok(pid1.status("voluntary_ctxt_switches")? + pid1.status("nonvoluntary_ctxt_switches")?)
    };
    let before = switches()?;
    std::thread::sleep(QUIET);
    let sleeps = pid1.about("status")?.contains("State:\tS");
    Ok(sleeps && switches()? == before)
}
