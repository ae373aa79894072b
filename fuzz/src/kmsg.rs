// SPDX-License-Identifier: Apache-2.0
//! Target `kmsg`: records of `/dev/kmsg`, and their text on a terminal.

use b2p::common::log::record::{Priority, Record, printable, unescape};

pub(crate) const DICTIONARY: &[&str] = &[
    "6,1,2,-;",
    "30,",
    "191,",
    "192,",
    ";",
    "\n SUBSYSTEM=",
    "\\x1b",
    "\\x0a",
    "\\x",
    "\u{9b}",
    "\u{202e}",
    "\\",
    "18446744073709551615",
    "18446744073709551616",
    ",",
];

/// - The numbers of a record are in their ranges, and its text is one line.
/// - The name of a priority is read back as that priority.
/// - Printable text has no control characters, and plain text is not changed.
/// - Removing the kernel's escapes makes no text longer.
pub fn kmsg(data: &[u8]) {
    if let Some(record) = Record::parse(data) {
        let priority = record.priority;
        assert!(priority.level() < 8 && priority.facility() < 24);
        assert_eq!(Priority::new(priority.number().into()), Some(priority));
        let mut name = String::new();
        priority.name(&mut name);
        assert_eq!(Priority::parse(name.as_bytes()), Some(priority));
        assert!(!record.text.contains(&b'\n'));
        check_printable(record.text);
    }
    check_printable(data);
    let mut plain = Vec::new();
    unescape(data, &mut plain);
    assert!(plain.len() <= data.len());
    check_printable(&plain);
}

fn check_printable(bytes: &[u8]) {
    let mut text = String::new();
    printable(bytes, |part| text.push_str(part));
    assert!(
        crate::input::is_one_line(&text.replace('\t', "")),
        "{text:?}"
    );
    if bytes.iter().all(|b| (b' '..=b'~').contains(b)) {
        assert_eq!(text.as_bytes(), bytes);
    }
    let mut again = String::new();
    printable(text.as_bytes(), |part| again.push_str(part));
    assert_eq!(again, text);
}
