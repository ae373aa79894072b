//! What is measured, in the order in which it is.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use crate::candidates::Candidate;
use crate::life::Life;
use crate::proc;

/// Orphans by the thousand: a parent ends, and all its children are PID 1's.
const MANY: (u64, u64) = (100_000, 1_000);
/// Orphans one by one: the double fork of a daemon.
const SINGLE: (u64, u64) = (10_000, 1);
/// Starts of each that are timed; those of the last one live on.
const STARTS: usize = 3;
/// What begins with a machine and then has nothing more to do.
const SETTLE: Duration = Duration::from_secs(10);
/// How long nothing happens.
const REST: Duration = Duration::from_secs(60);
/// What has ended is gone for the kernel as well.
const GONE: Duration = Duration::from_millis(500);
/// Whoever has just done something goes back to sleep.
const PAUSE: Duration = Duration::from_millis(50);

/// By candidate and figure: what was measured, once or several times.
pub type Values = BTreeMap<(&'static str, &'static str), Vec<u64>>;

/// Measures all of them, in this order.
pub fn all(order: &[&'static Candidate]) -> Result<Values, String> {
    let mut values = Values::new();
    let mut lives = starts(order, &mut values)?;
    sleep(SETTLE);
    rest(&lives, &mut values);
    for (candidate, life) in &mut lives {
        let of = |why| format!("{}: {why}", candidate.name);
        let mut note = |name, value| {
            values
                .entry((candidate.name, name))
                .or_default()
                .push(value)
        };
        if candidate.restarts {
            note("restart", life.restart().map_err(of)?);
            note("again", life.restart().map_err(of)?);
        }
        for (orphans, names) in [
            (MANY, ["reap", "reap_cpu"]),
            (SINGLE, ["single", "single_cpu"]),
        ] {
            sleep(PAUSE);
            let before = proc::runtime(life.pid());
            note(names[0], life.storm(orphans.0, orphans.1).map_err(of)?);
            sleep(PAUSE);
            note(names[1], proc::runtime(life.pid()) - before);
        }
    }
    Ok(values)
}

type Lives = Vec<(&'static Candidate, Life)>;

/// Each in its turn, the first time for nothing: then the kernel has seen it all.
fn starts(order: &[&'static Candidate], values: &mut Values) -> Result<Lives, String> {
    let mut lives = Lives::new();
    for start in 0..=STARTS {
        lives.clear();
        sleep(GONE); // the kernel is done with what they leave: networks, cgroups
        for candidate in order {
            let life = Life::begin(candidate).map_err(|e| format!("{}: {e}", candidate.name))?;
            let took = life.service().first.saturating_sub(life.began);
            if start > 0 {
                values
                    .entry((candidate.name, "start"))
                    .or_default()
                    .push(took);
            }
            // What it does beside its service is not the next one's burden.
            sleep(PAUSE);
            lives.push((candidate, life));
        }
    }
    Ok(lives)
}

/// All of them at rest, at the same time.
fn rest(lives: &Lives, values: &mut Values) {
    let count = |life: &Life| -> BTreeMap<i32, u64> {
        let all = life.processes().into_iter();
        all.map(|pid| (pid, proc::switches(pid))).collect()
    };
    let before: Vec<_> = lives.iter().map(|(_, life)| count(life)).collect();
    sleep(REST);
    for ((candidate, life), before) in lives.iter().zip(before) {
        let after = count(life);
        let wakes = after
            .iter()
            .map(|(pid, n)| n - before.get(pid).unwrap_or(&0));
        let memory = after.keys().map(|pid| proc::memory(*pid));
        let (rss, own) = memory.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let all = [
            ("wakes", wakes.sum()),
            ("rss", rss),
            ("own", own),
            ("processes", after.len() as u64),
        ];
        for (name, value) in all {
            values
                .entry((candidate.name, name))
                .or_default()
                .push(value);
        }
    }
}
