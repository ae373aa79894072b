//! What is said at the end, for PID 1 (`init::data_disk`), on standard output and in
//! /run/boot2podman/data: `data=/dev/vda1 fs=ext4 size=1073741824 seq=812` or
//! `data=ram why=no data disk seq=812`. `seq` is the number of the kernel's last
//! message before the disks were looked at: what it announces after that has not
//! been seen. What the machine's owner must know is in data.degraded beside it, in
//! lines `degraded data: WHY`.

use std::fs;
use std::path::{Path, PathBuf};

use disk::signature::SignatureKind;
use log::{info, warn};

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;

/// What has been found out so far.
#[derive(Debug)]
pub struct Report {
    line: String,
    seen: u64,
    degraded: Degraded,
}

impl Default for Report {
    fn default() -> Report {
        Report {
            line: String::new(),
            seen: 0,
            degraded: Degraded::of("data"),
        }
    }
}

impl Report {
    /// Every disk has been looked at that the kernel has told of until then.
    pub fn seen(&mut self, message: u64) {
        self.seen = message;
    }

    /// Something that the machine's owner must know.
    pub fn degraded(&mut self, why: &str) {
        self.degraded.warn(why);
    }

    /// The machine lives in RAM.
    pub fn ram(&mut self, why: &str) {
        self.line = format!("data=ram why={}", one_line(why));
    }

    /// It lives on this disk.
    pub fn disk(&mut self, device: &Path, kind: SignatureKind, size: u64) {
        self.line = format!("data={} fs={} size={size}", device.display(), kind.name());
    }

    /// Says it.
    pub fn finish(&self, paths: &Paths) {
        info!("{}", self.line);
        let line = format!("{} seq={}\n", self.line, self.seen);
        // Whoever sees that it is over sees all that is wrong.
        self.degraded
            .write(&paths.runtime())
            .and_then(|()| sys::files::replace(&path(paths), line.as_bytes(), 0o644))
            .unwrap_or_else(|e| warn!("{e}"));
        crate::common::terminal::print(&line);
    }
}

fn path(paths: &Paths) -> PathBuf {
    paths.at(sys::paths::DATA_REPORT)
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

/// What an earlier run in this boot has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Before {
    /// There was none.
    Nothing,
    /// The machine has come up in RAM.
    Ram,
    /// It took this disk: there is nothing more to do.
    Disk(String),
}

/// Reads it.
pub fn before(paths: &Paths) -> Before {
    let text = fs::read_to_string(path(paths)).unwrap_or_default();
    match text.lines().next() {
        None => Before::Nothing,
        Some(line) if line.starts_with("data=/") => Before::Disk(format!("{line}\n")),
        Some(_) => Before::Ram,
    }
}
