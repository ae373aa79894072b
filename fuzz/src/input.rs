//! Bytes, taken apart into what a target wants.

/// Between the parts of an input that has more than one: no UTF-8 text has it.
pub const BETWEEN: u8 = 0xff;

/// The parts of `data`; never none.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|b| *b == BETWEEN)
}

/// The parts of `data`, as many as there are places; the others are `None`.
#[must_use]
pub fn some<const N: usize>(data: &[u8]) -> [Option<&[u8]>; N] {
    let mut parts = parts(data);
    [(); N].map(|()| parts.next())
}

/// Numbers out of bytes; zeros when they are used up.
#[derive(Debug)]
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    /// Whether there are none left.
    #[must_use]
    pub fn end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next number, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }
}

/// Whether `text` can stand in a line of a log or on a terminal: no control
/// character, of C1 neither.
#[must_use]
pub fn one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}
