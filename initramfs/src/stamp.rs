// SPDX-License-Identifier: Apache-2.0
//! Stamps, by which a stage is skipped if its output was made from the same inputs.
//!
//! A stamp is a small hidden file beside the output with the hash of the inputs. The stamp is
//! removed before the work and written afterwards, so that an interrupted stage runs again.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::disk::uuid::hex;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::fsutil;

/// Hash of named inputs.
#[derive(Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Starts without inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input. Name and value are hashed with their lengths, so that the boundaries
    /// between them count.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds the content of a file.
    pub fn add_file(&mut self, name: &str, path: &Path) -> Result<&mut Self> {
        let digest = file_digest(path)?;
        Ok(self.add(name, digest))
    }

    /// Returns the hash in hexadecimal digits.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the SHA-256 of a file in hexadecimal digits.
pub fn file_digest(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
        }
    }
}

/// Returns the path of an output's stamp.
pub fn stamp_path(output: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".stamp");
    output.with_file_name(name)
}

/// Returns true if `output` exists and was made from inputs with this hash.
pub fn is_current(output: &Path, hash: &str) -> bool {
    output.exists() && fs::read_to_string(stamp_path(output)).is_ok_and(|s| s == hash)
}

/// Runs `work` unless `output` was made from inputs with this hash. `work` writes to a temporary
/// path beside `output`, which replaces `output` on success. Returns true if `work` ran.
pub fn make(output: &Path, hash: &str, work: impl FnOnce(&Path) -> Result<()>) -> Result<bool> {
    if is_current(output, hash) {
        return Ok(false);
    }
    let parent = output.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let temporary = temporary_path(output);
    fsutil::remove(&temporary)?;
    fsutil::remove(&stamp_path(output))?;
    work(&temporary).inspect_err(|_| {
        // A second error adds nothing: the next run removes the remains.
        let _ = fsutil::remove(&temporary);
    })?;
    remove_if_dir(output)?;
    fs::rename(&temporary, output)
        .with_context(|| format!("rename {} to {}", temporary.display(), output.display()))?;
    fs::write(stamp_path(output), hash)
        .with_context(|| format!("write {}", stamp_path(output).display()))?;
    Ok(true)
}

/// Returns the temporary path of an output. The path is the same in each run, so that a run removes
/// the remains of an interrupted one.
fn temporary_path(output: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".tmp.");
    name.push(output.file_name().unwrap_or_default());
    output.with_file_name(name)
}

fn remove_if_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        fsutil::remove(path)
    } else {
        Ok(())
    }
}

/// Locks `dir` against other builds, and waits for one that runs. The lock ends with the returned
/// value or with the process.
pub fn lock(dir: &Path) -> Result<Flock<fs::File>> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let path = dir.join(".lock");
    let open = || fs::File::create(&path).with_context(|| format!("write {}", path.display()));
    Flock::lock(open()?, FlockArg::LockExclusiveNonblock).or_else(|_| {
        eprintln!(
            "[image] another build works in {}; waiting for it",
            dir.display()
        );
        Flock::lock(open()?, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(|| format!("lock {}", path.display()))
    })
}

#[cfg(test)]
mod tests;
