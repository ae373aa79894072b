//! Bytes of a service's output, cut into lines of bounded length.

/// The longest line kept whole: with prefix it fits one kernel log record
/// (printk's `PRINTK_MESSAGE_MAX` is 2048, `LOG_LINE_MAX` less).
pub const LONGEST: usize = 900;

/// Collects bytes and hands out complete lines; a longer line comes in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes `bytes` and calls `each` for every line they complete, also for an
    /// empty one: a flood of those is a flood.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
            }
            if byte == b'\n' || self.partial.len() >= LONGEST {
                self.hand_out(&mut each);
            }
        }
    }

    /// Hands out what is left when the writer has gone.
    pub fn flush(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.hand_out(&mut each);
        }
    }

    fn hand_out(&mut self, each: &mut impl FnMut(&[u8])) {
        each(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
        self.partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
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
        let out = all(&[&[b'x'; 10 * LONGEST + 1]]);
        assert_eq!(out.len(), 11);
        assert!(out.iter().all(|l| l.len() <= LONGEST));
    }
}
