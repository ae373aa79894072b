// SPDX-License-Identifier: Apache-2.0
//! Times of `--since` and `--until` (systemd.time(7), "Parsing Timestamps").

use sys::date::days_from_civil;

use crate::common::log::log_time;
use crate::helpers::quadlet::span::span;

/// Microseconds in a second and in a day.
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Returns the microseconds since 1970 of a time in local time, for which `now` is the present.
#[must_use]
pub fn parse(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    let midnight = |at: i64| log_time::last_midnight(at);
    match text {
        "now" => return Some(now),
        "today" => return midnight(now),
        "yesterday" => return midnight(midnight(now)? - 1),
        "tomorrow" => return midnight(midnight(now)?.checked_add(DAY + DAY / 2)?),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse::<i64>().ok()?.checked_mul(SECOND);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return now.checked_sub(length(ago)?);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return now.checked_add(length(ahead)?);
    }
    moment(text, now)
}

/// Reads `[WEEKDAY] [DATE] [TIME] [ZONE]`, as `systemctl status` prints times; of a zone UTC alone is another than the
/// local one.
fn moment(text: &str, now: i64) -> Option<i64> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let is_word = |word: &&str| word.bytes().all(|b| b.is_ascii_alphabetic());
    if words.first().is_some_and(is_word) {
        words.remove(0);
    }
    let zone = words.pop_if(|word| is_word(&&**word));
    let text = words.join(" ");
    let (text, is_utc) = match text.strip_suffix('Z') {
        Some(text) => (text, true),
        None => (text.as_str(), matches!(zone, Some("UTC" | "GMT"))),
    };
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (Some(numbers::<3>(date, '-')?), time),
        None if text.contains('-') => (Some(numbers::<3>(text, '-')?), "0:0"),
        None => (None, text),
    };
    let (time, micros) = match time.split_once('.') {
        Some((time, fraction)) => (time, micros(fraction)?),
        None => (time, 0),
    };
    let time = match time.matches(':').count() {
        1 => numbers::<2>(time, ':').map(|[hour, minute]| [hour, minute, 0])?,
        _ => numbers::<3>(time, ':')?,
    };
    let second = match is_utc {
        true => in_utc(date, time, now),
        false => log_time::from_local_date(date, time, now),
    };
    second?.checked_add(micros)
}

/// Returns the time of a date, or of today, in UTC.
fn in_utc(date: Option<[i32; 3]>, [hour, minute, second]: [i32; 3], now: i64) -> Option<i64> {
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let days = match date {
        None => now.div_euclid(DAY),
        Some([year, month @ 1..=12, day @ 1..=31]) if (1970..10_000).contains(&year) => {
            days_from_civil(year.into(), month.into(), day.into())
        }
        Some(_) => return None,
    };
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    fits.then(|| days * DAY + seconds * SECOND)
}

/// Returns the microseconds of the digits behind a point.
fn micros(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let padded = format!("{digits:0<6}");
    padded.get(..6)?.parse().ok().filter(|_| is_number)
}

fn length(text: &str) -> Option<i64> {
    let ms = span(text)?.ms()?;
    i64::try_from(ms).ok()?.checked_mul(1_000)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i32; N]> {
    let numbers: Option<Vec<i32>> = text
        .split(separator)
        .map(|part| part.parse().ok())
        .collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_now_and_by_the_clock() {
        let now = 1_795_465_838 * SECOND;
        for (text, right) in [
            ("now", Some(now)),
            ("-1h", Some(now - 3_600 * SECOND)),
            ("5 min ago", Some(now - 300 * SECOND)),
            ("1h 30min ago", Some(now - 5_400 * SECOND)),
            ("+2s", Some(now + 2 * SECOND)),
            ("@12", Some(12 * SECOND)),
            ("soon", None),
            ("", None),
            // As `systemctl status` prints it.
            ("Mon 2026-11-23 20:30:38 UTC", Some(now)),
            ("2026-11-23T20:30:38Z", Some(now)),
            ("2026-11-23 20:30:38.25 UTC", Some(now + SECOND / 4)),
            ("20:30:38 UTC", Some(now)),
            ("2026-11-23 20:30:38.x UTC", None),
            ("2026-11-23 24:00 UTC", None),
            ("Mon UTC", None),
            ("2026-13", None),
            ("12:x", None),
            ("-", None),
        ] {
            assert_eq!(parse(text, now), right, "{text}");
        }
        let day = parse("2026-11-23", now);
        assert_eq!(parse("2026-11-23 00:00", now), day);
        let at = day.map(|day| day + 3_723 * SECOND);
        assert_eq!(parse("2026-11-23 01:02:03", now), at);
        assert_eq!(parse("2026-11-23T01:02:03", now), at);
        assert!(parse("today", now).is_some_and(|at| at <= now && at > now - DAY));
        assert!(parse("yesterday", now) < parse("today", now));
        assert!(parse("today", now) < parse("tomorrow", now));
        assert!(parse("00:00", now) == parse("today", now));
    }
}
