// SPDX-License-Identifier: Apache-2.0
//! The root file system: a read-only image in RAM with a tmpfs above the image, and the switch to this overlay.
//!
//! ```text
//! rootfs (the unpacked initrd)      /init  /bin/{busybox,b2p}  /userland.erofs  /modules
//!   └─ erofs, read from that file   lower
//!   └─ tmpfs, three of them         upper and work; podman's lists; layers and temporary files
//!        └─ overlay                 becomes /
//! ```
//! The overlay is *mounted over* the rootfs and never is the rootfs: pivot_root(2) refuses when
//! the current root is the rootfs (crun#1507). podman's own overlay must not be on an overlay
//! (containerd#2071), so container storage is a bind mount of a tmpfs itself.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{info, warn};
use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::sys::sysinfo::sysinfo;
use nix::unistd::{UnlinkatFlags, chdir, chroot, unlinkat};
use sys::error::{Doing, Error, Result};
use sys::{image, modules};

use crate::ram;

/// Image of the userland. The last file of the initrd, so that a memory that is too small cuts
/// off the image and nothing else.
const IMAGE: &str = "/userland.erofs";
/// Directory with the modules that mounting the image needs, and with a file of their order.
const MODULES_DIR: &str = "/modules";
/// Module for kernels that cannot mount the image directly.
const LOOP_MODULE: &str = "/modules/loop.ko";
/// Modules of the power button; a kernel may have them built in.
const BUTTON_MODULES: [&str; 2] = ["/modules/evdev.ko", "/modules/button.ko"];
/// Mount point of the image. This mount point and the next two are not visible after the switch.
const LOWER_DIR: &str = "/b2p/lower";
/// Mount point of the tmpfs.
const RAM_DIR: &str = "/b2p/ram";
/// Mount point of the overlay.
const ROOT_DIR: &str = "/b2p/root";
/// Options of the tmpfs that holds the mount points of the others ([`ram`]).
const MOUNT_POINTS_OPTIONS: &str = "mode=0700,size=64k";

/// Mounts that move to the new root, with everything below them.
const MOVED_MOUNTS: &[&str] = &["/dev", "/proc", "/sys", "/run"];
/// Files of the initrd that the userland uses in place, so that each exists once.
const BIND_MOUNTS: &[(&str, &str)] = &[
    ("/init", "usr/lib/boot2podman/init"),
    ("/init", "usr/libexec/podman/catatonit"),
    ("/bin/b2p", "usr/bin/b2p"),
    ("/bin/busybox", "usr/bin/busybox"),
];
/// Names in the rootfs that a mount or PID 1 itself uses.
const NAMES_IN_USE: &[&str] = &[
    "init",
    "bin",
    "busybox",
    "b2p",
    "userland.erofs",
    "dev",
    "proc",
    "sys",
    "run",
];

/// True if PID 1 started with the userland as its root.
static IN_CONTAINER: AtomicBool = AtomicBool::new(false);

/// Finds out if PID 1 started in a container. Called once, before [`assemble`].
pub fn detect_container() {
    IN_CONTAINER.store(has_userland(), Ordering::Relaxed);
}

/// Restores the result of [`detect_container`] from before a crash.
pub fn restore_container(in_container: bool) {
    IN_CONTAINER.store(in_container, Ordering::Relaxed);
}

/// Returns true if PID 1 started with the userland as its root, in a namespace or a container:
/// the kernel and its modules belong to the host, and an operation that the host does not
/// permit is no fault.
#[must_use]
pub fn in_container() -> bool {
    IN_CONTAINER.load(Ordering::Relaxed)
}

/// Returns true if PID 1 does not run in a container, whose host owns the root, the devices, the clock and the kernel's
/// settings (ConditionVirtualization=!container of systemd.unit(5)).
#[must_use]
pub fn outside_container() -> bool {
    !in_container()
}

/// Returns true if the initrd has a userland image.
#[must_use]
pub fn has_image() -> bool {
    Path::new(IMAGE).exists()
}

/// Returns true if `/` is the userland, by [`assemble`] or from the start: an initrd has no file
/// of this name.
#[must_use]
pub fn has_userland() -> bool {
    Path::new(sys::paths::INIT).exists()
}

/// Loads the modules that mounting the image needs, in the order that the image builder wrote
/// down. Sets `verify` if the kernel turns out to require signatures.
///
/// # Errors
/// The order cannot be read, or modules cannot be loaded.
pub fn load_root_modules(verify: &mut bool) -> Result<()> {
    let dir = Path::new(MODULES_DIR);
    let order = dir.join("order");
    let text = fs::read_to_string(&order).on(&order)?;
    let mut errors = Vec::new();
    for name in text.lines().filter(|line| !line.is_empty()) {
        let path = dir.join(name);
        errors.extend(modules::insmod(&path, "", verify).on(&path).err());
    }
    Error::join(errors)
}

/// Loads the drivers of the power button from the initrd, for a machine without a userland.
///
/// # Errors
/// The kernel refuses one.
pub fn load_button_modules(verify: &mut bool) -> Result<()> {
    let mut errors = Vec::new();
    for path in BUTTON_MODULES
        .map(Path::new)
        .into_iter()
        .filter(|p| p.exists())
    {
        errors.extend(modules::insmod(path, "", verify).on(path).err());
    }
    Error::join(errors)
}

/// Assembles the root and switches to the new root.
///
/// # Errors
/// A step fails. After the failure of a step before the switch, the root is still the rootfs.
pub fn assemble() -> Result<()> {
    for dir in [LOWER_DIR, RAM_DIR, ROOT_DIR] {
        fs::create_dir_all(dir).on(dir)?;
    }
    image::mount_image(IMAGE, LOWER_DIR, Path::new(LOOP_MODULE))?;
    // A tmpfs over the mount points: its end removes them, and with them the mounts below.
    mount_on(
        "ram",
        RAM_DIR,
        "tmpfs",
        MsFlags::MS_NODEV,
        MOUNT_POINTS_OPTIONS,
    )?;
    ram::mount_all(RAM_DIR, sysinfo().doing("sysinfo")?.ram_total())?;
    let own = format!("{RAM_DIR}/root");
    let layers = format!("lowerdir={LOWER_DIR},upperdir={own}/upper,workdir={own}/work");
    mount_on("root", ROOT_DIR, "overlay", MsFlags::empty(), &layers)?;
    for (from, to) in BIND_MOUNTS {
        bind(from, &format!("{ROOT_DIR}/{to}"))?;
    }
    ram::bind_all(RAM_DIR, ROOT_DIR)?;
    // The overlay and the bind mounts keep the file systems; their mount points are not needed.
    for dir in [RAM_DIR, LOWER_DIR] {
        umount2(dir, MntFlags::MNT_DETACH).doing(format!("umount {dir}"))?;
    }
    switch_root()
}

fn mount_on(from: &str, to: &str, fstype: &str, flags: MsFlags, data: &str) -> Result<()> {
    let data = Some(data).filter(|options| !options.is_empty());
    let mounted = mount(Some(from), to, Some(fstype), flags, data);
    mounted.doing(format!("mount {fstype} {from} on {to}"))
}

fn bind(from: &str, to: &str) -> Result<()> {
    let none = None::<&str>;
    let bound = mount(Some(from), to, none, MsFlags::MS_BIND, none);
    bound.doing(format!("bind {from} on {to}"))
}

fn move_mount(from: &str, to: &str) -> nix::Result<()> {
    let none = None::<&str>;
    mount(Some(from), to, none, MsFlags::MS_MOVE, none)
}

/// Moves the mounts of the API file systems, then the new root over the old one, and frees the
/// old one (Documentation/filesystems/ramfs-rootfs-initramfs.rst).
fn switch_root() -> Result<()> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let old_root = open("/", flags, Mode::empty()).on("/")?;
    for dir in MOVED_MOUNTS {
        move_mount(dir, &format!("{ROOT_DIR}{dir}")).doing(format!("move {dir}"))?;
    }
    chdir(ROOT_DIR).doing(format!("chdir {ROOT_DIR}"))?;
    move_mount(".", "/").doing(format!("move {ROOT_DIR} to /"))?;
    chroot(".").doing("chroot")?;
    chdir("/").doing("chdir /")?;
    // The root is made shared after the switch: before the switch, the old root would become shared (buildah#3726).
    let (none, shared) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED);
    mount(none, "/", none, shared, none)
        .unwrap_or_else(|e| warn!("/ is not shared: {e}: containers do not see later mounts"));
    info!(
        "gave back {} kB of the initrd",
        free_initrd(old_root) / 1024
    );
    Ok(())
}

/// Deletes the files of the unpacked initrd that are not in use, and returns the number of freed
/// bytes.
fn free_initrd(old_root: OwnedFd) -> u64 {
    match fstat(&old_root) {
        Ok(root) => delete_tree(old_root, root.st_dev),
        Err(_) => 0,
    }
}

/// Deletes the content of `dir` if the directory is on `device`: other file systems are mounted
/// there. Follows no link. Returns the number of bytes.
fn delete_tree(dir: OwnedFd, device: libc::dev_t) -> u64 {
    if !fstat(&dir).is_ok_and(|d| d.st_dev == device) {
        return 0;
    }
    let Ok(mut dir) = Dir::from_fd(dir) else {
        return 0;
    };
    // Up to the first error, which readdir(3) would return again and again.
    let entries: Vec<_> = dir
        .iter()
        .map_while(std::result::Result::ok)
        .map(|entry| (entry.file_name().to_owned(), entry.file_type()))
        .collect();
    let mut freed = 0;
    for (name, kind) in entries {
        let text = name.to_string_lossy();
        if text == "." || text == ".." || NAMES_IN_USE.contains(&text.as_ref()) {
            continue;
        }
        if kind == Some(Type::Directory) {
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            if let Ok(child) = openat(&dir, name.as_c_str(), flags, Mode::empty()) {
                freed += delete_tree(child, device);
            }
            let _ = unlinkat(&dir, name.as_c_str(), UnlinkatFlags::RemoveDir);
        } else {
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            let stat = fstatat(&dir, name.as_c_str(), flags);
            let size = stat.map_or(0, |s| u64::try_from(s.st_size).unwrap_or(0));
            if unlinkat(&dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok() {
                freed += size;
            }
        }
    }
    freed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The targets of links, files on another device and files in use stay.
    #[test]
    fn only_unused_files_of_the_initrd_are_deleted() {
        let top = std::env::temp_dir().join(format!("b2p-root-{}", std::process::id()));
        let (old, outside) = (top.join("old"), top.join("outside"));
        fs::create_dir_all(old.join("modules/deep")).unwrap();
        fs::create_dir_all(old.join("bin")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for name in ["modules/a.ko", "modules/deep/b.ko", "bin/c", "init"] {
            fs::write(old.join(name), [0; 100]).unwrap();
        }
        fs::write(outside.join("d"), "").unwrap();
        std::os::unix::fs::symlink(&outside, old.join("link")).unwrap();
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = || open(&old, flags, Mode::empty()).unwrap();
        let device = fstat(opened()).unwrap().st_dev;
        assert_eq!(delete_tree(opened(), device + 1), 0, "another device");
        assert!(old.join("modules/deep/b.ko").exists());
        let link = u64::try_from(outside.as_os_str().len()).unwrap();
        assert_eq!(free_initrd(opened()), 200 + link);
        let mut left: Vec<_> = fs::read_dir(&old)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort_unstable();
        assert_eq!(left, ["bin", "init"]);
        assert!(old.join("bin/c").exists() && outside.join("d").exists());
        fs::remove_dir_all(top).unwrap();
    }
}
