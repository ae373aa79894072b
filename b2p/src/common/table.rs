// SPDX-License-Identifier: Apache-2.0
//! Tables of text. A terminal that is too narrow gets fewer columns, never a wrapped line.

use crate::common::terminal::{Colour, Terminal, width};

/// Text between two columns.
const GAP: &str = "  ";

/// Column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// True for numbers, which are aligned at the right.
    pub right: bool,
    /// Rank: if the terminal is too narrow, columns with the lowest ranks are dropped first.
    /// Columns of rank 0 are never dropped.
    pub keep: u8,
}

/// Text of a cell, and its colour.
pub type Cell = (String, Option<Colour>);

/// Returns the table as lines of text. Missing cells of a row are empty.
#[must_use]
pub fn render(columns: &[Column], rows: &[Vec<Cell>], terminal: &Terminal) -> String {
    let empty: Cell = (String::new(), None);
    let cell = |row: &'_ [Cell], at: usize| row.get(at).unwrap_or(&empty).clone();
    let widest = |at: usize, title: &str| {
        let cells = rows.iter().map(|row| width(&cell(row, at).0));
        cells.chain([width(title)]).max().unwrap_or(0)
    };
    let columns_by_index = columns.iter().enumerate();
    let sizes: Vec<usize> = columns_by_index
        .map(|(at, column)| widest(at, column.title))
        .collect();
    let shown = fitting(columns, &sizes, terminal.width);
    let line = |cells: &dyn Fn(usize, &Column) -> Cell| {
        let padded = |at: &usize| {
            let column = columns.get(*at)?;
            let (text, colour) = cells(*at, column);
            let pad = " ".repeat(sizes.get(*at)?.saturating_sub(width(&text)));
            let text = colour.map_or(text.clone(), |c| terminal.paint(c, &text));
            let (before, after) = if column.right {
                (pad, String::new())
            } else {
                (String::new(), pad)
            };
            Some([before, text, after].concat())
        };
        let cells: Vec<String> = shown.iter().filter_map(padded).collect();
        format!("{}\n", cells.join(GAP).trim_end())
    };
    let mut out = line(&|_, column| (column.title.to_owned(), Some(Colour::Dim)));
    for row in rows {
        out.push_str(&line(&|at, _| cell(row, at)));
    }
    out
}

/// Returns the indexes of the columns that fit.
fn fitting(columns: &[Column], sizes: &[usize], room: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let size = |at: &usize| sizes.get(*at).map_or(0, |s| s + GAP.len());
    let keep = |at: &usize| columns.get(*at).map_or(0, |c| c.keep);
    while let Some(room) = room {
        let total: usize = shown.iter().map(size).sum();
        if total <= room + GAP.len() {
            break;
        }
        let Some(least) = shown.iter().map(keep).filter(|k| *k > 0).min() else {
            break;
        };
        shown.retain(|at| keep(at) != least);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::terminal::Glyphs;

    const COLUMNS: &[Column] = &[
        Column {
            title: "NAME",
            right: false,
            keep: 0,
        },
        Column {
            title: "N",
            right: true,
            keep: 1,
        },
        Column {
            title: "WHY",
            right: false,
            keep: 2,
        },
    ];

    fn at(width: Option<usize>, colour: bool) -> String {
        let plain = |t: &str| (t.to_owned(), None);
        let rows = [
            vec![
                plain("漢"),
                plain("10"),
                ("because".to_owned(), Some(Colour::Red)),
            ],
            vec![plain("longer"), plain("7"), plain("")],
        ];
        let glyphs = Glyphs::Ascii;
        render(
            COLUMNS,
            &rows,
            &Terminal {
                width,
                colour,
                glyphs,
            },
        )
    }

    #[test]
    fn columns_are_aligned_by_the_width_of_characters() {
        let text = "NAME     N  WHY\n漢      10  because\nlonger   7\n";
        assert_eq!(at(None, false), text);
        assert_eq!(at(Some(19), false), text);
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        assert_eq!(
            at(Some(18), false),
            "NAME    WHY\n漢      because\nlonger\n"
        );
        assert_eq!(at(Some(14), false), "NAME\n漢\nlonger\n");
        assert_eq!(at(Some(1), false), "NAME\n漢\nlonger\n");
    }

    #[test]
    fn colours_take_no_room() {
        let lines = at(Some(19), true);
        assert!(
            lines.contains("漢      10  \x1b[31mbecause\x1b[0m\n"),
            "{lines:?}"
        );
    }
}
