// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
mod truncated;
mod unreadable;

use super::*;
use crate::format_record::FormatRecord;
use crate::format_state::Refusal;
use crate::userdata::Defect;

fn found(kind: SignatureKind, label: &str, uuid: &str) -> Signature {
    let non_empty = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    Signature {
        kind,
        label: non_empty(label),
        uuid: non_empty(uuid),
    }
}

fn device(name: &str, found: Vec<Signature>) -> Device {
    Device {
        name: name.into(),
        parent_disk: None,
        size: 1 << 30,
        read_only: false,
        is_virtual: false,
        in_use: None,
        partuuid: None,
        is_data_partition: false,
        signatures: Ok(found),
        truncation: None,
        table_fault: None,
        format_state: FormatState::Unrelated,
        is_blank: false,
    }
}

fn fs(name: &str, label: &str) -> Device {
    device(name, vec![found(SignatureKind::Ext4, label, "")])
}

fn part(name: &str, disk: &str, label: &str) -> Device {
    Device {
        parent_disk: Some(disk.into()),
        ..fs(name, label)
    }
}

fn asks(name: &str) -> Device {
    Device {
        format_state: FormatState::Requested(Box::default(), Vec::new()),
        ..device(name, Vec::new())
    }
}

fn record() -> Box<FormatRecord> {
    Box::new(FormatRecord::new(Vec::new(), 512, [[1; 16]; 3]))
}

fn auto(devices: &[Device]) -> Choice {
    choose(devices, &DiskSelector::Auto, FormatPolicy::Magic)
}

fn uses(name: &str) -> Decision {
    Decision::Use(name.into(), SignatureKind::Ext4)
}

#[test]
fn the_label_counts_first_then_the_name() {
    let all = [
        fs("sda10", "b2p-data"),
        fs("sda2", "b2p-data"),
        fs("vdz", "boot2docker-data"),
    ];
    let choice = auto(&all);
    assert_eq!(choice.decision, uses("sda2"));
    assert_eq!(choice.notes.len(), 2);
    assert!(choice.notes[0].contains("sda10: could be") && choice.degraded.is_empty());
    let ours = [all.as_slice(), &[fs("zz9", "boot2podman-data")]].concat();
    assert_eq!(auto(&ours).decision, uses("zz9"));
}

#[test]
fn a_labelled_disk_precedes_one_that_requests_a_format() {
    assert_eq!(
        auto(&[asks("vda"), fs("vdb1", "b2p-data")]).decision,
        uses("vdb1")
    );
    assert_eq!(
        auto(&[asks("vdb"), asks("vda")]).decision,
        Decision::Format("vda".into())
    );
}

#[test]
fn a_selector_chooses_one_device() {
    let mut all = vec![fs("vda1", "boot2podman-data"), fs("vdb1", "other")];
    all[1].partuuid = Some("ABCD-01".into());
    all[1].signatures = Ok(vec![found(SignatureKind::Xfs, "other", "aa-BB")]);
    let second = Decision::Use("vdb1".into(), SignatureKind::Xfs);
    for wanted in [
        DiskSelector::Label("other".into()),
        DiskSelector::Uuid("AA-bb".into()),
        DiskSelector::PartUuid("abcd-01".into()),
        DiskSelector::Device("/dev/vdb1".into()),
    ] {
        assert_eq!(
            choose(&all, &wanted, FormatPolicy::Magic).decision,
            second,
            "{wanted:?}"
        );
        let none = choose(&all[..1], &wanted, FormatPolicy::Magic);
        assert!(
            matches!(none.decision, Decision::NoDisk(_)) && none.degraded.len() == 1,
            "{none:?}"
        );
    }
    let off = choose(&all, &DiskSelector::Off, FormatPolicy::Magic);
    assert!(matches!(off.decision, Decision::NoDisk(_)) && off.degraded.is_empty());
}

#[test]
fn a_named_disk_stands_for_the_data_partition_on_it() {
    let disk = device("vda", vec![found(SignatureKind::Gpt, "", "")]);
    let all = [
        disk,
        part("vda1", "vda", "other"),
        part("vda2", "vda", "boot2podman-data"),
    ];
    let wanted = DiskSelector::Device("/dev/vda".into());
    assert_eq!(
        choose(&all, &wanted, FormatPolicy::Magic).decision,
        uses("vda2")
    );
    let none = choose(&all[..2], &wanted, FormatPolicy::Magic);
    assert!(matches!(none.decision, Decision::NoDisk(_)) && none.degraded.len() == 1);
}

#[test]
fn a_machine_without_disks_has_no_degraded_line() {
    let none = auto(&[device(
        "sr0",
        vec![found(SignatureKind::Iso9660, "b2d", "")],
    )]);
    assert_eq!(none.decision, Decision::NoDisk("no data disk".into()));
    assert!(none.degraded.is_empty());
    assert_eq!(none.notes, ["sr0: it holds iso9660"]);
}

#[test]
fn a_device_with_two_signatures_is_not_used() {
    let mut half = fs("sda", "boot2podman-data");
    half.signatures
        .as_mut()
        .unwrap()
        .push(found(SignatureKind::Raid, "", ""));
    let choice = auto(&[half]);
    assert!(matches!(choice.decision, Decision::NoDisk(_)));
    assert!(
        choice.degraded[0].contains("ext4 and raid_member at once"),
        "{choice:?}"
    );
}

#[test]
fn a_partition_of_a_mirror_half_is_left_alone() {
    let half = device(
        "sda",
        vec![
            found(SignatureKind::Gpt, "", ""),
            found(SignatureKind::Raid, "", ""),
        ],
    );
    let choice = auto(&[half, part("sda1", "sda", "boot2podman-data")]);
    assert!(matches!(choice.decision, Decision::NoDisk(_)));
    assert!(choice.degraded[0].contains("raid_member"), "{choice:?}");
}

#[test]
fn a_file_system_that_cannot_keep_containers_is_named() {
    let stick = device("sdb1", vec![found(SignatureKind::Vfat, "b2p-data", "")]);
    assert!(auto(&[stick]).degraded[0].contains("vfat"));
    let ro = Device {
        read_only: true,
        ..fs("vda", "b2p-data")
    };
    assert!(auto(&[ro]).degraded[0].contains("only be read"));
    let busy = Device {
        in_use: Some("mounted on /x".into()),
        ..fs("vda", "b2p-data")
    };
    assert!(auto(&[busy]).degraded[0].contains("in use: mounted on /x"));
    let half = fs("vda", UNFINISHED_LABEL);
    assert!(matches!(auto(&[half]).decision, Decision::NoDisk(_)));
}

#[test]
fn a_known_signature_is_never_formatted() {
    for kind in [
        SignatureKind::Ntfs,
        SignatureKind::Lvm,
        SignatureKind::Luks,
        SignatureKind::Zfs,
        SignatureKind::Gpt,
        SignatureKind::Other("vdo"),
    ] {
        let on_it = vec![found(kind, "", "")];
        let asks = Device {
            format_state: FormatState::Requested(Box::default(), on_it.clone()),
            ..device("vda", on_it.clone())
        };
        let choice = auto(&[asks]);
        assert!(matches!(choice.decision, Decision::NoDisk(_)), "{kind:?}");
        assert!(
            choice.degraded[0].contains(kind.name()) && choice.degraded[0].starts_with("vda: ")
        );
        let blank = Device {
            is_blank: true,
            ..device("vda", on_it)
        };
        let choice = choose(&[blank], &DiskSelector::Auto, FormatPolicy::Blank);
        assert!(matches!(choice.decision, Decision::NoDisk(_)), "{kind:?}");
    }
}

#[test]
fn a_blank_disk_wants_the_flag() {
    let blank = Device {
        is_blank: true,
        ..device("vda", Vec::new())
    };
    assert!(matches!(
        auto(std::slice::from_ref(&blank)).decision,
        Decision::NoDisk(_)
    ));
    let choice = choose(
        std::slice::from_ref(&blank),
        &DiskSelector::Auto,
        FormatPolicy::Blank,
    );
    assert_eq!(choice.decision, Decision::Format("vda".into()));
    let unknown = Device {
        is_blank: false,
        ..blank.clone()
    };
    let part = Device {
        parent_disk: Some("vda".into()),
        ..blank
    };
    for device in [unknown, part] {
        let choice = choose(&[device], &DiskSelector::Auto, FormatPolicy::Blank);
        assert!(matches!(choice.decision, Decision::NoDisk(_)));
    }
}

#[test]
fn a_requested_format_may_be_refused() {
    let loop0 = Device {
        is_virtual: true,
        ..asks("loop0")
    };
    assert!(matches!(
        auto(std::slice::from_ref(&loop0)).decision,
        Decision::NoDisk(_)
    ));
    let named = choose(
        &[loop0],
        &DiskSelector::Device("/dev/loop0".into()),
        FormatPolicy::Magic,
    );
    assert_eq!(named.decision, Decision::Format("loop0".into()));
    let never = choose(&[asks("vda")], &DiskSelector::Auto, FormatPolicy::Never);
    assert!(matches!(never.decision, Decision::NoDisk(_)) && never.degraded[0].contains("never"));
    let divided = auto(&[asks("vda"), part("vda1", "vda", "x")]);
    assert!(
        matches!(divided.decision, Decision::NoDisk(_))
            && divided.degraded[0].contains("partitions")
    );
    let refused = Device {
        format_state: FormatState::Refused(Refusal::RecordDamaged),
        ..device("vda", Vec::new())
    };
    assert!(auto(&[refused]).degraded[0].contains("is damaged"));
    let other = choose(
        &[asks("vda")],
        &DiskSelector::Label("x".into()),
        FormatPolicy::Magic,
    );
    assert!(matches!(other.decision, Decision::NoDisk(_)));
}

#[test]
fn a_format_in_progress_is_resumed_and_a_complete_one_is_finished() {
    let half = Device {
        format_state: FormatState::InProgress(record()),
        ..device("vda", vec![found(SignatureKind::Gpt, "", "")])
    };
    let inside = part("vda1", "vda", UNFINISHED_LABEL);
    assert_eq!(
        auto(&[half.clone(), inside]).decision,
        Decision::Format("vda".into())
    );
    // A partition is not used while the format of its disk is in progress.
    let inside = part("vda1", "vda", "boot2podman-data");
    assert_eq!(
        auto(&[half, inside.clone()]).decision,
        Decision::Format("vda".into())
    );
    let made = Device {
        format_state: FormatState::Complete(record()),
        ..device("vda", vec![found(SignatureKind::Gpt, "", "")])
    };
    assert_eq!(
        auto(&[made, inside]).decision,
        Decision::FinishFormat("vda".into())
    );
}

#[test]
fn other_disks_are_reported_beside_the_data_disk() {
    let refused = Device {
        format_state: FormatState::Refused(Refusal::BrokenUserdata(512, Defect::Link)),
        ..device("sdc", Vec::new())
    };
    let unreadable = Device {
        signatures: Err(std::io::Error::other("bad sector").into()),
        ..device("sdd", Vec::new())
    };
    let silent = Device {
        signatures: Err(
            std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer").into(),
        ),
        ..device("sde", Vec::new())
    };
    let own = device("vda", vec![found(SignatureKind::Gpt, "", "")]);
    let windows = device("sda", vec![found(SignatureKind::Mbr, "", "")]);
    let image = Device {
        is_virtual: true,
        ..device("loop0", vec![found(SignatureKind::Erofs, "", "")])
    };
    let data = part("vda1", "vda", "boot2podman-data");
    let others = [windows, asks("sdb"), refused, unreadable, silent, image];
    let choice = auto(&[vec![own, data], others.to_vec()].concat());
    assert_eq!(choice.decision, uses("vda1"));
    let notes = [
        "sdd: cannot be read: bad sector",
        "sde: cannot be read: it does not answer",
        "sda: it holds dos",
        "sdb: it asks to be formatted, but vda1 is the data disk",
    ];
    assert_eq!(choice.notes, notes);
    assert_eq!(
        choice.degraded,
        [
            "sdc: not formatted: its userdata.tar is broken at byte 512: a link",
            "sde: cannot be read: it does not answer",
        ]
    );
}

#[test]
fn a_lost_data_disk_is_reported() {
    let unreadable = Device {
        signatures: Err(std::io::Error::other("bad sector").into()),
        ..device("sda", Vec::new())
    };
    let bare = |format_state: FormatState| {
        let disk = Device {
            format_state,
            ..device("vda", vec![found(SignatureKind::Gpt, "", "")])
        };
        let part = Device {
            is_data_partition: true,
            signatures: Ok(Vec::new()),
            ..part("vda1", "vda", "")
        };
        [disk, part]
    };
    let told = |all: &[Device]| auto(all).degraded;
    assert_eq!(told(&[unreadable]), ["sda: cannot be read: bad sector"]);
    let lost = told(&bare(FormatState::Unrelated));
    assert!(
        lost.len() == 1 && lost[0].starts_with("vda1: it is a data partition"),
        "{lost:?}"
    );
    assert!(told(&bare(FormatState::InProgress(record()))).is_empty());
}
