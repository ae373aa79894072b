// SPDX-License-Identifier: Apache-2.0
//! Formats a real device; `disk::format` decides the order of the steps.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use disk::bytes::{SizedFile, array, read_at};
use disk::device::Device;
use disk::device_name;
use disk::format::{FormatError, FormatTarget};
use disk::format_record::FormatRecord;
use disk::format_state::{FormatState, format_state, request_sector};
use log::info;
use sys::error::{Doing, Error, Result};
use sys_mount::{Mount, MountFlags, UnmountFlags};

use super::keys::USERDATA;
use crate::common::paths::Paths;
use crate::common::{atomic_file, tool};
use crate::helpers::block::{ioctl, scan};

/// Time limit of mke2fs(8) and tune2fs(8). mke2fs writes little and leaves the rest to the
/// kernel; a slow USB stick takes its time for the journal.
const MKFS_LIMIT: Duration = Duration::from_secs(600);
/// Attempts to find the node of a new partition, and the pause between two.
const NODE_ATTEMPTS: usize = 200;
const NODE_PAUSE: Duration = Duration::from_millis(10);
/// Options of the new file system. Images are many small files: twice the usual number of
/// inodes. The kernel writes the tables of the inodes later.
#[rustfmt::skip]
const MKFS_OPTIONS: &[&str] = &[
    "-q", "-F", "-t", "ext4", "-i", "8192", "-m", "1",
    "-O", "metadata_csum,64bit,dir_index,extent,has_journal,^quota",
    "-E", "lazy_itable_init=1,nodiscard",
];

/// A disk that is being formatted.
struct DeviceTarget {
    name: String,
    disk: File,
    size: u64,
    sector_size: u32,
    /// Node of the partition.
    partition: PathBuf,
    mount_point: PathBuf,
    mounted: bool,
}

/// Formats a disk that requests a format, that is blank, or whose format was interrupted.
///
/// # Errors
/// A step fails; the next boot finds the disk in a state that `disk::format` describes.
pub fn format(device: &Device, paths: &Paths) -> Result<()> {
    let start = Instant::now();
    let mut target = DeviceTarget::claim(device, paths)?;
    // The disk is claimed now; its state may differ from the state at the choice.
    let (record, is_fresh) = match target.state()? {
        FormatState::InProgress(record) => (*record, false),
        FormatState::Requested(data, signatures) if signatures.is_empty() => {
            (target.new_record(data.raw)?, true)
        }
        FormatState::Unrelated if device.is_blank && target.is_blank()? => {
            // From here on the disk requests the format, even after a power cut.
            target.write(0, &request_sector())?;
            target.flush()?;
            let archive = [request_sector(), vec![0; 1024]].concat();
            (target.new_record(archive)?, true)
        }
        _ => return Err(changed(device)),
    };
    let (name, why) = (&device.name, reason(device, is_fresh));
    info!("data: /dev/{name} is formatted, because it {why}");
    let formatted = disk::format::format(device.size, &record, is_fresh, &mut target);
    formatted.map_err(|e| match e {
        FormatError::Step(e) => e,
        FormatError::TooSmall(_) => Error::invalid(e.to_string()),
    })?;
    let ms = start.elapsed().as_millis();
    info!("data: /dev/{name} was formatted in {ms} ms");
    Ok(())
}

fn reason(device: &Device, is_fresh: bool) -> &'static str {
    match (is_fresh, device.is_blank) {
        (false, _) => "was half formatted",
        (true, true) => "is blank, and b2p.format=blank",
        (true, false) => "asks for it",
    }
}

fn changed(device: &Device) -> Error {
    Error::invalid(format!(
        "{}: it has changed while it was looked at",
        device.name
    ))
}

/// Finishes a format that is complete: erases its magic and its record.
///
/// # Errors
/// The disk has changed, or cannot be written.
pub fn finish(device: &Device) -> Result<()> {
    let mut target = DeviceTarget::claim(device, &Paths::default())?;
    match target.state()? {
        FormatState::Complete(record) => disk::format::finish(device.size, &record, &mut target),
        _ => Err(changed(device)),
    }
}

impl DeviceTarget {
    /// Opens the disk exclusively, with all its partitions.
    fn claim(device: &Device, paths: &Paths) -> Result<DeviceTarget> {
        Ok(DeviceTarget {
            name: device.name.clone(),
            disk: scan::open_writable(&device.name, libc::O_EXCL)?,
            size: device.size,
            sector_size: scan::sector_size(&device.name),
            partition: scan::node(&device_name::partition(&device.name, 1)),
            mount_point: paths.runtime().join("format"),
            mounted: false,
        })
    }

    fn node(&self) -> PathBuf {
        scan::node(&self.name)
    }

    fn source(&self) -> Result<SizedFile> {
        let (file, size) = (self.disk.try_clone()?, self.size);
        Ok(SizedFile { file, size })
    }

    fn state(&self) -> Result<FormatState> {
        format_state(&self.source()?, self.sector_size).on(self.node())
    }

    fn is_blank(&self) -> Result<bool> {
        disk::blank::is_blank(&self.source()?).on(self.node())
    }

    /// Returns the record of a new format, with random UUIDs.
    fn new_record(&self, archive: Vec<u8>) -> Result<FormatRecord> {
        let file = File::open("/dev/urandom").on("/dev/urandom")?;
        let random = read_at(&SizedFile { file, size: 48 }, 0, 48).on("/dev/urandom")?;
        let uuids = [0, 1, 2].map(|n| array(&random, 16 * n));
        Ok(FormatRecord::new(archive, self.sector_size, uuids))
    }

    fn failed(&self, step: &'static str, reason: impl Into<String>) -> Error {
        let node = self.node();
        Error::invalid(format!("{}: {step}: {}", node.display(), reason.into()))
    }

    /// Waits for the node of the partition, which devtmpfs makes.
    fn has_partition_node(&self) -> bool {
        (0..NODE_ATTEMPTS).any(|_| {
            self.partition.exists() || {
                std::thread::sleep(NODE_PAUSE);
                false
            }
        })
    }

    /// Writes the cached pages of the partition to the disk.
    fn sync_partition(&self) -> Result<()> {
        let synced = File::open(&self.partition).and_then(|f| f.sync_all());
        synced.doing("sync").on(self.node())
    }

    fn set_label_unmounted(&self, label: &str) -> Result<()> {
        let partition = self.partition.to_string_lossy();
        let args = ["-L", label, &partition];
        let finished = tool::run("/usr/sbin/tune2fs", &args, MKFS_LIMIT)?;
        match finished.code {
            Some(0) => Ok(()),
            _ => Err(self.failed("tune2fs", finished.last_lines)),
        }
    }

    fn unmount(&mut self) -> Result<()> {
        if std::mem::take(&mut self.mounted) {
            let unmounted = sys_mount::unmount(&self.mount_point, UnmountFlags::empty());
            unmounted.doing("umount").on(self.node())?;
            let _ = fs::remove_dir(&self.mount_point);
        }
        Ok(())
    }
}

impl Drop for DeviceTarget {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

impl FormatTarget for DeviceTarget {
    type Error = Error;

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.disk.write_all_at(bytes, offset);
        written.doing("write").on(self.node())
    }

    fn flush(&mut self) -> Result<()> {
        self.disk.sync_all().doing("flush").on(self.node())
    }

    /// Makes the kernel know the partition, and waits for its node.
    fn add_partition(&mut self, offset: u64, len: u64) -> Result<()> {
        let _ = ioctl::drop_cache(&self.disk);
        let name = device_name::partition(&self.name, 1);
        // The kernel refuses the request while a partition is open, and may be configured without
        // partitions.
        let _ = ioctl::reread_partition_table(&self.disk);
        let known = scan::ensure_partition(&self.disk, &self.name, 1, (offset, len));
        known.doing("partition").on(self.node())?;
        if !self.has_partition_node() {
            return Err(self.failed("partition", "its node does not appear"));
        }
        if scan::size(&name) != Some(len) {
            let reason = "the kernel has another length for it";
            return Err(self.failed("partition", reason));
        }
        // As long as the whole disk is claimed, none of its partitions can be mounted.
        self.disk = scan::open_writable(&self.name, 0)?;
        Ok(())
    }

    fn make_filesystem(&mut self, uuid: &str, label: &str) -> Result<()> {
        let partition = self.partition.to_string_lossy();
        let args = [MKFS_OPTIONS, &["-U", uuid, "-L", label, &partition]].concat();
        let finished = tool::run("/usr/sbin/mke2fs", &args, MKFS_LIMIT)?;
        match finished.code {
            Some(0) => self.sync_partition(),
            _ => Err(self.failed("mke2fs", finished.last_lines)),
        }
    }

    fn store_userdata(&mut self, archive: &[u8]) -> Result<()> {
        let (node, mount_point) = (self.node(), &self.mount_point);
        fs::create_dir_all(mount_point).doing("mount").on(&node)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let builder = Mount::builder().fstype("ext4").flags(flags);
        let mounted = builder.mount(&self.partition, mount_point);
        mounted.doing("mount").on(node)?;
        self.mounted = true;
        match archive {
            [] => Ok(()),
            archive => atomic_file::replace(&self.mount_point.join(USERDATA), archive, 0o600),
        }
    }

    fn set_label(&mut self, label: &str) -> Result<()> {
        // Through the journal of the file system, so that the superblock is never torn.
        let root = File::open(&self.mount_point);
        let root = root.doing("label").on(self.node())?;
        let labelled = ioctl::set_label(&root, label);
        sys::syscall::syncfs(&root).doing("sync").on(self.node())?;
        drop(root);
        self.unmount()?;
        if labelled.is_err() {
            self.set_label_unmounted(label)?;
        }
        self.sync_partition()?;
        // The cached pages of the whole disk are those from before.
        let _ = ioctl::drop_cache(&self.disk);
        Ok(())
    }

    fn report(&mut self, step: &str) {
        info!("data: /dev/{}: {step}", self.name);
    }
}
