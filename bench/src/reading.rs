// SPDX-License-Identifier: Apache-2.0
//! Console output of a boot: the kernel's time stamps, and the probe's line.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Result of one boot. Moments are microseconds on the clock of the kernel log, memory is KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading(pub BTreeMap<String, u64>);

/// Moments that are found by a text of the kernel or the probe.
const STAMPS: &[(&str, &str)] = &[
    ("pid1", "Run /init as init process"),
    ("sync", "bench: probe at="),
    ("off", "reboot: Power down"),
];

/// Names of memory figures in the probe's line; all others are moments.
const MEMORY: &[&str] = &[
    "mem_ready",
    "mem_rest",
    "pss",
    "processes",
    "pid1_rss",
    "pid1_anon",
];

/// Returns the probe's complete line of results, or the reason why there is none.
pub fn finished(console: &str) -> Option<Result<(), String>> {
    // The last line may be incomplete.
    let whole = console.rfind('\n').map_or("", |end| &console[..end]);
    let after = |mark: &str| whole.split_once(mark).map(|(_, rest)| rest);
    if let Some(why) = after("bench: failed ") {
        let first = why.lines().next().unwrap_or_default();
        return Some(Err(first.trim_end().to_owned()));
    }
    after("bench: listening devices=").map(|rest| match rest.starts_with('0') {
        true => Err("no input device: the power button is not heard".to_owned()),
        false => Ok(()),
    })
}

/// Reads the console of a machine that has powered off.
pub fn read(console: &str) -> Result<Reading> {
    let mut all = BTreeMap::new();
    for (name, sign) in STAMPS {
        all.insert((*name).to_owned(), moment(console, sign)?);
    }
    let line = |sign: &str| console.lines().find_map(|l| Some(l.split_once(sign)?.1));
    let time = |sign: &str| line(sign).and_then(|t| t.trim().parse::<u64>().ok());
    let at = time("bench: probe at=").context("the probe's first line has no time")?;
    // The log's clock is behind the probe's by this much.
    let behind = at.saturating_sub(all["sync"]);
    let button = time("bench: button at=").context("the probe heard no button")?;
    all.insert("button".to_owned(), button.saturating_sub(behind));
    let results = line("bench: result ").context("the console has no line of results")?;
    for (name, value) in pairs(results)? {
        let moment = !MEMORY.contains(&name);
        all.insert(
            name.to_owned(),
            if moment {
                value.saturating_sub(behind)
            } else {
                value
            },
        );
    }
    Ok(Reading(all))
}

/// Returns the time stamp in microseconds of the first line with this text.
pub(crate) fn moment(console: &str, sign: &str) -> Result<u64> {
    let head = console.lines().find_map(|l| Some(l.split_once(sign)?.0));
    let stamp = head.and_then(stamp);
    stamp.with_context(|| format!("the console has no stamped line {sign:?}"))
}

/// Returns the time stamp at the start of a line of the kernel log, `[    1.715065] `, in
/// microseconds. Another writer's unfinished line may precede the stamp.
fn stamp(head: &str) -> Option<u64> {
    let (_, rest) = head.rsplit_once('[')?;
    let (time, _) = rest.split_once(']')?;
    let (seconds, micros) = time.trim().split_once('.')?;
    let whole: u64 = seconds.parse().ok()?;
    (micros.len() == 6).then_some(whole * 1_000_000 + micros.parse::<u64>().ok()?)
}

fn pairs(text: &str) -> Result<Vec<(&str, u64)>> {
    let words = text.split_whitespace();
    words
        .map(|word| match word.split_once('=') {
            Some((name, value)) => Ok((name, value.parse().with_context(|| word.to_owned())?)),
            None => bail!("the probe's line: {word:?} is no name=number"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
[    0.000000] Linux version\r
[    1.500000] Run /init as init process\r
[ ok ] a line without an end[    1.900010] bench: probe at=1900110\r
noise [x] here
[    3.000000] bench: result probe=1900110 net=2000100 banner=2100100 socket=2050100 mem_ready=50000 ping=2500100\r
[   18.000000] bench: listening devices=2\r
[   19.000000] bench: button at=19000100\r
[   19.250000] reboot: Power down\r
";

    #[test]
    fn moments_are_on_the_logs_clock_and_memory_is_not_moved() {
        let Reading(all) = read(CONSOLE).expect("a whole console");
        assert_eq!(all["pid1"], 1_500_000);
        assert_eq!(all["banner"], 2_100_000);
        assert_eq!(all["mem_ready"], 50_000);
        assert_eq!(all["off"] - all["button"], 250_000);
    }

    #[test]
    fn missing_lines_of_the_console_are_named() {
        let cut = CONSOLE.replace("Power down", "Pow");
        let why = read(&cut).expect_err("no end").to_string();
        assert!(why.contains("Power down"), "{why}");
        let odd = CONSOLE.replace("net=2000100", "net");
        assert!(format!("{:#}", read(&odd).expect_err("no number")).contains("net"));
    }

    #[test]
    fn the_probe_has_finished_or_says_why_not() {
        assert_eq!(finished(CONSOLE), Some(Ok(())));
        let (before, _) = CONSOLE.split_once("listening").expect("is there");
        assert_eq!(finished(before), None);
        assert_eq!(finished("x bench: failed podman: no"), None);
        let failed = finished("x bench: failed podman: no\r\n");
        assert_eq!(failed, Some(Err("podman: no".to_owned())));
        let deaf = CONSOLE.replace("devices=2", "devices=0");
        assert!(finished(&deaf).is_some_and(|f| f.is_err()));
    }
}
