// SPDX-License-Identifier: Apache-2.0
//! Number of disks that a PC's BIOS has found. The BIOS examines IDE and SATA before the kernel
//! does, and as thoroughly.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The kernel's zero page (Documentation/arch/x86/zero-page.rst) in sysfs, below the root.
const ZERO_PAGE: &str = "sys/kernel/boot_params/data";
const ZERO_PAGE_BYTES: u64 = 4096;
/// Offset of the memory above 1 MiB in KiB (alt_mem_k, 32 bits): the kernel's real-mode part has
/// asked the BIOS (arch/x86/boot/memory.c). Where that part does not run, the field is 0.
const ALT_MEM_K: usize = 0x1e0;
/// Offsets of the numbers of disks that the BIOS described, and whose first sector could be read
/// (eddbuf_entries, edd_mbr_sig_buf_entries; arch/x86/boot/edd.c).
const DISK_COUNTS: [usize; 2] = [0x1e9, 0x1ea];
/// Offset of type_of_loader, whose upper half is the number of the boot loader (boot.rst).
const TYPE_OF_LOADER: usize = 0x210;
/// Number of the loader `qemu -kernel`: the firmware is SeaBIOS, or a monitor without a BIOS.
const LOADER_QEMU: u8 = 0xb;
/// Boot order of QEMU, below the root.
const BOOT_ORDER: &str = "sys/firmware/qemu_fw_cfg/by_name/bootorder/raw";

/// Returns true if the firmware has looked for disks and found none, and false wherever that is
/// not certain: with UEFI, which gives no number; with a boot loader that skips the kernel's
/// real-mode part; where a flag keeps that part from asking (`edd=off`); where QEMU has the
/// firmware examine only its boot devices (`-boot strict=on`: SeaBIOS skips the other disks).
pub fn no_disk(root: &Path) -> bool {
    let is_efi = root.join("sys/firmware/efi").exists();
    let cmdline = fs::read(root.join("proc/cmdline")).unwrap_or_default();
    let strict = || has(&boot_order(root), b"HALT");
    !is_efi && !has(&cmdline, b"edd=") && counted_none(&zero_page(root)) && !strict()
}

/// Returns QEMU's boot order. `b2p ignition` may read from the device at this time, without the kernel's lock.
fn boot_order(root: &Path) -> Vec<u8> {
    let _alone = sys::config_sources::lock_fw_cfg();
    fs::read(root.join(BOOT_ORDER)).unwrap_or_default()
}

fn zero_page(root: &Path) -> Vec<u8> {
    let mut page = Vec::new();
    let file = File::open(root.join(ZERO_PAGE));
    let read = file.and_then(|f| f.take(ZERO_PAGE_BYTES).read_to_end(&mut page));
    read.map(|_| page).unwrap_or_default()
}

fn counted_none(zero_page: &[u8]) -> bool {
    let byte = |at: usize| zero_page.get(at).copied();
    let memory = zero_page.get(ALT_MEM_K..ALT_MEM_K + 4);
    let asked_bios = memory.is_some_and(|m| m != [0; 4]);
    let booted_by_qemu = byte(TYPE_OF_LOADER).is_some_and(|l| l >> 4 == LOADER_QEMU);
    asked_bios && booted_by_qemu && DISK_COUNTS.iter().all(|at| byte(*at) == Some(0))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    fn zero_page(memory: u8, disks: u8, loader: u8) -> Vec<u8> {
        let mut page = vec![0; 4096];
        (page[0x1e1], page[0x1e9], page[0x210]) = (memory, disks, loader);
        page
    }

    #[test]
    fn edd_reports_no_disk_only_if_it_was_queried() {
        assert!(counted_none(&zero_page(0xfb, 0, 0xb0)));
        assert!(!counted_none(&zero_page(0xfb, 1, 0xb0)), "it has a disk");
        assert!(!counted_none(&zero_page(0, 0, 0xb0)), "it was not asked");
        assert!(!counted_none(&zero_page(0xfb, 0, 0x72)), "GRUB");
        let mut unreadable = zero_page(0xfb, 0, 0xb0);
        unreadable[0x1ea] = 1;
        assert!(!counted_none(&unreadable));
        assert!(!counted_none(&[]) && !counted_none(&[0xff; 0x1ea]));
    }

    #[test]
    fn uncertain_edd_data_means_that_a_disk_may_exist() {
        let temp = Temp::new();
        let root = temp.dir();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        assert!(!no_disk(root), "nothing is known");
        put(ZERO_PAGE, &zero_page(1, 0, 0xb0));
        assert!(no_disk(root));
        put("proc/cmdline", b"quiet edd=off\n");
        assert!(!no_disk(root));
        put("proc/cmdline", b"quiet\n");
        put(BOOT_ORDER, b"/pci@i0cf8/ethernet@3\nHALT\0");
        assert!(!no_disk(root));
        put(BOOT_ORDER, b"/rom@genroms/linuxboot_dma.bin\0");
        assert!(no_disk(root));
        put("sys/firmware/efi/x", b"");
        assert!(!no_disk(root));
    }
}
