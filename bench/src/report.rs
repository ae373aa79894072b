// SPDX-License-Identifier: Apache-2.0
//! bench.md: the table, and the picture in the same directory.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::{BYTES, FIGURES, Figure, Figures, MACHINE, MEMORY, QUADLET};
use crate::guard::Bench;
use crate::pid1::table;

/// Returns the whole text. Cases are in the order of `order`, then by name.
pub fn markdown(bench: &Bench, order: &[&str]) -> String {
    let cases = ordered(bench, order);
    let mut text = format!(
        "# Side by side\n\nKernel {} ({}), {} boots of each under QEMU's instruction clock \
         (one instruction a nanosecond, one processor).\nMedian (minimum to maximum). \
         docs/measured/bench.md says what each is and how it is set up.\n\n![waterfall](bench.svg)\n\n",
        bench.release, bench.kernel, bench.runs
    );
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(text, "| | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len()));
    for figure in FIGURES.iter().chain([&BYTES]) {
        let cells: Vec<String> = cases.iter().map(|(_, all)| figure.cell(all)).collect();
        let _ = writeln!(text, "| {} | {} |", figure.heading(), cells.join(" | "));
    }
    let machine: Vec<&Figure> = FIGURES.iter().chain([&BYTES]).collect();
    text += &section("Two processors", &machine, &bench.two_cpus);
    text += &section("A quadlet", &all(QUADLET), &bench.quadlet);
    text += &section("podman-machine start", &all(MACHINE), &bench.machine);
    text += &section("Least memory", &all(MEMORY), &bench.memory);
    text + &table::markdown(&bench.pid1)
}

fn all(figures: &[Figure]) -> Vec<&Figure> {
    figures.iter().collect()
}

/// Returns a table with a column for each name; empty if nothing was measured.
fn section(title: &str, figures: &[&Figure], all: &BTreeMap<String, Figures>) -> String {
    if all.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let mut text = format!("\n## {title}\n\n| | {} |\n", names.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(names.len()));
    for figure in figures {
        let cells: Vec<String> = all.values().map(|of| figure.cell(of)).collect();
        let _ = writeln!(text, "| {} | {} |", figure.heading(), cells.join(" | "));
    }
    text
}

/// Returns the cases, those in `order` first.
pub fn ordered<'a>(bench: &'a Bench, order: &[&str]) -> Vec<(&'a str, &'a Figures)> {
    let mut cases: Vec<_> = bench.cases.iter().map(|(n, f)| (n.as_str(), f)).collect();
    let place = |name: &str| order.iter().position(|o| *o == name);
    cases.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;

    #[test]
    fn a_row_for_each_figure_and_a_column_for_each_case() {
        let spread = |min, median, max| Spread { min, median, max };
        let case = |at| [("banner".to_owned(), spread(at, at + 1_000, at + 2_000))].into();
        let bench = Bench {
            cases: [("a".to_owned(), case(0)), ("z".to_owned(), case(9_000))].into(),
            ..Bench::default()
        };
        let text = markdown(&bench, &["z"]);
        assert!(text.contains("| | z | a |\n|---|---:|---:|\n"), "{text}");
        let row = "| PID 1 to sshd's banner, ms | 10.0 (9.0 to 11.0) | 1.0 (0.0 to 2.0) |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| processes at rest | - | - |\n"), "{text}");
        assert!(!text.contains("quadlet"), "{text}");
    }

    #[test]
    fn a_quadlet_has_a_table_of_its_own() {
        let spread = |at| Spread {
            min: at,
            median: at,
            max: at,
        };
        let of = |at| [("container".to_owned(), spread(at))].into();
        let bench = Bench {
            quadlet: [("a".to_owned(), of(1_000)), ("z".to_owned(), of(2_500))].into(),
            ..Bench::default()
        };
        let text = markdown(&bench, &[]);
        let row = "first instruction of a quadlet's container, ms | 1.0 | 2.5 |\n";
        assert!(
            text.contains("## A quadlet\n\n| | a | z |\n") && text.contains(row),
            "{text}"
        );
    }
}
