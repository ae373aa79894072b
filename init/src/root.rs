//! The root file system: a read-only image in RAM_DIR, a tmpfs over it, and the way there.
//!
//! ```text
//! rootfs (the unpacked initrd)      /init  /bin/{busybox,b2p}  /userland.erofs  /modules
//!   └─ erofs, read from that file   lower
//!   └─ tmpfs                        upper and work, and what podman stores
//!        └─ overlay                 becomes /
//! ```
//! The overlay ends up *mounted over* the rootfs, never being it: pivot_root(2)
//! refuses when the current root is the rootfs (crun#1507), and podman's own
//! overlay must not sit on an overlay (containerd#2071), so container storage is
//! a bind mount of the tmpfs itself.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{info, warn};
use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, chdir, chroot, unlinkat};

use sys::{image, modules};

/// The image in the initrd, last there, so that what a small memory cuts off is this.
const IMAGE: &str = "/userland.erofs";
/// Modules needed before the image can be read, and their order.
const MODULES_DIR: &str = "/modules";
/// Our own place in the userland, and nowhere in an initrd.
const USERLAND_INIT: &str = "/usr/lib/boot2podman/init";
/// `/` was the userland before us.
static IN_CONTAINER: AtomicBool = AtomicBool::new(false);
/// Needed only where the image cannot be mounted directly.
const LOOP_MODULE: &str = "/modules/loop.ko";
/// Where things are put together; none of it is visible afterwards.
const LOWER_DIR: &str = "/b2p/lower";
const RAM_DIR: &str = "/b2p/ram";
const ROOT_DIR: &str = "/b2p/root";
/// All that is written without a data disk shares this much of the memory.
const RAM_SIZE: &str = "mode=0755,size=75%";

/// Mounts that follow the root; everything below them comes along.
const MOVED_MOUNTS: &[&str] = &["/dev", "/proc", "/sys", "/run"];
/// Files of the initrd that the userland uses in place, so that they exist once.
const BIND_MOUNTS: &[(&str, &str)] = &[
    ("/init", "usr/lib/boot2podman/init"),
    ("/bin/b2p", "usr/bin/b2p"),
    ("/bin/busybox", "usr/bin/busybox"),
];
/// Names in the rootfs that stay: in use by a mount or as our own program.
const ROOTFS_NAMES_IN_USE: &[&str] = &[
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

/// Loads the modules that reading the image needs, in the order the image
/// builder wrote down.
///
/// # Errors
/// The modules that could not be loaded. `verify` is set where the kernel turns
/// out to insist on signatures.
pub fn load_early_modules(verify: &mut bool) -> Result<(), String> {
    IN_CONTAINER.store(assembled(), Ordering::Relaxed);
    if in_container() {
        return Ok(());
    }
    let dir = Path::new(MODULES_DIR);
    let order = dir.join("order");
    let text = fs::read_to_string(&order).map_err(|e| format!("{}: {e}", order.display()))?;
    let mut failed = Vec::new();
    for name in text.lines().filter(|l| !l.is_empty()) {
        let path = dir.join(name);
        if let Err(e) = modules::insmod(&path, "", verify) {
            failed.push(format!("{}: {e}", path.display()));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

/// Puts the root together and moves into it.
///
/// # Errors
/// The step that failed and what it means. Nothing has been moved then.
pub fn assemble() -> Result<(), String> {
    if in_container() {
        info!("the root is as it was found: this is a namespace, or a container");
        return Ok(());
    }
    for dir in [LOWER_DIR, RAM_DIR, ROOT_DIR] {
        fs::create_dir_all(dir).map_err(|e| format!("{dir}: {e}"))?;
    }
    image::mount_image(IMAGE, LOWER_DIR, Path::new(LOOP_MODULE))?;
    mount_on("ram", RAM_DIR, "tmpfs", MsFlags::MS_NODEV, RAM_SIZE)?;
    for dir in ["upper", "work", "containers"] {
        let path = format!("{RAM_DIR}/{dir}");
        fs::create_dir(&path).map_err(|e| format!("{path}: {e}"))?;
    }
    let layers = format!("lowerdir={LOWER_DIR},upperdir={RAM_DIR}/upper,workdir={RAM_DIR}/work");
    mount_on("root", ROOT_DIR, "overlay", MsFlags::empty(), &layers)?;
    for (from, to) in BIND_MOUNTS {
        bind(from, &format!("{ROOT_DIR}/{to}"))?;
    }
    bind(
        &format!("{RAM_DIR}/containers"),
        &format!("{ROOT_DIR}/var/lib/containers"),
    )?;
    // The overlay and the bind hold what they need; these names are not needed.
    for dir in [RAM_DIR, LOWER_DIR] {
        umount2(dir, MntFlags::MNT_DETACH).map_err(|e| format!("umount {dir}: {e}"))?;
    }
    switch_root()
}

fn mount_on(from: &str, to: &str, fstype: &str, flags: MsFlags, data: &str) -> Result<(), String> {
    mount(
        Some(from),
        to,
        Some(fstype),
        flags,
        Some(data).filter(|d| !d.is_empty()),
    )
    .map_err(|e| format!("mount {fstype} {from} on {to}: {e}"))
}

fn bind(from: &str, to: &str) -> Result<(), String> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|e| format!("bind {from} on {to}: {e}"))
}

/// Moves the API file systems, then the new root over the old one, and gives
/// back what the old one held (Documentation/filesystems/ramfs-rootfs-initramfs.rst).
fn switch_root() -> Result<(), String> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let old = open("/", flags, Mode::empty()).map_err(|e| format!("/: {e}"))?;
    for dir in MOVED_MOUNTS {
        let to = format!("{ROOT_DIR}{dir}");
        mount(
            Some(*dir),
            to.as_str(),
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )
        .map_err(|e| format!("move {dir}: {e}"))?;
    }
    chdir(ROOT_DIR).map_err(|e| format!("chdir {ROOT_DIR}: {e}"))?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .map_err(|e| format!("move {ROOT_DIR} to /: {e}"))?;
    chroot(".").map_err(|e| format!("chroot: {e}"))?;
    chdir("/").map_err(|e| format!("chdir /: {e}"))?;
    // After the switch, or the old root would be shared (buildah#3726).
    let shared = MsFlags::MS_REC | MsFlags::MS_SHARED;
    mount(None::<&str>, "/", None::<&str>, shared, None::<&str>)
        .unwrap_or_else(|e| warn!("/ is not shared: {e}: containers do not see later mounts"));
    info!("gave back {} kB of the initrd", free_initrd(old) / 1024);
    Ok(())
}

/// Deletes what is left of the unpacked initrd and is not in use; only on its
/// own file system, never through a link. Returns the bytes.
fn free_initrd(old: OwnedFd) -> u64 {
    match fstat(&old) {
        Ok(root) => delete_tree(old, root.st_dev),
        Err(_) => 0,
    }
}

/// What is in `dir`, where that is on `device`: what is mounted there is not ours.
fn delete_tree(dir: OwnedFd, device: libc::dev_t) -> u64 {
    if !fstat(&dir).is_ok_and(|d| d.st_dev == device) {
        return 0;
    }
    let Ok(mut dir) = Dir::from_fd(dir) else {
        return 0;
    };
    // Up to the first error: readdir(3) would say it again and again.
    let names: Vec<_> = dir
        .iter()
        .map_while(Result::ok)
        .map(|e| (e.file_name().to_owned(), e.file_type()))
        .collect();
    let mut freed = 0;
    for (name, kind) in names {
        let text = name.to_string_lossy();
        if text == "." || text == ".." || ROOTFS_NAMES_IN_USE.contains(&text.as_ref()) {
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
            let size = fstatat(&dir, name.as_c_str(), flags)
                .map_or(0, |s| u64::try_from(s.st_size).unwrap_or(0));
            if unlinkat(&dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok() {
                freed += size;
            }
        }
    }
    freed
}

/// Whether `/` was the userland before us: then this is a namespace or a
/// container, the kernel and its modules are somebody else's, and what we may
/// not do to them is no fault.
#[must_use]
pub fn in_container() -> bool {
    IN_CONTAINER.load(Ordering::Relaxed)
}

/// Whether `/` is the userland: [`assemble`]'s, or one that was there.
#[must_use]
pub fn assembled() -> bool {
    Path::new(USERLAND_INIT).exists()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The other end of a link, what is on another device and what is in use stay.
    #[test]
    fn only_what_is_ours_is_deleted() {
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
        assert_eq!(delete_tree(opened(), device + 1), 0, "not of that device");
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
