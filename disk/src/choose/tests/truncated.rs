// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::table_fault::TableFault;
use crate::truncation::{Table, Truncation};

#[test]
fn a_truncated_data_disk_is_named_and_left_alone() {
    let table = |data_end, is_readable| {
        Truncation::Table(Table {
            size: 2 << 30,
            data_end,
            is_readable,
        })
    };
    let disk = |truncation| Device {
        truncation: Some(truncation),
        ..device("vda", vec![found(SignatureKind::Gpt, "", "")])
    };
    let told = "vda: it has 1024 MiB, but its partition table is that of a disk of 2048 MiB";
    for selector in [
        DiskSelector::Auto,
        DiskSelector::Label("boot2podman-data".into()),
        DiskSelector::Device("/dev/vda".into()),
    ] {
        let cut = [disk(table(Some(2047 << 20), false))];
        let choice = choose(&cut, &selector, FormatPolicy::Blank);
        assert!(
            matches!(choice.decision, Decision::NoDisk(_)),
            "{selector:?}"
        );
        assert!(choice.degraded[0].starts_with(told), "{choice:?}");
        assert!(
            choice.degraded[0].contains("ends at 2047 MiB"),
            "{choice:?}"
        );
    }
    let others = [disk(table(None, false))];
    assert!(auto(&others).degraded.is_empty(), "a disk of somebody else");
    let whole = [
        disk(table(Some(1 << 30), true)),
        part("vda1", "vda", "boot2podman-data"),
    ];
    let choice = auto(&whole);
    assert_eq!(choice.decision, uses("vda1"));
    assert!(choice.degraded[0].contains("is whole"), "{choice:?}");
    // The kernel cuts a partition of an MBR to its disk: the file system shows the cut.
    let fs = Truncation::FileSystem(SignatureKind::Ext4, 3 << 29);
    let cut = Device {
        truncation: Some(fs),
        ..part("vda1", "vda", "boot2podman-data")
    };
    let choice = auto(&[device("vda", vec![found(SignatureKind::Mbr, "", "")]), cut]);
    let told = "vda1: it has 1024 MiB, but its ext4 has 1536 MiB: its end is missing";
    assert!(choice.degraded[0].starts_with(told), "{choice:?}");
    assert!(matches!(choice.decision, Decision::NoDisk(_)));
}

#[test]
fn a_data_disk_with_a_table_that_is_not_read_is_named_and_left_alone() {
    for (fault, words) in [
        (
            TableFault::OtherSector(512),
            "made for sectors of 512 bytes",
        ),
        (TableFault::Damaged, "its partition table is damaged"),
    ] {
        let disk = Device {
            table_fault: Some(fault),
            is_blank: true,
            ..device("vda", Vec::new())
        };
        let choice = choose(
            std::slice::from_ref(&disk),
            &DiskSelector::Auto,
            FormatPolicy::Blank,
        );
        assert!(matches!(choice.decision, Decision::NoDisk(_)));
        assert!(choice.degraded[0].contains(words), "{choice:?}");
        let beside = auto(&[disk.clone(), fs("vdb", LABELS[0])]);
        assert_eq!(beside.decision, uses("vdb"));
        assert!(beside.degraded[0].starts_with("vda: "), "{beside:?}");
        let loops = Device {
            is_virtual: true,
            ..disk
        };
        assert!(auto(&[loops]).degraded.is_empty());
    }
}
