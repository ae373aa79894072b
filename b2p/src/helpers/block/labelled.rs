// SPDX-License-Identifier: Apache-2.0
//! Finds a file system by its label, on disks, USB sticks and CDs.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use disk::bytes::SizedFile;
use disk::probe::probe;
use disk::signature::{Signature, SignatureKind};

use super::drivers::Drivers;
use super::{ioctl, scan, wait};

/// Bytes at the start of a device that include the labels of ISO 9660 and FAT. The end of a CD
/// may not be readable.
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
    let names = scan::names();
    names.iter().find_map(|name| examine(name, filter))
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
    names
        .iter()
        .find_map(|name| examine_file(name, open_cd(name)?, filter))
}

/// Returns the device `name` if it has such a file system.
pub fn examine(name: &str, filter: Filter) -> Option<LabelledDevice> {
    examine_file(name, open(name, libc::O_NONBLOCK).ok()?, filter)
}

fn examine_file(name: &str, file: File, filter: Filter) -> Option<LabelledDevice> {
    let signatures = probe(&SizedFile {
        file,
        size: HEAD_BYTES,
    })
    .ok()?;
    let signature = signatures.into_iter().find(filter)?;
    Some(LabelledDevice {
        name: name.to_owned(),
        label: signature.label?,
        kind: signature.kind,
    })
}

/// Opens the disc in a drive. The drive is asked first whether it has one: an open without
/// O_NONBLOCK would wait for it.
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
