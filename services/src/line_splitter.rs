// SPDX-License-Identifier: Apache-2.0
//! Cuts the output of a service into lines of bounded length.

/// Maximum length of a line in bytes: a line with its prefix fits one record of the kernel log
/// (`PRINTK_MESSAGE_MAX` in kernel/printk/internal.h is 2048, `LOG_LINE_MAX` less).
pub const MAX_LINE: usize = 900;

/// Collects bytes into complete lines; a longer line is cut into pieces.
#[derive(Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Takes `bytes` and calls `each` for every completed line, empty lines included: the rate
    /// limit counts them.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
            }
            if byte == b'\n' || self.partial.len() >= MAX_LINE {
                self.emit(&mut each);
            }
        }
    }

    /// Calls `each` with the last line if its newline is missing: the writer has ended.
    pub fn flush(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.emit(&mut each);
        }
    }

    fn emit(&mut self, each: &mut impl FnMut(&[u8])) {
        each(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut out) = (LineSplitter::default(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk, |l| out.push(l.to_vec()));
        }
        lines.flush(|l| out.push(l.to_vec()));
        out
    }

    #[test]
    fn joins_and_splits() {
        assert_eq!(
            all(&[b"a", b"b\nc\r\n\n", b"d"]),
            [&b"ab"[..], b"c", b"", b"d"]
        );
    }

    #[test]
    fn a_flood_without_newline_stays_bounded() {
        let out = all(&[&[b'x'; 10 * MAX_LINE + 1]]);
        assert_eq!(out.len(), 11);
        assert!(out.iter().all(|l| l.len() <= MAX_LINE));
    }
}
