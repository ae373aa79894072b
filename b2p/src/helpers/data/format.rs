//! The format as it is done to a device; what is done when is in `disk::format`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use disk::bytes::{SizedFile, read_at};
use disk::device::Device;
use disk::format::FormatTarget;
use disk::format_state::{FormatState, format_state, request_sector};
use disk::journal::Journal;
use log::info;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{ioctl, scan};
use crate::common::paths::Paths;
use crate::common::{atomic_file, tool};

/// mke2fs writes little and lets the kernel do the rest later; a slow stick takes
/// its time for the journal.
const MAKING: Duration = Duration::from_secs(600);

struct Real {
    name: String,
    disk: File,
    part: PathBuf,
    mnt: PathBuf,
    mounted: bool,
}

/// Formats a disk that asks, that is blank, or whose format was begun.
///
/// # Errors
/// What failed; the next boot finds the disk as `disk::format` says.
pub fn format(device: &Device, paths: &Paths) -> Result<(), String> {
    let begun = Instant::now();
    let mut hands = Real {
        name: device.name.clone(),
        disk: exclusive(device)?,
        part: scan::node(&disk::device_name::partition(&device.name, 1)),
        mnt: paths.runtime().join("format"),
        mounted: false,
    };
    let size = device.size;
    let sector = scan::sector(&device.name);
    // The disk is ours now: is it still what it was?
    let (journal, fresh) = match now(&hands, size, sector)? {
        FormatState::InProgress(journal) => (*journal, false),
        FormatState::Requested(data, found) if found.is_empty() => {
            (journal(data.raw, sector)?, true)
        }
        FormatState::Unrelated if device.is_blank && still_blank(&hands, size)? => {
            // From here on it asks, whatever happens.
            hands.write(0, &request_sector())?;
            hands.flush()?;
            (
                journal([request_sector(), vec![0; 1024]].concat(), sector)?,
                true,
            )
        }
        _ => {
            return Err(format!(
                "{}: it has changed while it was looked at",
                device.name
            ));
        }
    };
    info!(
        "data: /dev/{} is formatted, because it {}",
        device.name,
        why(device, fresh)
    );
    disk::format::format(size, &journal, fresh, &mut hands)?;
    info!(
        "data: /dev/{} was formatted in {} ms",
        device.name,
        begun.elapsed().as_millis()
    );
    Ok(())
}

fn why(device: &Device, fresh: bool) -> &'static str {
    match (fresh, device.is_blank) {
        (false, _) => "was half formatted",
        (true, true) => "is blank, and b2p.format=blank",
        (true, false) => "asks for it",
    }
}

/// Takes the traces of a finished format away.
///
/// # Errors
/// What failed.
pub fn sweep(device: &Device) -> Result<(), String> {
    let mut hands = Real {
        name: device.name.clone(),
        disk: exclusive(device)?,
        part: PathBuf::new(),
        mnt: PathBuf::new(),
        mounted: false,
    };
    match now(&hands, device.size, scan::sector(&device.name))? {
        FormatState::Complete(journal) => disk::format::sweep(device.size, &journal, &mut hands),
        _ => Err(format!(
            "{}: it has changed while it was looked at",
            device.name
        )),
    }
}

/// Nobody else has the disk, nor any partition of it.
fn exclusive(device: &Device) -> Result<File, String> {
    open(&device.name, libc::O_EXCL)
}

/// For writing.
///
/// # Errors
/// Which device, and why.
pub fn open(name: &str, flags: i32) -> Result<File, String> {
    let mut how = OpenOptions::new();
    how.read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | flags);
    how.open(scan::node(name))
        .map_err(|e| format!("/dev/{name}: {e}"))
}

fn source(hands: &Real, size: u64) -> Result<SizedFile, String> {
    let file = hands.disk.try_clone().map_err(|e| e.to_string())?;
    Ok(SizedFile { file, size })
}

fn now(hands: &Real, size: u64, sector: u32) -> Result<FormatState, String> {
    format_state(&source(hands, size)?, sector).map_err(|e| format!("/dev/{}: {e}", hands.name))
}

fn still_blank(hands: &Real, size: u64) -> Result<bool, String> {
    let source = source(hands, size)?;
    disk::blank::is_blank(&source).map_err(|e| format!("/dev/{}: {e}", hands.name))
}

fn journal(tar: Vec<u8>, sector: u32) -> Result<Journal, String> {
    let random = File::open("/dev/urandom").map_err(|e| e.to_string())?;
    let bytes = read_at(
        &SizedFile {
            file: random,
            size: 48,
        },
        0,
        48,
    );
    let bytes = bytes.map_err(|e| format!("/dev/urandom: {e}"))?;
    let one = |n: usize| disk::bytes::array(&bytes, 16 * n);
    Ok(Journal::new(tar, sector, [one(0), one(1), one(2)]))
}

impl Real {
    fn fail(&self, what: &str, e: &dyn std::fmt::Display) -> String {
        format!("/dev/{}: {what}: {e}", self.name)
    }

    /// The partition's own pages are on the disk.
    fn settle(&self) -> Result<(), String> {
        let synced = File::open(&self.part).and_then(|f| f.sync_all());
        synced.map_err(|e| self.fail("sync", &e))
    }

    fn unmount(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.mounted) {
            umount2(&self.mnt, MntFlags::empty()).map_err(|e| self.fail("umount", &e))?;
            let _ = fs::remove_dir(&self.mnt);
        }
        Ok(())
    }

    /// The node appears with the partition: devtmpfs makes it.
    fn appears(&self) -> bool {
        (0..200).any(|_| {
            self.part.exists() || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        })
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

impl FormatTarget for Real {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        self.disk
            .write_all_at(bytes, at)
            .map_err(|e| self.fail("write", &e))
    }

    fn flush(&mut self) -> Result<(), String> {
        self.disk.sync_all().map_err(|e| self.fail("flush", &e))
    }

    fn divided(&mut self, first: u64, len: u64) -> Result<(), String> {
        let _ = ioctl::forget(&self.disk);
        let name = disk::device_name::partition(&self.name, 1);
        let reread = ioctl::reread(&self.disk);
        // A partition of an old table, or one that the kernel did not look for.
        if reread.is_err() || scan::size(&name).is_none() {
            ioctl::add(&self.disk, 1, first, len).map_err(|e| self.fail("partition", &e))?;
        }
        if !self.appears() {
            return Err(self.fail("partition", &"its node does not appear"));
        }
        if scan::size(&name) != Some(len) {
            return Err(self.fail("partition", &"the kernel has another length for it"));
        }
        // As long as the whole is claimed, no part of it can be.
        self.disk = open(&self.name, 0)?;
        Ok(())
    }

    fn make(&mut self, uuid: &str, label: &str) -> Result<(), String> {
        let part = self.part.to_string_lossy().into_owned();
        // Images are many small files: twice the usual inodes. The tables of those
        // are written later, by the kernel.
        #[rustfmt::skip]
        let words = [
            "-q", "-F", "-t", "ext4", "-i", "8192", "-m", "1", "-U", uuid, "-L", label,
            "-O", "metadata_csum,64bit,dir_index,extent,has_journal,^quota",
            "-E", "lazy_itable_init=1,nodiscard", &part,
        ];
        let ended = tool::run("/usr/sbin/mke2fs", &words, MAKING)?;
        match ended.code {
            Some(0) => self.settle(),
            _ => Err(self.fail("mke2fs", &ended.last_lines)),
        }
    }

    fn fill(&mut self, tar: &[u8]) -> Result<(), String> {
        fs::create_dir_all(&self.mnt).map_err(|e| self.fail("mount", &e))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some(&self.part),
            &self.mnt,
            Some("ext4"),
            flags,
            None::<&str>,
        )
        .map_err(|e| self.fail("mount", &e))?;
        self.mounted = true;
        if !tar.is_empty() {
            atomic_file::replace(&self.mnt.join(super::persist::USERDATA), tar, 0o600)?;
        }
        Ok(())
    }

    fn label(&mut self, label: &str) -> Result<(), String> {
        // Through the file system's own journal: the superblock is never torn.
        let root = File::open(&self.mnt).map_err(|e| self.fail("label", &e))?;
        let named = ioctl::label(&root, label);
        sys::syscall::syncfs(&root).map_err(|e| self.fail("sync", &e))?;
        drop(root);
        self.unmount()?;
        if named.is_err() {
            let part = self.part.to_string_lossy().into_owned();
            let ended = tool::run("/usr/sbin/tune2fs", &["-L", label, &part], MAKING)?;
            if ended.code != Some(0) {
                return Err(self.fail("tune2fs", &ended.last_lines));
            }
        }
        self.settle()?;
        // What the disk's own pages have of it is old.
        let _ = ioctl::forget(&self.disk);
        Ok(())
    }

    fn say(&mut self, text: &str) {
        info!("data: /dev/{}: {text}", self.name);
    }
}
