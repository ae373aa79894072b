// SPDX-License-Identifier: Apache-2.0
//! Room on the host's file systems.

use crate::fault::{Fault, PRE_CREATE};
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;
use std::path::Path;

/// Widens a number of statvfs(3), whose types differ between systems.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// Returns the bytes that users may still write below a path, which may not exist yet. `None` where the file system
/// does not tell.
#[must_use]
pub fn free(path: &Path) -> Option<u64> {
    room(path, false)
}

/// Returns the bytes of [`free`], for root with those that are reserved for it.
fn room(path: &Path, is_root: bool) -> Option<u64> {
    let there = path.ancestors().find(|dir| dir.exists())?;
    let stat = statvfs(there).ok()?;
    // Some file systems have no blocks at all, such as those of FUSE that do not know.
    if stat.blocks() == 0 {
        return None;
    }
    let blocks = match is_root {
        true => wide(stat.blocks_free()),
        false => wide(stat.blocks_available()),
    };
    Some(blocks.saturating_mul(wide(stat.fragment_size())))
}

/// Refuses to write more bytes below a directory than there is room for.
///
/// # Errors
/// A fault of status 3 with what is written, where, the room that it needs and the room that there is.
pub fn check(what: &str, dir: &Path, bytes: u64) -> Result<(), Fault> {
    // A draft has a name that says nothing to people.
    let is_draft = dir.extension().is_some_and(|end| end == "tmp");
    let dir = if is_draft {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    match room(dir, Uid::effective().is_root()) {
        // btrfs whose metadata are full has no block for users, and free ones (statvfs(3)): only a write tells.
        Some(0) if room(dir, true) != Some(0) => Ok(()),
        Some(free) if free < bytes => Err(short(what, dir, bytes, free)),
        _ => Ok(()),
    }
}

fn short(what: &str, dir: &Path, bytes: u64, free: u64) -> Fault {
    let text = format!(
        "Error with pre-create check: {what} needs {}, and {} has {} free",
        mib(bytes.next_multiple_of(1 << 20)),
        dir.display(),
        mib(free)
    );
    Fault::with_status(text, PRE_CREATE)
}

/// Returns a warning for a disk that may become larger than its file system has room for.
#[must_use]
pub fn note(dir: &Path, bytes: u64) -> Option<String> {
    let free = free(dir).filter(|&free| free < bytes)?;
    Some(format!(
        "the disk may grow to {}, and {} has {} free: a machine stands still while its host's disk is full",
        mib(bytes),
        dir.display(),
        mib(free)
    ))
}

/// Formats a size for people, rounded down.
fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib < 10 << 10 => format!("{mib} MiB"),
        mib if mib < 10 << 20 => format!("{} GiB", mib >> 10),
        mib => format!("{} TiB", mib >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_does_not_fit_is_refused_with_both_sizes() {
        let tmp = tempfile::tempdir().expect("a directory");
        let below = tmp.path().join("a/b");
        assert!(free(&below).is_some_and(|free| free > 0));
        check("the image", &below, 1).expect("room");
        let fault = check("the image", &below, u64::MAX / 2).expect_err("no room");
        assert_eq!(fault.status, PRE_CREATE);
        assert!(note(&below, u64::MAX).is_some() && note(&below, 1).is_none());
        let draft = Path::new("/tmp/.image.1.tmp");
        let fault = check("the image", draft, u64::MAX / 2).expect_err("no room");
        assert!(fault.text.contains("and /tmp has "), "{}", fault.text);
        let fault = short("the image", Path::new("/d"), (60 << 20) + 1, (59 << 20) + 5);
        assert_eq!(
            fault.text,
            "Error with pre-create check: the image needs 61 MiB, and /d has 59 MiB free"
        );
        assert_eq!(
            (mib(200 << 30), mib(900 << 40)),
            ("200 GiB".into(), "900 TiB".into())
        );
    }
}
