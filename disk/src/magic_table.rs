//! What marks a format: magic bytes at fixed places, a row each. Facts from the
//! kernel's headers (include/uapi/linux/magic.h, fs/*, drivers/md) and from what
//! each format's own documentation says.

use crate::signature::SignatureKind;

/// A magic at a place.
pub struct Row {
    /// What it marks.
    pub kind: SignatureKind,
    /// Where, in bytes from the beginning.
    pub at: u64,
    /// What is there.
    pub magic: &'static [u8],
}

const fn row(kind: SignatureKind, at: u64, magic: &'static [u8]) -> Row {
    Row { kind, at, magic }
}

const KIB: u64 = 1024;

/// All that a look at fixed bytes can tell. What needs a second look at other
/// bytes (ext, FAT, RAID at the end, ZFS, tables) is code in `probe`.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // File systems.
    row(SignatureKind::Xfs,      0, b"XFSB"),
    row(SignatureKind::Btrfs,    64 * KIB + 64, b"_BHRfS_M"),
    row(SignatureKind::Exfat,    3, b"EXFAT   "),
    row(SignatureKind::Ntfs,     3, b"NTFS    "),
    row(SignatureKind::Refs,     3, b"ReFS\0"),
    row(SignatureKind::Iso9660,  32 * KIB + 1, b"CD001"),
    row(SignatureKind::Iso9660,  34 * KIB + 1, b"CD001"),
    row(SignatureKind::Udf,      32 * KIB + 1, b"BEA01"),
    row(SignatureKind::Udf,      34 * KIB + 1, b"BEA01"),
    row(SignatureKind::Udf,      36 * KIB + 1, b"BEA01"),
    row(SignatureKind::Udf,      36 * KIB + 1, b"NSR0"),
    row(SignatureKind::Squashfs, 0, b"hsqs"),
    row(SignatureKind::Squashfs, 0, b"sqsh"),
    row(SignatureKind::Erofs,    KIB, &[0xe2, 0xe1, 0xf5, 0xe0]),
    row(SignatureKind::F2fs,     KIB, &[0x10, 0x20, 0xf5, 0xf2]),
    row(SignatureKind::Hfs,      KIB, b"H+\0\x04"),
    row(SignatureKind::Hfs,      KIB, b"HX\0\x05"),
    row(SignatureKind::Hfs,      KIB, b"BD"),
    row(SignatureKind::Apfs,     32, b"NXSB"),
    row(SignatureKind::Other("jfs"),      32 * KIB, b"JFS1"),
    row(SignatureKind::Other("reiserfs"), 64 * KIB + 52, b"ReIsEr"),
    row(SignatureKind::Other("reiserfs"), 8 * KIB + 52, b"ReIsEr"),
    row(SignatureKind::Other("reiser4"),  64 * KIB, b"ReIsEr4"),
    row(SignatureKind::Other("gfs2"),     64 * KIB, &[0x01, 0x16, 0x19, 0x70]),
    row(SignatureKind::Other("nilfs2"),   KIB + 6, &[0x34, 0x34]),
    row(SignatureKind::Other("ocfs2"),    2 * KIB, b"OCFSV2"),
    row(SignatureKind::Other("ocfs2"),    4 * KIB, b"OCFSV2"),
    row(SignatureKind::Other("ocfs2"),    KIB, b"OCFSV2"),
    row(SignatureKind::Other("ocfs2"),    8 * KIB, b"OCFSV2"),
    row(SignatureKind::Other("ufs"),      8 * KIB + 1372, &[0x54, 0x19, 0x01, 0x00]),
    row(SignatureKind::Other("ufs"),      8 * KIB + 1372, &[0x00, 0x01, 0x19, 0x54]),
    row(SignatureKind::Other("ufs"),      64 * KIB + 1372, &[0x19, 0x01, 0x54, 0x19]),
    row(SignatureKind::Other("ufs"),      64 * KIB + 1372, &[0x19, 0x54, 0x01, 0x19]),
    row(SignatureKind::Other("cramfs"),   0, &[0x45, 0x3d, 0xcd, 0x28]),
    row(SignatureKind::Other("cramfs"),   0, &[0x28, 0xcd, 0x3d, 0x45]),
    row(SignatureKind::Other("romfs"),    0, b"-rom1fs-"),
    row(SignatureKind::Other("bcachefs"), 4 * KIB + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef]),
    // Encrypted.
    row(SignatureKind::Luks,     0, b"LUKS\xba\xbe"),
    row(SignatureKind::Luks,     16 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     32 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     64 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     128 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     256 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     512 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     1024 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     2048 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Luks,     4096 * KIB, b"SKUL\xba\xbe"),
    row(SignatureKind::Other("BitLocker"), 3, b"-FVE-FS-"),
    row(SignatureKind::Other("dm-integrity"), 0, b"integrt\0"),
    row(SignatureKind::Other("dm-verity"), 0, b"verity\0\0"),
    // Members of something bigger.
    row(SignatureKind::Raid,     0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    row(SignatureKind::Raid,     4 * KIB, &[0xfc, 0x4e, 0x2b, 0xa9]),
    row(SignatureKind::Bcache,   4 * KIB + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81]),
    row(SignatureKind::Vmfs,     1024 * KIB, &[0x0d, 0xd0, 0x01, 0xc0]),
    row(SignatureKind::Vmfs,     2048 * KIB, &[0x5e, 0xf1, 0xab, 0x2f]),
    row(SignatureKind::Bluestore, 0, b"bluestore block device"),
    row(SignatureKind::Other("stratis"),  512, b"!Stra0tis\x86\xff\x02^\x41rh"),
    row(SignatureKind::Other("stratis"),  9 * 512, b"!Stra0tis\x86\xff\x02^\x41rh"),
    row(SignatureKind::Other("vdo"),      0, b"dmvdo001"),
    row(SignatureKind::Other("Oracle ASM"), 32, b"ORCLDISK"),
    row(SignatureKind::Other("lvm1"),     0, b"HM\x01\0"),
    row(SignatureKind::Other("dm-snapshot"), 0, b"SnAp"),
    row(SignatureKind::Other("qcow2"),    0, b"QFI\xfb"),
    // Tables.
    row(SignatureKind::Gpt,      512, b"EFI PART"),
    row(SignatureKind::Gpt,      4096, b"EFI PART"),
    row(SignatureKind::Other("mac"),      512, b"PM\0\0"),
    row(SignatureKind::Other("sun"),      508, &[0xda, 0xbe]),
    row(SignatureKind::Other("bsd"),      512, &[0x57, 0x45, 0x56, 0x82]),
    row(SignatureKind::Other("bsd"),      64, &[0x57, 0x45, 0x56, 0x82]),
];

/// Swap: its magic ends the first page, however large a page is.
pub const PAGES: [u64; 5] = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB];

/// Swap areas and what hibernation makes of them.
pub const SWAPS: [&[u8; 10]; 4] = [b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0", b"S2SUSPEND\0"];

/// Magics counted from the end: how far before it.
#[rustfmt::skip]
pub const TAILS: &[Row] = &[
    row(SignatureKind::Gpt, 512, b"EFI PART"),
    row(SignatureKind::Gpt, 4096, b"EFI PART"),
    row(SignatureKind::Raid, 1024, b"Intel Raid ISM Cfg Sig. "),
    row(SignatureKind::Raid, 512, &[0xde, 0x11, 0xde, 0x11]),
    row(SignatureKind::Raid, 512, &[0x11, 0xde, 0x11, 0xde]),
    row(SignatureKind::Hfs,  1024, b"H+\0\x04"),
    row(SignatureKind::Hfs,  1024, b"HX\0\x05"),
    row(SignatureKind::Ntfs, 512 - 3, b"NTFS    "),
];
