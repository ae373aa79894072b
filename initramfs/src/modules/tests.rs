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
fn each_kernel_has_exactly_the_modules_of_its_rows() {
    let cloud: BTreeSet<_> = names(Kernel::Cloud, Arch::host()).collect();
    let generic: BTreeSet<_> = names(Kernel::Generic, Arch::host()).collect();
    assert!(cloud.contains("virtio_net") && generic.is_superset(&cloud));
    let slim: BTreeSet<_> = names(Kernel::Slim, Arch::host()).collect();
    let left: BTreeSet<_> = NOT_SLIM.iter().flat_map(|(n, _)| n.split(' ')).collect();
    assert!(cloud.difference(&slim).eq(&left) && slim.is_subset(&cloud));
    for name in ["usb_storage", "mmc_block", "e1000", "vboxguest"] {
        assert!(generic.contains(name) && !cloud.contains(name), "{name}");
    }
}

#[test]
fn the_userland_has_neither_root_modules_nor_generated_lists() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let from = dir.path().join("usr/lib/modules/1");
    fs::create_dir_all(from.join("kernel/lib"))?;
    let dep = "kernel/erofs.ko: kernel/lib/libcrc32c.ko\nkernel/overlay.ko:\nkernel/loop.ko:\n\
               kernel/lib/libcrc32c.ko:\n";
    fs::write(from.join("modules.dep"), dep)?;
    fs::write(from.join("modules.builtin"), "kernel/crc32c_generic.ko\n")?;
    for name in [
        "kernel/erofs.ko",
        "kernel/lib/libcrc32c.ko",
        "kernel/overlay.ko",
        "kernel/loop.ko",
    ] {
        fs::write(from.join(name), name)?;
    }
    let to = userland::directory(dir.path(), "1");
    let early = userland::link(&from, &to)?;
    assert_eq!(
        early,
        [
            "kernel/lib/libcrc32c.ko",
            "kernel/erofs.ko",
            "kernel/overlay.ko"
        ]
    );
    let builtin = fs::read_to_string(to.join("modules.builtin"))?;
    assert_eq!(
        builtin,
        "kernel/crc32c_generic.ko\nkernel/lib/libcrc32c.ko\nkernel/erofs.ko\nkernel/overlay.ko\n"
    );
    assert_eq!(fs::read(to.join("kernel/loop.ko"))?, b"kernel/loop.ko");
    assert!(!to.join("kernel/overlay.ko").exists() && !to.join("kernel/lib").exists());
    assert!(!to.join("modules.dep").exists(), "depmod(8) makes it");
    Ok(())
}
