// SPDX-License-Identifier: Apache-2.0
//! Service file that stands for the enabled unit `podman-auto-update.timer`. The file has an `at`, at which
//! podman auto-update runs; the flag `b2p.auto_update=` has the same effect.

use std::fs;
use std::path::Path;

use sys::error::{Doing, Result};
use sys::service_names::AUTO_UPDATE;

use super::own_minute;
use crate::common::atomic_file;

/// Name of the unit.
pub const UNIT: &str = "podman-auto-update.timer";
/// Name of the service file.
pub const FILE: &str = "auto-update-timer";

/// Returns the unit that a service with times stands for; empty if there is none.
#[must_use]
pub fn unit_of(service: &str) -> &'static str {
    match service {
        FILE | AUTO_UPDATE => UNIT,
        _ => "",
    }
}

/// Returns the text of the service file for updates at this minute after midnight.
fn text(minute: i64) -> String {
    format!(
        "# systemctl enable {UNIT}\nexec {} start {AUTO_UPDATE}\nat 00:{minute:02}\nlate 60m\n",
        sys::paths::B2P
    )
}

/// Writes the service file in this directory.
///
/// # Errors
/// The directory or the file cannot be written.
pub fn write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).on(dir)?;
    atomic_file::replace(&dir.join(FILE), text(own_minute()).as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_that_of_a_service_with_a_time() {
        for minute in [0, 7, 59] {
            let text = text(minute);
            let parsed = services::service_file::parse(FILE, text.as_bytes(), "", "");
            // The updates may pull images for an hour.
            let is_right = |service: services::service_file::Parsed<'_>| {
                service.at.is_some() && service.def.late_ms == 3_600_000
            };
            assert!(parsed.is_ok_and(is_right), "{text}");
        }
    }
}
