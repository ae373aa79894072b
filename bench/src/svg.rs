// SPDX-License-Identifier: Apache-2.0
//! The waterfall: a bar for each case from the start of PID 1 to the end of the first container,
//! coloured by the object of each wait.

use std::fmt::Write;

use crate::figures::Figures;
use crate::guard::Bench;
use crate::report::ordered;

/// Parts of a bar: its end, counted from the start of PID 1, as a sum of figures; colour; label.
const PARTS: &[(&[&str], &str, &str)] = &[
    (&["ready"], "#4c78a8", "network, sshd, socket"),
    (&["ping"], "#f58518", "the API's first answer"),
    (&["ping", "first"], "#54a24b", "the first container"),
    (&["ping", "first", "second"], "#b2df8a", "the second"),
];

const LEFT: u64 = 110;
const WIDTH: u64 = 760;
const ROW: u64 = 34;
const TOP: u64 = 50;

/// Returns the picture.
pub fn draw(bench: &Bench, order: &[&str]) -> String {
    let cases = ordered(bench, order);
    let longest = cases
        .iter()
        .filter_map(|(_, f)| ends(f).last().copied())
        .max();
    let scale = Scale(longest.unwrap_or(1).max(1));
    let height = TOP + ROW * cases.len() as u64 + 30;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 80
    );
    legend(&mut text);
    let bottom = TOP + ROW * cases.len() as u64;
    grid(&mut text, &scale, bottom);
    for (row, (name, figures)) in (0u64..).zip(&cases) {
        bar(&mut text, TOP + row * ROW, name, figures, &scale);
    }
    text + "</svg>\n"
}

/// Conversion of microseconds to pixels; the longest bar fills the width.
struct Scale(u64);

impl Scale {
    fn x(&self, micros: u64) -> u64 {
        LEFT + micros.saturating_mul(WIDTH) / self.0
    }

    /// Returns a step that gives four to ten grid lines.
    fn step(&self) -> u64 {
        let steps = [
            50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
        ];
        let found = steps.into_iter().find(|step| self.0 / step <= 10);
        found.unwrap_or(self.0.div_ceil(10).max(1))
    }
}

fn ends(figures: &Figures) -> Vec<u64> {
    let median = |name: &&str| figures.get(*name).map_or(0, |s| s.median);
    PARTS
        .iter()
        .map(|(sum, _, _)| sum.iter().map(median).sum())
        .collect()
}

fn legend(text: &mut String) {
    for (place, (_, colour, word)) in (0u64..).zip(PARTS) {
        let x = LEFT + place * 190;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"23\">{word}</text>",
            x + 18
        );
    }
}

fn grid(text: &mut String, scale: &Scale, bottom: u64) {
    let step = scale.step();
    for at in (0..).map(|n| n * step).take_while(|at| *at <= scale.0) {
        let x = scale.x(at);
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{:.2} s</text>",
            TOP - 8,
            bottom + 18,
            at as f64 / 1e6
        );
    }
}

fn bar(text: &mut String, y: u64, name: &str, figures: &Figures, scale: &Scale) {
    let middle = y + 16;
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>",
        LEFT - 8
    );
    let mut from = 0;
    for (end, (_, colour, _)) in ends(figures).into_iter().zip(PARTS) {
        let (x, wide) = (scale.x(from), scale.x(end) - scale.x(from.min(end)));
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"22\" fill=\"{colour}\"/>"
        );
        from = end;
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{middle}\" fill=\"#333\">{:.2} s</text>",
        scale.x(from) + 6,
        from as f64 / 1e6
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;

    fn bench() -> Bench {
        let case = |ready: u64| {
            let figures = [
                ("ready", ready),
                ("ping", ready * 2),
                ("first", 10),
                ("second", 5),
            ];
            let spread = |median| Spread {
                min: median,
                median,
                max: median,
            };
            figures.map(|(n, v)| (n.to_owned(), spread(v))).into()
        };
        Bench {
            cases: [
                ("ours".to_owned(), case(100)),
                ("slow".to_owned(), case(400)),
            ]
            .into(),
            ..Bench::default()
        }
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_every_part_begins_where_one_ends() {
        let text = draw(&bench(), &["ours"]);
        assert_eq!(ends(&bench().cases["slow"]), [400, 800, 810, 815]);
        let end = LEFT + WIDTH + 6;
        assert!(text.contains(&format!("<text x=\"{end}\"")), "{text}");
        assert_eq!(text.matches("height=\"22\"").count(), 2 * PARTS.len());
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn a_chart_without_figures_is_empty() {
        assert!(draw(&Bench::default(), &[]).contains("</svg>"));
        assert!(Scale(1).step() > 0 && Scale(u64::MAX / WIDTH).step() > 0);
    }
}
