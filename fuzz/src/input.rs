// SPDX-License-Identifier: Apache-2.0
//! Splitting of an input into the parts that a target needs.

/// Separator of the parts of an input, which does not occur in UTF-8.
pub const SEPARATOR: u8 = 0xff;

/// Returns the parts of an input; at least one.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|b| *b == SEPARATOR)
}

/// Returns the first `N` parts of an input; the missing ones are `None`.
#[must_use]
pub fn split_array<const N: usize>(data: &[u8]) -> [Option<&[u8]>; N] {
    let mut parts = parts(data);
    [(); N].map(|()| parts.next())
}

/// Sequence of numbers from bytes, followed by zeros.
#[derive(Debug)]
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    /// Returns true if no bytes are left.
    #[must_use]
    pub fn end(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Returns the next number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }
}

/// Returns true if `text` is safe in a line of a log and on a terminal: without control characters,
/// including those of C1.
#[must_use]
pub fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}
