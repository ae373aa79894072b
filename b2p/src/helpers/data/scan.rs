//! Every block device that there is, read and never written.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
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

use super::ioctl;

/// Where they are listed.
const BLOCK: &str = "/sys/class/block";

/// Devices that never hold data: memory, floppies, optical drives, flash chips.
const NEVER: &[&str] = &["ram", "zram", "fd", "sr", "mtdblock"];

/// A disk that is being added may not be opened for so many tens of milliseconds.
const ADDED: usize = 50;

/// Looks at every device.
#[must_use]
pub fn scan(policy: FormatPolicy) -> Vec<Device> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    // Opening a disk waits until the kernel has read its table (block/genhd.c,
    // disk_scan_partitions): only then its partitions are all there.
    names().iter().for_each(|disk| opened(disk));
    let adopted: Vec<String> = names().iter().filter_map(|n| adopt(n)).collect();
    let mut names = names();
    names.extend(adopted);
    names.sort_unstable_by(|a, b| compare(a, b));
    names.dedup();
    let mut all: Vec<Device> = Vec::new();
    for name in names {
        let Some(size) = size(&name).filter(|s| *s > 0) else {
            continue; // a drive without a medium, a loop without a file
        };
        let mut device = look(&name, size, policy);
        device.in_use = busy(&name, &mounts, &swaps);
        all.push(device);
    }
    all
}

/// Every device that may hold data.
#[must_use]
pub fn names() -> Vec<String> {
    let read = fs::read_dir(BLOCK).into_iter().flatten().flatten();
    let names = read.filter_map(|e| e.file_name().into_string().ok());
    names
        .filter(|n| !NEVER.iter().any(|never| is(n, never)))
        .collect()
}

/// Opens a whole disk, to close it again. It is in sysfs before it can be (ENXIO).
fn opened(disk: &str) {
    if sys(disk).join("partition").exists() || size(disk).is_none_or(|s| s == 0) {
        return;
    }
    for _ in 0..ADDED {
        match open(disk, 0) {
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

/// Tells the kernel of our partition, where it has not found it: it reads no table
/// from the end of a disk when the one at the beginning is broken. Nothing is
/// written; mending comes when the partition is used.
fn adopt(disk: &str) -> Option<String> {
    if sys(disk).join("partition").exists() {
        return None;
    }
    let source = open(disk, size(disk).filter(|s| *s > 0)?).ok()?;
    let table = disk::gpt::read(&source, sector(disk)).ok()??;
    let mut all = table.partitions().into_iter();
    let part = all.find(|p| p.name == disk::gpt::NAME)?;
    let name = disk::device_name::partition(disk, part.number);
    if sys(&name).exists() {
        return None;
    }
    ioctl::add(&source.file, part.number, part.first, part.len)
        .inspect_err(|e| log::warn!("data: /dev/{name} is not known to the kernel: {e}"))
        .ok()?;
    Some(name)
}

/// `sr0` is a `sr`, `sram` is not.
fn is(name: &str, kind: &str) -> bool {
    let rest = name.strip_prefix(kind);
    rest.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()))
}

fn look(name: &str, size: u64, policy: FormatPolicy) -> Device {
    let real = fs::canonicalize(sys(name)).unwrap_or_default();
    let number = text(name, "partition").and_then(|t| t.parse::<u32>().ok());
    let disk = number.and_then(|_| {
        let parent = real.parent()?.file_name()?;
        Some(parent.to_string_lossy().into_owned())
    });
    let mut device = Device {
        name: name.to_owned(),
        size,
        read_only: text(name, "ro").is_some_and(|t| t == "1"),
        is_virtual: real.to_string_lossy().contains("/virtual/block/"),
        in_use: None,
        partuuid: None,
        is_data_partition: false,
        signatures: Ok(Vec::new()),
        format_state: FormatState::Unrelated,
        is_blank: false,
        parent_disk: disk,
    };
    if let Err(e) = read(&mut device, number, policy) {
        device.signatures = Err(e.to_string());
    }
    device
}

fn read(device: &mut Device, number: Option<u32>, policy: FormatPolicy) -> io::Result<()> {
    let source = open(&device.name, device.size)?;
    let found = probe(&source)?;
    match (&device.parent_disk, number) {
        (Some(disk), Some(number)) => {
            let whole = open(disk, size(disk).unwrap_or(0))?;
            let all = partitions(&whole, sector(disk))?;
            let own = all.into_iter().find(|p| p.number == number);
            device.is_data_partition = own.as_ref().is_some_and(|p| p.name == disk::gpt::NAME);
            device.partuuid = own.map(|p| p.uuid);
        }
        _ => {
            device.format_state = format_state(&source, sector(&device.name))?;
            let bare = found.is_empty() && device.format_state == FormatState::Unrelated;
            device.is_blank = policy == FormatPolicy::Blank && bare && is_blank(&source)?;
        }
    }
    device.signatures = Ok(found);
    Ok(())
}

/// For reading; nothing waits for a medium.
fn open(name: &str, size: u64) -> io::Result<SizedFile> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(node(name))?;
    Ok(SizedFile { file, size })
}

/// Its node: the kernel writes `!` for `/` in names.
#[must_use]
pub fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

fn sys(name: &str) -> PathBuf {
    Path::new(BLOCK).join(name)
}

/// One of its attributes.
#[must_use]
pub fn text(name: &str, attribute: &str) -> Option<String> {
    let text = fs::read_to_string(sys(name).join(attribute)).ok()?;
    Some(text.trim().to_owned())
}

/// In bytes; the kernel counts 512 of them whatever a sector is.
#[must_use]
pub fn size(name: &str) -> Option<u64> {
    text(name, "size")?.parse::<u64>().ok()?.checked_mul(512)
}

/// Bytes in a logical sector of a whole disk.
#[must_use]
pub fn sector(disk: &str) -> u32 {
    let text = text(disk, "queue/logical_block_size");
    text.and_then(|t| t.parse().ok()).unwrap_or(512)
}

fn busy(name: &str, mounts: &str, swaps: &str) -> Option<String> {
    let mut holders = fs::read_dir(sys(name).join("holders"))
        .into_iter()
        .flatten()
        .flatten();
    if let Some(holder) = holders.next() {
        return Some(format!(
            "it is part of {}",
            holder.file_name().to_string_lossy()
        ));
    }
    let number = text(name, "dev")?;
    if let Some(target) = mounted(mounts, &number) {
        return Some(format!("it is mounted on {target}"));
    }
    let node = node(name);
    let node = node.to_string_lossy();
    let swap = swaps
        .lines()
        .any(|l| l.split_whitespace().next() == Some(&node));
    swap.then(|| "it is swap".to_owned())
}

/// Where the device `major:minor` is mounted (proc_pid_mountinfo(5)).
fn mounted<'a>(mounts: &'a str, number: &str) -> Option<&'a str> {
    let fields = mounts.lines().map(|l| l.split(' '));
    let mut pairs = fields.filter_map(|mut f| Some((f.nth(2)?, f.nth(1)?)));
    pairs
        .find(|(dev, _)| *dev == number)
        .map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_never_hold_data() {
        let never = |n: &str| NEVER.iter().any(|k| is(n, k));
        assert!(never("sr0") && never("zram1") && never("ram15"));
        assert!(!never("sda") && !never("sr") && !never("sram0") && !never("fda"));
    }

    #[test]
    fn what_has_a_device_is_named() {
        let mounts = "22 1 0:21 / /proc rw - proc proc rw\n29 1 254:0 / /my\\040disk rw - ext4 /dev/vda rw\n";
        assert_eq!(mounted(mounts, "254:0"), Some("/my\\040disk"));
        assert_eq!(mounted(mounts, "54:0"), None);
    }
}
