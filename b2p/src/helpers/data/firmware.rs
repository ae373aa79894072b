//! What a PC's firmware says of disks: how many it has found. It has looked at IDE and
//! SATA before the kernel, and as thoroughly.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The kernel's zero page (Documentation/arch/x86/zero-page.rst), as sysfs has it.
const PARAMS: &str = "sys/kernel/boot_params/data";
/// Memory above 1 MiB in KiB (alt_mem_k, 32 bits): the kernel's real-mode part has asked
/// the BIOS (arch/x86/boot/memory.c). Where that part does not run, it is 0.
const MEMORY: usize = 0x1e0;
/// How many disks the BIOS described, and of how many the first sector could be read
/// (eddbuf_entries, edd_mbr_sig_buf_entries; arch/x86/boot/edd.c).
const DISKS: [usize; 2] = [0x1e9, 0x1ea];
/// type_of_loader, the number of the loader in the upper half (boot.rst).
const LOADER: usize = 0x210;
/// `qemu -kernel`: the firmware is SeaBIOS, or nothing that asks a BIOS.
const QEMU: u8 = 0xb;

/// Whether the firmware has looked for disks and found none. `false` wherever that is
/// not certain: with UEFI, which does not say; with a loader that skips the real-mode
/// part; where a flag keeps that from asking (`edd=off`); where QEMU was told to look at
/// what it boots from alone (`-boot strict=on`: SeaBIOS skips the other disks).
pub fn no_disk(root: &Path) -> bool {
    let efi = root.join("sys/firmware/efi").exists();
    let cmdline = fs::read(root.join("proc/cmdline")).unwrap_or_default();
    let order = "sys/firmware/qemu_fw_cfg/by_name/bootorder/raw";
    let order = fs::read(root.join(order)).unwrap_or_default();
    !efi && !has(&cmdline, b"edd=") && !has(&order, b"HALT") && counted_none(&params(root))
}

fn params(root: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(root.join(PARAMS));
    let read = file.and_then(|f| f.take(4096).read_to_end(&mut bytes));
    read.map(|_| bytes).unwrap_or_default()
}

fn counted_none(params: &[u8]) -> bool {
    let byte = |at: usize| params.get(at).copied();
    let asked = params.get(MEMORY..MEMORY + 4).is_some_and(|m| m != [0; 4]);
    let qemu = byte(LOADER).is_some_and(|l| l >> 4 == QEMU);
    asked && qemu && DISKS.iter().all(|at| byte(*at) == Some(0))
}

fn has(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn zero_page(memory: u8, disks: u8, loader: u8) -> Vec<u8> {
        let mut page = vec![0; 4096];
        (page[0x1e1], page[0x1e9], page[0x210]) = (memory, disks, loader);
        page
    }

    #[test]
    fn only_a_bios_that_was_asked_and_counted_none() {
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
    fn whatever_makes_it_uncertain_counts() {
        let root = std::env::temp_dir().join(format!("b2p-firmware-{}", std::process::id()));
        let put = |path: &str, bytes: &[u8]| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        assert!(!no_disk(&root), "nothing is known");
        put(PARAMS, &zero_page(1, 0, 0xb0));
        assert!(no_disk(&root));
        put("proc/cmdline", b"quiet edd=off\n");
        assert!(!no_disk(&root));
        put("proc/cmdline", b"quiet\n");
        let order = "sys/firmware/qemu_fw_cfg/by_name/bootorder/raw";
        put(order, b"/pci@i0cf8/ethernet@3\nHALT\0");
        assert!(!no_disk(&root));
        put(order, b"/rom@genroms/linuxboot_dma.bin\0");
        assert!(no_disk(&root));
        put("sys/firmware/efi/x", b"");
        assert!(!no_disk(&root));
        fs::remove_dir_all(&root).unwrap();
    }
}
