//! Each system call of PID 1 fails in turn with each errno that it can fail
//! with: it must be up, or up with a reason for what is not, or in rescue, or
//! have started itself again; and it must end in order when asked to.
//!
//! `FAULTS=all` runs the whole matrix; else every call fails once, and those
//! that matter most in every way. What became of each is in `out/faults.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail, ensure};
use initramfs::paths;
use tests::ns::inject::{Call, Plan};
use tests::ns::syscalls::{Class, errnos, name};
use tests::ns::trial::{self, Outcome, Verdict};
use tests::ns::{Namespace, READY};

/// A fault to be, and where it belongs in the tables.
struct Case {
    plan: Plan,
    phase: String,
    what: String,
}

fn all() -> bool {
    std::env::var("FAULTS").is_ok_and(|v| v == "all")
}

/// The phase that each call belongs to, by the lines that PID 1 writes at the
/// end of each.
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
    for (i, call) in calls.iter().enumerate().rev() {
        if call.about.contains(READY) {
            label = "services".into();
        }
        if call.about.contains("going down for") {
            label = "idle".into();
        }
        label = ends(&call.about).unwrap_or(label);
        labels[i].clone_from(&label);
    }
    labels
}

/// Those whose failing has taken most machines down.
fn matters(call: &Call) -> bool {
    let name = name(call.number);
    let words = [
        "fork",
        "vfork",
        "clone",
        "mount",
        "signalfd4",
        "pipe2",
        "reboot",
        "waitid",
    ];
    words.contains(&name.as_str()) || name.starts_with("open") && call.about.starts_with("/run")
}

fn single(calls: &[Call], all: bool) -> Vec<Case> {
    let phases = phases(calls);
    let mut cases = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let count = errnos(call.number).len();
        let every = all || matters(call);
        let which = if every {
            0..count
        } else {
            i % count.max(1)..(i % count.max(1) + 1).min(count)
        };
        cases.extend(which.map(|errno| Case {
            plan: Plan::One(i + 1, errno),
            phase: phases[i].clone(),
            what: name(call.number),
        }));
    }
    cases
}

/// From one call on to the end, nothing of a class succeeds.
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
            phase: phases[i].clone(),
            what: format!("no more {class:?}").to_lowercase(),
        }));
    }
    cases
}

/// Runs all of them, two at a time, and gives what became of each.
fn run(ns: &Namespace, cases: &[Case], usual: &[String]) -> Vec<Result<Verdict>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get().min(4)) {
            scope.spawn(|| {
                while let Some((i, case)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(i).map(|c| (i, c))
                } {
                    let verdict = trial::run(ns, case.plan, usual);
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

type Table<'a> = BTreeMap<&'a str, BTreeMap<Outcome, usize>>;

fn table(title: &str, rows: &Table<'_>) -> String {
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
        missed += usize::from(v.trace.calls.is_empty());
        for (table, key) in [
            (&mut phase, &*case.phase),
            (&mut what, &*case.what),
            (&mut sum, "all"),
        ] {
            *table.entry(key).or_default().entry(v.outcome).or_default() += 1;
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

#[test]
fn every_call_fails_and_pid_1_lives() -> Result<()> {
    let ns = Namespace::new()?;
    let whole = trial::run(&ns, Plan::Record, &[])?;
    let said = whole.output.lines().filter(|l| l.contains(trial::DEGRADED));
    let usual: Vec<String> = said.map(str::to_owned).collect();
    ensure!(whole.output.contains(READY), "{}", whole.output);
    let calls = &whole.trace.calls;
    let mut cases = single(calls, all());
    cases.extend(storms(calls, if all() { 1 } else { 8 }));
    let start = std::time::Instant::now();
    let verdicts = run(&ns, &cases, &usual);
    println!(
        "{}{:?} for {} calls",
        report(&cases, &verdicts)?,
        start.elapsed(),
        calls.len()
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
