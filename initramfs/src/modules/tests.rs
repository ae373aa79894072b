// SPDX-License-Identifier: Apache-2.0
use super::*;

const DEP: &str = "kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko kernel/fs/netfs.ko\n\
                   kernel/lib/libcrc32c.ko:\n\
                   kernel/fs/netfs.ko:\n\
                   kernel/drivers/nvme-x.ko.xz: kernel/lib/libcrc32c.ko\n";

#[test]
fn needs_come_first_and_only_once() -> Result<()> {
    let index = Index::parse(DEP, "kernel/fs/ext4/ext4.ko\n");
    let order = index.closure(["erofs", "ext4", "nvme-x"])?;
    let names: Vec<_> = order.iter().map(|p| name_of(p)).collect();
    assert_eq!(names, ["netfs", "libcrc32c", "erofs", "nvme_x"]);
    Ok(())
}

#[test]
fn a_module_that_does_not_exist_is_named() {
    let error = Index::parse(DEP, "")
        .closure(["typo"])
        .map_err(|e| e.to_string());
    assert!(error.is_err_and(|e| e.ends_with("no module typo")));
}

#[test]
fn no_module_is_chosen_twice() {
    let generic = rows(Kernel::Generic).flat_map(|(names, _)| names.split(' '));
    let mut chosen: Vec<_> = generic.collect();
    let count = chosen.len();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen.len(), count);
    assert!(rows(Kernel::Generic).all(|(_, why)| !why.is_empty()));
}

#[test]
fn each_kernel_must_have_what_its_rows_name_and_no_more() {
    let cloud: BTreeSet<_> = names(Kernel::Cloud).collect();
    let generic: BTreeSet<_> = names(Kernel::Generic).collect();
    assert!(cloud.contains("virtio_net") && generic.is_superset(&cloud));
    let slim: BTreeSet<_> = names(Kernel::Slim).collect();
    let left: BTreeSet<_> = NOT_SLIM.iter().flat_map(|(n, _)| n.split(' ')).collect();
    assert!(cloud.difference(&slim).eq(&left) && slim.is_subset(&cloud));
    for name in ["usb_storage", "mmc_block", "e1000", "vboxguest"] {
        assert!(generic.contains(name) && !cloud.contains(name), "{name}");
    }
}
