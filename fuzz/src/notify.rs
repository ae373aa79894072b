//! Datagrams on `NOTIFY_SOCKET` (sd_notify(3)).

use services::notify::{Message, parse};

pub(crate) const WORDS: &[&str] = &["READY=1", "STATUS=", "\n", "MAINPID=", "READY=", "X_"];

/// - The sender is whom the kernel names, whatever the text says.
/// - Lines do not reach into each other: of two texts joined, it is ready if one
///   is, and the last status counts.
/// - A status is one line of what was sent.
pub fn notify(data: &[u8]) {
    let whole = parse(7, data);
    assert_eq!(whole.pid, 7);
    let (first, second) = data.split_at(data.len() / 2);
    let (one, two) = (parse(7, first), parse(7, second));
    let joined = parse(7, &[first, b"\n", second].concat());
    let expected = Message {
        pid: 7,
        ready: one.ready || two.ready,
        status: two.status.or(one.status),
    };
    assert_eq!(joined, expected);
    let lines = || data.split(|b| *b == b'\n');
    assert_eq!(whole.ready, lines().any(|l| l == b"READY=1"));
    let sent = lines().rev().find_map(|l| l.strip_prefix(b"STATUS="));
    let sent = sent.map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(whole.status, sent);
}
