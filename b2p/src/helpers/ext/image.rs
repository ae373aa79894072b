// SPDX-License-Identifier: Apache-2.0
//! Verification and mount of extension images. A mount is visible to other processes only after `vet` has accepted the
//! image.

use std::fs;
use std::path::Path;
use std::time::Duration;

use log::info;
use nix::errno::Errno;
use sys::arch::ARCH;
use sys::error::{Doing, Error, Result};
use sys::image::detached::Detached;
use sys::modules::Modules;

use super::find::Files;
use super::manifest::{Manifest, Platform};
use crate::common::tool;

/// Loader of the C library, which knows its version (ld.so(8)).
const LOADER: &str = ARCH.loader;
const OSRELEASE: &str = "/proc/sys/kernel/osrelease";
/// Time limit of the loader.
const LOADER_LIMIT: Duration = Duration::from_secs(10);
/// Time limit of sha256sum(1): a gigabyte on a slow disc. A read of a medium that is gone may never return, so that
/// another process hashes.
const SHA256_LIMIT: Duration = Duration::from_secs(600);

/// Parses a manifest.
///
/// # Errors
/// The manifest is wrong, or the extension is not for this machine.
pub fn check_platform<'a>(files: &Files, manifest: &'a [u8]) -> Result<Manifest<'a>> {
    let manifest = Manifest::parse(manifest)?;
    let has_library = |name: &str| Path::new(ARCH.libraries).join(name).exists();
    let platform = Platform {
        libc: &libc_version()?,
        kernel: &kernel_release()?,
        has_library: &has_library,
    };
    manifest.check(&files.name(), &platform)?;
    Ok(manifest)
}

/// Returns the release of the running kernel (proc_sys_kernel(5)).
fn kernel_release() -> Result<String> {
    let text = fs::read_to_string(OSRELEASE).on(OSRELEASE)?;
    Ok(text.trim().to_owned())
}

/// Returns the version of this machine's C library.
fn libc_version() -> Result<String> {
    let finished = tool::run(LOADER, &["--version"], LOADER_LIMIT)?;
    let line = finished.output.lines().next().unwrap_or_default();
    loader_version(line).ok_or_else(|| Error::invalid(format!("{LOADER}: no version in {line:?}")))
}

/// Returns the version in `ld.so (Debian GLIBC 2.41-12) stable release version 2.41.`
fn loader_version(line: &str) -> Option<String> {
    let (_, version) = line.rsplit_once(" version ")?;
    Some(version.trim_end_matches('.').to_owned())
}

/// Checks that the image is the one for which the manifest was made.
///
/// # Errors
/// The size or the sum differs, or the image cannot be read.
pub fn verify(files: &Files, manifest: &Manifest<'_>) -> Result<()> {
    match difference(files, manifest)? {
        None => Ok(()),
        Some(why) => Err(Error::invalid(why)),
    }
}

/// Returns how the image differs from the one for which the manifest was made.
///
/// # Errors
/// The image cannot be read, which says nothing of its content.
pub fn difference(files: &Files, manifest: &Manifest<'_>) -> Result<Option<String>> {
    let (path, hint) = (files.image(), "damaged or changed; copy it again");
    let metadata = fs::metadata(&path).on(&path)?;
    if let Some(kind) = sys::files::kind(metadata.file_type()) {
        return Ok(Some(format!("{}: not a file: {kind}", path.display())));
    }
    let (size, expected) = (metadata.len().to_string(), manifest.value("size"));
    if size != expected {
        return Ok(Some(format!(
            "it has {size} bytes, its manifest says {expected}: {hint}"
        )));
    }
    let (sum, expected) = (sha256(&path)?, manifest.value("sha256"));
    Ok((sum != expected)
        .then(|| format!("its SHA-256 is {sum}, its manifest says {expected}: {hint}")))
}

/// Returns the SHA-256 of a file, by busybox.
fn sha256(path: &Path) -> Result<String> {
    let args = ["sha256sum", &path.to_string_lossy()];
    let finished = tool::run("/usr/bin/busybox", &args, SHA256_LIMIT)?;
    let sum = finished.output.split_ascii_whitespace().next();
    let is_sum = |sum: &&str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
    match sum.filter(is_sum).filter(|_| finished.code == Some(0)) {
        Some(sum) => Ok(sum.to_owned()),
        None => Err(Error::invalid(finished.last_lines)).doing("it cannot be read"),
    }
}

/// Creates a detached mount (fsmount(2)). Its set-user-ID programs and device nodes have no effect. Once it is
/// attached, the mount stays until the extension is removed, and its loop device with it.
///
/// # Errors
/// The kernel refuses the image.
pub fn mount(image: &Path) -> Result<Detached> {
    if !Path::new("/dev/loop-control").exists() {
        // For an image in RAM; the kernel reads one on a disk without a loop device.
        load_loop_driver();
    }
    match Detached::erofs(image, Path::new("/loop.ko")) {
        Err(why) if why.errno() == Some(Errno::EINVAL) => Err(Error::invalid(format!(
            "foreign: {why}: no image that this kernel reads"
        ))),
        mounted => mounted,
    }
}

/// Returns a file of the image at `image`, or `None` if there is none; an error names it by its path in the image,
/// which may have no place yet.
///
/// # Errors
/// The file cannot be read, is longer than `max_bytes`, or is no file.
pub fn read(image: &Path, file: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let text = sys::files::read_whole(&image.join(file), max_bytes);
    text.map_err(|why| Error::invalid(why.to_string().replace(&*image.to_string_lossy(), "")))
}

fn load_loop_driver() {
    match Modules::open(Path::new("/")) {
        // A driver that is missing is reported by the mount.
        Ok(mut modules) => drop(modules.load("loop")),
        Err(why) => info!("ext: loop: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_says_its_version() {
        let line = "ld.so (Debian GLIBC 2.41-12+deb13u1) stable release version 2.41.";
        assert_eq!(loader_version(line), Some("2.41".to_owned()));
        assert_eq!(loader_version("ld.so"), None);
    }
}
