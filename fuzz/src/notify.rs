// SPDX-License-Identifier: Apache-2.0
//! Target `notify`: datagrams on `NOTIFY_SOCKET` (sd_notify(3)).

use services::notify::{Message, parse};

pub(crate) const DICTIONARY: &[&str] =
    &["READY=1", "STATUS=", "\n", "X_DEGRADED=1", "READY=", "X_"];

/// - The sender is the one that the kernel names, with any text.
/// - Lines are independent: two joined texts report readiness if either does, and the last status
///   wins.
/// - A status is one line of the text.
pub fn notify(data: &[u8]) {
    let whole = parse(7, data);
    assert_eq!(whole.pid, 7);
    let (first, second) = data.split_at(data.len() / 2);
    let (one, two) = (parse(7, first), parse(7, second));
    let joined = parse(7, &[first, b"\n", second].concat());
    let expected = Message {
        pid: 7,
        ready: one.ready || two.ready,
        degraded_written: one.degraded_written || two.degraded_written,
        status: two.status.or(one.status),
    };
    assert_eq!(joined, expected);
    let lines = || data.split(|b| *b == b'\n');
    assert_eq!(whole.ready, lines().any(|l| l == b"READY=1"));
    assert_eq!(
        whole.degraded_written,
        lines().any(|l| l == b"X_DEGRADED=1")
    );
    let sent = lines().rev().find_map(|l| l.strip_prefix(b"STATUS="));
    let sent = sent.map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(whole.status, sent);
}
