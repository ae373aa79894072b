// SPDX-License-Identifier: Apache-2.0
//! The page that a person reads in a minute: each figure of this system beside that of the best peer, sorted by
//! the distance between the two, with the names of all peers that are better.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::{
    BYTES, FIGURES, Figure, Figures, MACHINE, MEMORY, PID1, QUADLET, digits, noise,
};
use crate::guard::{Bench, MOVED};
use crate::peers::PEERS;
use crate::pid1::GROUPS;

/// Name of this system among the cases.
const OURS: &str = "boot2podman";
/// Headings of a table.
const HEADINGS: &str = "| | ours | best peer | its figure / ours | peers with a lower median |\n|---|---:|---|---:|---|\n";

/// A figure of this system and of its peers. The lower one is the better one.
struct Row<'a> {
    group: &'static str,
    figure: &'a Figure,
    ours: u64,
    /// Name and figure of each peer, the best one first.
    peers: Vec<(&'a str, u64)>,
}

/// Place of a row on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No peer is as good as this system.
    Ahead,
    /// The best peer differs by noise.
    Equal,
    /// A peer is better.
    Behind,
    /// No peer has the figure.
    Alone,
}

impl Row<'_> {
    /// Returns the best peer's figure divided by this system's.
    fn ratio(&self) -> Option<f64> {
        let (_, best) = self.peers.first()?;
        Some(match (self.ours, *best) {
            (0, 0) => 1.0,
            (0, _) => f64::INFINITY,
            (ours, best) => best as f64 / ours as f64,
        })
    }

    /// Returns true if two values differ by noise.
    fn same(&self, peer: u64) -> bool {
        let least = self.ours.min(peer);
        let apart = self.ours.abs_diff(peer);
        apart as f64 <= least as f64 * MOVED || apart <= noise(self.figure.name)
    }

    fn place(&self) -> Place {
        match self.peers.first() {
            None => Place::Alone,
            Some((_, best)) if self.same(*best) => Place::Equal,
            Some((_, best)) if *best > self.ours => Place::Ahead,
            Some(_) => Place::Behind,
        }
    }

    /// Returns the names of the peers that are better by more than noise, each with its figure.
    fn better(&self) -> String {
        let better = self.peers.iter();
        let better = better.filter(|(_, value)| *value < self.ours && !self.same(*value));
        let all: Vec<String> = better
            .map(|(name, value)| format!("{name} {}", self.figure.unit.show(*value)))
            .collect();
        match all.is_empty() {
            true => "nobody".to_owned(),
            false => all.join(", "),
        }
    }

    fn title(&self) -> String {
        format!("{}{}", self.group, self.figure.heading())
    }

    fn line(&self) -> String {
        let show = |value| self.figure.unit.show(value);
        let (best, ratio) = match (self.peers.first(), self.ratio()) {
            (Some((name, value)), Some(ratio)) => {
                (format!("{name} {}", show(*value)), times(ratio))
            }
            _ => ("-".to_owned(), "-".to_owned()),
        };
        let (title, ours) = (self.title(), show(self.ours));
        format!(
            "| {title} | {ours} | {best} | {ratio} | {} |\n",
            self.better()
        )
    }
}

/// Formats a ratio.
fn times(ratio: f64) -> String {
    match ratio.is_finite() {
        true => digits(ratio),
        false => "ours is 0".to_owned(),
    }
}

/// Returns the page.
pub fn markdown(bench: &Bench) -> String {
    let mut rows = rows(bench);
    // The largest lead first; figures without a peer keep their order.
    let ratio = |row: &Row| row.ratio().unwrap_or(0.0);
    rows.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
    let mut text = head(bench, &rows);
    for (title, place) in [
        ("We are ahead: the largest lead first", Place::Ahead),
        ("A peer is ahead: the largest distance first", Place::Behind),
        ("Equal", Place::Equal),
        ("Without a peer", Place::Alone),
    ] {
        let of_place = rows.iter().filter(|row| row.place() == place);
        let mut lines: Vec<String> = of_place.map(Row::line).collect();
        if place == Place::Behind {
            lines.reverse();
        }
        if !lines.is_empty() {
            let _ = write!(text, "\n## {title}\n\n{HEADINGS}{}", lines.concat());
        }
    }
    text
}

/// Returns the conditions, and one sentence each for the best and the worst figure.
fn head(bench: &Bench, rows: &[Row]) -> String {
    let (release, kernel, runs) = (&bench.release, &bench.kernel, bench.runs);
    let share = MOVED * 100.0;
    let mut text = format!(
        "# In one minute\n\nKernel {release} ({kernel}). Medians of {runs} boots; less is better in every row. Two \
         figures that differ by less than {share} % count as equal.\n\n"
    );
    let compared = || rows.iter().filter(|row| row.ratio().is_some());
    for (word, row) in [
        ("Best", compared().next()),
        ("Worst", compared().next_back()),
    ] {
        if let Some(row) = row {
            let _ = writeln!(text, "- {word}: {}", sentence(row));
        }
    }
    text
}

fn sentence(row: &Row) -> String {
    let show = |value| row.figure.unit.show(value);
    let (name, value) = row.peers.first().copied().unwrap_or_default();
    let (title, ours, value) = (row.title(), show(row.ours), show(value));
    format!("{title}: {ours}, and {value} of {name}.")
}

/// Returns every figure that this system has.
fn rows(bench: &Bench) -> Vec<Row<'_>> {
    let machine: Vec<&Figure> = FIGURES.iter().chain([&BYTES]).collect();
    let quadlet: Vec<&Figure> = QUADLET.iter().collect();
    let alone: Vec<&Figure> = PID1.iter().collect();
    let tool: Vec<&Figure> = MACHINE.iter().collect();
    let named = PEERS.iter().map(|peer| (peer.name, peer.name));
    let peers: Vec<(&str, &str)> = [(OURS, OURS)].into_iter().chain(named).collect();
    let mut all = compared("", &machine, &bench.cases, &peers);
    all.extend(compared(
        "two processors: ",
        &machine,
        &bench.two_cpus,
        &peers,
    ));
    all.extend(compared("", &quadlet, &bench.quadlet, &peers));
    for (kind, title) in [
        ("cold", "podman-machine start, cold: "),
        ("saved", "podman-machine start, from a saved state: "),
    ] {
        all.extend(compared(title, &tool, &bench.machine, &[(kind, kind)]));
    }
    let least: Vec<&Figure> = MEMORY.iter().collect();
    all.extend(compared("", &least, &bench.memory, &[("as shipped", OURS)]));
    for group in GROUPS {
        let name = match group.members.first() {
            Some(("run", _)) => "podman-init alone: ",
            _ => "PID 1 alone: ",
        };
        all.extend(compared(name, &alone, &bench.pid1, group.members));
    }
    all
}

/// Returns the rows of one group of candidates, of which the first is this system.
fn compared<'a>(
    group: &'static str,
    figures: &[&'a Figure],
    all: &BTreeMap<String, Figures>,
    members: &[(&str, &'a str)],
) -> Vec<Row<'a>> {
    let Some((ours, others)) = members.split_first() else {
        return Vec::new();
    };
    let median = |name: &str, figure: &Figure| Some(all.get(name)?.get(figure.name)?.median);
    let row = |figure: &&'a Figure| {
        let theirs = others.iter();
        let theirs = theirs.filter_map(|(name, title)| Some((*title, median(name, figure)?)));
        let mut peers: Vec<_> = theirs.collect();
        peers.sort_by_key(|(_, value)| *value);
        let ours = median(ours.0, figure)?;
        Some(Row {
            group,
            figure,
            ours,
            peers,
        })
    };
    figures.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;

    fn one(name: &str, median: u64) -> Figures {
        let spread = Spread {
            min: median,
            median,
            max: median,
        };
        [(name.to_owned(), spread)].into()
    }

    fn cases(name: &str, all: &[(&str, u64)]) -> BTreeMap<String, Figures> {
        let each = all.iter();
        each.map(|(case, median)| ((*case).to_owned(), one(name, *median)))
            .collect()
    }

    fn lines<'a>(text: &'a str, title: &str) -> Vec<&'a str> {
        let (_, after) = text.split_once(&format!("## {title}")).unwrap_or_default();
        let section = after.split("\n## ").next().unwrap_or_default();
        section
            .lines()
            .filter(|line| line.starts_with("| "))
            .skip(1)
            .collect()
    }

    #[test]
    fn every_peer_that_is_better_is_named_and_the_best_is_shown() {
        let all = [
            ("init", 3_000_000),
            ("busybox", 9_000_000),
            ("s6", 1_000_000),
            ("runit", 2_000_000),
        ];
        let bench = Bench {
            pid1: cases("restart", &all),
            ..Bench::default()
        };
        let text = markdown(&bench);
        let row = "| PID 1 alone: restart after a kill, service older than a minute, ms | 3.00 | s6-svscan 1.00 | 0.33 \
                   | s6-svscan 1.00, runit 2.00 |";
        assert_eq!(lines(&text, "A peer is ahead"), [row], "{text}");
        assert!(text.contains("- Worst: PID 1 alone: restart"), "{text}");
    }

    #[test]
    fn the_largest_distance_is_the_first_row_on_either_side() {
        let mut bench = Bench {
            cases: cases(
                "ready",
                &[
                    ("boot2podman", 100_000),
                    ("shell", 300_000),
                    ("verified", 1),
                ],
            ),
            quadlet: cases(
                "container",
                &[("boot2podman", 100_000), ("systemd", 500_000)],
            ),
            pid1: cases(
                "start",
                &[
                    ("init", 4_000_000),
                    ("s6", 2_000_000),
                    ("run", 4_000_000),
                    ("tini", 1_000_000),
                ],
            ),
            ..Bench::default()
        };
        let titles = |text: &str, title| {
            let rows = lines(text, title).into_iter();
            rows.filter_map(|row| Some(row.split('|').nth(4)?.trim().to_owned()))
                .collect::<Vec<_>>()
        };
        let text = markdown(&bench);
        assert_eq!(titles(&text, "We are ahead"), ["5.00", "3.00"], "{text}");
        assert_eq!(titles(&text, "A peer is ahead"), ["0.25", "0.50"], "{text}");
        bench.pid1.clear();
        let text = markdown(&bench);
        assert!(!text.contains("A peer is ahead"), "{text}");
        assert!(text.contains("- Best: PID 1 to the first instruction of a quadlet's container, ms: 100.0, and 500.0 of systemd."), "{text}");
    }

    #[test]
    fn a_difference_within_the_noise_is_no_difference() {
        let mut bench = Bench {
            cases: cases("ready", &[("boot2podman", 100_000), ("shell", 98_500)]),
            pid1: cases("wakes", &[("init", 0), ("tini", 60), ("s6", 1)]),
            ..Bench::default()
        };
        let text = markdown(&bench);
        let equal = lines(&text, "Equal");
        assert!(
            equal.len() == 2 && equal.iter().all(|row| row.ends_with("| nobody |")),
            "{text}"
        );
        bench.pid1 = cases("wakes", &[("run", 0), ("tini", 60)]);
        let text = markdown(&bench);
        let ahead = lines(&text, "We are ahead");
        assert!(
            ahead.len() == 1 && ahead.iter().all(|row| row.contains("ours is 0")),
            "{text}"
        );
    }

    #[test]
    fn a_figure_without_a_peer_is_listed_and_nothing_is_an_empty_page() {
        let bench = Bench {
            machine: cases(
                "instructions",
                &[("cold", 2_000_000_000), ("saved", 1_000_000)],
            ),
            ..Bench::default()
        };
        let text = markdown(&bench);
        assert_eq!(lines(&text, "Without a peer").len(), 2, "{text}");
        assert!(!text.contains("- Best"), "{text}");
        assert!(!markdown(&Bench::default()).contains("## "));
    }
}
