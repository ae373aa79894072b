// SPDX-License-Identifier: Apache-2.0
//! Formats that the services of the log and `b2p log` share: records of `/dev/kmsg`, lines of
//! the files, and times (docs/reference/log.md).

pub mod filter;
pub mod format;
pub mod log_time;
pub mod record;
pub mod ring;

/// Longest tag, in bytes; RFC 3164 allows 32, RFC 5424 48.
pub const MAX_TAG: usize = 48;

/// The boot that a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Content of /proc/sys/kernel/random/boot_id.
    pub id: String,
    /// Content of /proc/sys/kernel/osrelease.
    pub release: String,
}

impl Boot {
    /// Returns the boot that runs; a part that cannot be read is empty.
    #[must_use]
    pub fn current() -> Boot {
        let read = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
            text.unwrap_or_default().trim_ascii().to_owned()
        };
        Boot {
            id: read("random/boot_id"),
            release: read("osrelease"),
        }
    }
}
