// SPDX-License-Identifier: Apache-2.0
//! Tests of calendar arithmetic.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::service::{ReadyWhen, Restart};
use crate::service_file;

/// Hours of an offset.
const HOUR: Seconds = 3_600;

fn parse(text: &str) -> Option<Calendar> {
    let words: Vec<&str> = text.split(' ').collect();
    Calendar::parse(&words)
}

/// Seconds of a date and time, counted day by day.
fn at(year: Seconds, month: Seconds, day: Seconds, hour: Seconds, minute: Seconds) -> Seconds {
    let is_leap = |y: Seconds| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let years: Seconds = (1970..year)
        .map(|y| if is_leap(y) { 366 } else { 365 })
        .sum();
    let lengths = [
        31,
        if is_leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let months: Seconds = lengths
        .iter()
        .take(usize::try_from(month - 1).unwrap())
        .sum();
    (years + months + day - 1) * DAY + hour * HOUR + minute * MINUTE
}

/// Next times after one, in UTC.
fn next(text: &str, after: Seconds, count: usize) -> Vec<Seconds> {
    let calendar = parse(text).unwrap();
    let step = |time: &Seconds| calendar.next(*time, |utc| utc);
    std::iter::successors(step(&after), step)
        .take(count)
        .collect()
}

#[test]
fn next_times() {
    // 2026-11-29 is a Sunday.
    let now = at(2026, 11, 29, 7, 30);
    #[rustfmt::skip]
    let table: &[(&str, &[Seconds])] = &[
        ("daily", &[at(2026, 11, 30, 0, 0), at(2026, 12, 1, 0, 0)]),
        ("hourly", &[at(2026, 11, 29, 8, 0), at(2026, 11, 29, 9, 0)]),
        ("weekly", &[at(2026, 11, 30, 0, 0), at(2026, 12, 7, 0, 0)]),
        ("monthly", &[at(2026, 12, 1, 0, 0), at(2027, 1, 1, 0, 0)]),
        ("yearly", &[at(2027, 1, 1, 0, 0), at(2028, 1, 1, 0, 0)]),
        ("03:30", &[at(2026, 11, 30, 3, 30), at(2026, 12, 1, 3, 30)]),
        ("07:30", &[at(2026, 11, 30, 7, 30)]),
        ("07:31", &[at(2026, 11, 29, 7, 31)]),
        ("03:30:00", &[at(2026, 11, 30, 3, 30)]),
        ("Mon..Fri 22:00", &[at(2026, 11, 30, 22, 0)]),
        ("Sat,Sun 22:00", &[at(2026, 11, 29, 22, 0), at(2026, 12, 5, 22, 0)]),
        ("sunday *-*-* 7:00", &[at(2026, 12, 6, 7, 0)]),
        ("*-*-31 12:00", &[at(2026, 12, 31, 12, 0), at(2027, 1, 31, 12, 0), at(2027, 3, 31, 12, 0)]),
        ("*-02-29 00:00", &[at(2028, 2, 29, 0, 0), at(2032, 2, 29, 0, 0)]),
        ("*:0/20", &[at(2026, 11, 29, 7, 40), at(2026, 11, 29, 8, 0), at(2026, 11, 29, 8, 20)]),
        ("8..18/5:15,45", &[at(2026, 11, 29, 8, 15), at(2026, 11, 29, 8, 45), at(2026, 11, 29, 13, 15)]),
        ("Mon *-*-1..7 06:00", &[at(2026, 12, 7, 6, 0), at(2027, 1, 4, 6, 0)]),
        ("12-24 18:00", &[at(2026, 12, 24, 18, 0)]),
    ];
    for (text, times) in table {
        assert_eq!(next(text, now, times.len()), *times, "{text}");
    }
    // A leap day on a Thursday, with the year 2100, which has none, between two of them.
    let after = at(2081, 1, 1, 0, 0);
    assert_eq!(next("Thu *-02-29 00:00", after, 1), [at(2120, 2, 29, 0, 0)]);
}

#[test]
fn texts_that_are_no_time() {
    for text in [
        "",
        "soon",
        "25:00",
        "12:60",
        "12",
        "Mon",
        "Mon..Fri",
        "Mox 12:00",
        "Fri..Mon 12:00",
        "*-*-30",
        "*-02-30 12:00",
        "2027-01-01 12:00",
        "*-13-01 12:00",
        "*-*-0 12:00",
        "12:00:30",
        "*:0/0",
        "12:+5",
        "1..:00",
        "Mon *-*-* 12:00 UTC",
        "Daily",
        "12:000",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}

/// A zone one hour ahead of UTC, two in summer: 2026-03-29 01:00 UTC to 2026-10-25 01:00 UTC.
fn zone(utc: Seconds) -> Seconds {
    let summer = at(2026, 3, 29, 1, 0)..at(2026, 10, 25, 1, 0);
    utc + HOUR * if summer.contains(&utc) { 2 } else { 1 }
}

#[test]
fn changes_of_the_zone() {
    let next = |text: &str, after: Seconds| parse(text).unwrap().next(after, zone).unwrap();
    // 02:30 does not exist on 29 March: an hour later, 03:30 in summer time, replaces the missing
    // time.
    let spring = next("02:30", at(2026, 3, 28, 12, 0));
    assert_eq!(spring, at(2026, 3, 29, 1, 30));
    assert_eq!(next("02:30", spring), at(2026, 3, 30, 0, 30));
    assert_eq!(
        next("03:30", at(2026, 3, 28, 12, 0)),
        at(2026, 3, 29, 1, 30)
    );
    // 02:30 exists twice on 25 October, and counts once.
    let autumn = next("02:30", at(2026, 10, 24, 12, 0));
    assert!([at(2026, 10, 25, 0, 30), at(2026, 10, 25, 1, 30)].contains(&autumn));
    assert_eq!(next("02:30", autumn), at(2026, 10, 26, 1, 30));
    assert_eq!(next("04:00", autumn), at(2026, 10, 25, 3, 0));
}

#[test]
fn a_service_file_with_times() {
    let (text, words) = ("exec /x\nat Mon..Fri 03:30", ["Mon..Fri", "03:30"]);
    let read = |text: &'static str| service_file::parse("demo", text.as_bytes(), "", "");
    let parsed = read(text).unwrap();
    assert_eq!(parsed.at, Calendar::parse(&words));
    let def = parsed.def;
    assert_eq!(
        (def.ready, def.restart),
        (ReadyWhen::Exit, Restart::OnFailure)
    );
    for wrong in [
        "exec /x\nat daily\nready notify",
        "exec /x\nat daily\nsocket /run/x",
        "exec /x\nat daily\nrestart always",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(read("exec /x\nat daily\nready exit\nrestart never").is_ok());
}

proptest! {
    /// The next time is later, on a minute, in all sets, and nothing between is.
    #[test]
    fn the_next_time_is_the_first(
        after in 0_i64..4_000_000_000, hour in 0_u32..24, minute in 0_u32..60, weekday in 0_usize..7,
    ) {
        let text = format!("{} {hour}:{minute:02}", WEEKDAYS[weekday]);
        let found = next(&text, after, 1)[0];
        prop_assert!(found > after && found <= after + 7 * DAY);
        prop_assert_eq!(found.rem_euclid(DAY), i64::from(hour) * HOUR + i64::from(minute) * MINUTE);
        prop_assert_eq!((found.div_euclid(DAY) + 3).rem_euclid(7), weekday as i64);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "[a-zA-Z0-9*.,/: -]{0,30}", after in -100_000_i64..5_000_000_000) {
        if let Some(calendar) = parse(&text) {
            prop_assert!(calendar.next(after, |utc| utc).unwrap() > after);
        }
    }
}
