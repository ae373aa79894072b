// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, clippy::ptr_arg, clippy::type_complexity)]
use super::*;
use crate::blank::is_blank;
use crate::bytes::put;
use proptest::prelude::*;

fn with(size: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; size];
    for (at, bytes) in parts {
        put(&mut disk, *at, bytes);
    }
    disk
}

fn only(disk: &Vec<u8>) -> Signature {
    let found = probe(disk).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

const SIZE: usize = 6 << 20;
const ID: [u8; 16] = [0x11, 0x22, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const IDTEXT: &str = "11220304-0506-0708-090a-0b0c0d0e0f10";

#[test]
fn every_magic_is_found_and_the_disk_is_not_blank() {
    for magic in AT_START {
        let mut disk = with(SIZE, &[(magic.offset as usize, magic.bytes)]);
        if magic.kind == SignatureKind::Other("nilfs2") {
            put(&mut disk, 1024, &2u32.to_le_bytes());
        }
        put(
            &mut disk,
            1024 + 14,
            if magic.bytes == b"BD" { &[0, 1] } else { &[] },
        );
        assert_eq!(
            only(&disk).kind,
            magic.kind,
            "{} at {}",
            magic.kind.name(),
            magic.offset
        );
        assert!(!is_blank(&disk).unwrap());
    }
    for magic in FROM_END {
        let disk = with(SIZE, &[(SIZE - magic.offset as usize, magic.bytes)]);
        assert_eq!(
            only(&disk).kind,
            magic.kind,
            "{} before the end",
            magic.kind.name()
        );
        assert!(!is_blank(&disk).unwrap());
    }
}

#[test]
fn labels_and_uuids_as_blkid_has_them() {
    let cases: &[(&[(usize, &[u8])], SignatureKind, Option<&str>, &str)] = &[
        (
            &[(0, b"XFSB"), (32, &ID), (108, b"data")],
            SignatureKind::Xfs,
            Some("data"),
            IDTEXT,
        ),
        (
            &[
                (65600, b"_BHRfS_M"),
                (65568, &ID),
                (65536 + 0x12b, b"boot2podman-data"),
            ],
            SignatureKind::Btrfs,
            Some("boot2podman-data"),
            IDTEXT,
        ),
        (
            &[
                (1080, &[0x53, 0xef]),
                (1128, &ID),
                (1144, b"boot2docker-data"),
            ],
            SignatureKind::Ext2,
            Some("boot2docker-data"),
            IDTEXT,
        ),
        (
            &[(1080, &[0x53, 0xef]), (1116, &[4]), (1128, &ID)],
            SignatureKind::Ext3,
            None,
            IDTEXT,
        ),
        (
            &[
                (1080, &[0x53, 0xef]),
                (1116, &[4]),
                (1120, &[0x42]),
                (1128, &ID),
            ],
            SignatureKind::Ext4,
            None,
            IDTEXT,
        ),
        (
            &[(4086, b"SWAPSPACE2"), (1036, &ID), (1052, b"sw")],
            SignatureKind::Swap,
            Some("sw"),
            IDTEXT,
        ),
        (
            &[(65526, b"SWAPSPACE2"), (1036, &ID)],
            SignatureKind::Swap,
            None,
            IDTEXT,
        ),
        (
            &[
                (0, b"LUKS\xba\xbe\0\x02"),
                (24, b"crypt"),
                (168, IDTEXT.as_bytes()),
            ],
            SignatureKind::Luks,
            Some("crypt"),
            IDTEXT,
        ),
        (
            &[(0, b"LUKS\xba\xbe\0\x01"), (168, IDTEXT.as_bytes())],
            SignatureKind::Luks,
            None,
            IDTEXT,
        ),
        (
            &[
                (512, b"LABELONE"),
                (532, &[32]),
                (536, b"LVM2 001"),
                (544, b"abcdefghijklmnopqrstuvwxyz012345"),
            ],
            SignatureKind::Lvm,
            None,
            "abcdef-ghij-klmn-opqr-stuv-wxyz-012345",
        ),
        (
            &[
                (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1]),
                (4112, &ID),
                (4128, b"host:0"),
            ],
            SignatureKind::Raid,
            Some("host:0"),
            IDTEXT,
        ),
        (
            &[
                (SIZE - 8192, &[0xfc, 0x4e, 0x2b, 0xa9, 1]),
                (SIZE - 8176, &ID),
            ],
            SignatureKind::Raid,
            None,
            IDTEXT,
        ),
        (
            &[
                (1024, &[0x10, 0x20, 0xf5, 0xf2]),
                (1132, &ID),
                (1148, b"d\0a\0"),
            ],
            SignatureKind::F2fs,
            Some("da"),
            IDTEXT,
        ),
        (
            &[
                (32769, b"CD001"),
                (32808, b"b2d-v1  "),
                (32768 + 813, b"2026010203040506"),
            ],
            SignatureKind::Iso9660,
            Some("b2d-v1"),
            "2026-01-02-03-04-05-06",
        ),
        (
            &[(3, b"NTFS    "), (0x48, &[0x2a])],
            SignatureKind::Ntfs,
            None,
            "000000000000002A",
        ),
        (
            &[
                (0, &[0xeb, 0x58, 0x90]),
                (11, &[0, 2, 8]),
                (0x43, &[0x78, 0x56, 0x34, 0x12]),
                (0x47, b"B2P-DATA   FAT32   "),
                (510, &[0x55, 0xaa]),
            ],
            SignatureKind::Vfat,
            Some("B2P-DATA"),
            "1234-5678",
        ),
        (
            &[
                (0, &[0xeb, 0x3c, 0x90]),
                (11, &[0, 2, 8]),
                (0x27, &[1, 0, 2, 0]),
                (0x2b, b"NO NAME    FAT16   "),
            ],
            SignatureKind::Vfat,
            None,
            "0002-0001",
        ),
    ];
    for (parts, kind, label, uuid) in cases {
        let found = only(&with(SIZE, parts));
        assert_eq!(
            (found.kind, found.label.as_deref(), found.uuid.as_deref()),
            (*kind, *label, Some(*uuid))
        );
    }
}

#[test]
fn raid_drbd_and_zfs_signatures_at_the_end_of_a_device() {
    let raid = with(SIZE, &[(SIZE - 65536, &[0xfc, 0x4e, 0x2b, 0xa9])]);
    assert_eq!(only(&raid).kind, SignatureKind::Raid);
    let drbd = with(SIZE, &[(SIZE - 4096 + 60, &[0x83, 0x74, 2, 0x6b])]);
    assert_eq!(only(&drbd).kind, SignatureKind::Drbd);
    for at in [0, 1 << 18, SIZE - (2 << 18), SIZE - (1 << 18)] {
        let list: &[(usize, &[u8])] = &[(at + 16384, &[1, 1]), (at + 16384 + 28, b"version")];
        assert_eq!(only(&with(SIZE, list)).kind, SignatureKind::Zfs);
    }
    let root = with(SIZE, &[(131072 + 4096, &0x00ba_b10cu64.to_le_bytes())]);
    assert_eq!(only(&root).kind, SignatureKind::Zfs);
}

#[test]
fn a_half_of_a_mirror_has_two_signatures() {
    let disk = with(
        SIZE,
        &[
            (1080, &[0x53, 0xef]),
            (SIZE - 8192, &[0xfc, 0x4e, 0x2b, 0xa9, 1]),
        ],
    );
    let kinds: Vec<_> = probe(&disk).unwrap().iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [SignatureKind::Ext2, SignatureKind::Raid]);
}

#[test]
fn a_boot_sector_with_entries_is_a_table_and_one_without_is_not() {
    let entry = [0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    assert_eq!(
        only(&with(SIZE, &[(446, &entry), (510, &[0x55, 0xaa])])).kind,
        SignatureKind::Mbr
    );
    let bare = with(SIZE, &[(510, &[0x55, 0xaa])]);
    assert!(probe(&bare).unwrap().is_empty() && !is_blank(&bare).unwrap());
    let odd = [0x81, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    assert!(
        probe(&with(SIZE, &[(446, &odd), (510, &[0x55, 0xaa])]))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn blank_is_zero_everywhere_that_matters() {
    let size = 160 << 20;
    let mut disk = vec![0; size];
    assert!(is_blank(&disk).unwrap() && probe(&disk).unwrap().is_empty());
    for at in [
        0,
        511,
        5 << 20,
        (64 << 20) - 1,
        128 << 20,
        size - (8 << 20),
        size - 1,
    ] {
        disk[at] = 1;
        assert!(!is_blank(&disk).unwrap(), "{at}");
        disk[at] = 0;
    }
    assert!(!is_blank(&Vec::new()).unwrap());
}

#[test]
fn a_read_error_is_reported() {
    struct Broken(u64);
    impl ReadAt for Broken {
        fn size(&self) -> u64 {
            8 << 20
        }
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(0);
            if (offset..offset + buffer.len() as u64).contains(&self.0) {
                return Err(io::Error::other("bad sector"));
            }
            Ok(())
        }
    }
    for at in [0, 65600, 1 << 20, (8 << 20) - 512] {
        assert!(probe(&Broken(at)).is_err(), "{at}");
    }
    assert!(is_blank(&Broken(3 << 20)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_can_be_probed(bytes in proptest::collection::vec(any::<u8>(), 0..6_000)) {
        let _ = probe(&bytes).unwrap();
        let _ = is_blank(&bytes).unwrap();
    }

    #[test]
    fn any_bytes_around_a_signature_can_be_probed(
        magic in 0..AT_START.len(),
        noise in proptest::collection::vec((0usize..140_000, any::<u8>()), 0..50),
    ) {
        let mut disk = with(140_000, &[(AT_START[magic].offset as usize, AT_START[magic].bytes)]);
        for (at, byte) in noise {
            put(&mut disk, at, &[byte]);
        }
        prop_assert!(probe(&disk).is_ok());
    }
}
