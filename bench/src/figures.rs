// SPDX-License-Identifier: Apache-2.0
//! Columns: the definition of each figure, and its spread over several boots.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::reading::Reading;

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, shown as milliseconds.
    Microseconds,
    /// Nanoseconds, shown as milliseconds.
    Nanoseconds,
    /// KiB, shown as MB (10^6).
    KibAsMb,
    /// KiB, shown as kB (10^3).
    KibAsKb,
    /// Bytes, shown as MB (10^6).
    Bytes,
    /// A number without a unit.
    Count,
}

/// A column of the table.
pub struct Figure {
    /// Name in bench.json.
    pub name: &'static str,
    /// Heading of the column.
    pub title: &'static str,
    /// Unit.
    pub unit: Unit,
    of: fn(&Get) -> Option<u64>,
}

impl Figure {
    /// Returns the heading: the title and the unit.
    #[must_use]
    pub fn heading(&self) -> String {
        match self.unit.name() {
            "" => self.title.to_owned(),
            unit => format!("{}, {unit}", self.title),
        }
    }

    /// Returns the median and the range in `all`.
    #[must_use]
    pub fn cell(&self, all: &Figures) -> String {
        let Some(spread) = all.get(self.name) else {
            return "-".to_owned();
        };
        let show = |value| self.unit.show(value);
        let (min, median, max) = (show(spread.min), show(spread.median), show(spread.max));
        match min == max {
            true => median,
            false => format!("{median} ({min} to {max})"),
        }
    }
}

type Get<'a> = dyn Fn(&str) -> Option<u64> + 'a;

/// Returns the time between two moments.
fn span(get: &Get, from: &str, to: &str) -> Option<u64> {
    Some(get(to)?.saturating_sub(get(from)?))
}

/// Every figure but the image's size, which is known without a boot.
#[rustfmt::skip]
pub const FIGURES: &[Figure] = &[
    Figure { name: "kernel", title: "kernel's start to PID 1", unit: Unit::Microseconds, of: |g| g("pid1") },
    Figure { name: "net", title: "PID 1 to default route", unit: Unit::Microseconds, of: |g| span(g, "pid1", "net") },
    Figure { name: "banner", title: "PID 1 to sshd's banner", unit: Unit::Microseconds, of: |g| span(g, "pid1", "banner") },
    Figure { name: "socket", title: "PID 1 to podman's socket bound", unit: Unit::Microseconds, of: |g| span(g, "pid1", "socket") },
    Figure { name: "ready", title: "PID 1 to ready: all three", unit: Unit::Microseconds, of: |g| ["net", "banner", "socket"].iter().filter_map(|n| span(g, "pid1", n)).max() },
    Figure { name: "ping", title: "PID 1 to the API's first answer", unit: Unit::Microseconds, of: |g| span(g, "pid1", "ping") },
    Figure { name: "first", title: "first container", unit: Unit::Microseconds, of: |g| span(g, "ping", "first") },
    Figure { name: "second", title: "second container", unit: Unit::Microseconds, of: |g| span(g, "first", "second") },
    Figure { name: "all", title: "PID 1 to first container's end", unit: Unit::Microseconds, of: |g| span(g, "pid1", "first") },
    Figure { name: "poweroff", title: "power button to off", unit: Unit::Microseconds, of: |g| span(g, "button", "off") },
    Figure { name: "mem_ready", title: "memory used when ready", unit: Unit::KibAsMb, of: |g| g("mem_ready") },
    Figure { name: "mem_rest", title: "memory used at rest", unit: Unit::KibAsMb, of: |g| g("mem_rest") },
    Figure { name: "pss", title: "processes at rest, PSS", unit: Unit::KibAsMb, of: |g| g("pss") },
    Figure { name: "processes", title: "processes at rest", unit: Unit::Count, of: |g| g("processes") },
    Figure { name: "pid1_rss", title: "PID 1, RSS", unit: Unit::KibAsMb, of: |g| g("pid1_rss") },
    Figure { name: "pid1_anon", title: "PID 1, its own", unit: Unit::KibAsMb, of: |g| g("pid1_anon") },
];

/// Size of the image.
pub const BYTES: Figure = Figure {
    name: "bytes",
    title: "kernel and initrd",
    unit: Unit::Bytes,
    of: |_| None,
};

const fn alone(name: &'static str, title: &'static str, unit: Unit) -> Figure {
    Figure {
        name,
        title,
        unit,
        of: |_| None,
    }
}

/// Figures of PID 1 alone, by the names of the program in the guest (bench/pid1/src/measure.rs).
#[rustfmt::skip]
pub const PID1: &[Figure] = &[
    alone("start", "exec to the service's first instruction", Unit::Nanoseconds),
    alone("restart", "restart after a kill, service older than a minute", Unit::Nanoseconds),
    alone("again", "restart after a second kill at once", Unit::Nanoseconds),
    alone("reap", "reap 100,000 orphans, by the thousand", Unit::Nanoseconds),
    alone("reap_cpu", "CPU time of PID 1 for 100,000 orphans", Unit::Nanoseconds),
    alone("single", "reap 10,000 orphans, one by one", Unit::Nanoseconds),
    alone("single_cpu", "CPU time of PID 1 for 10,000 orphans, one by one", Unit::Nanoseconds),
    alone("wakes", "wake-ups in a minute at rest", Unit::Count),
    alone("processes", "processes", Unit::Count),
    alone("rss", "resident memory", Unit::KibAsKb),
    alone("own", "resident memory, anonymous", Unit::KibAsKb),
];

/// The figure of a quadlet.
pub const QUADLET: &[Figure] = &[alone(
    "container",
    "PID 1 to the first instruction of a quadlet's container",
    Unit::Microseconds,
)];

/// The figure of the least memory.
pub const MEMORY: &[Figure] = &[alone(
    "least",
    "least -m that boots and runs a container, MiB",
    Unit::Count,
)];

/// Figures of a start by podman-machine. "Instructions" are those of the guest, as in the other figures one a
/// nanosecond; the others are times of the host.
#[rustfmt::skip]
pub const MACHINE: &[Figure] = &[
    alone("instructions", "instructions of the guest to the API's answer", Unit::Nanoseconds),
    alone("processor", "processor time of QEMU", Unit::Microseconds),
    alone("wall", "time of the host", Unit::Microseconds),
];

/// Returns the largest difference that is noise for a figure of PID 1 alone: pages of a file that the kernel maps
/// around a fault (64 KiB at once), a page or two, one wake-up.
pub fn noise(name: &str) -> u64 {
    match name {
        "rss" => 128,
        "own" => 8,
        "wakes" => 1,
        _ => 0,
    }
}

/// Returns the figure of this name among `all`.
pub fn named<'a>(all: &'a [Figure], name: &str) -> Option<&'a Figure> {
    all.iter().find(|f| f.name == name)
}

/// Result of several boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Minimum.
    pub min: u64,
    /// Median; of an even number of values, the lower of the middle two.
    pub median: u64,
    /// Maximum.
    pub max: u64,
}

impl Spread {
    /// Computes the spread of some values; `None` without values.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let middle = values.len().checked_sub(1)? / 2;
        Some(Spread {
            min: *values.first()?,
            median: *values.get(middle)?,
            max: *values.last()?,
        })
    }
}

/// Figures of a case, by name.
pub type Figures = BTreeMap<String, Spread>;

/// Computes the figures of a case from its boots.
pub fn of(readings: &[Reading], bytes: u64) -> Result<Figures> {
    let mut all = Figures::new();
    for figure in FIGURES {
        let one = |r: &Reading| {
            (figure.of)(&|name: &str| r.0.get(name).copied())
                .with_context(|| format!("a boot has no figure {}", figure.name))
        };
        let values = readings.iter().map(one).collect::<Result<Vec<_>>>()?;
        let spread = Spread::of(values).context("no boot, no figure")?;
        all.insert(figure.name.to_owned(), spread);
    }
    let bytes = Spread {
        min: bytes,
        median: bytes,
        max: bytes,
    };
    all.insert(BYTES.name.to_owned(), bytes);
    Ok(all)
}

impl Unit {
    /// Formats a value for the table.
    pub fn show(self, value: u64) -> String {
        match self {
            Unit::Microseconds => format!("{:.1}", value as f64 / 1000.0),
            Unit::Nanoseconds => digits(value as f64 / 1e6),
            Unit::KibAsKb => format!("{:.0}", value as f64 * 1.024),
            Unit::KibAsMb => format!("{:.1}", value as f64 * 1024.0 / 1e6),
            Unit::Bytes => format!("{:.1}", value as f64 / 1e6),
            Unit::Count => value.to_string(),
        }
    }

    /// Returns the unit's name for the heading.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Microseconds | Unit::Nanoseconds => "ms",
            Unit::KibAsKb => "kB",
            Unit::KibAsMb | Unit::Bytes => "MB",
            Unit::Count => "",
        }
    }
}

/// Formats a number with its significant digits.
pub fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(shift: u64) -> Reading {
        let moments = [
            ("pid1", 1_000),
            ("net", 3_000),
            ("banner", 4_000),
            ("socket", 2_000),
            ("ping", 6_000),
            ("first", 9_000),
            ("second", 11_000),
            ("button", 50_000),
            ("off", 50_300),
        ];
        let memory = [
            "mem_ready",
            "mem_rest",
            "pss",
            "processes",
            "pid1_rss",
            "pid1_anon",
        ];
        let moments = moments.map(|(name, at)| (name.to_owned(), at + shift));
        let memory = memory.map(|name| (name.to_owned(), 100 + shift));
        Reading(moments.into_iter().chain(memory).collect())
    }

    #[test]
    fn spans_are_taken_from_pid_1_and_ready_is_the_last_of_three() {
        let all = of(&[reading(0)], 42).expect("whole");
        let value = |name: &str| all[name].median;
        assert_eq!(value("kernel"), 1_000);
        assert_eq!(
            (value("ready"), value("banner"), value("socket")),
            (3_000, 3_000, 1_000)
        );
        assert_eq!((value("first"), value("second")), (3_000, 2_000));
        assert_eq!((value("poweroff"), value("bytes")), (300, 42));
    }

    #[test]
    fn a_moment_that_is_missing_is_an_error() {
        let mut cut = reading(0);
        cut.0.remove("off");
        let why = of(&[reading(0), cut], 1).expect_err("cut").to_string();
        assert!(why.contains("poweroff"), "{why}");
        assert!(of(&[], 1).is_err());
    }

    #[test]
    fn median_of_samples() {
        let spread = |v: &[u64]| Spread::of(v.to_vec()).map(|s| (s.min, s.median, s.max));
        assert_eq!(spread(&[3, 1, 2]), Some((1, 2, 3)));
        assert_eq!(spread(&[4, 1, 2, 3]), Some((1, 2, 4)));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn units_are_formatted() {
        assert_eq!(Unit::Microseconds.show(1_250), "1.2");
        assert_eq!(Unit::KibAsMb.show(1_000), "1.0");
        assert_eq!(Unit::Bytes.show(57_061_888), "57.1");
        assert_eq!(Unit::Nanoseconds.show(1_250_000), "1.25");
        assert_eq!(Unit::Nanoseconds.show(31_250_000), "31.2");
        assert_eq!(Unit::Nanoseconds.show(1_031_250_000), "1031");
        assert_eq!(Unit::KibAsKb.show(468), "479");
    }

    #[test]
    fn a_figure_is_found_by_its_name() {
        assert!(named(FIGURES, "ping").is_some() && named(FIGURES, "reap").is_none());
        assert!(named(PID1, "reap").is_some());
    }
}
