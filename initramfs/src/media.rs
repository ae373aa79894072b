// SPDX-License-Identifier: Apache-2.0
//! Common parts of the ISO and the disk: the files that their boot loader loads and the kernel
//! flags in their menu.

use std::path::PathBuf;

use anyhow::Result;

use crate::boot::menu;
use crate::initrd::Packing;
use crate::options::Options;
use crate::packages::Kernel;
use crate::paths;

/// Returns the initrd of a medium: that of `make image`, except for the slim kernel, whose
/// media are to be small and hold the initrd that `PACK=` selects.
pub fn initrd(kernel: Kernel) -> PathBuf {
    let out = paths::out_of(kernel);
    match kernel {
        Kernel::Slim => match Packing::of_media() {
            Ok(Packing::Xz) => out.join("smallest").join(paths::INITRD),
            _ => out.join("small").join(paths::INITRD),
        },
        Kernel::Cloud | Kernel::Generic => out.join(paths::INITRD),
    }
}

/// Returns the kernel and the initrd of a medium.
pub fn boot_files(kernel: Kernel) -> [PathBuf; 2] {
    [paths::out_of(kernel).join(paths::VMLINUZ), initrd(kernel)]
}

/// Reads the kernel flags of every menu entry from `APPEND=` and `SSH_KEY=`.
///
/// # Errors
/// A variable has a value that is not valid, or the key cannot be read.
pub fn flags() -> Result<Vec<String>> {
    let options = Options::read(&[], |name| std::env::var(name).ok())?;
    let mut flags = menu::split_flags(&options.append);
    if let Some(key) = options.requested_key()? {
        flags.push(format!("b2p.ssh_key={}", key.public));
    }
    Ok(flags)
}
