// SPDX-License-Identifier: Apache-2.0
//! The report of `b2p data` for PID 1 (`init::data_disk`), on standard output and in
//! /run/boot2podman/data: `data=/dev/vda1 fs=ext4 size=1073741824 seq=812` or
//! `data=ram why=no data disk seq=812`. `seq` is the number of the kernel's last uevent before the
//! examination of the disks: devices that the kernel announces later have not been seen. Degraded
//! lines are in data.degraded in the same directory.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use disk::signature::SignatureKind;
use log::{info, warn};
use sys::paths::DATA_REPORT;

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use crate::common::terminal::print;

/// Known part of the report of one run.
#[derive(Debug)]
pub struct Report {
    line: String,
    seqnum: u64,
    degraded: Degraded,
}

impl Default for Report {
    fn default() -> Report {
        Report {
            line: String::new(),
            seqnum: 0,
            degraded: Degraded::of("data"),
        }
    }
}

impl Report {
    /// Records that every device was seen which the kernel announced up to uevent `seqnum`.
    pub fn seen(&mut self, seqnum: u64) {
        self.seqnum = seqnum;
    }

    /// Adds a degraded line.
    pub fn degraded(&mut self, why: impl Display) {
        self.degraded.warn(why);
    }

    /// Records that the machine lives in RAM.
    pub fn ram(&mut self, why: &str) {
        self.line = format!("data=ram why={}", sys::printable::one_line(why));
    }

    /// Records the disk that the machine uses, and its size in bytes.
    pub fn disk(&mut self, device: &Path, kind: SignatureKind, size: u64) {
        self.line = format!("data={} fs={} size={size}", device.display(), kind.name());
    }

    /// Writes the report.
    pub fn finish(&self, paths: &Paths) {
        info!("{}", self.line);
        let line = format!("{} seq={}\n", self.line, self.seqnum);
        // The report is last: a reader that sees the report sees all degraded lines.
        self.degraded
            .write(&paths.runtime())
            .and_then(|()| sys::files::replace(&path(paths), line.as_bytes(), 0o644))
            .unwrap_or_else(|e| warn!("{e}"));
        print(&line);
    }
}

fn path(paths: &Paths) -> PathBuf {
    paths.at(DATA_REPORT)
}

/// Result of an earlier run in this boot.
#[derive(Debug, PartialEq, Eq)]
pub enum EarlierRun {
    /// First run of this boot.
    None,
    /// The machine lives in RAM.
    Ram,
    /// The machine uses a disk; the line of its report, with a newline.
    Disk(String),
}

/// Reads the report of an earlier run.
pub fn earlier_run(paths: &Paths) -> EarlierRun {
    let text = fs::read_to_string(path(paths)).unwrap_or_default();
    match text.lines().next() {
        None => EarlierRun::None,
        Some(line) if line.starts_with("data=/") => EarlierRun::Disk(format!("{line}\n")),
        Some(_) => EarlierRun::Ram,
    }
}
