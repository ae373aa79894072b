// SPDX-License-Identifier: Apache-2.0
//! Faults: each system call of PID 1 fails in turn with each errno that the call can return. PID 1
//! must then be up, up with a reported reason for missing parts, in rescue, or have restarted
//! itself; and PID 1 must shut down in order on request.
//!
//! `FAULTS=all` runs the whole matrix; otherwise every call fails once, and the most important ones
//! in every way. The outcomes are written to `out/faults.md`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use initramfs::paths;
use tests::ns::inject::{Call, Plan};
use tests::ns::syscalls::{Class, errnos, name};
use tests::ns::trial::{self, Ending, Outcome, Verdict};
use tests::ns::{Namespace, READY};

/// Number of calls of a kind that fail in each phase, if not all do.
const SAMPLE: usize = 6;

/// A fault, and its place in the tables.
struct Case {
    plan: Plan,
    ending: Ending,
    phase: String,
}

fn all() -> bool {
    std::env::var("FAULTS").is_ok_and(|v| v == "all")
}

/// Assigns each call to a phase, by the lines that PID 1 logs at the end of each.
fn phases(calls: &[Call]) -> Vec<String> {
    let ends = |about: &str| {
        let (_, rest) = about.split_once("boot2podman: ")?;
        let rest = rest
            .strip_prefix("phase ")
            .or(rest.strip_prefix("shutdown: "))?;
        Some(rest.split_once(" took")?.0.to_owned())
    };
    let mut labels = vec![String::new(); calls.len()];
    let mut label = "end".to_owned();
    let visit = calls.iter().position(|c| c.number == libc::SYS_accept4);
    for (i, call) in calls.iter().enumerate().rev() {
        if call.about.contains(READY) {
            label = "services".into();
        }
        if call.about.contains("going down for") {
            label = "visit".into();
        }
        if visit == Some(i + 1) {
            label = "after ready".into();
        }
        label = ends(&call.about).unwrap_or(label);
        labels[i].clone_from(&label);
    }
    labels
}

/// Returns true for calls whose failure has broken the most machines.
fn matters(call: &Call) -> bool {
    let name = name(call.number);
    let words = [
        "fork",
        "vfork",
        "clone",
        "clone3",
        "mount",
        "signalfd4",
        "pipe2",
        "reboot",
        "waitid",
        "accept4",
        "getsockopt",
        "umount2",
    ];
    words.contains(&name.as_str()) || name.starts_with("open") && call.about.starts_with("/run")
}

/// Makes each call of `calls` fail: in every way with `all`; otherwise the important ones in every
/// way, and the first few of each other kind in one way.
fn single(calls: &[Call], ending: Ending, all: bool) -> Vec<Case> {
    let phases = phases(calls);
    let mut cases = Vec::new();
    let mut seen = BTreeMap::<_, usize>::new();
    for (i, call) in calls.iter().enumerate() {
        let count = errnos(call.number).len();
        let times = seen.entry((&phases[i], call.number)).or_default();
        *times += 1;
        let first = *times <= SAMPLE;
        let which = if all || matters(call) && first {
            0..count
        } else if count > 0 && (matters(call) || first) {
            i % count..i % count + 1
        } else {
            0..0
        };
        cases.extend(which.map(|errno| Case {
            plan: Plan::One(i + 1, errno),
            ending,
            phase: phases[i].clone(),
        }));
    }
    cases
}

/// Lists the faults in children of PID 1, before the execution of a service or during slow work for
/// PID 1.
fn children(ns: &Namespace, all: bool) -> Result<Vec<Case>> {
    let recorded = trial::run(ns, Plan::RecordChildren, Ending::Signal, &[])?;
    let mut cases = Vec::new();
    for (child, calls) in recorded.trace.children.iter().enumerate() {
        let execs = calls.iter().any(|c| c.number == libc::SYS_execve);
        for case in single(calls, Ending::Signal, all) {
            let Plan::One(call, errno) = case.plan else {
                continue;
            };
            cases.push(Case {
                plan: Plan::Child(child + 1, call, errno),
                phase: if execs {
                    "before exec"
                } else {
                    "unmount child"
                }
                .to_owned(),
                ..case
            });
        }
    }
    let has = |name| {
        let calls = recorded.trace.children.iter().flatten();
        calls.map(|c| c.number).any(|n| n == name)
    };
    ensure!(has(libc::SYS_umount2), "nothing was unmounted");
    Ok(cases)
}

/// Lists faults of a class, from one call on to the end.
fn storms(calls: &[Call], every: usize) -> Vec<Case> {
    let phases = phases(calls);
    let mut cases = Vec::new();
    for class in Class::ALL {
        let of = calls
            .iter()
            .enumerate()
            .filter(|(_, c)| class.has(c.number));
        cases.extend(of.step_by(every).map(|(i, _)| Case {
            plan: Plan::From(i + 1, class),
            ending: Ending::Signal,
            phase: phases[i].clone(),
        }));
    }
    cases
}

/// Runs all cases and returns their outcomes. Cases mostly wait, so more cases run at a time than
/// there are processors.
fn run(ns: &Namespace, cases: &[Case], usual: &[String]) -> Vec<Result<Verdict>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let many = std::thread::available_parallelism().map_or(4, |n| 2 * n.get().min(4));
    std::thread::scope(|scope| {
        for _ in 0..many {
            scope.spawn(|| {
                while let Some((i, case)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(i).map(|c| (i, c))
                } {
                    let verdict = trial::run(ns, case.plan, case.ending, usual);
                    if let Ok(mut done) = done.lock() {
                        done.push((i, verdict));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, v)| v).collect()
}

/// Returns the slowest cases: a long wait has a reason, or should not exist.
fn slowest(cases: &[Case], verdicts: &[Result<Verdict>]) -> String {
    let mut all: Vec<_> = cases.iter().zip(verdicts).collect();
    let took = |v: &Result<Verdict>| v.as_ref().map_or(Duration::MAX, |v| v.took);
    all.sort_by_key(|(_, v)| Reverse(took(v)));
    let mut text = String::new();
    for (case, verdict) in all.iter().take(12) {
        if let Ok(v) = verdict {
            let call = v.trace.calls.first().map(ToString::to_string);
            let call = call.unwrap_or_default();
            let (plan, ending) = (case.plan, case.ending);
            let _ = writeln!(
                text,
                "{:?} {} {plan:?} {ending:?} {call}",
                v.took, case.phase
            );
        }
    }
    text
}

type Table = BTreeMap<String, BTreeMap<Outcome, usize>>;

fn table(title: &str, rows: &Table) -> String {
    let all = [
        Outcome::Up,
        Outcome::Degraded,
        Outcome::Rescue,
        Outcome::Again,
        Outcome::Mute,
    ];
    let mut text = format!("\n| {title} | faults |");
    for outcome in all {
        let _ = write!(text, " {outcome:?} |");
    }
    text += "\n|---|---|---|---|---|---|---|\n";
    for (name, row) in rows {
        let _ = write!(text, "| {name} | {} |", row.values().sum::<usize>());
        for outcome in all {
            let _ = write!(text, " {} |", row.get(&outcome).unwrap_or(&0));
        }
        text.push('\n');
    }
    text
}

fn report(cases: &[Case], verdicts: &[Result<Verdict>]) -> Result<String> {
    let (mut phase, mut what, mut sum) = (Table::new(), Table::new(), Table::new());
    let mut missed = 0;
    for (case, verdict) in cases.iter().zip(verdicts) {
        let Ok(v) = verdict else { continue };
        let Some(call) = v.trace.calls.first() else {
            missed += 1;
            continue;
        };
        // The order of calls varies: the call that did fail counts.
        let failed = match case.plan {
            Plan::From(_, class) => format!("no more {class:?}").to_lowercase(),
            _ => name(call.number),
        };
        for (table, key) in [
            (&mut phase, &*case.phase),
            (&mut what, &*failed),
            (&mut sum, "all"),
        ] {
            let row = table.entry(key.to_owned()).or_default();
            *row.entry(v.outcome).or_default() += 1;
        }
    }
    let mut text = format!(
        "# Faults injected into PID 1\n\n{} boots; in {missed} the call did not come.\n",
        cases.len()
    );
    text += &table("sum", &sum);
    text += &table("phase", &phase);
    text += &table("call", &what);
    fs::create_dir_all(paths::out())?;
    fs::write(paths::out().join("faults.md"), &text)?;
    Ok(text)
}

/// Boots without faults, shuts down in the given way, and returns the calls.
fn whole(ns: &Namespace, ending: Ending) -> Result<Verdict> {
    let whole = trial::run(ns, Plan::Record, ending, &[])?;
    let said = |text: &str| {
        ensure!(
            whole.output.contains(text),
            "no {text:?}:\n{}",
            whole.output
        );
        Ok(())
    };
    [READY, "mine: ready", "is cancelled", "going down"]
        .into_iter()
        .try_for_each(said)?;
    if let Ok(dir) = std::env::var("FAULTS_CALLS") {
        let lines = whole.trace.calls.iter().enumerate();
        let lines: String = lines.map(|(i, c)| format!("{} {c}\n", i + 1)).collect();
        fs::write(format!("{dir}/{ending:?}.calls"), lines)?;
    }
    Ok(whole)
}

/// Returns the faults of another kind of shutdown request; only the calls between the visit and the
/// shutdown differ.
fn asked(calls: &[Call], ending: Ending, all: bool) -> Vec<Case> {
    let about = |text: &str| calls.iter().rposition(|c| c.about.contains(text));
    let (from, to) = (about("is cancelled"), about("going down"));
    let inside = |case: &Case| match case.plan {
        Plan::One(at, _) => Some(at) > from && Some(at) <= to,
        _ => false,
    };
    let cases = single(calls, ending, all).into_iter();
    cases.filter(inside).collect()
}

#[test]
fn every_call_fails_and_pid_1_lives() -> Result<()> {
    let mut ns = Namespace::new()?;
    ns.disk = true;
    let first = whole(&ns, Ending::Signal)?;
    let said = first.output.lines().filter(|l| l.contains(trial::DEGRADED));
    let usual: Vec<String> = said.map(str::to_owned).collect();
    let calls = &first.trace.calls;
    let mut cases = single(calls, Ending::Signal, all());
    cases.extend(storms(calls, if all() { 1 } else { 16 }));
    cases.extend(children(&ns, all())?);
    for ending in [Ending::Request, Ending::Scheduled] {
        let calls = whole(&ns, ending)?.trace.calls;
        cases.extend(asked(&calls, ending, all()));
    }
    let start = Instant::now();
    let verdicts = run(&ns, &cases, &usual);
    println!(
        "{}{:?} for {} calls; the slowest:\n{}",
        report(&cases, &verdicts)?,
        start.elapsed(),
        calls.len(),
        slowest(&cases, &verdicts)
    );
    let bad: Vec<String> = verdicts
        .iter()
        .filter_map(|v| v.as_ref().err())
        .map(|e| format!("{e:#}"))
        .collect();
    if !bad.is_empty() {
        fs::write(paths::out().join("faults-bad.txt"), bad.join("\n\n----\n"))?;
        bail!(
            "{} of {}:\n{}",
            bad.len(),
            cases.len(),
            bad.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n")
        );
    }
    Ok(())
}
