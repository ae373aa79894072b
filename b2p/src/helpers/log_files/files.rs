//! The files of the log: `log`, and what it was before as `log.1`, `log.2`, …

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};

use crate::common::log::format::{MAX_FILES, path};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of one file.
    pub size: u64,
    /// Files, the one that is written among them.
    pub files: u32,
}

impl Bounds {
    /// 16 MiB in all.
    pub const DEFAULT: Bounds = Bounds {
        size: 4 << 20,
        files: 4,
    };

    /// With room for the longest record and the line at the top of a file.
    ///
    /// # Errors
    /// What would be right.
    pub fn new(size: u64, files: u32) -> Result<Bounds> {
        match (65_536..=1 << 30).contains(&size) && (1..=MAX_FILES).contains(&files) {
            true => Ok(Bounds { size, files }),
            false => Err(Error::invalid(format!(
                "a log file has 64K to 1G, and there are 1 to {MAX_FILES} of them"
            ))),
        }
    }
}

/// What the journal writes to: a file that is appended to, and put aside when full.
pub trait Disk {
    /// Appends as much as there is room for; how much that was.
    ///
    /// # Errors
    /// What the system said; nothing was written then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Puts the file aside and begins an empty one. What is in neither place when
    /// this fails half-way is nothing: it may be called again.
    ///
    /// # Errors
    /// What the system said.
    fn rotate(&mut self) -> io::Result<()>;

    /// Returns when what was appended is on the disk.
    ///
    /// # Errors
    /// What the system said.
    fn sync(&mut self) -> io::Result<()>;
}

/// The directory with the files.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    files: u32,
    log: File,
}

impl Folder {
    /// Makes the directory where there is none, and opens `log`. What an earlier
    /// life left is brought within `bounds`, and a line that it could not finish
    /// is cut off.
    ///
    /// # Errors
    /// What the system said.
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

    /// Removes the oldest until there is room for a full `log`.
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
            self.log = current(&self.dir)?; // somebody has removed it
        }
        self.log.write(bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // The first place that is free, so that a second try after a half one
        // pushes nothing out.
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
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.open(path(dir, 0))
}

/// Where the last complete line ends.
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
