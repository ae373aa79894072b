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

/// Formats a time in seconds since 1970 by ISO 8601, in UTC.
pub fn iso8601(seconds: u64) -> String {
    format!("{}Z", sys::date::rfc3339(seconds.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
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
