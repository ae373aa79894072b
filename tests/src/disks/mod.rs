// SPDX-License-Identifier: Apache-2.0
//! Disks, made on the host without mounting anything. Each kind that the machine may find is a row
//! in a table, with the expected result.
//!
//! | Table | Result |
//! |---|---|
//! | [`taken::ROWS`] | becomes the data disk |
//! | [`refused::ROWS`] | is unchanged to the last bit |
//!
//! [`inspect`] examines disks after a boot; [`replay`] builds, from the log of all writes to a
//! disk, the disk that a power cut would have left.

pub mod inspect;
pub mod make;
mod plain;
pub mod refused;
pub mod replay;
pub mod seed;
pub mod taken;
pub mod userdata;

pub use plain::{clean, ext4};

use anyhow::{Context, Result};
use initramfs::paths;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use vmm::process;

/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// Time limit of a tool; none works on more than a few hundred MiB.
const TOOL: Duration = Duration::from_secs(120);

/// A raw disk image; a sparse file.
#[derive(Clone, Debug)]
pub struct Image {
    file: PathBuf,
}

impl Image {
    /// Makes a blank disk, replacing an older one.
    pub fn blank(dir: &Path, name: &str, mib: u64) -> Result<Self> {
        let file = dir.join(format!("{name}.img"));
        let made = File::create(&file).and_then(|f| f.set_len(mib * MIB));
        made.with_context(|| format!("cannot make {}", file.display()))?;
        Ok(Self { file })
    }

    /// Returns the path of the image.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.file)?.len())
    }

    /// Writes bytes at an offset, from the host.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let file = File::options().write(true).open(&self.file)?;
        Ok(file.write_all_at(bytes, at)?)
    }

    /// Reads `len` bytes at an offset.
    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        File::open(&self.file)?.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Enlarges the disk, or cuts its end off.
    pub fn grow(&self, mib: u64) -> Result<()> {
        let file = File::options().write(true).open(&self.file)?;
        Ok(file.set_len(mib * MIB)?)
    }

    /// Copies the disk under another name.
    pub fn copy(&self, name: &str) -> Result<Self> {
        let file = self.file.with_file_name(format!("{name}.img"));
        let (from, to) = (self.file.as_os_str(), file.as_os_str());
        let how = ["--sparse=always", "--reflink=auto"];
        tool("cp", &[how[0].as_ref(), how[1].as_ref(), from, to])?;
        Ok(Self { file })
    }

    /// Returns the SHA-256 of the whole disk.
    pub fn sum(&self) -> Result<String> {
        let said = tool("sha256sum", &[self.file.as_os_str()])?;
        Ok(said.split(' ').next().unwrap_or_default().to_owned())
    }
}

/// Returns an empty directory for the disks of a test, `out/disks/<test>`.
pub fn dir(test: &str) -> Result<PathBuf> {
    let dir = paths::out().join("disks").join(test);
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Runs a tool of the host. Returns its output, or an error with the whole output.
pub fn tool<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> Result<String> {
    let out = tool_out(program, args, b"")?;
    crate::guest::succeeded(program, &out)
}

/// Runs a tool of the host with `stdin` as its standard input, and returns any status and output.
pub fn tool_out<S: AsRef<std::ffi::OsStr>>(
    program: &str,
    args: &[S],
    stdin: &[u8],
) -> Result<Output> {
    let mut command = Command::new(found(program));
    command.args(args).env("LANG", "C.UTF-8");
    process::output(command, stdin, TOOL).with_context(|| format!("{program}: is it installed?"))
}

/// Returns the path of a tool: Debian installs some outside a user's PATH.
fn found(program: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(program);
    if sbin.exists() {
        sbin
    } else {
        PathBuf::from(program)
    }
}
