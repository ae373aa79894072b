// SPDX-License-Identifier: Apache-2.0
//! Magic bytes at fixed offsets, one row for each. Sources: the kernel's headers
//! (include/uapi/linux/magic.h, fs/*, drivers/md) and the documentation of each format.

use crate::signature::SignatureKind::{
    self, Apfs, Bcache, Bluestore, Btrfs, Erofs, Exfat, F2fs, Gpt, HfsPlus, Iso9660, Luks, Ntfs,
    Other, Raid, Refs, Squashfs, Udf, Vmfs, Xfs,
};

/// Magic bytes at an offset.
pub struct Magic {
    /// Kind of data that the magic bytes mark.
    pub kind: SignatureKind,
    /// Offset in bytes.
    pub offset: u64,
    /// Bytes at the offset.
    pub bytes: &'static [u8],
}

const fn magic(kind: SignatureKind, offset: u64, bytes: &'static [u8]) -> Magic {
    Magic {
        kind,
        offset,
        bytes,
    }
}

const KIB: u64 = 1024;

/// Magic bytes counted from the beginning. Kinds that need a check of other bytes (ext, FAT, md
/// superblocks at the end, ZFS, tables) are in `probe`.
#[rustfmt::skip]
pub const AT_START: &[Magic] = &[
    // File systems.
    magic(Xfs,      0, b"XFSB"),
    magic(Btrfs,    64 * KIB + 64, b"_BHRfS_M"),
    magic(Exfat,    3, b"EXFAT   "),
    magic(Ntfs,     3, b"NTFS    "),
    magic(Refs,     3, b"ReFS\0"),
    magic(Iso9660,  32 * KIB + 1, b"CD001"),
    magic(Iso9660,  34 * KIB + 1, b"CD001"),
    magic(Udf,      32 * KIB + 1, b"BEA01"),
    magic(Udf,      34 * KIB + 1, b"BEA01"),
    magic(Udf,      36 * KIB + 1, b"BEA01"),
    magic(Udf,      36 * KIB + 1, b"NSR0"),
    magic(Squashfs, 0, b"hsqs"),
    magic(Squashfs, 0, b"sqsh"),
    magic(Erofs,    KIB, &[0xe2, 0xe1, 0xf5, 0xe0]),
    magic(F2fs,     KIB, &[0x10, 0x20, 0xf5, 0xf2]),
    magic(HfsPlus,      KIB, b"H+\0\x04"),
    magic(HfsPlus,      KIB, b"HX\0\x05"),
    magic(HfsPlus,      KIB, b"BD"),
    magic(Apfs,     32, b"NXSB"),
    magic(Other("jfs"),      32 * KIB, b"JFS1"),
    magic(Other("reiserfs"), 64 * KIB + 52, b"ReIsEr"),
    magic(Other("reiserfs"), 8 * KIB + 52, b"ReIsEr"),
    magic(Other("reiser4"),  64 * KIB, b"ReIsEr4"),
    magic(Other("gfs2"),     64 * KIB, &[0x01, 0x16, 0x19, 0x70]),
    magic(Other("nilfs2"),   KIB + 6, &[0x34, 0x34]),
    magic(Other("ocfs2"),    2 * KIB, b"OCFSV2"),
    magic(Other("ocfs2"),    4 * KIB, b"OCFSV2"),
    magic(Other("ocfs2"),    KIB, b"OCFSV2"),
    magic(Other("ocfs2"),    8 * KIB, b"OCFSV2"),
    magic(Other("ufs"),      8 * KIB + 1372, &[0x54, 0x19, 0x01, 0x00]),
    magic(Other("ufs"),      8 * KIB + 1372, &[0x00, 0x01, 0x19, 0x54]),
    magic(Other("ufs"),      64 * KIB + 1372, &[0x19, 0x01, 0x54, 0x19]),
    magic(Other("ufs"),      64 * KIB + 1372, &[0x19, 0x54, 0x01, 0x19]),
    magic(Other("cramfs"),   0, &[0x45, 0x3d, 0xcd, 0x28]),
    magic(Other("cramfs"),   0, &[0x28, 0xcd, 0x3d, 0x45]),
    magic(Other("romfs"),    0, b"-rom1fs-"),
    magic(Other("bcachefs"), 4 * KIB + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef]),
    // Encrypted volumes.
    magic(Luks,     0, b"LUKS\xba\xbe"),
    magic(Luks,     16 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     32 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     64 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     128 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     256 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     512 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     1024 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     2048 * KIB, b"SKUL\xba\xbe"),
    magic(Luks,     4096 * KIB, b"SKUL\xba\xbe"),
    magic(Other("BitLocker"), 3, b"-FVE-FS-"),
    magic(Other("dm-integrity"), 0, b"integrt\0"),
    magic(Other("dm-verity"), 0, b"verity\0\0"),
    // Members of larger volumes.
    magic(Raid,     0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    magic(Raid,     4 * KIB, &[0xfc, 0x4e, 0x2b, 0xa9]),
    magic(Bcache,   4 * KIB + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81]),
    magic(Vmfs,     1024 * KIB, &[0x0d, 0xd0, 0x01, 0xc0]),
    magic(Vmfs,     2048 * KIB, &[0x5e, 0xf1, 0xab, 0x2f]),
    magic(Bluestore, 0, b"bluestore block device"),
    magic(Other("stratis"),  512, b"!Stra0tis\x86\xff\x02^\x41rh"),
    magic(Other("stratis"),  9 * 512, b"!Stra0tis\x86\xff\x02^\x41rh"),
    magic(Other("vdo"),      0, b"dmvdo001"),
    magic(Other("Oracle ASM"), 32, b"ORCLDISK"),
    magic(Other("lvm1"),     0, b"HM\x01\0"),
    magic(Other("dm-snapshot"), 0, b"SnAp"),
    magic(Other("qcow2"),    0, b"QFI\xfb"),
    // Partition tables.
    magic(Gpt,      512, b"EFI PART"),
    magic(Gpt,      4096, b"EFI PART"),
    magic(Other("mac"),      512, b"PM\0\0"),
    magic(Other("sun"),      508, &[0xda, 0xbe]),
    magic(Other("bsd"),      512, &[0x57, 0x45, 0x56, 0x82]),
    magic(Other("bsd"),      64, &[0x57, 0x45, 0x56, 0x82]),
];

/// Possible page sizes in bytes. The magic bytes of swap end the first page.
pub const PAGE_SIZES: [u64; 5] = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB];

/// Magic bytes of swap areas, also of those that hold a hibernated system.
pub const SWAP_MAGIC: [&[u8; 10]; 4] =
    [b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0", b"S2SUSPEND\0"];

/// Magic bytes whose offset is counted back from the end.
#[rustfmt::skip]
pub const FROM_END: &[Magic] = &[
    magic(Gpt, 512, b"EFI PART"),
    magic(Gpt, 4096, b"EFI PART"),
    magic(Raid, 1024, b"Intel Raid ISM Cfg Sig. "),
    magic(Raid, 512, &[0xde, 0x11, 0xde, 0x11]),
    magic(Raid, 512, &[0x11, 0xde, 0x11, 0xde]),
    magic(HfsPlus,  1024, b"H+\0\x04"),
    magic(HfsPlus,  1024, b"HX\0\x05"),
    magic(Ntfs, 512 - 3, b"NTFS    "),
];
