// SPDX-License-Identifier: Apache-2.0
//! Finds a file system by its label, on disks, USB sticks and CDs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use disk::bytes::SizedFile;
use disk::probe::probe;
use disk::signature::{Signature, SignatureKind};
use log::warn;
use sys::error::{Doing, Result};

use super::drivers::Drivers;
use super::{ioctl, scan, wait};

/// Bytes at the start of a device that include the labels of ISO 9660 and FAT. The end of a CD
/// may not be readable. A device may be shorter.
const HEAD_BYTES: u64 = 128 * 1024;
/// SCSI type of CD drives (scsi_proto.h, TYPE_ROM).
const TYPE_ROM: &str = "5";

/// Selects a file system; only one with a label is found.
pub type Filter = fn(&Signature) -> bool;

/// A device with a labelled file system.
#[derive(Debug)]
pub struct LabelledDevice {
    /// Name in /dev.
    pub name: String,
    /// Label of the file system.
    pub label: String,
    /// Type of the file system.
    pub kind: SignatureKind,
}

impl LabelledDevice {
    /// Returns the device node.
    pub fn node(&self) -> PathBuf {
        scan::node(&self.name)
    }
}

/// Finds such a file system on any device that has its driver: a disk, else a CD.
pub fn find(filter: Filter) -> Option<LabelledDevice> {
    find_on_disks(filter).or_else(|| find_on_cds(filter))
}

/// Finds such a file system on a disk or partition.
pub fn find_on_disks(filter: Filter) -> Option<LabelledDevice> {
    let names = scan::answering_names();
    let found = among(names.iter().map(String::as_str), filter);
    found.unwrap_or_else(|why| {
        warn!("{why}");
        None
    })
}

/// Finds such a file system on one of these disks or partitions.
///
/// # Errors
/// A device cannot be read, and none of the readable ones has such a file system.
pub fn among<'a>(
    names: impl Iterator<Item = &'a str>,
    filter: Filter,
) -> Result<Option<LabelledDevice>> {
    let mut unreadable = Ok(None);
    for name in names {
        let file = open(name, libc::O_NONBLOCK);
        match file.and_then(|file| examine(name, file, filter)) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(e) => unreadable = unreadable.and(Err(e).on(scan::node(name))),
        }
    }
    unreadable
}

/// Finds such a file system on a CD in a drive whose bus has a driver; drivers of the drives
/// themselves are loaded.
pub fn find_on_cds(filter: Filter) -> Option<LabelledDevice> {
    let devices = fs::read_dir("/sys/bus/scsi/devices");
    let devices = devices.into_iter().flatten().flatten().map(|d| d.path());
    let is_drive = |device: &PathBuf| {
        let scsi_type = fs::read_to_string(device.join("type"));
        scsi_type.is_ok_and(|t| t.trim() == TYPE_ROM)
    };
    let drives: Vec<PathBuf> = devices.filter(is_drive).collect();
    if drives.is_empty() {
        return None;
    }
    if drives.iter().any(|drive| !drive.join("driver").exists()) {
        Drivers::of_the_machine().load_cd_drives();
    }
    wait::for_cd_drives();
    let blocks = drives
        .iter()
        .filter_map(|d| fs::read_dir(d.join("block")).ok());
    let names = blocks.flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    sys::sort::sort(&mut names);
    names.iter().find_map(|name| {
        let found = examine(name, open_cd(name)?, filter);
        found.unwrap_or_else(|e| {
            warn!("/dev/{name}: {e}");
            None
        })
    })
}

/// Returns the device `name` if the device has such a file system.
fn examine(name: &str, mut file: File, filter: Filter) -> io::Result<Option<LabelledDevice>> {
    // sysfs has the size of a disc only after the drive has reported a change.
    let size = file.seek(SeekFrom::End(0))?.min(HEAD_BYTES);
    let signatures = probe(&SizedFile { file, size })?;
    let signature = signatures.into_iter().find(filter);
    Ok(signature.and_then(|signature| {
        Some(LabelledDevice {
            name: name.to_owned(),
            label: signature.label?,
            kind: signature.kind,
        })
    }))
}

/// Opens the disc in a drive. The drive is asked first whether it has a disc: an open without
/// O_NONBLOCK would wait for one.
fn open_cd(name: &str) -> Option<File> {
    let drive = open(name, libc::O_NONBLOCK).ok()?;
    match ioctl::has_disc(&drive) {
        true => open(name, 0).ok(),
        false => None,
    }
}

fn open(name: &str, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options.open(scan::node(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::data::is_seed;
    use disk::bytes::put;

    #[test]
    fn a_seed_is_found_however_short_its_device_is() {
        let temp = Temp::new();
        // `mkfs.vfat` on 64 KiB, and an ISO that is not padded.
        let mut fat = vec![0; 64 * 1024];
        put(&mut fat, 0, b"\xeb\x3c\x90mkfs.fat\0\x02\x04");
        put(&mut fat, 0x2b, b"CIDATA     FAT12   ");
        let mut iso = vec![0; 71_680];
        put(&mut iso, 32768, b"\x01CD001");
        put(&mut iso, 32768 + 40, b"cidata  ");
        for (image, kind) in [(fat, SignatureKind::Vfat), (iso, SignatureKind::Iso9660)] {
            std::fs::write(temp.path("image"), image).unwrap();
            let file = File::open(temp.path("image")).unwrap();
            let found = examine("vdb", file, is_seed).unwrap().unwrap();
            assert_eq!((found.kind, found.name.as_str()), (kind, "vdb"));
        }
    }

    #[test]
    fn an_unreadable_device_is_reported_unless_another_has_the_label() {
        let why = among(["no-such-disk"].into_iter(), is_seed).unwrap_err();
        assert!(why.to_string().contains("/dev/no-such-disk"), "{why}");
        assert!(among([].into_iter(), is_seed).unwrap().is_none());
    }
}
