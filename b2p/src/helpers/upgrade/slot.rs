//! A version put into the slot that the machine does not run from: a file system made
//! anew each time, so that nothing that a power cut has left in it matters.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::source::{FILES, SUMS, Source};
use super::{mounts, sums};
use crate::common::tool;
use crate::helpers::data::{format, ioctl, scan};

/// mke2fs writes a few blocks here.
const MAKING: Duration = Duration::from_secs(60);
/// What the file system needs for itself, generously.
const OWN: u64 = 2 << 20;
/// Until all is there, GRUB's menu does not offer the slot.
const UNFINISHED: &str = "initrd.new";

/// Whether it has room for so many bytes.
///
/// # Errors
/// What there is, and what is needed.
pub fn fits(device: &str, bytes: u64) -> Result<(), String> {
    let room = scan::size(device).unwrap_or(0);
    match bytes.saturating_add(OWN) <= room {
        true => Ok(()),
        false => Err(format!(
            "the new version has {} MiB and its slot, /dev/{device}, {} MiB: a new disk of \
             `make disk` has more, and the data can be copied to it",
            bytes >> 20,
            room >> 20
        )),
    }
}

/// Makes the file system, copies the version, and reads it back from the disk.
///
/// # Errors
/// What failed; the slot is of no use then, and the menu does not offer it.
pub fn write(device: &str, slot: char, source: &Source) -> Result<(), String> {
    make(device, slot)?;
    let mounted = mounts::device(device, "ext4", true)?;
    let dir = mounted.dir();
    for ((from, sum), name) in source.files().zip([FILES[0], UNFINISHED]) {
        copy(&from, sum, &dir.join(name))?;
    }
    put(&dir.join(SUMS), source.list().as_bytes())?;
    let done = fs::rename(dir.join(UNFINISHED), dir.join(FILES[1]));
    done.map_err(|e| format!("{}: {e}", dir.display()))?;
    mounted.end()?;
    reread(device, source)
}

fn make(device: &str, slot: char) -> Result<(), String> {
    // Nobody else has it: it is not mounted, nor swap.
    let free = format::open(device, libc::O_EXCL)?;
    drop(free);
    let (node, label) = (format!("/dev/{device}"), format!("boot2podman-{slot}"));
    // As `make disk` makes it (initramfs/src/disk.rs).
    #[rustfmt::skip]
    let words = [
        "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-L", &label, "-N", "16",
        "-m", "0", "-O", "none,extent,filetype,sparse_super,large_file", "-E", "nodiscard",
        &node,
    ];
    let ended = tool::run("/usr/sbin/mke2fs", &words, MAKING)?;
    match ended.code {
        Some(0) => Ok(()),
        _ => Err(format!("{node}: mke2fs: {}", ended.last_lines)),
    }
}

/// Copies a file, and sees that it still is what was verified.
fn copy(from: &Path, sum: &str, to: &Path) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", to.display());
    let mut file = File::create(to).map_err(say)?;
    let found = sums::run(from, |piece| file.write_all(piece).map_err(say))?;
    file.sync_all().map_err(say)?;
    match found == sum {
        true => Ok(()),
        false => Err(format!("{} has changed meanwhile", from.display())),
    }
}

fn put(to: &Path, bytes: &[u8]) -> Result<(), String> {
    let write = || {
        let mut file = File::create(to)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e: std::io::Error| format!("{}: {e}", to.display()))
}

/// What was written is what the disk gives back, not what the kernel remembers.
fn reread(device: &str, source: &Source) -> Result<(), String> {
    let whole = format::open(device, libc::O_EXCL)?;
    let forgotten = whole.sync_all().and_then(|()| ioctl::forget(&whole));
    forgotten.map_err(|e| format!("/dev/{device}: {e}"))?;
    drop(whole);
    let mounted = mounts::device(device, "ext4", false)?;
    for ((_, sum), name) in source.files().zip(FILES) {
        let read = sums::check(&mounted.dir().join(name), sum);
        read.map_err(|why| format!("/dev/{device} does not keep what is written to it: {why}"))?;
    }
    mounted.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_in_figures() {
        let said = fits("nothing", 3 << 20).err().unwrap_or_default();
        assert!(
            said.contains("has 3 MiB") && said.contains("/dev/nothing, 0 MiB"),
            "{said}"
        );
    }
}
