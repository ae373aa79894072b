// SPDX-License-Identifier: Apache-2.0
//! Time of day in the time zone of the machine.
#![expect(unsafe_code, reason = "localtime_r(3) has no safe wrapper")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
pub const DAY: u32 = 86_400;

/// Returns the seconds since midnight at the moment `ahead` seconds from now, in the time zone of
/// `TZ` or /etc/localtime (tzset(3)).
#[must_use]
pub fn second_of_day(ahead: u32) -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.as_secs().saturating_add(ahead.into());
    let then = then.try_into().unwrap_or(0);
    let time = local_time(then);
    let seconds = time.tm_hour * 3600 + time.tm_min * 60 + time.tm_sec;
    u32::try_from(seconds).unwrap_or(0) % DAY
}

/// Returns the seconds since 1970.
#[must_use]
pub fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// Returns the local time, in seconds since 1970 as a clock there shows them, for a time in UTC.
#[must_use]
pub fn local(utc: i64) -> i64 {
    utc.saturating_add(local_time(utc).tm_gmtoff)
}

/// Returns the parts of a time in the time zone of the machine; zeros if the year is too large.
fn local_time(seconds: i64) -> libc::tm {
    // SAFETY: plain data, and pointers to locals; no thread changes the environment (localtime_r(3), ATTRIBUTES).
    unsafe {
        let mut time: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut time);
        time
    }
}

/// Returns the time in the form `14:05`.
#[must_use]
pub fn hours_minutes(second_of_day: u32) -> String {
    let (h, min) = (second_of_day / 3600, second_of_day / 60 % 60);
    format!("{h:02}:{min:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_of_day_adds_the_offset() {
        let (now, later) = (second_of_day(0), second_of_day(60));
        // The clock may tick between the two.
        assert!(
            [60, 61].contains(&((later + DAY - now) % DAY)),
            "{now} {later}"
        );
        assert_eq!(hours_minutes(50_759), "14:05");
    }
}
