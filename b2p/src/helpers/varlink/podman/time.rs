// SPDX-License-Identifier: Apache-2.0
//! Times as text.

use std::time::{SystemTime, UNIX_EPOCH};

use sys::date::days_from_civil;

/// The date that Go has for no date.
pub(super) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Returns a number of seconds since 1970 as RFC 3339, in UTC. Clients insist on a date even for an
/// object without one.
pub(super) fn rfc3339(seconds: i64) -> String {
    format!("{}Z", sys::date::rfc3339(seconds))
}

/// Returns the seconds since 1970 of a date in RFC 3339; fractions are left out.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let zone = text
        .get(19..)?
        .trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone {
        "Z" => 0,
        zone if zone.len() == 6 => {
            let part = |from, to| zone.get(from..to)?.parse::<i64>().ok();
            let offset = part(1, 3)? * 3600 + part(4, 6)? * 60;
            match zone.get(..1)? {
                "+" => offset,
                "-" => -offset,
                _ => return None,
            }
        }
        _ => return None,
    };
    let of_day = hour * 3600 + minute * 60 + second - offset;
    Some(days_from_civil(year, month, day) * 86400 + of_day)
}

/// Returns the seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs().cast_signed())
}

/// Returns the time since a moment as Go writes a duration, such as `1h2m3s`; empty if there was
/// no such moment.
pub(super) fn running_for(since: i64) -> String {
    match since {
        1.. => duration((now() - since).max(0)),
        _ => String::new(),
    }
}

/// Units of time: the number of seconds below which a unit is used, and the number of seconds in
/// one.
const UNITS: &[(i64, i64, &str)] = &[
    (60, 1, "seconds"),
    (3600, 60, "minutes"),
    (48 * 3600, 3600, "hours"),
    (14 * 86400, 86400, "days"),
    (60 * 86400, 7 * 86400, "weeks"),
    (730 * 86400, 30 * 86400, "months"),
    (i64::MAX, 365 * 86400, "years"),
];

/// Returns a number of seconds in the words of podman's tables.
pub(super) fn ago(seconds: i64) -> String {
    let unit = UNITS.iter().find(|(below, ..)| seconds < *below);
    let (_, size, name) = unit.unwrap_or(&UNITS[0]);
    let text = match (seconds / size, *name) {
        (..=0, _) => "Less than a second".to_owned(),
        (1, "seconds") => "1 second".to_owned(),
        (1, "minutes") => "About a minute".to_owned(),
        (1, "hours") => "About an hour".to_owned(),
        (count, name) => format!("{count} {name}"),
    };
    text + " ago"
}

fn duration(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_seconds() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_583_020_799, "2020-02-29T23:59:59Z"),
            (1_583_020_800, "2020-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(super::seconds(text), Some(seconds));
        }
    }

    #[test]
    fn dates_with_a_fraction_or_a_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:10.123456789Z", Some(10)),
            ("1970-01-01T02:00:10.5+02:00", Some(10)),
            ("1969-12-31T22:30:10-01:30", Some(10)),
            ("1970-01-01T00:00:10", None),
            ("1970-01-01", None),
            ("1970-01-01T00:00:10+0", None),
            ("1970-01-01T00:00:10Zx", None),
            ("", None),
            ("\u{e4}970-01-01T00:00:10Z", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn the_time_since_a_moment_in_words() {
        for (seconds, text) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (730 * 86400, "2 years"),
        ] {
            assert_eq!(ago(seconds), format!("{text} ago"));
        }
    }

    #[test]
    fn durations_as_go_writes_them() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3600, "1h0m0s"),
            (90_061, "25h1m1s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(running_for(-62_135_596_800), "");
    }
}
