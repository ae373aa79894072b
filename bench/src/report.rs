// SPDX-License-Identifier: Apache-2.0
//! bench.md: the table, and the picture beside it.

use std::fmt::Write;

use crate::figures::{BYTES, FIGURES, Figures};
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
    text + &table::markdown(&bench.pid1)
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
        let row = "| to sshd's banner, ms | 10.0 (9.0 to 11.0) | 1.0 (0.0 to 2.0) |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| processes at rest | - | - |\n"), "{text}");
    }
}
