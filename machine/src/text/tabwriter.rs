// SPDX-License-Identifier: Apache-2.0
//! Columns of text, aligned as Go's package text/tabwriter does without flags.
//!
//! A tab ends a cell. The text after the last tab of a line is no cell of a column, so it is never
//! padded. A column is a block of consecutive lines that have the cell; a line without it begins a
//! new block, which may have another width. A form feed is a line break that ends every block.

/// Parameters of a table, named as those of `tabwriter.NewWriter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Minimum width of a cell in characters, with its padding.
    pub min_width: usize,
    /// Width of a tab in characters, if the padding consists of tabs.
    pub tab_width: usize,
    /// Padding in characters, which is added to the widest cell of a column.
    pub padding: usize,
    /// Character of the padding.
    pub pad_char: char,
}

/// Layout of docker-machine's and podman-machine's `ls`.
pub const LS: Layout = Layout {
    min_width: 5,
    tab_width: 1,
    padding: 3,
    pad_char: ' ',
};

/// One line: its cells, the last of which belongs to no column, and its end.
struct Line<'a> {
    cells: Vec<&'a str>,
    end: &'static str,
    ends_blocks: bool,
}

/// Returns `text` with its columns aligned.
#[must_use]
pub fn align(text: &str, layout: Layout) -> String {
    let lines = lines(text);
    let widths = widths(&lines, layout);
    let mut out = String::with_capacity(text.len() * 2);
    for (line, widths) in lines.iter().zip(&widths) {
        for (at, cell) in line.cells.iter().enumerate() {
            out.push_str(cell);
            if let Some(&width) = widths.get(at) {
                pad(&mut out, width_of(cell), width, layout);
            }
        }
        out.push_str(line.end);
    }
    out
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for raw in text.split_inclusive(['\n', '\x0c']) {
        let line = raw.strip_suffix(['\n', '\x0c']).unwrap_or(raw);
        let mut cells: Vec<&str> = line.split(['\t', '\x0b']).collect();
        let ended = line.len() < raw.len();
        // Without a line break, a tab at the very end begins no further cell.
        if !ended && cells.len() > 1 && cells.last() == Some(&"") {
            cells.pop();
        }
        lines.push(Line {
            cells,
            end: if ended { "\n" } else { "" },
            ends_blocks: raw.ends_with('\x0c'),
        });
    }
    lines
}

/// Returns the widths of the columns of each line.
///
/// A line that has column `n` has all columns before it. The blocks of a column are therefore the
/// longest runs of lines that have it, whatever the blocks of the other columns are.
fn widths(lines: &[Line<'_>], layout: Layout) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = Vec::with_capacity(lines.len());
    // First line and width of the current block of each column.
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let columns = line.cells.len() - 1;
        close(&mut widths, &mut blocks, columns);
        blocks.resize(columns, (at, layout.min_width));
        for (block, cell) in blocks.iter_mut().zip(&line.cells) {
            block.1 = block.1.max(width_of(cell) + layout.padding);
        }
        widths.push(vec![0; columns]);
        if line.ends_blocks {
            close(&mut widths, &mut blocks, 0);
        }
    }
    close(&mut widths, &mut blocks, 0);
    widths
}

/// Ends the blocks of all columns but the first `columns`, and writes their widths into the lines
/// that they consist of.
fn close(widths: &mut [Vec<usize>], blocks: &mut Vec<(usize, usize)>, columns: usize) {
    while blocks.len() > columns {
        let Some((first, width)) = blocks.pop() else {
            return;
        };
        for line in widths.iter_mut().skip(first) {
            line[blocks.len()] = width;
        }
    }
}

/// Pads a cell of `text` characters to `width`, or to the next multiple of the width of a tab.
fn pad(out: &mut String, text: usize, width: usize, layout: Layout) {
    let count = match (layout.pad_char, layout.tab_width) {
        ('\t', 0) => 0,
        ('\t', tab) => (width.next_multiple_of(tab) - text).div_ceil(tab),
        _ => width - text,
    };
    out.extend(std::iter::repeat_n(layout.pad_char, count));
}

/// Go counts code points, not columns of a terminal.
fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
#[path = "tabwriter_tests.rs"]
mod tests;
