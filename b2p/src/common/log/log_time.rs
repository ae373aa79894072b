// SPDX-License-Identifier: Apache-2.0
//! Times as text, and back.
#![expect(unsafe_code, reason = "localtime_r(3) has no safe wrapper")]

use std::fmt::Write;

use nix::time::{ClockId, clock_gettime};
use sys::date::{days_from_civil, rfc3339};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Length of `2026-11-23T20:30:38.123456Z`.
const STAMP: usize = 27;

/// Returns the microseconds to add to a time of the kernel log for the time since 1970, by the
/// present clocks.
#[must_use]
pub fn realtime_offset_us() -> i64 {
    clock_us(ClockId::CLOCK_REALTIME) - clock_us(ClockId::CLOCK_MONOTONIC)
}

/// Returns the present time of the kernel log in microseconds (CLOCK_MONOTONIC).
#[must_use]
pub fn monotonic_us() -> u64 {
    clock_us(ClockId::CLOCK_MONOTONIC).unsigned_abs()
}

fn clock_us(id: ClockId) -> i64 {
    clock_gettime(id).map_or(0, |t| t.tv_sec() * SECOND + t.tv_nsec() / 1000)
}

/// Appends `2026-11-23T20:30:38.123456Z`.
pub fn append_rfc3339(us: i64, out: &mut String) {
    let (second, micro) = (us.div_euclid(SECOND), us.rem_euclid(SECOND));
    let _ = write!(out, "{}.{micro:06}Z", rfc3339(second));
}

/// Reads a time that [`append_rfc3339`] wrote at the start of a line; returns the time and the
/// rest.
#[must_use]
pub fn parse(line: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest) = line.split_at_checked(STAMP)?;
    let separators = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (26, b'Z'),
    ];
    if separators.iter().any(|(at, is)| text.get(*at) != Some(is)) {
        return None;
    }
    let field = |from: usize, to: usize| {
        let number = super::record::number(text.get(from..to)?)?;
        i64::try_from(number).ok()
    };
    let days = days_from_civil(field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let second = field(11, 13)? * 3600 + field(14, 16)? * 60 + field(17, 19)?;
    Some(((days * 86_400 + second) * SECOND + field(20, 26)?, rest))
}

/// Appends `20:30:38.123`, after the date if `dated`, in local time (localtime(3)) or in UTC.
pub fn append_wall_clock(us: i64, dated: bool, utc: bool, out: &mut String) {
    let Some(tm) = calendar(us, utc) else {
        return append_rfc3339(us, out); // the year is too large for tm_year, an int
    };
    if dated {
        let (year, month, day) = (tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        let _ = write!(out, "{year:04}-{month:02}-{day:02} ");
    }
    let (hour, minute, second) = (tm.tm_hour, tm.tm_min, tm.tm_sec);
    let milli = us.rem_euclid(SECOND) / 1000;
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}.{milli:03}");
}

/// Returns the parts of a time, in local time or in UTC; `None` if the year does not fit.
fn calendar(us: i64, utc: bool) -> Option<libc::tm> {
    let second = us.div_euclid(SECOND);
    // SAFETY: plain data; zero is valid.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals; no thread changes the environment (localtime_r(3), ATTRIBUTES).
    let done = unsafe {
        if utc {
            libc::gmtime_r(&raw const second, &raw mut tm)
        } else {
            libc::localtime_r(&raw const second, &raw mut tm)
        }
    };
    (!done.is_null()).then_some(tm)
}

/// Returns `Nov 23 20:30:38`.
#[must_use]
pub fn format_syslog(us: i64, utc: bool) -> String {
    calendar(us, utc).map_or(String::new(), |tm| {
        let month = name(MONTHS, tm.tm_mon);
        let (day, hour, minute, second) = (tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        format!("{month} {day:02} {hour:02}:{minute:02}:{second:02}")
    })
}

/// Returns `2026-11-23T20:30:38+0000`.
#[must_use]
pub fn format_iso(us: i64, utc: bool) -> String {
    calendar(us, utc).map_or(String::new(), |tm| {
        let (year, month, day) = (tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        let (hour, minute, second) = (tm.tm_hour, tm.tm_min, tm.tm_sec);
        let minutes = tm.tm_gmtoff / 60;
        let (sign, ahead) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
        let (zone_hour, zone_minute) = (ahead / 60, ahead % 60);
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{zone_hour:02}{zone_minute:02}"
        )
    })
}

/// Returns `Mon 2026-11-23 20:30:38 UTC`, in local time.
#[must_use]
pub fn format_systemd(us: i64) -> String {
    calendar(us, false).map_or(String::new(), |tm| {
        let (year, month, day) = (tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        let (hour, minute, second) = (tm.tm_hour, tm.tm_min, tm.tm_sec);
        let weekday = name(WEEKDAYS, tm.tm_wday);
        let zone = match tm.tm_zone.is_null() {
            true => String::new(),
            false => {
                // SAFETY: the pointer is to a text of the C library that ends in 0.
                let zone = unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) };
                zone.to_string_lossy().into_owned()
            }
        };
        format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {zone}")
    })
}

/// Names of months and of days of the week (setlocale(3), the locale C).
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
const WEEKDAYS: &str = "SunMonTueWedThuFriSat";

fn name(names: &'static str, n: i32) -> &'static str {
    let at = usize::try_from(n).unwrap_or(0).saturating_mul(3);
    names.get(at..at.saturating_add(3)).unwrap_or("???")
}

/// Returns the last midnight of local time before a time.
#[must_use]
pub fn last_midnight(us: i64) -> Option<i64> {
    let mut tm = calendar(us, false)?;
    (tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_isdst) = (0, 0, 0, -1);
    mktime_us(tm)
}

/// Returns the time of a date, or of today, and hours, minutes and seconds of local time.
#[must_use]
pub fn from_local_date(
    date: Option<[i32; 3]>,
    [hour, minute, second]: [i32; 3],
    now: i64,
) -> Option<i64> {
    let mut tm = calendar(now, false)?;
    if let Some([year, month, day]) = date {
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        (tm.tm_year, tm.tm_mon, tm.tm_mday) = (year.checked_sub(1900)?, month - 1, day);
    }
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    (tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_isdst) = (hour, minute, second, -1);
    mktime_us(tm).filter(|_| fits)
}

fn mktime_us(mut tm: libc::tm) -> Option<i64> {
    // SAFETY: the pointer is to a local; no thread changes the environment (mktime(3), ATTRIBUTES).
    let second = unsafe { libc::mktime(&raw mut tm) };
    (second != -1).then(|| second.checked_mul(SECOND))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamped(us: i64) -> String {
        let mut out = String::new();
        append_rfc3339(us, &mut out);
        out
    }

    #[test]
    fn time_stamps_of_known_moments() {
        assert_eq!(stamped(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(stamped(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(stamped(951_782_400 * SECOND), "2000-02-29T00:00:00.000000Z");
        assert_eq!(
            stamped(1_795_465_838_123_456),
            "2026-11-23T20:30:38.123456Z"
        );
    }

    #[test]
    fn append_wall_clock_writes_date_and_time() {
        let mut out = String::new();
        append_wall_clock(1_795_465_838_123_456, true, true, &mut out);
        assert_eq!(out, "2026-11-23 20:30:38.123");
        out.clear();
        append_wall_clock(1_795_465_838_123_456, false, true, &mut out);
        assert_eq!(out, "20:30:38.123");
    }

    #[test]
    fn malformed_time_stamps_are_refused() {
        for line in [
            "",
            "--- boot x ---",
            "2026-11-23T20:30:38.123456",
            "2026-11-23T20:30:38.12345xZ",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn time_stamp_round_trips(us in 0i64..253_402_300_799_000_000) {
            let line = format!("{} rest", stamped(us));
            prop_assert_eq!(parse(line.as_bytes()), Some((us, &b" rest"[..])));
        }

        #[test]
        fn parse_never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_moment_can_be_written(us: i64) {
            let (mut a, mut b) = (String::new(), String::new());
            append_rfc3339(us, &mut a);
            append_wall_clock(us, true, true, &mut b);
            prop_assert!(a.len() >= 27 && b.len() >= 23);
        }
    }
}
