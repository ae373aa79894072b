// SPDX-License-Identifier: Apache-2.0
//! Swap areas on devices and in files.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use disk::swap::{Area, PAGE};
use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

/// Swaps to the area at `path` and returns its size and path; an area that is on already is no
/// error. Without a priority the area is used after the areas that are on.
///
/// # Errors
/// The path has no swap area, or the kernel refuses the area.
pub fn swap_on(path: &Path, priority: Option<u8>) -> Result<String> {
    if is_on(path) {
        return Ok(format!("{} is there already", path.display()));
    }
    let refused = |reason| Err(Error::invalid(reason));
    let bytes = match read(path)? {
        Area::Swap(bytes) => bytes,
        Area::Hibernated => return refused("a hibernated system is in it; it is left alone"),
        Area::Other => {
            return refused("it is no swap area (mkswap makes one); it is left alone");
        }
    };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    explained(sys::syscall::swapon(&name, priority)).doing("swapon")?;
    Ok(format!("{} MiB on {}", bytes >> 20, path.display()))
}

/// Adds to the errno of swapon(2) its usual meaning.
fn explained(outcome: io::Result<()>) -> Result<()> {
    let errno = outcome.as_ref().err().and_then(io::Error::raw_os_error);
    match errno.map(Errno::from_raw) {
        Some(Errno::EINVAL) => outcome.doing("it has holes, or is smaller than its header says"),
        Some(Errno::EROFS) => outcome.doing("it is read-only"),
        _ => Ok(outcome?),
    }
}

/// Reads the first page of a file or device.
///
/// # Errors
/// The path cannot be read, or is a symbolic link.
pub fn read(path: &Path) -> Result<Area> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut page = Vec::new();
    let file = file.on(path)?;
    file.take(PAGE as u64).read_to_end(&mut page).on(path)?;
    Ok(disk::swap::area(&page))
}

/// Returns true if the kernel swaps to `path`.
pub fn is_on(path: &Path) -> bool {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    is_listed(&swaps, path)
}

/// Returns true if proc_swaps(5) lists `path`; a space in a name is `\040` there.
fn is_listed(swaps: &str, path: &Path) -> bool {
    let path = path.to_string_lossy().replace(' ', "\\040");
    let lines = swaps.lines().skip(1);
    let mut names = lines.filter_map(|line| line.split_whitespace().next());
    names.any(|name| name == path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn is_listed_compares_whole_paths() {
        let swaps = "Filename Type Size Used Priority\n\
                     /dev/vda2 partition 9 0 -2\n\
                     /mnt/my\\040disk/tc.swp file 9 0 -3\n";
        let is_listed = |path: &str| is_listed(swaps, Path::new(path));
        assert!(is_listed("/dev/vda2") && is_listed("/mnt/my disk/tc.swp"));
        assert!(!is_listed("/dev/vda") && !is_listed("Filename"));
        assert!(!super::is_listed("", Path::new("/dev/vda2")));
    }

    #[test]
    fn only_a_swap_area_is_taken() {
        let temp = Temp::new();
        let (path, link) = (temp.path("area"), temp.path("link"));
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            why(swap_on(&path, None))
        };
        assert!(refused(b"").contains("no swap area"));
        let mut page = disk::swap::header(1 << 20, &[1; 16]).unwrap();
        disk::bytes::put(&mut page, PAGE - 10, b"S1SUSPEND\0");
        assert!(refused(&page).contains("hibernated"));
        assert_eq!(fs::read(&path).unwrap(), page);
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(swap_on(&link, None).is_err());
    }

    #[test]
    fn errors_of_swapon_are_explained() {
        let refused = |errno: Errno| explained(Err(errno.into()));
        assert!(why(refused(Errno::EINVAL)).starts_with("it has holes"));
        assert!(why(refused(Errno::EROFS)).starts_with("it is read-only: EROFS"));
        assert_eq!(refused(Errno::EPERM), Err(Errno::EPERM.into()));
    }
}
