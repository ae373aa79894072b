// SPDX-License-Identifier: Apache-2.0
//! The first bytes of a client, sent before any byte of the server.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Longest identification string, with its end of line (RFC 4253, section 4.2).
pub const LONGEST: usize = 255;
/// Bytes that a client may send before it is served: its identification and the packets that need
/// not wait for an answer. The longest packet that every implementation must take has 35,000 (RFC
/// 4253, 6.1).
const MAX_UNREAD: usize = 40_000;
const PREFIX: &[u8] = b"SSH-";

/// Identification string of a client, which names its software, as a number.
pub type Software = u64;

/// Classification of a client's first data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// Less than an identification string, or no byte: more may arrive.
    Incomplete,
    /// An identification string of ssh.
    Complete(Software),
    /// Another protocol, or none, which sshd answers.
    OtherProtocol,
    /// More than a client of ssh sends before an answer.
    TooMuch,
}

/// Judges the first bytes, up to [`LONGEST`] of them, of `total` that have arrived.
#[must_use]
pub fn judge(first: &[u8], total: usize) -> Hello {
    let common = first.len().min(PREFIX.len());
    if total > MAX_UNREAD {
        Hello::TooMuch
    } else if first[..common] != PREFIX[..common] {
        Hello::OtherProtocol
    } else if let Some(end) = first.iter().position(|&byte| byte == b'\n') {
        Hello::Complete(hash(&first[..end]))
    } else if first.len() >= LONGEST {
        Hello::OtherProtocol
    } else {
        Hello::Incomplete
    }
}

fn hash(line: &[u8]) -> Software {
    let mut hasher = DefaultHasher::new();
    line.trim_ascii_end().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_client_sends_its_banner() {
        let complete = |said: &str| Hello::Complete(hash(format!("SSH-2.0-{said}").as_bytes()));
        let long = [b"SSH-".as_slice(), &[b'x'; LONGEST - 4]].concat();
        for (first, total, want) in [
            (b"".as_slice(), 0, Hello::Incomplete),
            (b"S", 1, Hello::Incomplete),
            (b"SSH-2.0-OpenSSH_9.9", 19, Hello::Incomplete),
            (b"SSH-2.0-OpenSSH_9.9\r\n", 21, complete("OpenSSH_9.9")),
            (b"SSH-2.0-Go\n", 11, complete("Go")),
            (b"SSH-2.0-x\r\n\0\0\x05", 1_500, complete("x")),
            (b"GET / HTTP/1.1\r\n", 16, Hello::OtherProtocol),
            (b"\x16\x03\x01", 3, Hello::OtherProtocol),
            (b"\n", 1, Hello::OtherProtocol),
            (b"ssh-2.0-x\r\n", 11, Hello::OtherProtocol),
            (b"SSH-2.0-Go\r\nSSH-2.0-x\n", 21, complete("Go")),
            (&long, LONGEST, Hello::OtherProtocol),
            (&long[..254], 254, Hello::Incomplete),
            (b"SSH-2.0-x\r\n", MAX_UNREAD, complete("x")),
            (b"SSH-2.0-x\r\n", MAX_UNREAD + 1, Hello::TooMuch),
            (b"GET", MAX_UNREAD + 1, Hello::TooMuch),
        ] {
            assert_eq!(judge(first, total), want, "{first:?} of {total}");
        }
    }
}
