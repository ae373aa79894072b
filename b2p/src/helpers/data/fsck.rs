// SPDX-License-Identifier: Apache-2.0
//! Repairs a file system before its mount: e2fsck in preen mode, which makes the repairs that are safe to
//! repair and stops at the rest (e2fsck(8)).

use std::path::Path;
use std::time::Duration;

use disk::bytes::{SizedFile, read_at};
use disk::ext4::check_reason;
use disk::signature::SignatureKind;
use log::{error, info};
use sys::error::{Doing, Error, Result};

use crate::common::tool;

/// Time limit of e2fsck. Earlier repairs stay.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Checks a file system if its superblock requests a check. xfs, btrfs and f2fs replay their own
/// logs at a mount.
///
/// # Errors
/// The file system is damaged and must not be mounted.
pub fn check(path: &Path, kind: SignatureKind) -> Result<()> {
    if !matches!(
        kind,
        SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4
    ) {
        return Ok(());
    }
    let file = std::fs::File::open(path)?;
    let superblock = read_at(&SizedFile { file, size: 2048 }, 1024, 1024);
    let superblock = superblock.doing("its superblock cannot be read")?;
    let Some(why) = check_reason(&superblock) else {
        return Ok(());
    };
    info!("data: {}: {why}: e2fsck", path.display());
    let path = path.to_string_lossy();
    let finished = tool::run("/usr/sbin/e2fsck", &["-p", &path], TIMEOUT)?;
    let outcome = judge(finished.code, &finished.last_lines);
    match &outcome {
        Ok(what) => info!("data: {path}: e2fsck: {what}: {}", finished.last_lines),
        Err(why) => error!("data: {path}: e2fsck: {why}"),
    }
    outcome.map(drop)
}

/// Interprets the exit status of e2fsck, a sum of bits.
fn judge(code: Option<i32>, last_lines: &str) -> Result<&'static str> {
    let reason = match code {
        Some(0) => return Ok("clean"),
        // Bit 2 requests a reboot of a mounted file system; this one is not mounted.
        Some(1..=3) => return Ok("mended"),
        Some(code) if code & 4 != 0 => format!(
            "damaged beyond what is safe to mend by itself ({last_lines}); run `e2fsck -f` on it \
             by hand"
        ),
        Some(code) => format!("e2fsck failed with status {code}: {last_lines}"),
        None => format!("e2fsck was killed: {last_lines}"),
    };
    Err(Error::invalid(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_means_something() {
        assert_eq!(judge(Some(0), ""), Ok("clean"));
        for code in [1, 2, 3] {
            assert_eq!(judge(Some(code), ""), Ok("mended"));
        }
        for code in [4, 5, 8, 12, 16, 32, 128] {
            assert!(judge(Some(code), "x").is_err(), "{code}");
        }
        assert!(judge(None, "").is_err());
    }
}
