// SPDX-License-Identifier: Apache-2.0
//! Files on their way from or to a client (`SendFile`, `ReceiveFile`), and the files that other
//! methods read and write. A path of a client is one of the spool, or names a file directly in /tmp
//! or /var/tmp, the directories of clients that run in the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::copy::copy;
use super::errors::{Outcome, occurred};
use super::paths::{NAME_BYTES, is_public, is_spooled};

/// Directory of the spool, on the data disk if there is one.
const DIR: &str = "/var/lib/boot2podman/varlink";
/// Age at which a file of the spool is removed. Clients fetch a file at once, on another connection.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Directory of the files.
#[derive(Clone, Debug)]
pub(super) struct Spool(PathBuf);

impl Default for Spool {
    fn default() -> Spool {
        Spool(DIR.into())
    }
}

/// File that is removed at the drop of the value unless it is kept.
pub(super) struct Unfinished {
    /// Path of the file.
    pub path: PathBuf,
    /// The file, open for writing.
    pub file: File,
    is_kept: bool,
}

impl Unfinished {
    /// Keeps the file, and returns its path.
    pub fn keep(mut self) -> String {
        self.is_kept = true;
        self.path.to_string_lossy().into_owned()
    }

    /// Returns the number of bytes that the file may have: half of the free space of its file
    /// system.
    pub fn room(&self) -> u64 {
        let free = nix::sys::statvfs::fstatvfs(&self.file);
        free.map_or(0, |free| {
            free.blocks_available().saturating_mul(free.fragment_size()) / 2
        })
    }

    /// Writes all of a source into the file.
    pub fn fill(&mut self, mut source: impl Read) -> Outcome<()> {
        let copied = copy(&mut source, &mut self.file);
        copied.map(drop).map_err(|e| problem(&self.path, &e))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Spool {
    /// Returns the spool in another directory.
    pub fn at(dir: PathBuf) -> Spool {
        Spool(dir)
    }

    /// Makes a file with a name that cannot be guessed, and removes old ones.
    pub fn create(&self) -> Outcome<Unfinished> {
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&self.0);
        made.map_err(|e| problem(&self.0, &e))?;
        self.remove_old();
        let mut random = [0; NAME_BYTES];
        let filled = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
        filled.map_err(|e| problem(Path::new("/dev/urandom"), &e))?;
        create(self.0.join(disk::uuid::hex(&random)))
    }

    fn remove_old(&self) {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|time| now.duration_since(time).ok());
            if age.is_some_and(|age| age > MAX_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Opens a file of the spool, and no other.
    pub fn open(&self, path: &str) -> Outcome<File> {
        match is_spooled(&self.0, path) {
            true => open(path, None),
            false => Err(occurred(&format!(
                "{path}: not a path that SendFile or an export has returned"
            ))),
        }
    }

    /// Opens a file that is to be read: one of the spool, or one of root in /tmp or /var/tmp.
    pub fn source(&self, path: &str) -> Outcome<File> {
        match is_public(path) {
            true => open(path, Some(nix::unistd::geteuid().as_raw())),
            false => self.open(path),
        }
    }

    /// Makes the file that is to be written: a new one of the spool if the path is empty, else a new one
    /// in /tmp or /var/tmp.
    pub fn destination(&self, path: &str) -> Outcome<Unfinished> {
        match path {
            "" => self.create(),
            path if is_public(path) => create(path.into()),
            path => Err(occurred(&format!(
                "{path}: must be a new file directly in /tmp or /var/tmp, or no path, and ReceiveFile with the reply"
            ))),
        }
    }

    /// Removes a file of the spool.
    pub fn remove(&self, path: &str) {
        if is_spooled(&self.0, path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a new file, for root only. An existing one, or a link, is not followed.
fn create(path: PathBuf) -> Outcome<Unfinished> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path).map_err(|e| problem(&path, &e))?;
    Ok(Unfinished {
        path,
        file,
        is_kept: false,
    })
}

/// Opens a regular file, of one user if that is given.
fn open(path: &str, owner: Option<u32>) -> Outcome<File> {
    let mut options = OpenOptions::new();
    // Without O_NONBLOCK, a FIFO would wait for its writer.
    let options = options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options
        .open(path)
        .map_err(|e| problem(Path::new(path), &e))?;
    let metadata = file.metadata().map_err(|e| problem(Path::new(path), &e))?;
    match metadata.is_file() && owner.is_none_or(|owner| owner == metadata.uid()) {
        true => Ok(file),
        false => Err(occurred(&format!("{path}: not a file of root"))),
    }
}

fn problem(path: &Path, error: &io::Error) -> varlink::Failure {
    occurred(&format!("{}: {error}", path.display()))
}

/// Takes `length` bytes from a client into a file, and replies with the path. An incomplete file is
/// removed. podman-remote 1.9.3 calls the next method on the same connection.
pub(super) fn take(
    mut unfinished: Unfinished,
    length: u64,
    mut raw: varlink::Raw,
) -> Option<varlink::Raw> {
    let mut source = io::Read::chain(&raw.early[..], &raw.input).take(length);
    let copied = copy(&mut source, &mut unfinished.file);
    if copied.ok() != Some(length) || unfinished.file.sync_data().is_err() {
        return None;
    }
    let taken = usize::try_from(length).unwrap_or(usize::MAX);
    raw.early.drain(..taken.min(raw.early.len()));
    let answer = format!("{}:", unfinished.keep());
    (&raw.output).write_all(answer.as_bytes()).ok()?;
    Some(raw)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_path_is_one_of_the_spool_and_of_no_other_place() {
        let temp = Temp::new();
        let spool = Spool::at(temp.path("spool"));
        let mut first = spool.create().unwrap();
        first.fill(&b"text"[..]).unwrap();
        let path = first.keep();
        let mut text = String::new();
        spool
            .open(&path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");
        let dir = temp.path("spool").display().to_string();
        let name = path.rsplit('/').next().unwrap();
        fs::write(temp.path(name), "outside").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", format!("{dir}/{}", "a".repeat(32))).unwrap();
        fs::create_dir(format!("{dir}/{}", "b".repeat(32))).unwrap();
        for wrong in [
            "/etc/passwd",
            "",
            name,
            "/",
            &format!("{dir}/../{name}"),
            &format!("{dir}//{name}"),
            &format!("{dir}/./{name}"),
            &format!("{dir}/{}", "a".repeat(32)),
            &format!("{dir}/{}", "b".repeat(32)),
            &format!("{dir}/{}", "c".repeat(32)),
            &format!("{path}\\0"),
            &format!("{dir}/{name}/x"),
            &dir,
        ] {
            assert!(spool.open(wrong).is_err(), "{wrong}");
            spool.remove(wrong);
        }
        assert!(fs::exists("/etc/passwd").unwrap() && fs::exists(temp.path(name)).unwrap());
        spool.remove(&path);
        assert!(!fs::exists(&path).unwrap());
        drop(spool.create().unwrap());
        // The link was one of the spool's names, and was removed itself.
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn a_destination_is_a_new_file_in_a_public_directory() {
        let temp = Temp::new();
        let spool = Spool::at(temp.path("spool"));
        let name = format!("/tmp/b2p-destination-{}", std::process::id());
        let made = spool.destination(&name).unwrap();
        assert!(spool.destination(&name).is_err(), "an existing file");
        assert!(spool.source(&name).is_ok());
        drop(made);
        assert!(!fs::exists(&name).unwrap(), "not kept");
        std::os::unix::fs::symlink("/etc/passwd", &name).unwrap();
        assert!(
            spool.destination(&name).is_err() && spool.source(&name).is_err(),
            "a link"
        );
        fs::remove_file(&name).unwrap();
        for wrong in [
            "/etc/x",
            "x",
            "/tmp/..",
            "/tmp/",
            "/tmp/a/b",
            "/tmp/../etc/x",
            "/var/tmp/./x",
            "//tmp/x",
        ] {
            assert!(spool.destination(wrong).is_err(), "{wrong}");
            assert!(spool.source(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_that_lies_leaves_no_file() {
        for (length, sent, is_kept) in [
            (4, &b"text"[..], true),
            (5, b"text", false),
            (2, b"text", true),
            (0, b"", true),
        ] {
            let temp = Temp::new();
            let spool = Spool::at(temp.path("spool"));
            let unfinished = spool.create().unwrap();
            let path = unfinished.path.clone();
            let (mut own, other) = std::os::unix::net::UnixStream::pair().unwrap();
            own.write_all(&sent[sent.len().min(1)..]).unwrap();
            own.shutdown(std::net::Shutdown::Write).unwrap();
            let connection = varlink::Connection::new(other, 10).unwrap();
            let mut raw = connection.into_raw();
            raw.early = sent[..sent.len().min(1)].to_vec();
            let raw = take(unfinished, length, raw);
            // The end of the framing, without which the client's input would not end.
            assert_eq!(raw.is_some(), is_kept, "{length}");
            drop(raw);
            assert_eq!(
                fs::read(&path).ok(),
                is_kept.then(|| sent[..length as usize].to_vec()),
                "{length}"
            );
            // The end is an error if the client sent more than the announced length.
            let mut answer = Vec::new();
            let _ = own.read_to_end(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            let expected = if is_kept {
                format!("{}:", path.display())
            } else {
                String::new()
            };
            assert_eq!(answer, expected);
        }
    }
}
