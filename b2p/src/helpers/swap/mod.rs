//! Swap, as the flags ask for it and never by surprise: `b2p swap`, run once by
//! PID 1 where they do.
//!
//! zram comes before what is on disks. A disk is read and never written: what is
//! no swap area is not made one. What was asked for and is not there is told to
//! PID 1 in /run/boot2podman/swap.degraded, in lines `degraded swap: WHY`. What is
//! there already is left, so it may run again.

mod file;
mod find;
mod tcswp;
mod zram;

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use config::{Config, Swap};
use disk::swap::{Area, PAGE, area};
use log::info;

use crate::common::degraded::Degraded;

/// Does everything; what fails is said and is no failure of the program.
pub fn main() -> i32 {
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let mut degraded = Degraded::of("swap");
    for (what, done) in all(&config) {
        match done {
            Ok(how) => info!("swap: {what}: {how}"),
            Err(why) => degraded.warn(format_args!("{what}: {why}")),
        }
    }
    degraded.report()
}

/// Each thing that was asked for, in the flag's words, and what came of it.
fn all(config: &Config) -> Vec<(String, Result<String, String>)> {
    let mut outcomes = Vec::new();
    if !config.swap {
        return outcomes;
    }
    let wait = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    for swap in &config.swaps {
        outcomes.push(match swap {
            Swap::Zram(share) => ("zram".to_owned(), zram::make(*share, config)),
            Swap::Disk(disk) => (disk.to_string(), partition(disk, wait)),
            Swap::File(mib) => (format!("a file of {mib} MiB"), file::make(*mib)),
        });
    }
    if let Some(disk) = &config.swapfile {
        let what = format!("swapfile={disk}");
        outcomes.push((what, tcswp::take(disk, wait)));
    }
    outcomes
}

/// A swap partition is used as it is.
fn partition(disk: &config::DiskSelector, wait: u16) -> Result<String, String> {
    let device = find::find(disk, wait, find::Wanted::Swap)?;
    take(&crate::helpers::data::scan::node(&device.name), None)
}

/// Swaps to what is a swap area, and to nothing else.
fn take(path: &Path, priority: Option<u8>) -> Result<String, String> {
    if on(&fs::read_to_string("/proc/swaps").unwrap_or_default(), path) {
        return Ok(format!("{} is there already", path.display()));
    }
    let bytes = match look(path)? {
        Area::Swap(bytes) => bytes,
        Area::Asleep => return Err("a hibernated system is in it; it is left alone".into()),
        Area::Other => return Err("it is no swap area (mkswap makes one); it is left alone".into()),
    };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    sys::syscall::swapon(&name, priority).map_err(|e| refused(&e))?;
    Ok(format!("{} MiB on {}", bytes >> 20, path.display()))
}

/// The first page of a file or device.
fn look(path: &Path) -> Result<Area, String> {
    let read = || {
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let mut page = Vec::new();
        file.take(PAGE as u64).read_to_end(&mut page)?;
        Ok::<_, std::io::Error>(page)
    };
    let page = read().map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(area(&page))
}

/// What the kernel said, and what that usually means.
fn refused(e: &std::io::Error) -> String {
    let hint = match e.raw_os_error() {
        Some(libc::EINVAL) => ": it has holes, or is smaller than it says",
        Some(libc::EROFS) => ": it can only be read",
        _ => "",
    };
    format!("swapon: {e}{hint}")
}

/// Whether it is in use as swap (proc_swaps(5)); a space in a name is `\040`.
fn on(swaps: &str, path: &Path) -> bool {
    let path = path.to_string_lossy().replace(' ', "\\040");
    let mut names = swaps
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next());
    names.any(|name| name == path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_on_is_known_by_its_whole_name() {
        let swaps = "Filename Type Size Used Priority\n/dev/vda2 partition 9 0 -2\n/mnt/my\\040disk/tc.swp file 9 0 -3\n";
        assert!(on(swaps, Path::new("/dev/vda2")));
        assert!(on(swaps, Path::new("/mnt/my disk/tc.swp")));
        assert!(!on(swaps, Path::new("/dev/vda")) && !on(swaps, Path::new("Filename")));
        assert!(!on("", Path::new("/dev/vda2")));
    }

    #[test]
    fn only_a_swap_area_is_taken() {
        let dir = std::env::temp_dir().join(format!("b2p-swap-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("area");
        let told = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            take(&path, None).unwrap_err()
        };
        assert!(told(b"").contains("no swap area"));
        let mut page = disk::swap::header(1 << 20, &[1; 16]).unwrap();
        disk::bytes::put(&mut page, PAGE - 10, b"S1SUSPEND\0");
        assert!(told(&page).contains("hibernated"));
        assert_eq!(fs::read(&path).unwrap(), page);
        let link = dir.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(take(&link, None).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn noswap_leaves_everything() {
        let config = Config {
            swap: false,
            swaps: vec![Swap::File(1)],
            swapfile: Some(config::DiskSelector::Label("x".into())),
            ..Config::default()
        };
        assert!(all(&config).is_empty());
    }
}
