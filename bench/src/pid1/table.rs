// SPDX-License-Identifier: Apache-2.0
//! Tables of PID 1 alone: a column for each candidate, once as measured and once as a ratio to this
//! project's.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::figures::{Figure, Figures, PID1, Spread, digits};
use crate::pid1::{GROUPS, Group};

/// Returns the text; empty if nothing was measured.
pub fn markdown(all: &BTreeMap<String, Figures>) -> String {
    let mut text = String::new();
    if all.is_empty() {
        return text;
    }
    text += "\n## PID 1 alone\n\nEach as PID 1 of namespaces of its own, with one service. \
             Median (minimum to maximum). The second table of each group has the ratio of each median to that of \
             the first column, and in brackets the smallest and the largest ratio that the ranges allow.\n";
    for group in GROUPS {
        let _ = write!(text, "\n{}:\n\n", group.title);
        let plain = |figure: &Figure, name: &str| {
            let own = all.get(name).cloned().unwrap_or_default();
            figure.cell(&own)
        };
        rows(&mut text, group, plain);
        text += "\n";
        rows(&mut text, group, |figure, name| {
            let get = |name: &str| all.get(name)?.get(figure.name).copied();
            let ours = group.members.first().and_then(|(ours, _)| get(ours));
            ratio(get(name), ours).unwrap_or_else(|| "-".to_owned())
        });
    }
    text
}

fn rows(text: &mut String, group: &Group, cell: impl Fn(&Figure, &str) -> String) {
    let titles: Vec<&str> = group.members.iter().map(|(_, title)| *title).collect();
    let _ = writeln!(text, "| | {} |", titles.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(titles.len()));
    for figure in PID1 {
        let cells: Vec<String> = group.members.iter().map(|(n, _)| cell(figure, n)).collect();
        if cells.iter().any(|cell| cell != "-") {
            let _ = writeln!(text, "| {} | {} |", figure.heading(), cells.join(" | "));
        }
    }
}

fn ratio(theirs: Option<Spread>, ours: Option<Spread>) -> Option<String> {
    let (theirs, ours) = (theirs?, ours?);
    let of = |a: u64, b: u64| (b > 0).then(|| a as f64 / b as f64);
    let middle = digits(of(theirs.median, ours.median)?);
    let (least, most) = (of(theirs.min, ours.max)?, of(theirs.max, ours.min)?);
    let (least, most) = (digits(least), digits(most));
    match least == most || theirs == ours {
        true => Some(middle),
        false => Some(format!("{middle} ({least} to {most})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(min: u64, median: u64, max: u64) -> Spread {
        Spread { min, median, max }
    }

    #[test]
    fn a_ratio_has_the_spread_of_both() {
        let said = |theirs, ours| ratio(Some(theirs), Some(ours));
        let ours = spread(90, 100, 110);
        let twice = said(spread(198, 200, 207), ours);
        assert_eq!(twice.as_deref(), Some("2.00 (1.80 to 2.30)"));
        assert_eq!(said(ours, ours).as_deref(), Some("1.00"));
        assert_eq!(said(ours, spread(0, 0, 0)), None);
        assert_eq!(ratio(None, Some(ours)), None);
    }

    #[test]
    fn candidates_without_a_figure_have_a_dash() {
        let ms = |n| spread(n, n, n);
        let one = |n: u64| [("restart".to_owned(), ms(n * 1_000_000))].into();
        let all = [("init".to_owned(), one(2)), ("s6".to_owned(), one(5))].into();
        let text = markdown(&all);
        let title = "| restart after a kill, service older than a minute";
        assert!(
            text.contains(&format!("{title}, ms | 2.00 | - | 5.00 | - | - |\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("{title}, ms | 1.00 | - | 2.50 | - | - |\n")),
            "{text}"
        );
        assert!(!text.contains("orphans"), "{text}");
        assert_eq!(markdown(&BTreeMap::new()), "");
    }
}
