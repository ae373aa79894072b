// SPDX-License-Identifier: Apache-2.0
//! Comparison with the last accepted results, bench/accepted.json and bench/accepted.aarch64.json.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use initramfs::arch::Arch;
use serde::{Deserialize, Serialize};

use crate::figures::{self, BYTES, FIGURES, Figure, Figures, MACHINE, MEMORY, PID1, QUADLET};

/// Relative change of a median that counts as noise if it is smaller.
pub const MOVED: f64 = 0.02;

/// Content of bench.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bench {
    /// Value of `KERNEL=`.
    pub kernel: String,
    /// Release of the kernel.
    pub release: String,
    /// Boots per case.
    pub runs: usize,
    /// Figures of each case.
    #[serde(default)]
    pub cases: BTreeMap<String, Figures>,
    /// Figures of PID 1 alone, by candidate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pid1: BTreeMap<String, Figures>,
    /// Figures of a quadlet, by system.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quadlet: BTreeMap<String, Figures>,
    /// Figures with two processors, by system.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub two_cpus: BTreeMap<String, Figures>,
    /// Figures of `podman-machine start`, by kind of start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machine: BTreeMap<String, Figures>,
    /// The least memory, by the words on the command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memory: BTreeMap<String, Figures>,
}

/// Returns the path of the accepted results of an architecture in the repository.
pub fn accepted(arch: &Arch) -> String {
    match arch.name {
        "x86_64" => "bench/accepted.json".to_owned(),
        name => format!("bench/accepted.{name}.json"),
    }
}

/// Reads a bench.json; `None` if the file does not exist.
pub fn read(file: &Path) -> Result<Option<Bench>> {
    let text = match fs::read_to_string(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("read {}", file.display()))?,
    };
    let bench = serde_json::from_str(&text);
    Ok(Some(bench.with_context(|| {
        format!("{}: not a bench.json", file.display())
    })?))
}

/// Writes a bench.json.
pub fn write(bench: &Bench, file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(bench)? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

/// Returns a line for every figure of `new` whose median differs from that of `old` by more than
/// [`MOVED`] and by more than its noise ([`figures::noise`]). Cases and figures that only one of them has are ignored,
/// and so is everything if the kernels differ.
pub fn moved(old: &Bench, new: &Bench) -> Vec<String> {
    if old.kernel != new.kernel {
        return Vec::new();
    }
    let known: Vec<&Figure> = FIGURES.iter().chain([&BYTES]).collect();
    let mut all = each(&known, "", &old.cases, &new.cases);
    all.extend(each(&known, "two-cpus ", &old.two_cpus, &new.two_cpus));
    let known: Vec<&Figure> = PID1.iter().collect();
    all.extend(each(&known, "pid1 ", &old.pid1, &new.pid1));
    let known: Vec<&Figure> = QUADLET.iter().collect();
    all.extend(each(&known, "quadlet ", &old.quadlet, &new.quadlet));
    let known: Vec<&Figure> = MEMORY.iter().collect();
    all.extend(each(&known, "memory ", &old.memory, &new.memory));
    // Times of the host are not compared.
    let known: Vec<&Figure> = MACHINE.iter().take(1).collect();
    all.extend(each(&known, "podman-machine ", &old.machine, &new.machine));
    all
}

type Cases = BTreeMap<String, Figures>;

fn each(known: &[&Figure], prefix: &str, old: &Cases, new: &Cases) -> Vec<String> {
    let both = new
        .iter()
        .filter_map(|(name, figures)| Some((name, old.get(name)?, figures)));
    both.flat_map(|(name, old, new)| lines(known, &format!("{prefix}{name}"), old, new))
        .collect()
}

fn lines(known: &[&Figure], case: &str, old: &Figures, new: &Figures) -> Vec<String> {
    let line = |(name, new): (&String, &figures::Spread)| {
        let (was, is) = (old.get(name)?.median, new.median);
        let share = (is as f64 - was as f64) / was.max(1) as f64;
        let figure = known.iter().find(|f| f.name == *name)?;
        let (unit, show) = (figure.unit.name(), |v| figure.unit.show(v));
        let moved = share.abs() > MOVED && is.abs_diff(was) > figures::noise(name);
        moved.then(|| {
            format!(
                "{case}: {}: {} -> {} {unit} ({:+.1} %)",
                figure.title,
                show(was),
                show(is),
                share * 100.0
            )
        })
    };
    new.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;

    fn bench(kernel: &str, banner: u64) -> Bench {
        let spread = |median| Spread {
            min: 0,
            median,
            max: u64::MAX,
        };
        let figures = [("banner", banner), ("ping", 100_000)];
        let figures = figures.map(|(n, v)| (n.to_owned(), spread(v)));
        Bench {
            kernel: kernel.to_owned(),
            cases: [("ours".to_owned(), figures.into_iter().collect())].into(),
            ..Bench::default()
        }
    }

    #[test]
    fn only_figures_that_changed_are_reported() {
        let old = bench("cloud", 100_000);
        assert!(moved(&old, &bench("cloud", 102_000)).is_empty());
        let lines = moved(&old, &bench("cloud", 90_000));
        assert_eq!(
            lines,
            ["ours: PID 1 to sshd's banner: 100.0 -> 90.0 ms (-10.0 %)"]
        );
        assert!(moved(&old, &bench("slim", 1)).is_empty());
        assert!(moved(&Bench::default(), &bench("", 1)).is_empty());
    }

    #[test]
    fn pid_1_alone_is_guarded_too() {
        let alone = |reap| {
            let spread = Spread::of(vec![reap]).expect("one");
            let figures = [("reap".to_owned(), spread)].into();
            Bench {
                pid1: [("tini".to_owned(), figures)].into(),
                ..Bench::default()
            }
        };
        assert!(moved(&alone(1_000_000_000), &alone(1_010_000_000)).is_empty());
        let lines = moved(&alone(1_000_000_000), &alone(1_100_000_000));
        let line = "pid1 tini: reap 100,000 orphans, by the thousand: 1000 -> 1100 ms (+10.0 %)";
        assert_eq!(lines, [line]);
        let own = |kib| {
            let mut bench = alone(1);
            let spread = Spread::of(vec![kib]).expect("one");
            let tini = bench.pid1.get_mut("tini").expect("there");
            tini.insert("own".to_owned(), spread);
            bench
        };
        assert!(moved(&own(52), &own(60)).is_empty(), "two pages");
        assert_eq!(moved(&own(52), &own(64)).len(), 1);
    }

    #[test]
    fn accepted_figures_round_trip() {
        let file = std::env::temp_dir().join(format!("bench-{}.json", std::process::id()));
        assert_eq!(read(&file).expect("none"), None);
        let bench = bench("cloud", 7);
        write(&bench, &file).expect("writes");
        assert_eq!(read(&file).expect("reads"), Some(bench));
        fs::write(&file, "{").expect("writes");
        assert!(read(&file).is_err());
        fs::remove_file(file).expect("removes");
    }

    #[test]
    fn the_accepted_state_in_the_tree_can_be_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("accepted.json");
        let accepted = read(&file).expect("readable");
        let accepted = accepted.expect("there");
        let mut figures = accepted.cases.values().flat_map(|f| f.keys());
        assert!(!accepted.cases.is_empty() && !accepted.pid1.is_empty());
        assert!(figures.all(|name| name == BYTES.name || figures::named(FIGURES, name).is_some()));
        let mut figures = accepted.quadlet.values().flat_map(|f| f.keys());
        assert!(figures.all(|name| figures::named(QUADLET, name).is_some()));
        let mut figures = accepted.pid1.values().flat_map(|f| f.keys());
        assert!(figures.all(|name| figures::named(PID1, name).is_some()));
    }
}
