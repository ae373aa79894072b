// SPDX-License-Identifier: Apache-2.0
//! The log files: `log`, and the older ones `log.1`, `log.2`, …

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};

use crate::common::log::format::{MAX_FILES, path};

/// Bounds on the log files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Size of one file, in bytes.
    pub size: u64,
    /// Number of files, the one that is written included.
    pub files: u32,
}

impl Bounds {
    /// Default: 16 MiB in all.
    pub const DEFAULT: Bounds = Bounds {
        size: 4 << 20,
        files: 4,
    };

    /// Returns bounds that have room for the longest record and the mark of a boot.
    ///
    /// # Errors
    /// A number is out of its range, which the error names.
    pub fn new(size: u64, files: u32) -> Result<Bounds> {
        match (65_536..=1 << 30).contains(&size) && (1..=MAX_FILES).contains(&files) {
            true => Ok(Bounds { size, files }),
            false => Err(Error::invalid(format!(
                "a log file has 64K to 1G, and there are 1 to {MAX_FILES} of them"
            ))),
        }
    }
}

/// Storage of the journal: a file to which lines are appended, rotated when full.
pub trait Disk {
    /// Appends as much as there is room for, and returns the number of bytes.
    ///
    /// # Errors
    /// The errno of write(2); nothing was written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Renames the file and begins an empty one. A failure half-way loses nothing: the call may
    /// be repeated.
    ///
    /// # Errors
    /// The errno of rename(2) or open(2).
    fn rotate(&mut self) -> io::Result<()>;

    /// Waits until everything that was appended is on the disk.
    ///
    /// # Errors
    /// The errno of fdatasync(2).
    fn sync(&mut self) -> io::Result<()>;
}

/// The directory of the files.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    files: u32,
    log: File,
}

impl Folder {
    /// Opens `log`, in a new directory if there is none; returns its size as well. Older files
    /// are brought within `bounds`, and an incomplete last line is cut off.
    ///
    /// # Errors
    /// The errno of mkdir(2), open(2) or ftruncate(2).
    pub fn open(dir: &Path, bounds: Bounds) -> io::Result<(Folder, u64)> {
        DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let mut log = current(dir)?;
        let size = whole_lines(&mut log)?;
        log.set_len(size)?;
        let folder = Folder {
            dir: dir.to_owned(),
            files: bounds.files,
            log,
        };
        folder.trim(bounds)?;
        Ok((folder, size))
    }

    /// Removes the oldest files until there is room for a full `log`.
    fn trim(&self, bounds: Bounds) -> io::Result<()> {
        let mut room = bounds.size * u64::from(bounds.files - 1);
        for number in 1..=MAX_FILES {
            let path = path(&self.dir, number);
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            if number < bounds.files && meta.len() <= room {
                room -= meta.len();
            } else {
                room = 0; // nothing older either
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

impl Disk for Folder {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.log.metadata().is_ok_and(|m| m.nlink() == 0) {
            self.log = current(&self.dir)?; // the file was removed
        }
        self.log.write(bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Up to the first free name, so that a second try after a failure half-way removes no
        // file.
        let free = (1..self.files).find(|n| !path(&self.dir, *n).exists());
        let last = free.unwrap_or(self.files - 1);
        for number in (0..last).rev() {
            let to = path(&self.dir, number + 1);
            match fs::rename(path(&self.dir, number), to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if self.files == 1 {
            return self.log.set_len(0);
        }
        self.log = current(&self.dir)?;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync_data()
    }
}

fn current(dir: &Path) -> io::Result<File> {
    sys::files::open_appended(&path(dir, 0), 0o640)
}

/// Returns the offset after the last complete line.
fn whole_lines(log: &mut File) -> io::Result<u64> {
    let mut end = log.seek(SeekFrom::End(0))?;
    let mut bytes = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(bytes.len() as u64);
        let piece = &mut bytes[..(end - start) as usize];
        log.seek(SeekFrom::Start(start))?;
        log.read_exact(piece)?;
        if let Some(newline) = piece.iter().rposition(|b| *b == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
