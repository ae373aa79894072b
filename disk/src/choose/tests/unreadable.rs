// SPDX-License-Identifier: Apache-2.0
//! Partitions that cannot be read.

use super::*;

#[test]
fn an_unreadable_partition_is_reported_if_it_may_be_selected() {
    let disk = device("vda", vec![found(SignatureKind::Gpt, "", "")]);
    let part = |is_data_partition| Device {
        is_data_partition,
        partuuid: Some("ab-1".into()),
        signatures: Err(std::io::Error::other("bad sector").into()),
        ..part("vda1", "vda", "")
    };
    let told = |is_data: bool, selector: &DiskSelector| {
        let all = [disk.clone(), part(is_data)];
        let choice = choose(&all, selector, FormatPolicy::Magic);
        choice.degraded == ["vda1: cannot be read: bad sector"]
    };
    let path = |path: &str| DiskSelector::Device(path.into());
    for (is_data, selector, expected) in [
        (true, DiskSelector::Auto, true),
        (false, DiskSelector::Auto, false),
        (true, DiskSelector::Label("mine".into()), true),
        (false, DiskSelector::PartUuid("AB-1".into()), true),
        (true, DiskSelector::PartUuid("cd-2".into()), false),
        (false, path("/dev/vda1"), true),
        (true, path("/dev/vda"), true),
        (true, path("/dev/vdb"), false),
    ] {
        assert_eq!(told(is_data, &selector), expected, "{selector}");
    }
    // Beside a used data disk, the log has the unreadable one.
    let all = [disk.clone(), part(true), fs("vdb", "boot2podman-data")];
    assert_eq!(
        (auto(&all).decision, auto(&all).degraded.len()),
        (uses("vdb"), 0)
    );
}
