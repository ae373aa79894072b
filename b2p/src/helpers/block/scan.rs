// SPDX-License-Identifier: Apache-2.0
//! Facts about all block devices. Everything is read and nothing is written, except by
//! [`open_writable`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::FormatPolicy;
use disk::blank::is_blank;
use disk::bytes::SizedFile;
use disk::device::Device;
use disk::device_name::compare;
use disk::format_state::{FormatState, format_state};
use disk::partition_table::partitions;
use disk::probe::probe;
use disk::signature::SignatureKind;
use disk::table_fault::table_fault;
use disk::truncation::truncation;
use sys::error::{Doing, Result};

use super::answers::Answers;
use super::ioctl;

/// Directory of all block devices in sysfs.
const CLASS_BLOCK: &str = "/sys/class/block";

/// Devices that never hold data: memory, floppies, optical drives, flash chips.
const EXCLUDED: &[&str] = &["ram", "zram", "fd", "sr", "mtdblock"];

/// Smallest read of a disk, in bytes: no disk has larger sectors.
const PROBE_BYTES: usize = 4096;

/// Attempts to open a disk that is being added, and the pause between two.
const OPEN_ATTEMPTS: usize = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(10);

/// Reads the facts about every device. Only `FormatPolicy::Blank` reads whole disks, to find the blank ones.
/// A disk that does not answer, and its partitions, are devices that cannot be read.
#[must_use]
pub fn scan(policy: FormatPolicy, answers: &mut Answers) -> Vec<Device> {
    let mountinfo = fs::read_to_string(sys::mountinfo::PATH).unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    // The open of a disk waits until the kernel has read its partition table (block/genhd.c,
    // disk_scan_partitions): only then all its partitions are there.
    let disks = answering_disks(answers);
    disks.iter().for_each(|disk| wait_until_opens(disk));
    let adopted: Vec<String> = disks.iter().filter_map(|n| adopt_partition(n)).collect();
    let mut names = names();
    names.extend(adopted);
    sys::sort::sort_by(&mut names, |a, b| compare(a, b));
    names.dedup();
    let mut devices: Vec<Device> = Vec::new();
    for name in names {
        let Some(size) = size(&name).filter(|s| *s > 0) else {
            continue; // a drive without a medium, a loop device without a file
        };
        let is_silent = answers.awaits(&disk_of(&name));
        let mut device = describe(&name, size, policy, is_silent);
        device.in_use = user_of(&name, &mountinfo, &swaps);
        devices.push(device);
    }
    devices
}

/// Returns the whole disks that answer.
fn answering_disks(answers: &mut Answers) -> Vec<String> {
    let is_disk = |name: &String| !is_partition(name) && size(name).is_some_and(|s| s > 0);
    let mut disks = names();
    disks.retain(is_disk);
    answers.wait_for(&disks, read_ends);
    disks.retain(|disk| !answers.awaits(disk));
    disks
}

/// Reads the first and the last bytes of a disk, where its partition tables are. Any outcome is an answer.
fn read_ends(name: &str) {
    let size = size(name).unwrap_or(0);
    let mut bytes = [0; PROBE_BYTES];
    if let Ok(source) = open(name, size) {
        for offset in [0, size.saturating_sub(PROBE_BYTES as u64)] {
            let _ = source.file.read_at(&mut bytes, offset);
        }
    }
}

/// Returns the names of the devices that may hold data, without those on disks that do not answer.
#[must_use]
pub fn answering_names() -> Vec<String> {
    let disks = answering_disks(&mut Answers::default());
    let mut names = names();
    names.retain(|name| disks.contains(&disk_of(name)));
    names
}

/// Returns the name of the disk that a partition is on; that of a disk is its own.
fn disk_of(name: &str) -> String {
    let real = fs::canonicalize(sysfs_dir(name)).unwrap_or_default();
    let parent = real.parent().and_then(Path::file_name);
    let disk = parent.filter(|_| is_partition(name));
    disk.map_or_else(
        || name.to_owned(),
        |disk| disk.to_string_lossy().into_owned(),
    )
}

/// Returns the names of all devices that may hold data.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(CLASS_BLOCK).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    names
        .filter(|name| !EXCLUDED.iter().any(|kind| is_numbered(name, kind)))
        .collect()
}

/// Opens and closes a whole disk, with repeats: a disk is in sysfs before it can be opened (ENXIO).
fn wait_until_opens(disk: &str) {
    for _ in 0..OPEN_ATTEMPTS {
        match open(disk, 0) {
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => std::thread::sleep(OPEN_PAUSE),
            _ => return,
        }
    }
}

/// Tells the kernel of a data partition that the kernel has not found, and returns the name of the partition:
/// the kernel does not read the partition table at the end of a disk when the one at the beginning is
/// damaged. Nothing is written; the table is repaired when the partition is used. A disk that holds something
/// else keeps an older table at its end, which does not count.
fn adopt_partition(disk: &str) -> Option<String> {
    let source = open(disk, size(disk).filter(|s| *s > 0)?).ok()?;
    let table = disk::gpt::read(&source, sector_size(disk)).ok()??;
    let mut partitions = table.partitions().into_iter();
    let partition = partitions.find(|p| p.name == disk::gpt::DATA_PARTITION_NAME)?;
    let name = disk::device_name::partition(disk, partition.number);
    // The first table of the ISO of this system may be damaged as well.
    let expected = [SignatureKind::Gpt, SignatureKind::Iso9660];
    let signatures = probe(&source).ok()?;
    if sysfs_dir(&name).exists() || signatures.iter().any(|s| !expected.contains(&s.kind)) {
        return None;
    }
    let extent = (partition.offset, partition.len);
    ensure_partition(&source.file, disk, partition.number, extent)
        .inspect_err(|e| log::warn!("data: /dev/{name} is not known to the kernel: {e}"))
        .ok()?;
    Some(name)
}

/// Tells the kernel of a partition by its first byte and its length, unless the kernel knows the
/// partition. Another process that examines the disk may do the same at the same time (udevd(8), or
/// a second helper by `adopt_partition`): the kernel refuses the later request with EBUSY, and
/// knows the partition.
///
/// # Errors
/// The kernel has another partition of that number or in that place, or the request fails.
pub fn ensure_partition(
    file: &File,
    disk: &str,
    number: u32,
    extent: (u64, u64),
) -> io::Result<()> {
    let name = disk::device_name::partition(disk, number);
    let is_known = || known_extent(&name) == Some(extent);
    if is_known() {
        return Ok(());
    }
    let added = ioctl::add_partition(file, number, extent.0, extent.1);
    added.or_else(|e| if is_known() { Ok(()) } else { Err(e) })
}

/// Returns the first byte and the length of a partition, in the kernel's list.
fn known_extent(partition: &str) -> Option<(u64, u64)> {
    let start = attribute(partition, "start")?.parse::<u64>().ok()?;
    Some((start.checked_mul(512)?, size(partition)?))
}

/// Returns true if `name` is `kind` and a number: `sr0` is a `sr`, `sram` is not.
fn is_numbered(name: &str, kind: &str) -> bool {
    let number = name.strip_prefix(kind);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn describe(name: &str, size: u64, policy: FormatPolicy, is_silent: bool) -> Device {
    let real = fs::canonicalize(sysfs_dir(name)).unwrap_or_default();
    let number = attribute(name, "partition").and_then(|t| t.parse::<u32>().ok());
    let parent_disk = number.map(|_| disk_of(name));
    let mut device = Device {
        name: name.to_owned(),
        size,
        read_only: attribute(name, "ro").is_some_and(|t| t == "1"),
        is_virtual: real.to_string_lossy().contains("/virtual/block/"),
        in_use: None,
        partuuid: None,
        is_data_partition: false,
        signatures: Ok(Vec::new()),
        truncation: None,
        table_fault: None,
        format_state: FormatState::Unrelated,
        is_blank: false,
        parent_disk,
    };
    let read = match is_silent {
        true => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it does not answer",
        )),
        false => read_content(&mut device, number, policy),
    };
    if let Err(e) = read {
        device.signatures = Err(e.into());
    }
    device
}

fn read_content(device: &mut Device, number: Option<u32>, policy: FormatPolicy) -> io::Result<()> {
    let partition = device.parent_disk.clone().zip(number);
    // The entry in the table is first, since it defines an unreadable partition.
    if let Some((disk, number)) = &partition {
        let whole = open(disk, size(disk).unwrap_or(0))?;
        let partitions = partitions(&whole, sector_size(disk))?;
        let own = partitions.into_iter().find(|p| p.number == *number);
        device.is_data_partition = own
            .as_ref()
            .is_some_and(|p| p.name == disk::gpt::DATA_PARTITION_NAME);
        device.partuuid = own.map(|p| p.uuid);
    }
    let source = open(&device.name, device.size)?;
    let signatures = probe(&source)?;
    let sector = sector_size(device.parent_disk.as_ref().unwrap_or(&device.name));
    device.truncation = truncation(&source, sector, &signatures)?;
    if partition.is_none() {
        device.format_state = format_state(&source, sector)?;
        if device.format_state == FormatState::Unrelated {
            device.table_fault = table_fault(&source, sector, &signatures)?;
        }
        let bare = signatures.is_empty() && device.format_state == FormatState::Unrelated;
        device.is_blank = policy == FormatPolicy::Blank && bare && is_blank(&source)?;
    }
    device.signatures = Ok(signatures);
    Ok(())
}

/// Opens a device for reading, without waiting for a medium.
///
/// # Errors
/// The errno of open(2).
pub fn open(name: &str, size: u64) -> io::Result<SizedFile> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(node(name))?;
    Ok(SizedFile { file, size })
}

/// Opens a device for reading and writing, with further open(2) flags.
///
/// # Errors
/// The device cannot be opened; with O_EXCL that includes a device in use.
pub fn open_writable(name: &str, flags: i32) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | flags);
    let node = node(name);
    options.open(&node).on(node)
}

/// Returns the device node; the kernel writes `!` for `/` in names.
#[must_use]
pub fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

fn sysfs_dir(name: &str) -> PathBuf {
    Path::new(CLASS_BLOCK).join(name)
}

fn is_partition(name: &str) -> bool {
    sysfs_dir(name).join("partition").exists()
}

/// Returns an attribute in sysfs.
#[must_use]
pub fn attribute(name: &str, attribute: &str) -> Option<String> {
    let text = fs::read_to_string(sysfs_dir(name).join(attribute)).ok()?;
    Some(text.trim().to_owned())
}

/// Returns the size in bytes; sysfs has the size in units of 512, for any sector size.
#[must_use]
pub fn size(name: &str) -> Option<u64> {
    attribute(name, "size")?
        .parse::<u64>()
        .ok()?
        .checked_mul(512)
}

/// Returns the bytes in a logical sector of a whole disk.
#[must_use]
pub fn sector_size(disk: &str) -> u32 {
    let text = attribute(disk, "queue/logical_block_size");
    text.and_then(|t| t.parse().ok()).unwrap_or(512)
}

/// Returns the user of the device, such as a mount, or `None` if there is none.
fn user_of(name: &str, mountinfo: &str, swaps: &str) -> Option<String> {
    let holders = fs::read_dir(sysfs_dir(name).join("holders"));
    if let Some(holder) = holders.into_iter().flatten().flatten().next() {
        let holder = holder.file_name();
        return Some(format!("it is part of {}", holder.to_string_lossy()));
    }
    let number = attribute(name, "dev")?;
    if let Some(target) = mount_point(mountinfo, &number) {
        return Some(format!("it is mounted on {target}"));
    }
    let node = node(name);
    let node = node.to_string_lossy();
    let first_field = |line: &str| line.split_whitespace().next() == Some(&node);
    swaps
        .lines()
        .any(first_field)
        .then(|| "it is swap".to_owned())
}

/// Returns where the device `major:minor` is mounted (proc_pid_mountinfo(5)).
fn mount_point<'a>(mountinfo: &'a str, number: &str) -> Option<&'a str> {
    let fields = mountinfo.lines().map(|line| line.split(' '));
    let mut pairs = fields.filter_map(|mut f| Some((f.nth(2)?, f.nth(1)?)));
    let pair = pairs.find(|(device, _)| *device == number);
    pair.map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_never_hold_data() {
        let never = |n: &str| EXCLUDED.iter().any(|kind| is_numbered(n, kind));
        assert!(never("sr0") && never("zram1") && never("ram15"));
        assert!(!never("sda") && !never("sr") && !never("sram0") && !never("fda"));
    }

    #[test]
    fn mount_point_finds_the_mount_of_a_device() {
        let mounts = "22 1 0:21 / /proc rw - proc proc rw\n\
                      29 1 254:0 / /my\\040disk rw - ext4 /dev/vda rw\n";
        assert_eq!(mount_point(mounts, "254:0"), Some("/my\\040disk"));
        assert_eq!(mount_point(mounts, "54:0"), None);
    }
}
