// SPDX-License-Identifier: Apache-2.0
//! Directories of the project and names of the artifacts. All products of a build are under `out/`,
//! and for an architecture that is not the host's under `out/<architecture>/`; the environment
//! variable `OUT=` moves `out/`.

use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::packages::Kernel;

/// Name of the kernel image under `out/` and on media.
pub const VMLINUZ: &str = "vmlinuz";
/// Name of the initrd under `out/` and on media.
pub const INITRD: &str = "initrd.img";
/// Name of the list of artifacts and packages.
pub const MANIFEST: &str = "manifest.json";
/// Name of the bill of materials of kernel and initrd.
pub const SPDX: &str = "boot2podman.spdx.json";
/// Name of the ISO.
pub const ISO: &str = "boot2podman.iso";
/// Name of the bill of materials of the ISO.
pub const ISO_SPDX: &str = "boot2podman.iso.spdx.json";
/// Name of the disk for virtual machines.
pub const QCOW2: &str = "boot2podman.qcow2";
/// Name of the disk image for real disks, to be written to a device unchanged.
pub const RAW_DISK: &str = "boot2podman.raw";
/// Name of the OCI archive with kernel and initrd.
pub const KERNEL_OCI: &str = "boot2podman-kernel.oci.tar";
/// Name of the OCI archive that podman machine pulls.
pub const MACHINE_OCI: &str = "boot2podman-machine.oci.tar";
/// Name of the OCI archive with the disk.
pub const DISK_OCI: &str = "boot2podman-disk.oci.tar";
/// Name of the archive with podman-machine, its manual pages and completions.
pub const MACHINE_TAR: &str = "podman-machine.tar";
/// Name of the list of checksums.
pub const SHA256SUMS: &str = "SHA256SUMS";

/// Returns the project's root, which holds the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// Returns the directory of the artifacts for the architecture that `ARCH=` selects. A value that is
/// wrong is reported where the build reads its configuration ([`crate::fetch::BuildConfig`]).
pub fn out() -> PathBuf {
    out_for(Arch::from_env().unwrap_or(Arch::host()))
}

/// Returns the directory of the artifacts for an architecture.
pub fn out_for(arch: &Arch) -> PathBuf {
    let out = match std::env::var_os("OUT") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir)),
        None => root().join("out"),
    };
    match arch.is_host() {
        true => out,
        false => out.join(arch.name),
    }
}

/// Returns the directory of the artifacts of one kernel, whichever `KERNEL=` selects.
pub fn out_of(kernel: Kernel) -> PathBuf {
    out().join(kernel.name())
}

/// Returns the directory of fetched trees and intermediate results.
pub fn cache() -> PathBuf {
    out().join("cache")
}

/// Returns the directory of intermediate results that depend on the kernel.
pub fn cache_of(kernel: Kernel) -> PathBuf {
    cache().join(kernel.name())
}

/// Returns the directory of fetched trees for an architecture.
pub fn cache_for(arch: &Arch) -> PathBuf {
    out_for(arch).join("cache")
}

/// Returns the directory of extensions for every kernel.
pub fn extensions() -> PathBuf {
    out().join("ext")
}

/// Returns the directory of extensions with modules of one kernel.
pub fn extensions_of(kernel: Kernel) -> PathBuf {
    out_of(kernel).join("ext")
}

/// Returns the directory of the plain files that are copied over the packages of an extension.
pub fn extension_files(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ext").join(name)
}

/// Returns the directory of the plain files that are copied over the userland.
pub fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files")
}
