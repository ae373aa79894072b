// SPDX-License-Identifier: Apache-2.0
//! Sizes and durations in the form for people. Integers only: the code that prints floats is large.

/// Units of sizes, each 1024 times the one before.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Returns a size in bytes in the form `512 B`, `1.2 MiB` or `64 KiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    let rounded = |size: u128| (u128::from(n) * 10 + size / 2) / size;
    let (mut unit, mut size) = (0, 1);
    while rounded(size) >= 10_240 && unit + 1 < UNITS.len() {
        size *= 1024;
        unit += 1;
    }
    let tenths = rounded(size);
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit > 0 && tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

/// Returns a duration in milliseconds in the form `42 ms`, `3.2 s`, `42 s`, `3 min`, `5 h 12 min`
/// or `4 d 3 h`.
#[must_use]
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    let (min, h, d) = (s / 60, s / 3600, s / 86_400);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{s}.{} s", ms % 1000 / 100),
        10_000..60_000 => format!("{s} s"),
        60_000..3_600_000 => format!("{min} min"),
        3_600_000..86_400_000 => format!("{h} h {} min", min % 60),
        _ => format!("{d} d {} h", h % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_formatted_in_binary_units() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (65_536, "64 KiB"),
            (1_258_292, "1.2 MiB"),
            (10 << 20, "10 MiB"),
            (1023 << 20, "1023 MiB"),
            (5_662_310, "5.4 MiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16777216 TiB"),
            (1_048_575, "1.0 MiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn durations_are_formatted_in_their_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (3_600_000, "1 h 0 min"),
            (18_720_000, "5 h 12 min"),
            (86_400_000, "1 d 0 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
