// SPDX-License-Identifier: Apache-2.0
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use syslog::{Facility, Formatter5424, LogFormat, Severity};

/// Microseconds since 1970 of 2026-11-23T20:30:38.123456Z.
const US: i64 = 1_795_465_838_123_456;

fn of(facility: u8, text: &str) -> String {
    let record = Record {
        priority: Priority::of(facility, 6),
        seq: 4711,
        us: 0,
        text: text.as_bytes(),
    };
    String::from_utf8(super::record(&record, US, b"box")).expect("UTF-8")
}

#[test]
fn each_origin_has_its_name() {
    let time = "2026-11-23T20:30:38.123456Z";
    let id = "[meta sequenceId=\"4712\"]";
    for (facility, text, want) in [
        (
            0,
            "sshd: a driver",
            format!("<6>1 {time} box kernel - - {id} sshd: a driver"),
        ),
        (
            1,
            "sshd: listens",
            format!("<14>1 {time} box sshd - - {id} listens"),
        ),
        (
            4,
            "sshd[812]: in",
            format!("<38>1 {time} box sshd 812 - {id} in"),
        ),
        (
            12,
            "no name",
            format!("<102>1 {time} box - - - {id} no name"),
        ),
        (1, "x: ", format!("<14>1 {time} box x - - {id}")),
    ] {
        assert_eq!(of(facility, text), want);
    }
}

#[test]
fn lost_records_are_a_message_too() {
    let text = String::from_utf8(lost(12, US, b"")).expect("ASCII");
    let want = "<44>1 2026-11-23T20:30:38.123456Z - remote-log - - - 12 records lost: overwritten before they were sent";
    assert_eq!(text, want);
}

#[test]
fn no_text_breaks_a_line_or_a_field() {
    let text = of(1, "a: \\x0a<13>1 - x\\x00\\x1b[2J \\xc3\\xa9");
    let shown = " \u{feff}\\x0a<13>1 - x\\x00\\x1b[2J é";
    assert!(text.ends_with(shown), "{text}");
    let host = super::record(
        &Record {
            priority: Priority::of(1, 6),
            seq: MAX_SEQUENCE_ID - 1,
            us: u64::MAX,
            text: b"",
        },
        i64::MAX,
        b"a b\nc\xff",
    );
    let want = "<14>1 - a?b?c? - - - [meta sequenceId=\"2147483647\"]";
    assert_eq!(String::from_utf8_lossy(&host), want);
}

/// The crate knows neither the record's time nor a message without process and id.
#[test]
fn messages_equal_those_of_an_independent_formatter() {
    let theirs = Formatter5424 {
        facility: Facility::LOG_AUTH,
        hostname: Some("box".into()),
        process: "sshd".into(),
        pid: 812,
    };
    let id = BTreeMap::from([("sequenceId".to_owned(), "4712".to_owned())]);
    let data = BTreeMap::from([("meta".to_owned(), id)]);
    let mut bytes = Vec::new();
    let text = "Accepted publickey for core";
    theirs
        .format(&mut bytes, Severity::LOG_INFO, (0, data, text))
        .expect("it is formatted");
    let theirs = String::from_utf8(bytes).expect("UTF-8");
    let ours = of(4, &format!("sshd[812]: {text}"));
    let fields = |line: &str| -> Vec<String> { line.splitn(7, ' ').map(str::to_owned).collect() };
    let (mut ours, mut theirs) = (fields(&ours), fields(&theirs));
    // TIMESTAMP and MSGID.
    for at in [1, 5] {
        (ours[at], theirs[at]) = (String::new(), String::new());
    }
    assert_eq!(ours, theirs);
}

proptest! {
    #[test]
    fn every_message_is_bounded_printable_and_read_back(
        number in 0u32..192,
        seq: u64,
        us: u64,
        offset: i64,
        host in prop::collection::vec(any::<u8>(), 0..300),
        text in prop::collection::vec(any::<u8>(), 0..2500),
    ) {
        let priority = Priority::new(number).expect("a priority");
        let record = Record { priority, seq, us, text: &text };
        let bytes = super::record(&record, offset, &host);
        prop_assert!(bytes.len() <= MAX_MESSAGE);
        let line = std::str::from_utf8(&bytes).expect("UTF-8");
        prop_assert!(line.chars().all(|c| c == '\t' || !c.is_control()), "{line:?}");
        let message = message::parse(&bytes, b"");
        prop_assert_eq!(message.priority, priority);
        prop_assert!(line.matches("[meta sequenceId=\"").count() >= 1);
    }
}
