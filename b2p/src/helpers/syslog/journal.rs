// SPDX-License-Identifier: Apache-2.0
//! Messages in journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): the output of a
//! container with `--log-driver journald`, sent by conmon. A datagram is a list of fields, each
//! `NAME=value` and a newline, or `NAME`, a newline, the length as eight bytes, the value and a
//! newline.

use super::message::{MAX_TAG, Message, is_in_tag};
use crate::common::log::record::{Priority, number};

/// Level of a message without one, and the highest of a container's: its standard error is not
/// for the consoles of the machine.
const INFO: u8 = 6;
/// Facility of a message without one (syslog(3), `LOG_USER`).
const USER: u8 = 1;

/// Reads any datagram; the text is empty if there is no field `MESSAGE`.
#[must_use]
pub fn parse<'a>(datagram: &'a [u8], _host: &[u8]) -> Message<'a> {
    let (mut text, mut program, mut container) = (&[][..], &[][..], None);
    let (mut level, mut facility) = (INFO, USER);
    for (name, value) in Fields(datagram) {
        let small = || number(value).and_then(|n| u8::try_from(n).ok());
        match name {
            b"MESSAGE" => text = value,
            b"SYSLOG_IDENTIFIER" => program = value,
            b"CONTAINER_NAME" => container = Some(value),
            b"PRIORITY" => level = small().filter(|n| *n <= 7).unwrap_or(INFO),
            b"SYSLOG_FACILITY" => facility = small().filter(|n| *n <= 23).unwrap_or(USER),
            _ => {}
        }
    }
    if container.is_some() {
        level = level.max(INFO);
    }
    // The kernel's facility is the kernel's and PID 1's.
    let facility = if facility == 0 { USER } else { facility };
    Message {
        priority: Priority::of(facility, level),
        tag: tag(container.unwrap_or(program)),
        pid: None,
        text: text.trim_ascii_end(),
    }
}

/// Returns the part of a name that a tag may have.
fn tag(name: &[u8]) -> &[u8] {
    let length = name.iter().take(MAX_TAG).take_while(|b| is_in_tag(b));
    &name[..length.count()]
}

/// Iterator over the fields of a datagram, which ends at malformed bytes. Of a value that is longer than the
/// rest of the datagram, which was cut, the iterator returns the rest.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.0.iter().position(|b| *b == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &[][..]),
        };
        if let Some(equals) = line.iter().position(|b| *b == b'=') {
            self.0 = rest;
            return Some((&line[..equals], &line[equals + 1..]));
        }
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let value = rest.get(..length).unwrap_or(rest);
        let rest = rest.get(length..).unwrap_or_default();
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        Some((line, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{name}\n").into_bytes();
        bytes.extend((value.len() as u64).to_le_bytes());
        bytes.extend(value);
        bytes.push(b'\n');
        bytes
    }

    fn parsed(datagram: &[u8]) -> (u32, String, String) {
        let message = parse(datagram, b"box");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let number = u32::from(message.priority.number());
        (number, text(message.tag), text(message.text))
    }

    #[test]
    fn fields_of_both_forms() {
        let conmon = b"MESSAGE=lost\nPRIORITY=6\nCONTAINER_ID=0123\nCONTAINER_NAME=web\n";
        let long = [
            &binary("MESSAGE", b"a\nb=c\n")[..],
            b"SYSLOG_IDENTIFIER=x\nPRIORITY=4\n",
        ];
        for (datagram, wanted) in [
            (&conmon[..], (14, "web", "lost")),
            (&long.concat(), (12, "x", "a\nb=c")),
            (b"MESSAGE=no newline", (14, "", "no newline")),
            (b"SYSLOG_FACILITY=3\nPRIORITY=3\nMESSAGE=m\n", (27, "", "m")),
            (b"MESSAGE=a=b\n", (14, "", "a=b")),
        ] {
            let (number, tag, text) = parsed(datagram);
            assert_eq!((number, &*tag, &*text), wanted);
        }
    }

    /// conmon sends a line of a container with its newline in the text, first of all fields
    /// (ctr_logging.c, `write_journald`).
    #[test]
    fn long_and_truncated_lines_of_containers_are_logged() {
        let line = [vec![b'x'; 16 << 10], b"\n".to_vec()].concat();
        let rest = b"PRIORITY=6\nCONTAINER_NAME=web\n";
        let datagram = [&binary("MESSAGE", &line)[..], rest].concat();
        assert!(datagram.len() <= super::super::MAX_DATAGRAM);
        let (_, tag, text) = parsed(&datagram);
        assert_eq!((&*tag, text.len()), ("web", 16 << 10));
        assert_eq!(parsed(&datagram[..9000]).2.len(), 9000 - 16);
    }

    #[test]
    fn a_container_is_not_on_the_console_and_not_pid_1() {
        for (datagram, wanted) in [
            ("PRIORITY=0\nCONTAINER_NAME=c\nMESSAGE=m\n", (14, "c")),
            ("SYSLOG_FACILITY=0\nPRIORITY=0\nMESSAGE=m\n", (8, "")),
            ("PRIORITY=9\nSYSLOG_FACILITY=999\nMESSAGE=m\n", (14, "")),
            (
                "CONTAINER_NAME=boot2podman: ready ssh=\nMESSAGE=m\n",
                (14, "boot2podman"),
            ),
            ("SYSLOG_IDENTIFIER=\x1b[2Jx\nMESSAGE=m\n", (14, "")),
        ] {
            let (number, tag, _) = parsed(datagram.as_bytes());
            assert_eq!((number, &*tag), wanted, "{datagram:?}");
        }
        let name = format!("CONTAINER_NAME={}\nMESSAGE=m\n", "n".repeat(99));
        assert_eq!(parsed(name.as_bytes()).1.len(), MAX_TAG);
    }

    #[test]
    fn a_malformed_field_ends_the_message() {
        let whole = [&binary("A", b"value")[..], b"MESSAGE=m\n"].concat();
        assert_eq!(parsed(&whole).2, "m");
        for end in 0..whole.len() {
            let (_, _, text) = parsed(&whole[..end]);
            assert!(text.is_empty() || text == "m", "{end}: {text}");
        }
        let mut huge = b"MESSAGE\n".to_vec();
        huge.extend(u64::MAX.to_le_bytes());
        assert_eq!(parsed(&huge).2, "");
        assert_eq!(parsed(b"").2, "");
    }
}
