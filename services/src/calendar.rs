// SPDX-License-Identifier: Apache-2.0
//! Times at which a service starts: a subset of systemd's calendar events (systemd.time(7)), of a minute's
//! resolution. Pure arithmetic on the proleptic Gregorian calendar; the time zone is an argument.

use sys::date::civil_from_days;

/// Seconds since 1970, in UTC or in local time.
pub type Seconds = i64;

/// Seconds of a minute, and of a day.
const MINUTE: Seconds = 60;
const DAY: Seconds = 86_400;
/// Number of days that are searched: 29 February on one weekday recurs within 40 years.
const MAX_DAYS: Seconds = 366 * 41;

/// Short names of the weekdays. The long name of each has the end in [`WEEKDAY_ENDS`].
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Ends of the names of the weekdays.
const WEEKDAY_ENDS: [&str; 7] = ["day", "sday", "nesday", "rsday", "day", "urday", "day"];
/// Expressions with a name.
const NAMED: [(&str, &str); 5] = [
    ("hourly", "*-*-* *:00"),
    ("daily", "*-*-* 00:00"),
    ("weekly", "Mon *-*-* 00:00"),
    ("monthly", "*-*-01 00:00"),
    ("yearly", "*-01-01 00:00"),
];

/// Times of a service: sets of numbers, bit n for n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Weekdays from Monday, 0 to 6.
    weekdays: u64,
    /// Months, 1 to 12.
    months: u64,
    /// Days of the month, 1 to 31.
    days: u64,
    /// Hours.
    hours: u64,
    /// Minutes.
    minutes: u64,
}

impl Calendar {
    /// Parses the words of an expression: `[WEEKDAYS] [*-MONTHS-DAYS] HOURS:MINUTES[:00]`, or one of the names
    /// hourly, daily, weekly, monthly and yearly. Each part is `*`, a number, a range `a..b`, or a list of
    /// numbers and ranges, each with an optional step `/n`. Returns `None` for any other text.
    #[must_use]
    pub fn parse(words: &[&str]) -> Option<Calendar> {
        if let [name] = words
            && let Some((_, expression)) = NAMED.iter().find(|(known, _)| known == name)
        {
            let words: Vec<&str> = expression.split(' ').collect();
            return Calendar::parse(&words);
        }
        let (time, rest) = words.split_last()?;
        let (weekdays, date) = match *rest {
            [] => (None, None),
            [date] if date.contains('-') => (None, Some(date)),
            [weekdays] => (Some(weekdays), None),
            [weekdays, date] => (Some(weekdays), Some(date)),
            _ => return None,
        };
        let (months, days) = match date {
            None => ("*", "*"),
            Some(date) => {
                let mut parts = date.rsplitn(3, '-');
                let (days, months) = (parts.next()?, parts.next()?);
                let year = parts.next().unwrap_or("*");
                (year == "*").then_some((months, days))?
            }
        };
        let (hours, minutes) = time
            .strip_suffix(":00")
            .filter(|t| t.contains(':'))
            .unwrap_or(time)
            .split_once(':')?;
        let calendar = Calendar {
            weekdays: weekdays.map_or(Some(0x7f), |text| set(text, 0, 6, weekday))?,
            months: set(months, 1, 12, number)?,
            days: set(days, 1, 31, number)?,
            hours: set(hours, 0, 23, number)?,
            minutes: set(minutes, 0, 59, number)?,
        };
        // A date that never occurs, such as 30 February, is refused.
        calendar.next(0, |utc| utc).map(|_| calendar)
    }

    /// Returns the first time after `after`, in UTC; `None` if there is none. `local` returns the local time for
    /// a time in UTC. A local time that does not exist, because the clock is set forward, is moved forward by the
    /// length of the gap. A local time that occurs twice counts once.
    #[must_use]
    pub fn next(&self, after: Seconds, local: impl Fn(Seconds) -> Seconds) -> Option<Seconds> {
        let start = local(after);
        let first = start.div_euclid(DAY);
        let days = (first..first + MAX_DAYS).filter(|day| self.has_day(*day));
        for day in days {
            for minute in 0..DAY / MINUTE {
                let time = day * DAY + minute * MINUTE;
                if self.has_minute(minute) && time > start {
                    let at = to_utc(time, after, &local);
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    fn has_day(&self, day: Seconds) -> bool {
        let (_, month, of_month) = civil_from_days(day);
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3).rem_euclid(7);
        has(self.weekdays, weekday) && has(self.months, month) && has(self.days, of_month)
    }

    fn has_minute(&self, minute: Seconds) -> bool {
        has(self.hours, minute / 60) && has(self.minutes, minute % 60)
    }
}

fn has(set: u64, n: Seconds) -> bool {
    set >> n & 1 != 0
}

/// Returns the time in UTC for a local time that is near `near`, or later.
fn to_utc(time: Seconds, near: Seconds, local: &impl Fn(Seconds) -> Seconds) -> Seconds {
    let offset = |utc: Seconds| local(utc) - utc;
    // The offset of the zone may change between `near` and the result: the offset at the result applies. If no time in
    // UTC has this local time, the later of both candidates is the result.
    let before = time - offset(near);
    let after = time - offset(before);
    match local(after) == time {
        true => after,
        false => before.max(after),
    }
}

/// Parses a list of numbers, ranges and steps.
fn set(text: &str, least: u32, most: u32, value: fn(&str) -> Option<u32>) -> Option<u64> {
    let within = |text: &str| value(text).filter(|n| (least..=most).contains(n));
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step).filter(|n| *n > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once("..") {
            _ if range == "*" => (least, most),
            Some((first, last)) => (within(first)?, within(last)?),
            None if part.contains('/') => (within(range)?, most),
            None => (within(range)?, within(range)?),
        };
        (first <= last).then_some(())?;
        let numbers = (first..=last).step_by(usize::try_from(step).ok()?);
        numbers.for_each(|n| set |= 1_u64 << n);
    }
    Some(set)
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (1..=2).contains(&text.len());
    text.parse().ok().filter(|_| digits)
}

fn weekday(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let names = WEEKDAYS.iter().zip(WEEKDAY_ENDS).zip(0..);
    let is = |name: &str, end: &str| {
        let rest = text.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest == end)
    };
    let mut found = names.filter(|((name, end), _)| is(name, end));
    found.next().map(|(_, n)| n)
}

#[cfg(test)]
mod tests;
