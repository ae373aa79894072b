// SPDX-License-Identifier: Apache-2.0
//! PID 1 alone: every candidate as PID 1 of namespaces in one machine, with one service each.
//! bench/pid1 is the guest's side, the machine's first program; docs/measured/bench.md defines each
//! figure.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use initramfs::progress::Step;
use vmm::{Artifacts, Machine};

use crate::boot::WAITS;
use crate::figures::{Figures, PID1, Spread, named};

mod image;
pub mod table;

/// Name of the case, for `CASE=`.
pub const NAME: &str = "pid1";
/// Limit in real time of all measurements in a boot, which take three to six minutes on an idle
/// host.
const BOOT: Duration = Duration::from_secs(1_800);
/// Limit in real time from the last line to the end.
const OFF: Duration = Duration::from_secs(60);

/// Candidates that are compared with each other.
#[derive(Debug)]
pub struct Group {
    /// Title of the group.
    pub title: &'static str,
    /// Members by the guest's name; the first is this project's, which the others are compared
    /// with.
    pub members: &'static [(&'static str, &'static str)],
}

/// Groups, and the names of their members in the tables.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Supervisors",
        members: &[
            ("init", "boot2podman"),
            ("busybox", "busybox init"),
            ("s6", "s6-svscan"),
            ("runit", "runit"),
            ("systemd", "systemd"),
        ],
    },
    Group {
        title: "For one command",
        members: &[
            ("run", "boot2podman as podman-init"),
            ("tini", "tini"),
            ("catatonit", "catatonit"),
            ("dumb-init", "dumb-init"),
        ],
    },
];

/// Measured values, by candidate and figure.
pub type Values = BTreeMap<String, BTreeMap<String, Vec<u64>>>;

/// Boots the given number of times, each time with another candidate first, and returns the
/// results.
pub fn measure(
    files: &Artifacts,
    runs: usize,
    dir: &Path,
    step: &Step,
) -> Result<BTreeMap<String, Figures>> {
    let mut all = Values::new();
    for run in 1..=runs {
        let began = Instant::now();
        let one = once(files, run - 1, &dir.join(format!("{NAME}-{run}")))?;
        step.note(&format!(
            "{NAME} {run}/{runs} ({} s)",
            began.elapsed().as_secs()
        ));
        for (candidate, figures) in one {
            let to = all.entry(candidate).or_default();
            for (name, values) in figures {
                to.entry(name).or_default().extend(values);
            }
        }
    }
    Ok(all
        .into_iter()
        .map(|(name, f)| (name, spreads(f)))
        .collect())
}

fn spreads(figures: BTreeMap<String, Vec<u64>>) -> Figures {
    let all = figures.into_iter();
    all.filter_map(|(name, values)| Some((name, Spread::of(values)?)))
        .collect()
}

fn once(files: &Artifacts, first: usize, dir: &Path) -> Result<Values> {
    let machine = Machine::new(files)
        .icount(true)
        .qemu_args(WAITS)
        .dir(dir)
        .append(format!("bench.first={first}"));
    let vm = machine.start()?;
    let screen = vm.screen()?;
    if let Err(why) = screen.wait(0, BOOT, "the figures of PID 1 alone", finished)? {
        bail!("in the guest: {why}\n{}", vm.tail());
    }
    vm.wait_exit(OFF)?;
    read(&vm.console()).with_context(|| format!("{}", dir.join("console.log").display()))
}

/// Returns `Some` once the console has all results, or the reason why there are none.
fn finished(console: &str) -> Option<Result<(), String>> {
    let whole = console.rfind('\n').map_or("", |end| &console[..end]);
    let failed = whole.split_once("bench: failed ");
    let done = whole.contains("bench: done").then_some(Ok(()));
    failed
        .and_then(|(_, why)| Some(Err(why.lines().next()?.trim_end().to_owned())))
        .or(done)
}

/// Reads the guest's output. Every candidate of a group must be there with every figure, except
/// that a candidate without restarts has none for those.
fn read(console: &str) -> Result<Values> {
    let lines = console.lines();
    let lines = lines.filter_map(|l| Some(l.split_once("bench: pid1 ")?.1));
    let mut all = Values::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let name = words.next().context("a line without a name")?;
        let figures = words.map(figure).collect::<Result<_>>();
        all.insert(name.to_owned(), figures.with_context(|| name.to_owned())?);
    }
    for (group, (name, _)) in GROUPS
        .iter()
        .flat_map(|g| g.members.iter().map(move |m| (g, m)))
    {
        let one = all
            .get(*name)
            .with_context(|| format!("nothing of {name}"))?;
        let again = group.title == GROUPS[0].title;
        let wanted = PID1.iter().map(|f| f.name);
        let wanted = wanted.filter(|f| again || !["restart", "again"].contains(f));
        for figure in wanted {
            one.get(figure)
                .with_context(|| format!("{name} has no {figure}"))?;
        }
    }
    Ok(all)
}

fn figure(word: &str) -> Result<(String, Vec<u64>)> {
    let (name, list) = word
        .split_once('=')
        .with_context(|| format!("{word:?} is no name=number"))?;
    named(PID1, name).with_context(|| format!("{name}: not a figure"))?;
    let list = list.split(',').map(|n| n.parse::<u64>());
    let list = list
        .collect::<Result<_, _>>()
        .with_context(|| word.to_owned())?;
    Ok((name.to_owned(), list))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> String {
        let mut text = "[    1.0] Linux\r\n".to_owned();
        for (name, _) in GROUPS.iter().flat_map(|g| g.members) {
            let figures = PID1.iter().map(|f| format!(" {}=3,1,2", f.name));
            text += &format!(
                "[    2.0] bench: pid1 {name}{}\r\n",
                figures.collect::<String>()
            );
        }
        text + "[    3.0] bench: done\r\n"
    }

    #[test]
    fn every_figure_of_every_candidate_is_read() {
        let all = read(&console()).expect("whole");
        assert_eq!(all["tini"]["reap"], [3, 1, 2]);
        let spread = spreads(all["s6"].clone())["restart"];
        assert_eq!((spread.min, spread.median, spread.max), (1, 2, 3));
    }

    #[test]
    fn missing_lines_of_the_console_are_named() {
        let why = |text: String| format!("{:#}", read(&text).expect_err("cut"));
        assert!(why(console().replace("pid1 tini", "pid2 tini")).contains("tini"));
        assert!(why(console().replace("s6 start=", "s6 stop=")).contains("stop"));
        assert!(why(console().replace("wakes=3", "wakes=x")).contains("wakes=x"));
        let cut = console().replace("pid1 s6 start=3,1,2", "pid1 s6");
        assert!(why(cut).contains("s6 has no start"));
    }

    #[test]
    fn the_guest_is_done_or_says_why_not() {
        assert_eq!(finished(&console()), Some(Ok(())));
        assert_eq!(finished("bench: pid1 x a=1\r\n"), None);
        let failed = "x bench: failed s6: no such file\r\nbench: done\r\n";
        assert_eq!(finished(failed), Some(Err("s6: no such file".to_owned())));
    }
}
