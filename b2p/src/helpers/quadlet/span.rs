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

/// Parses a time (systemd.time(7), "Parsing Time Spans").
#[must_use]
pub fn span(text: &str) -> Option<Span> {
    const UNITS: &[(&str, u64)] = &[
        ("us", 1),
        ("usec", 1),
        ("ms", 1_000),
        ("msec", 1_000),
        ("", 1_000_000),
        ("s", 1_000_000),
        ("sec", 1_000_000),
        ("second", 1_000_000),
        ("seconds", 1_000_000),
        ("m", 60_000_000),
        ("min", 60_000_000),
        ("minute", 60_000_000),
        ("minutes", 60_000_000),
        ("h", 3_600_000_000),
        ("hr", 3_600_000_000),
        ("hour", 3_600_000_000),
        ("hours", 3_600_000_000),
        ("d", 86_400_000_000),
        ("day", 86_400_000_000),
        ("days", 86_400_000_000),
        ("w", 604_800_000_000),
        ("week", 604_800_000_000),
        ("weeks", 604_800_000_000),
    ];
    let mut rest = text.trim();
    if rest == "infinity" {
        return Some(Span::Infinity);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, us) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*us)?)?;
        rest = after.trim_start();
    }
    (!text.trim().is_empty()).then_some(Span::Ms(total / 1_000))
}
