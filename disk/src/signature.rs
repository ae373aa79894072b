// SPDX-License-Identifier: Apache-2.0
//! Signatures of file systems, members of larger volumes and partition tables.

/// Kind of data that a signature stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are names of file systems")]
pub enum SignatureKind {
    Ext2,
    Ext3,
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
    Exfat,
    Ntfs,
    Refs,
    Iso9660,
    Udf,
    Squashfs,
    Erofs,
    F2fs,
    HfsPlus,
    Apfs,
    Swap,
    Luks,
    Lvm,
    Raid,
    Zfs,
    Bcache,
    Vmfs,
    Bluestore,
    Drbd,
    Gpt,
    Mbr,
    /// Kind without a variant of its own; the text is its name in blkid(8).
    Other(&'static str),
}

impl SignatureKind {
    /// Name in blkid(8), and in mount(2) for a file system.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SignatureKind::Ext2 => "ext2",
            SignatureKind::Ext3 => "ext3",
            SignatureKind::Ext4 => "ext4",
            SignatureKind::Xfs => "xfs",
            SignatureKind::Btrfs => "btrfs",
            SignatureKind::Vfat => "vfat",
            SignatureKind::Exfat => "exfat",
            SignatureKind::Ntfs => "ntfs",
            SignatureKind::Refs => "ReFS",
            SignatureKind::Iso9660 => "iso9660",
            SignatureKind::Udf => "udf",
            SignatureKind::Squashfs => "squashfs",
            SignatureKind::Erofs => "erofs",
            SignatureKind::F2fs => "f2fs",
            SignatureKind::HfsPlus => "hfsplus",
            SignatureKind::Apfs => "apfs",
            SignatureKind::Swap => "swap",
            SignatureKind::Luks => "crypto_LUKS",
            SignatureKind::Lvm => "LVM2_member",
            SignatureKind::Raid => "raid_member",
            SignatureKind::Zfs => "zfs_member",
            SignatureKind::Bcache => "bcache",
            SignatureKind::Vmfs => "VMFS",
            SignatureKind::Bluestore => "ceph_bluestore",
            SignatureKind::Drbd => "drbd",
            SignatureKind::Gpt => "gpt",
            SignatureKind::Mbr => "dos",
            SignatureKind::Other(name) => name,
        }
    }

    /// Returns true for file systems that store owners, modes and names as containers need them.
    #[must_use]
    pub fn is_posix_file_system(self) -> bool {
        use SignatureKind::{Btrfs, Ext2, Ext3, Ext4, F2fs, Xfs};
        matches!(self, Ext2 | Ext3 | Ext4 | Xfs | Btrfs | F2fs)
    }

    /// Returns true for a member of a larger volume, whose apparent contents must not be used on
    /// their own.
    #[must_use]
    pub fn is_volume_member(self) -> bool {
        use SignatureKind::{Bcache, Bluestore, Drbd, Luks, Lvm, Raid, Vmfs, Zfs};
        matches!(
            self,
            Raid | Lvm | Zfs | Bcache | Drbd | Luks | Vmfs | Bluestore
        )
    }

    /// Returns true for partition tables.
    #[must_use]
    pub fn is_partition_table(self) -> bool {
        matches!(self, SignatureKind::Gpt | SignatureKind::Mbr)
    }
}

/// Signature that was found on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Kind of data.
    pub kind: SignatureKind,
    /// Label, if the kind has one at a fixed offset.
    pub label: Option<String>,
    /// UUID in the form of blkid(8).
    pub uuid: Option<String>,
}

/// Returns the names of the kinds, joined by "and".
#[must_use]
pub fn join_names(signatures: &[Signature]) -> String {
    let names: Vec<_> = signatures.iter().map(|s| s.kind.name()).collect();
    names.join(" and ")
}
