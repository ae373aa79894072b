//! Records of `/dev/kmsg`, and what of them a terminal sees. The reader is part
//! of a program, so its file is taken as it is.

use record::{Priority, Record, printable, unescape};

pub use b2p::common::log::record;

pub(crate) const WORDS: &[&str] = &[
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

/// - A record's numbers are in bounds and its text is one line.
/// - A priority's name is read back as that priority.
/// - Whatever a text holds, a terminal gets no control character of it; and what
///   was plain stays as it is.
/// - Undoing the kernel's escapes makes nothing longer.
pub fn kmsg(data: &[u8]) {
    if let Some(record) = Record::parse(data) {
        let priority = record.priority;
        assert!(priority.level() < 8 && priority.facility() < 24);
        assert_eq!(Priority::new(priority.number().into()), Some(priority));
        let mut name = String::new();
        priority.name(&mut name);
        assert_eq!(Priority::parse(name.as_bytes()), Some(priority));
        assert!(!record.text.contains(&b'\n'));
        seen(record.text);
    }
    seen(data);
    let mut plain = Vec::new();
    unescape(data, &mut plain);
    assert!(plain.len() <= data.len());
    seen(&plain);
}

fn seen(bytes: &[u8]) {
    let mut text = String::new();
    printable(bytes, |part| text.push_str(part));
    assert!(crate::input::one_line(&text.replace('\t', "")), "{text:?}");
    if bytes.iter().all(|b| (b' '..=b'~').contains(b)) {
        assert_eq!(text.as_bytes(), bytes);
    }
    let mut again = String::new();
    printable(text.as_bytes(), |part| again.push_str(part));
    assert_eq!(again, text);
}
