// SPDX-License-Identifier: Apache-2.0
//! Beginning of a connection (D-Bus Specification, "Authentication Protocol"). The kernel identifies the
//! client (unix(7), SO_PEERCRED), so that each client of the mechanism EXTERNAL is accepted.

/// Longest beginning, in bytes.
pub const MAX_BYTES: usize = 1_024;
/// Identity of the server, which clients only compare.
const GUID: &str = "626f6f7432706f646d616e00756e6974";

/// State of a connection that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are to be sent.
    pub answer: Vec<u8>,
    /// Number of bytes that were read.
    pub taken: usize,
    /// True once messages follow.
    pub is_done: bool,
}

/// Reads the whole lines in `bytes`. A client sends a NUL before its first line.
#[must_use]
pub fn advance(bytes: &[u8]) -> Progress {
    let mut progress = Progress {
        answer: Vec::new(),
        taken: 0,
        is_done: false,
    };
    while !progress.is_done {
        let rest = bytes.get(progress.taken..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return progress;
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = String::from_utf8_lossy(line.strip_prefix(b"\0").unwrap_or(line)).into_owned();
        progress.taken += end + 2;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["BEGIN"] => {
                progress.is_done = true;
                continue;
            }
            ["AUTH", "EXTERNAL"] => "DATA".to_owned(),
            ["AUTH", "EXTERNAL", _] | ["DATA" | "DATA ", ..] => format!("OK {GUID}"),
            ["AUTH", ..] | ["CANCEL"] => "REJECTED EXTERNAL".to_owned(),
            _ => "ERROR".to_owned(),
        };
        progress.answer.extend(answer.bytes().chain(*b"\r\n"));
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(text: &str) -> (String, usize, bool) {
        let progress = advance(text.as_bytes());
        let answer = String::from_utf8_lossy(&progress.answer).replace(GUID, "ID");
        (answer, progress.taken, progress.is_done)
    }

    #[test]
    fn clients_of_two_libraries() {
        // godbus
        assert_eq!(
            talk("\0AUTH\r\n"),
            ("REJECTED EXTERNAL\r\n".into(), 7, false)
        );
        assert_eq!(
            talk("AUTH EXTERNAL 30\r\n"),
            ("OK ID\r\n".into(), 18, false)
        );
        assert_eq!(
            talk("NEGOTIATE_UNIX_FD\r\nBEGIN\r\nl\x01"),
            ("ERROR\r\n".into(), 26, true)
        );
        // sd-bus
        let all = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        assert_eq!(talk(all), ("DATA\r\nOK ID\r\n".into(), all.len(), true));
        assert_eq!(talk("AUTH EXT"), (String::new(), 0, false));
        assert_eq!(talk("AUTH ANONYMOUS\r\n").0, "REJECTED EXTERNAL\r\n");
    }
}
