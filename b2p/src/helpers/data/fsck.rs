//! Repair before mounting: e2fsck in preen mode, which mends what is safe to mend
//! and stops at the rest (e2fsck(8)).

use std::path::Path;
use std::time::Duration;

use disk::bytes::{SizedFile, read_at};
use disk::ext4::wants_check;
use disk::signature::SignatureKind;
use log::info;

use crate::common::tool;

/// So long it may take. What it has mended by then stays mended.
const MOST: Duration = Duration::from_secs(120);

/// Checks a file system where there is something to check. xfs, btrfs and f2fs
/// replay their own logs when they are mounted.
///
/// # Errors
/// It is damaged, and must not be mounted.
pub fn check(path: &Path, kind: SignatureKind) -> Result<(), String> {
    if !matches!(
        kind,
        SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4
    ) {
        return Ok(());
    }
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let superblock = read_at(&SizedFile { file, size: 2048 }, 1024, 1024);
    let superblock = superblock.map_err(|e| format!("its superblock cannot be read: {e}"))?;
    let Some(why) = wants_check(&superblock) else {
        return Ok(());
    };
    info!("data: {}: {why}: e2fsck", path.display());
    let path = path.to_string_lossy();
    let ended = tool::run("/usr/sbin/e2fsck", &["-p", &path], MOST)?;
    let result = judge(ended.code, &ended.last_lines);
    match &result {
        Ok(what) => info!("data: {path}: e2fsck: {what}: {}", ended.last_lines),
        Err(why) => log::error!("data: {path}: e2fsck: {why}"),
    }
    result.map(drop)
}

/// What the exit status means: a sum of bits.
fn judge(code: Option<i32>, said: &str) -> Result<&'static str, String> {
    match code {
        Some(0) => Ok("clean"),
        // 2 wants a reboot where the file system is mounted; it is not.
        Some(1..=3) => Ok("mended"),
        Some(code) if code & 4 != 0 => Err(format!(
            "damaged beyond what is safe to mend by itself ({said}); run `e2fsck -f` on it by hand"
        )),
        Some(code) => Err(format!("e2fsck failed with status {code}: {said}")),
        None => Err(format!("e2fsck was killed: {said}")),
    }
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
