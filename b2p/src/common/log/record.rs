// SPDX-License-Identifier: Apache-2.0
//! Records of the kernel log as `/dev/kmsg` returns them, one a read
//! (Documentation/ABI/testing/dev-kmsg), and the names of their priorities.

pub use sys::printable::printable;

use std::fmt::Write;

/// Names of facilities, in the order of their numbers (syslog(3) has none for 12 to 15).
#[rustfmt::skip]
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "12", "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Names of levels, in the order of their numbers.
pub const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];

/// Facility of the kernel's own records.
pub const KERNEL: u8 = 0;
/// Facility of messages of the syslog services about themselves.
pub const SYSLOG: u8 = 5;

/// Facility and level in one number, as in `<30>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// Returns the priority with this number, if its facility is one of the 24 of syslog(3).
    #[must_use]
    pub fn new(number: u32) -> Option<Priority> {
        let fits = number < 8 * FACILITIES.len() as u32;
        u8::try_from(number).ok().filter(|_| fits).map(Priority)
    }

    /// Returns the priority of a facility and a level, each taken modulo its range.
    #[must_use]
    pub const fn of(facility: u8, level: u8) -> Priority {
        Priority((facility % 24) << 3 | (level & 7))
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Returns the facility; 0 is the kernel.
    #[must_use]
    pub const fn facility(self) -> u8 {
        self.0 >> 3
    }

    /// Returns the level; 0 is the worst, 7 is for debugging.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0 & 7
    }

    /// Appends the name, such as `daemon.info`.
    pub fn name(self, out: &mut String) {
        let facility = FACILITIES.get(usize::from(self.facility())).unwrap_or(&"?");
        let level = LEVELS.get(usize::from(self.level())).unwrap_or(&"?");
        let _ = write!(out, "{facility}.{level}");
    }

    /// Reads a name that [`Priority::name`] wrote.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Priority> {
        let dot = text.iter().position(|b| *b == b'.')?;
        let find = |names: &[&str], name: &[u8]| names.iter().position(|n| n.as_bytes() == name);
        let facility = find(&FACILITIES, text.get(..dot)?)?;
        let level = find(&LEVELS, text.get(dot + 1..)?)?;
        Some(Priority::of(facility as u8, level as u8))
    }
}

/// A record of the kernel log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Facility and level.
    pub priority: Priority,
    /// Sequence number: 0 for the first record of a boot, without gaps.
    pub seq: u64,
    /// Time in microseconds since the kernel started.
    pub us: u64,
    /// Text, with `\xNN` for each byte that is not printable ASCII.
    pub text: &'a [u8],
}

impl Record<'_> {
    /// Returns its time in microseconds since 1970, by the `offset` of
    /// [`log_time::realtime_offset_us`](super::log_time::realtime_offset_us).
    #[must_use]
    pub fn realtime(&self, offset: i64) -> i64 {
        let us = i64::try_from(self.us).unwrap_or(i64::MAX);
        us.saturating_add(offset)
    }

    /// Reads `priority,sequence,microseconds,flags[,…];text`. The lines ` KEY=value` after the
    /// first line describe a device and are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Record<'_>> {
        let semicolon = bytes.iter().position(|b| *b == b';')?;
        let (head, rest) = (bytes.get(..semicolon)?, bytes.get(semicolon + 1..)?);
        let mut fields = head.split(|b| *b == b',').map(number);
        let priority = Priority::new(u32::try_from(fields.next()??).ok()?)?;
        let (seq, us) = (fields.next()??, fields.next()??);
        let text = rest.split(|b| *b == b'\n').next()?;
        Some(Record {
            priority,
            seq,
            us,
            text,
        })
    }
}

/// Reads a decimal number that is the whole of `bytes`.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Replaces the kernel's `\xNN` by the bytes that they stand for.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if let [b'\\', b'x', high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = tail;
        } else {
            out.push(byte);
            rest = after;
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sys::printable::is_control;

    fn record(text: &str) -> Option<Record<'_>> {
        Record::parse(text.as_bytes())
    }

    #[test]
    fn records_of_the_kernel_are_parsed() {
        let r = record(
            "6,195,296267,-;acpi PNP0A08:00: _OSC: x\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A08:00\n",
        );
        let Some(r) = r else { panic!("not read") };
        assert_eq!((r.priority.facility(), r.priority.level()), (0, 6));
        assert_eq!((r.seq, r.us), (195, 296_267));
        assert_eq!(r.text, b"acpi PNP0A08:00: _OSC: x");
        let r = record("30,7,0,-,caller=T1;a;b,c\n").map(|r| (r.priority.number(), r.text));
        assert_eq!(r, Some((30, &b"a;b,c"[..])));
        assert_eq!(record("4,1,2,c;\n").map(|r| r.text), Some(&b""[..]));
    }

    #[test]
    fn malformed_kmsg_records_are_refused() {
        for text in [
            "",
            ";",
            "6,1;x",
            "6,x,1,-;x",
            "192,1,1,-;x",
            "-6,1,1,-;x",
            "6,1,1,-",
        ] {
            assert_eq!(record(text), None, "{text}");
        }
        assert_eq!(record("6,99999999999999999999,1,-;x"), None);
    }

    #[test]
    fn priorities_have_names_both_ways() {
        for number in 0..192 {
            let priority = Priority::new(number);
            let mut name = String::new();
            if let Some(p) = priority {
                p.name(&mut name);
            }
            assert_eq!(Priority::parse(name.as_bytes()), priority, "{name}");
        }
        assert_eq!(Priority::new(192), None);
        assert_eq!(Priority::parse(b"kern"), None);
        assert_eq!(Priority::parse(b"kern.loud"), None);
    }

    #[test]
    fn control_bytes_of_records_are_escaped() {
        let mut bytes = Vec::new();
        unescape(b"\\xc3\\xa9 \\x1b[2J \\xff \\x5cx41 \\xzz \\x4", &mut bytes);
        let mut text = String::new();
        printable(&bytes, |s| text.push_str(s));
        assert_eq!(text, "é \\x1b[2J \\xff \\x41 \\xzz \\x4");
        text.clear();
        printable("a\u{202e}b\u{9b}c\td\u{7f}".as_bytes(), |s| {
            text.push_str(s)
        });
        assert_eq!(text, "a\\xe2\\x80\\xaeb\\xc2\\x9bc\td\\x7f");
    }

    proptest! {
        #[test]
        fn parse_never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::parse(&bytes);
            let _ = Priority::parse(&bytes);
            let mut out = Vec::new();
            unescape(&bytes, &mut out);
            prop_assert!(out.len() <= bytes.len());
            let mut text = String::new();
            printable(&bytes, |s| text.push_str(s));
            prop_assert!(text.chars().all(|c| !is_control(c)));
        }

        #[test]
        fn record_round_trips(number in 0u32..192, seq: u64, us: u64, text in "[ -~]{0,80}") {
            let line = format!("{number},{seq},{us},-;{text}\n KEY=1\n");
            let want = Record {
                priority: Priority::of((number >> 3) as u8, (number & 7) as u8),
                seq,
                us,
                text: text.as_bytes(),
            };
            prop_assert_eq!(Record::parse(line.as_bytes()), Some(want));
        }
    }
}
