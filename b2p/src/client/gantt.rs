// SPDX-License-Identifier: Apache-2.0
//! Bars on a scale of time, drawn with characters.

use crate::common::terminal::Glyphs;

/// Cells that are filled from the left, by eighths.
const LEFT_EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Marks of the moment at which the machine was ready: ASCII and line drawing.
pub const MARKS: [char; 2] = ['|', '│'];

/// A scale of time with room for bars. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    zero: u64,
    span: u64,
    ready: Option<u64>,
    cells: usize,
    glyphs: Glyphs,
}

/// Times of a bar, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Start of the wait.
    pub asked: u64,
    /// Start of the work; after `end` if there was none.
    pub start: u64,
    /// End of the work.
    pub end: u64,
}

impl Chart {
    /// Returns a scale from `zero` to `end` in this number of cells, with a mark at `ready`.
    #[must_use]
    pub fn new(zero: u64, end: u64, ready: Option<u64>, cells: usize, glyphs: Glyphs) -> Chart {
        Chart {
            zero,
            span: end.saturating_sub(zero).max(1),
            ready,
            cells,
            glyphs,
        }
    }

    /// Returns the position of a moment, in eighths of a cell.
    fn eighths(&self, at: u64) -> usize {
        let from = u128::from(at.saturating_sub(self.zero));
        let eighths = from * (self.cells * 8) as u128 / u128::from(self.span);
        usize::try_from(eighths).unwrap_or(usize::MAX)
    }

    /// Returns the cell of the mark.
    fn mark_cell(&self) -> Option<usize> {
        let cell = self.eighths(self.ready?) / 8;
        Some(cell.min(self.cells.checked_sub(1)?))
    }

    /// Returns the line above the bars: the bounds, and the time of the mark.
    #[must_use]
    pub fn scale(&self) -> String {
        let mut line = vec![' '; self.cells];
        let ms = |us: u64| format!("{} ms", us / 1000);
        put(&mut line, 0, "0");
        let end = ms(self.span);
        let ready = self.ready.map(|at| at.saturating_sub(self.zero));
        let label = ready.map(|at| format!("ready {}", ms(at)));
        match (self.mark_cell(), label) {
            (Some(mark), Some(label)) => {
                // The label begins at the mark, or ends there if the right side has no room.
                let after = mark + label.len() + 2 + end.len() <= self.cells;
                let at = if after {
                    mark
                } else {
                    (mark + 1).saturating_sub(label.len())
                };
                if mark + 1 + end.len() < self.cells {
                    put(&mut line, self.cells.saturating_sub(end.len()), &end);
                }
                put(&mut line, at.max(2), &label);
            }
            _ => put(&mut line, self.cells.saturating_sub(end.len()), &end),
        }
        line.into_iter().collect()
    }

    /// Returns one bar, as wide as the scale.
    #[must_use]
    pub fn bar(&self, bar: &Bar) -> String {
        // Work that ends on the scale is visible, in the last cell at the latest.
        let edge = (self.cells * 8).saturating_sub(1);
        let beyond = bar.end.saturating_sub(self.zero) > self.span;
        let (asked, start) = (self.eighths(bar.asked), self.eighths(bar.start));
        let no_work = bar.end < bar.start;
        let start = if beyond || no_work {
            start
        } else {
            start.min(edge)
        };
        // The shortest work fills one eighth.
        let min_end = if no_work { 0 } else { start.saturating_add(1) };
        let end = self.eighths(bar.end).max(min_end);
        let mut line: String = (0..self.cells)
            .map(|cell| self.cell(cell, asked, start, end))
            .collect();
        if beyond && line.pop().is_some() {
            line.push(if self.glyphs == Glyphs::Ascii {
                '>'
            } else {
                '►'
            });
        }
        line
    }

    fn cell(&self, cell: usize, asked: usize, start: usize, end: usize) -> char {
        let (from, to) = (cell * 8, cell * 8 + 8);
        let (low, high) = (start.clamp(from, to) - from, end.clamp(from, to) - from);
        if low < high {
            return self.part(low, high);
        }
        let ascii = self.glyphs == Glyphs::Ascii;
        if asked < to && start >= to {
            return if ascii { '.' } else { '·' };
        }
        match self.mark_cell() {
            Some(mark) if mark == cell => {
                let [plain, line] = MARKS;
                if ascii { plain } else { line }
            }
            _ => ' ',
        }
    }

    /// Returns the character for a cell filled from `low` to `high` eighths, or the most similar.
    fn part(&self, low: usize, high: usize) -> char {
        let half = self.glyphs == Glyphs::Halves;
        match (low, high) {
            _ if self.glyphs == Glyphs::Ascii => '#',
            (0, 7..) if half => '█',
            (0..4, _) if half => '▌',
            _ if half => '▐',
            (0, high) => LEFT_EIGHTHS.get(high).copied().unwrap_or('█'),
            (1, 8) => '█',
            (2..6, 8) => '▐',
            (4.., _) => '▕',
            _ => '▏',
        }
    }
}

fn put(line: &mut [char], at: usize, text: &str) {
    for (to, c) in line.iter_mut().skip(at).zip(text.chars()) {
        *to = c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bar(glyphs: Glyphs, asked: u64, start: u64, end: u64) -> String {
        let chart = Chart::new(0, 80, Some(64), 10, glyphs);
        chart.bar(&Bar { asked, start, end })
    }

    #[test]
    fn eighths_of_cells() {
        let bar = |start, end| bar(Glyphs::Eighths, start, start, end);
        assert_eq!(bar(0, 0), "▏       │ ");
        assert_eq!(bar(0, 12), "█▌      │ ");
        assert_eq!(bar(4, 16), "▐█      │ ");
        assert_eq!(bar(7, 8), "▕       │ ");
        assert_eq!(bar(10, 12), " ▏      │ ");
        assert_eq!(bar(60, 76), "       ▐█▌");
        assert_eq!(bar(60, 200), "       ▐█►");
        assert_eq!(bar(300, 301), "        │►");
    }

    #[test]
    fn waiting_and_plainer_glyphs() {
        assert_eq!(bar(Glyphs::Eighths, 8, 24, 40), " ··██   │ ");
        assert_eq!(bar(Glyphs::Ascii, 8, 24, 41), " ..###  | ");
        assert_eq!(bar(Glyphs::Halves, 8, 20, 35), " ·▐█▌   │ ");
    }

    #[test]
    fn the_scale_marks_start_ready_and_end() {
        let scale = |end, ready, cells| Chart::new(0, end, ready, cells, Glyphs::Ascii).scale();
        assert_eq!(
            scale(285_000, Some(190_000), 40),
            "0              ready 190 ms       285 ms"
        );
        assert_eq!(
            scale(190_000, Some(190_000), 24),
            "0           ready 190 ms"
        );
        assert_eq!(scale(90_000, None, 12), "0      90 ms");
        assert_eq!(
            scale(300_000, Some(100_000), 50),
            "0               ready 100 ms                300 ms"
        );
        assert_eq!(scale(1, Some(1), 0), "");
    }

    proptest! {
        #[test]
        fn any_bar_has_its_width(
            bounds in any::<(u64, u64, Option<u64>)>(), bar in any::<(u64, u64, u64)>(), cells in 0..200_usize,
        ) {
            let (zero, end, ready) = bounds;
            for glyphs in [Glyphs::Ascii, Glyphs::Halves, Glyphs::Eighths] {
                let chart = Chart::new(zero, end, ready, cells, glyphs);
                prop_assert_eq!(chart.scale().chars().count(), cells);
                let (asked, start, end) = bar;
                prop_assert_eq!(chart.bar(&Bar { asked, start, end }).chars().count(), cells);
            }
        }
    }
}
