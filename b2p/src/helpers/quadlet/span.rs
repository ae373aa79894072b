// SPDX-License-Identifier: Apache-2.0
//! Times of unit files (systemd.time(7)).

use sys::clock::Millis;

/// A time of a unit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Time that never ends.
    Infinity,
    /// Milliseconds.
    Ms(Millis),
}

impl Span {
    /// Returns the milliseconds of a time that ends.
    #[must_use]
    pub fn ms(self) -> Option<Millis> {
        match self {
            Span::Infinity => None,
            Span::Ms(ms) => Some(ms),
        }
    }
}

/// Names of the units of times, and their length in microseconds.
const UNITS: &[(&str, u64)] = &[
    ("us usec \u{b5}s \u{3bc}s", 1),
    ("ms msec", 1_000),
    ("s sec second seconds", 1_000_000),
    ("m min minute minutes", 60_000_000),
    ("h hr hour hours", 3_600_000_000),
    ("d day days", 86_400_000_000),
    ("w week weeks", 604_800_000_000),
    ("M month months", 2_629_800_000_000),
    ("y year years", 31_557_600_000_000),
];

/// Parses a time (systemd.time(7), "Parsing Time Spans").
#[must_use]
pub fn span(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    if rest == "infinity" {
        return Some(Span::Infinity);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.').map(digits) {
            Some(("", _)) => return None,
            Some((fraction, after)) => (Some(fraction), after),
            None => (None, after),
        };
        let name = after.trim_start();
        let end = name.find(|c: char| c.is_ascii_digit() || c.is_ascii_whitespace() || c == '.');
        let (name, next) = name.split_at_checked(end.unwrap_or(name.len()))?;
        // A second point is no begin of a number.
        if next.starts_with('.') && next.len() == after.len() {
            return None;
        }
        let mut us = unit(name)?;
        // A fraction may have no digit in front of its point.
        let number = match fraction {
            Some(_) => format!("0{whole}"),
            None => whole.to_owned(),
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(us)?)?;
        for digit in fraction.unwrap_or_default().bytes() {
            us /= 10;
            total = total.checked_add(u64::from(digit - b'0') * us)?;
        }
        rest = next.trim_start();
    }
    (!text.trim().is_empty()).then_some(Span::Ms(total / 1_000))
}

/// Returns the length of a unit in microseconds; a number without a unit is in seconds.
fn unit(name: &str) -> Option<u64> {
    let name = if name.is_empty() { "s" } else { name };
    let is_one = |names: &str| names.split(' ').any(|known| known == name);
    let unit = UNITS.iter().find(|(names, _)| is_one(names))?;
    Some(unit.1)
}

/// Splits a text after its digits.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or_default()
}
