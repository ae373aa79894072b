// SPDX-License-Identifier: Apache-2.0
//! Measurements, in their order.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use crate::candidates::Candidate;
use crate::life::Life;
use crate::proc;

/// Orphans by the thousand (total, per parent): a parent ends and leaves all its children to PID 1.
const MANY: (u64, u64) = (100_000, 1_000);
/// Orphans one by one (total, per parent): the double fork of a daemon.
const SINGLE: (u64, u64) = (10_000, 1);
/// Number of timed starts of each candidate; the processes of the last one stay.
const STARTS: usize = 3;
/// Time after the last start in which a candidate finishes its initial work.
const SETTLE: Duration = Duration::from_secs(10);
/// Duration of the idle measurement.
const REST: Duration = Duration::from_secs(60);
/// Time after which the kernel has freed an ended process.
const GONE: Duration = Duration::from_millis(500);
/// Time in which a candidate that has just worked sleeps again.
const PAUSE: Duration = Duration::from_millis(50);

/// Measured values by candidate and figure.
pub type Values = BTreeMap<(&'static str, &'static str), Vec<u64>>;

/// Measures all candidates in this order.
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

/// Starts each candidate in turn; a first round warms the caches and does not count.
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
            // Work of one candidate beside its service must not burden the next.
            sleep(PAUSE);
            lives.push((candidate, life));
        }
    }
    Ok(lives)
}

/// Measures all candidates at rest, at the same time.
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
