// SPDX-License-Identifier: Apache-2.0
//! Length of a kernel of x86 by its own header: one that was cut would boot to nothing, without a word.

use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the header that are read (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
const HEADER: usize = 0x206;

/// Refuses a kernel that is shorter than its header says. Another file is none that can be judged.
pub fn check(kernel: &Path) -> Result<()> {
    let at = || format!("read {}", kernel.display());
    let file = File::open(kernel).with_context(at)?;
    let len = file.metadata().with_context(at)?.len();
    let mut header = [0; HEADER];
    // A shorter file has no header.
    if file.read_exact_at(&mut header, 0).is_err() {
        return Ok(());
    }
    match needed(&header).filter(|&needed| needed > len) {
        None => Ok(()),
        Some(needed) => Err(Fault::with_status(
            format!(
                "Error: the image's vmlinuz is cut: it has {len} bytes of {needed}, which its header names"
            ),
            PRE_CREATE,
        )
        .into()),
    }
}

/// Returns the least length of a kernel with this header: the boot sector and the setup code in sectors, and the rest in
/// paragraphs of 16 bytes (`syssize`).
fn needed(header: &[u8; HEADER]) -> Option<u64> {
    if &header[0x1fe..0x200] != b"\x55\xaa" || &header[0x202..0x206] != b"HdrS" {
        return None;
    }
    // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
    let sectors = match header[0x1f1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let size = u32::from_le_bytes(header[0x1f4..0x1f8].try_into().ok()?);
    Some((sectors + 1) * 512 + u64::from(size) * 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_as_long_as_its_header_says() {
        let tmp = tempfile::tempdir().expect("a directory");
        let path = tmp.path().join("vmlinuz");
        let mut kernel = vec![0; 3 * 512 + 160];
        kernel[0x1f1] = 2;
        kernel[0x1f4] = 10;
        kernel[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        for (len, right) in [
            (kernel.len(), true),
            (kernel.len() - 1, false),
            (HEADER, false),
            // Too short for a header: QEMU refuses it.
            (HEADER - 1, true),
            (0, true),
        ] {
            std::fs::write(&path, &kernel[..len]).expect("written");
            assert_eq!(check(&path).is_ok(), right, "{len}");
        }
    }
}
