// SPDX-License-Identifier: Apache-2.0
//! Target `remote_log`: records of `/dev/kmsg` as messages to a receiver of syslog (RFC 5424).

use b2p::common::log::record::{Priority, Record};
use b2p::helpers::remote_log::rfc5424::{self, MAX_MESSAGE};
use b2p::helpers::syslog::message;

pub(crate) const DICTIONARY: &[&str] = &[
    "6,1,2,-;",
    "30,",
    "191,18446744073709551615,18446744073709551615,-;",
    "sshd[812]: ",
    "[4294967295]: ",
    "x: ",
    "\\x0a",
    "\\x00",
    "\\xc3\\xa9",
    "\u{e9}",
    "\u{202e}",
    "<13>1 - - - - - - ",
    "\n",
    "\0",
    " ",
];

/// - Every message is one line of bounded UTF-8, and its header has seven fields.
/// - The parser of messages returns the priority, and the name and process of the sender.
pub fn remote_log(data: &[u8]) {
    let [record, host] = crate::input::split_array(data);
    let host = host.unwrap_or_default();
    if let Some(record) = record.and_then(Record::parse) {
        check(&record, host);
    }
    let text = Record {
        priority: Priority::of(3, 6),
        seq: data.len() as u64,
        us: 0,
        text: data,
    };
    check(&text, host);
}

fn check(record: &Record<'_>, host: &[u8]) {
    let bytes = rfc5424::record(record, 0, host);
    assert!(bytes.len() <= MAX_MESSAGE);
    let line = std::str::from_utf8(&bytes).expect("UTF-8");
    assert!(
        crate::input::is_one_line(&line.replace('\t', "")),
        "{line:?}"
    );
    let fields: Vec<&str> = line.splitn(7, ' ').collect();
    let full = fields.len() == 7 && fields.iter().all(|field| !field.is_empty());
    assert!(full, "{line:?}");
    assert!(fields[6].starts_with("[meta sequenceId=\""), "{line:?}");
    let read = message::parse(&bytes, b"");
    assert_eq!(read.priority, record.priority);
    if record.priority.facility() != 0 {
        let sent = message::tagged(record.priority, record.text);
        assert_eq!((read.tag, read.pid), (sent.tag, sent.pid), "{line:?}");
    }
}
