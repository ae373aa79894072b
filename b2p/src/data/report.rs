//! What is said at the end: a line for PID 1 on standard output, the same in
//! /run/boot2podman/data, and what is wrong in /run/boot2podman/data.degraded.
//!
//! `data=/dev/vda1 fs=ext4 size=1073741824` or `data=ram why=no data disk`, and
//! `degraded data: WHY` in lines.

use std::fs;
use std::path::Path;

use disk::probe::Kind;
use log::{info, warn};

use super::Place;

/// What has been found out so far.
#[derive(Debug, Default)]
pub struct Report {
    line: String,
    degraded: Vec<String>,
}

impl Report {
    /// Something that the machine's owner must know.
    pub fn degraded(&mut self, why: &str) {
        let why = one_line(why);
        if !self.degraded.contains(&why) {
            warn!("data: {why}");
            self.degraded.push(why);
        }
    }

    /// The machine lives in RAM.
    pub fn ram(&mut self, why: &str) {
        self.line = format!("data=ram why={}", one_line(why));
    }

    /// It lives on this disk.
    pub fn disk(&mut self, device: &Path, kind: Kind, size: u64) {
        self.line = format!("data={} fs={} size={size}", device.display(), kind.name());
    }

    /// Says it.
    pub fn finish(&self, place: &Place) {
        info!("{}", self.line);
        let lines = self
            .degraded
            .iter()
            .map(|d| format!("degraded data: {d}\n"));
        for (name, text) in [
            ("data", format!("{}\n", self.line)),
            ("data.degraded", lines.collect()),
        ] {
            let path = place.run().join(name);
            init::files::replace(&path, text.as_bytes(), 0o644).unwrap_or_else(|e| warn!("{e}"));
        }
        crate::screen::print(&format!("{}\n", self.line));
    }
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}

/// What an earlier run in this boot has said, where it took a disk: there is
/// nothing more to do.
pub fn before(place: &Place) -> Option<String> {
    let line = fs::read_to_string(place.run().join("data")).ok()?;
    line.starts_with("data=/").then_some(line)
}
