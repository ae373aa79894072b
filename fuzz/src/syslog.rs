// SPDX-License-Identifier: Apache-2.0
//! Target `syslog`: datagrams on `/dev/log` (RFC 3164, RFC 5424).

use b2p::common::log::record::Priority;
use b2p::helpers::syslog::message::{Message, parse};

pub(crate) const DICTIONARY: &[&str] = &[
    "<13>",
    "<191>",
    "<192>",
    "<34>1 ",
    "Nov 23 21:48:06 ",
    "2026-11-23T21:48:06.003Z",
    " host ",
    "host ",
    "su[12]: ",
    "[x y=\"z\"]",
    "\\\"",
    "- ",
    "-",
    "]",
    ": ",
    "\u{feff}",
    "[4294967295]",
    "\0",
    "\n",
];

/// - Every datagram is a message; its tag and its text are parts of the datagram.
/// - A tag has at most 48 bytes.
/// - Line ends and the NUL that some senders append change nothing.
pub fn syslog(data: &[u8]) {
    let message = parse(data, b"host");
    assert!(message.tag.len() <= 48);
    assert!(within(message.text, data) && within(message.tag, data));
    assert!(message.priority.level() < 8 && message.priority.facility() < 24);
    if !data.starts_with(b"<") {
        assert_eq!(message.priority, Priority::of(1, 5));
    }
    let ended = [data, b"\r\n\0"].concat();
    assert_eq!(parse(&ended, b"host"), message);
    let without: Message<'_> = parse(data, b"");
    assert_eq!(without.priority, message.priority);
}

/// Returns true if `part` is a part of `whole`.
fn within(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|w| w == part)
}
