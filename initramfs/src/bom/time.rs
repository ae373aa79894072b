// SPDX-License-Identifier: Apache-2.0
//! Time of a build: that of its source's commit.

use std::process::Command;

use crate::paths;

/// Start of 1980 in seconds since 1970, for sources that are in no repository.
const DEFAULT: u64 = 315_532_800;

/// Returns `SOURCE_DATE_EPOCH` (specified at reproducible-builds.org), or else the time of the
/// commit that is checked out, in seconds since 1970.
pub fn source() -> u64 {
    let variable = std::env::var("SOURCE_DATE_EPOCH").ok();
    let variable = variable.and_then(|text| text.trim().parse().ok());
    variable.or_else(commit_time).unwrap_or(DEFAULT)
}

fn commit_time() -> Option<u64> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]);
    let output = git.current_dir(paths::root()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// Formats a time in seconds since 1970 by ISO 8601, in UTC. The calculation is that of the
/// Gregorian calendar with years that begin in March, so that the leap day is the last day of a
/// year.
pub fn iso8601(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (DEFAULT, "1980-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_790_000_000, "2026-09-21T14:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso8601(seconds), date);
        }
    }
}
