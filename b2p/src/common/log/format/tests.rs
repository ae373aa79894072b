// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::common::testing::Temp;
use proptest::prelude::*;

const ID: &str = "0f5f2b1e-6a3c-4f54-9d52-9a0f3f6f7a11";

fn boot(id: &str) -> Boot {
    Boot {
        id: id.to_owned(),
        release: "6.12.1".to_owned(),
    }
}

#[test]
fn a_record_is_one_line_and_is_read_back() {
    let r = Record {
        priority: Priority::of(3, 6),
        seq: 4711,
        us: 12_345_678,
        text: b"sshd: hello \\x1b",
    };
    let mut out = Vec::new();
    record(&r, 1_795_465_800_000_000, &mut out);
    let want = b"2026-11-23T20:30:12.345678Z 4711 daemon.info sshd: hello \\x1b\n";
    assert_eq!(out, want, "{}", String::from_utf8_lossy(&out));
    let line = out.strip_suffix(b"\n").expect("a line");
    let want = Line::Record {
        seq: Some(4711),
        us: 1_795_465_812_345_678,
        priority: r.priority,
        text: r.text,
    };
    assert_eq!(parse(line), want);
}

#[test]
fn lines_of_earlier_versions_are_read() {
    let parse = |line: &'static str| parse(line.as_bytes());
    let us = 1_795_465_812_345_678;
    for (facility, name) in [(0, "kern"), (12, "12"), (16, "local0")] {
        let line = format!("2026-11-23T20:30:12.345678Z {name}.info x: 12 y");
        let want = Line::Record {
            seq: None,
            us,
            priority: Priority::of(facility, 6),
            text: b"x: 12 y",
        };
        assert_eq!(super::parse(line.as_bytes()), want, "{line}");
    }
    assert_eq!(parse("--- boot a kernel 6.11 ---"), Line::Boot(b"a"));
    assert_eq!(parse("--- boot a record 4711 ---"), Line::Boot(b"a"));
    assert_eq!(parse("--- 7 records lost: x ---"), Line::Lost(7));
}

#[test]
fn the_next_number_is_that_of_the_newest_record_of_the_boot() {
    let temp = Temp::new();
    let line = |seq: &str| format!("2026-11-23T20:30:12.345678Z {seq}kern.info x\n");
    let files = || oldest_first(temp.dir());
    assert_eq!(next_seq(&files(), ID), 0);
    let old = format!("{}{}", boot_mark(&boot("old")), line(""));
    std::fs::write(path(temp.dir(), 1), &old).expect("a file");
    assert_eq!(next_seq(&files(), ID), 0);
    let both = format!("{old}{}{}{}", boot_mark(&boot(ID)), line("7 "), line("9 "));
    std::fs::write(path(temp.dir(), 1), both).expect("a file");
    assert_eq!(next_seq(&files(), ID), 10);
    assert_eq!(next_seq(&files(), "old"), 0);
    // A newer file in which there is no record yet.
    std::fs::write(path(temp.dir(), 0), boot_mark(&boot(ID))).expect("a file");
    assert_eq!(next_seq(&files(), ID), 10);
}

#[test]
fn a_line_of_any_length_is_bounded() {
    let r = Record {
        priority: Priority::of(0, 0),
        seq: u64::MAX,
        us: u64::MAX,
        text: &[b'x'; 3 * MAX_LINE],
    };
    let mut out = Vec::new();
    record(&r, i64::MAX, &mut out);
    assert!(out.len() <= MAX_LINE && out.ends_with(b"x\n"));
}

proptest! {
    #[test]
    fn parse_never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn parse_never_panics_on_any_mark(text in "--- (boot|[0-9]{0,30})( [a-z0-9:-]{0,9}){0,5}") {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn parse_never_panics_on_any_record(head in "2026-11-23T20:30:12.345678Z ([0-9]{0,25} )?[a-z0-9.]{0,12}", text in "[ -~]{0,20}") {
        let _ = parse(format!("{head} {text}").as_bytes());
    }
}
