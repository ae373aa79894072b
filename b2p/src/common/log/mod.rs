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

/// Returns the tag of a container or a program: its name, after the number of a user other than root. Root and each
/// user may have a container of one name, and no name of a container has a slash.
#[must_use]
pub fn tag_of_user(uid: u32, name: &str) -> String {
    let mut tag = match uid {
        0 => name.to_owned(),
        uid => format!("{uid}/{name}"),
    };
    tag.truncate(tag.floor_char_boundary(MAX_TAG));
    tag
}

/// Returns the name of the container, or the program, of a tag.
#[must_use]
pub fn name_of_tag(tag: &str) -> &str {
    match tag.split_once('/') {
        Some((uid, name)) if uid.parse::<u32>().is_ok() => name,
        _ => tag,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_programs_of_root_and_of_users_have_tags_of_their_own() {
        for (uid, name, tag) in [(0, "web", "web"), (1000, "web", "1000/web")] {
            assert_eq!(tag_of_user(uid, name), tag);
            assert_eq!(name_of_tag(tag), name);
        }
        let long = "n".repeat(60);
        assert_eq!(tag_of_user(0, &long), long[..MAX_TAG]);
        assert_eq!(tag_of_user(7, &long).len(), MAX_TAG);
        for program in ["postfix/smtpd", "/usr/bin/x"] {
            assert_eq!(name_of_tag(program), program);
        }
    }
}
