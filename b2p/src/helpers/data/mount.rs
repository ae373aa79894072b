//! The data file system, and what of the machine is bound to it.

use std::fs;
use std::path::Path;

use disk::signature::SignatureKind;
use log::warn;
use nix::mount::{MntFlags, MsFlags, mount as mount2, umount2};

use super::scan;
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// Directories on the disk: path, mode, owner.
const DIRECTORIES: &[(&str, u32, u32)] = &[
    ("boot2podman", 0o755, 0),
    ("boot2podman/ssh", 0o700, 0),
    ("containers", 0o755, 0),
    ("containers/user", 0o711, 0),
    ("containers/user/1000", 0o700, 1000),
];

/// Refuses to cover what has been written in RAM.
///
/// # Errors
/// Where something is.
pub fn hidden(paths: &Paths) -> Result<(), String> {
    for dir in [paths.state(), paths.containers()] {
        if written(&dir, 0) {
            return Err(format!(
                "something is in {} already, in RAM, and would be hidden; it is taken at the next boot",
                dir.display()
            ));
        }
    }
    Ok(())
}

/// Whether there is anything but directories.
fn written(dir: &Path, depth: usize) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|e| match e.file_type() {
        Ok(kind) if kind.is_dir() => depth > 8 || written(&e.path(), depth + 1),
        _ => true,
    })
}

/// Mounts the file system.
///
/// # Errors
/// What the kernel said, and what that usually means.
pub fn mount(path: &Path, name: &str, kind: SignatureKind, paths: &Paths) -> Result<(), String> {
    let target = paths.data_disk();
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let options = options(kind, discards(name));
    let flags = MsFlags::MS_NOATIME;
    let text = Some(options.as_str()).filter(|o| !o.is_empty());
    mount2(Some(path), &target, Some(kind.name()), flags, text).map_err(|e| {
        use nix::errno::Errno;
        let hint = match e {
            Errno::EUCLEAN | Errno::EINVAL | Errno::EBADMSG => {
                ": damaged, or of a kind that this kernel does not know"
            }
            Errno::ENODEV => ": this kernel does not know the file system",
            _ => "",
        };
        format!("mount {}: {e}{hint}", kind.name())
    })
}

/// What the file system is told. An ext file system that finds an error in itself
/// stops writing, whatever was said when it was made.
///
/// nodelalloc: containers/storage writes most of a layer without an fsync, and then
/// with one that the layer is there. Only where blocks are given at once does an
/// fsync (a commit of the journal, in data=ordered) bring what was written before it
/// to the disk as well; else a power cut leaves a layer whose files are empty.
fn options(kind: SignatureKind, discards: bool) -> String {
    let own = match kind {
        SignatureKind::Ext4 => Some("errors=remount-ro,nodelalloc"),
        SignatureKind::Ext2 | SignatureKind::Ext3 => Some("errors=remount-ro"),
        _ => None,
    };
    // btrfs and f2fs see to it themselves.
    let discard =
        (discards && matches!(kind, SignatureKind::Ext4 | SignatureKind::Xfs)).then_some("discard");
    own.into_iter().chain(discard).collect::<Vec<_>>().join(",")
}

/// Whether the disk takes back what is deleted; a partition's queue is the disk's.
fn discards(name: &str) -> bool {
    let most = scan::text(name, "queue/discard_max_bytes")
        .or_else(|| scan::text(name, "../queue/discard_max_bytes"));
    most.is_some_and(|m| m != "0")
}

/// Makes our directories on it and binds them to where programs look.
///
/// # Errors
/// What failed; [`undo`] takes back what did not.
pub fn bind(paths: &Paths) -> Result<(), String> {
    let mnt = paths.data_disk();
    for (path, mode, owner) in DIRECTORIES {
        atomic_file::directory(&mnt.join(path), *mode, *owner)?;
    }
    for (from, to) in [
        ("boot2podman", paths.state()),
        ("containers", paths.containers()),
    ] {
        fs::create_dir_all(&to).map_err(|e| format!("{}: {e}", to.display()))?;
        mount2(
            Some(&mnt.join(from)),
            &to,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .map_err(|e| format!("bind {}: {e}", to.display()))?;
    }
    Ok(())
}

/// Takes every mount back that is there, the last one first.
pub fn undo(paths: &Paths) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let source = format!("{}", paths.data_disk().display());
    let device = |target: &str| {
        let mut lines = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
        lines
            .rfind(|f| f.get(4) == Some(&target))
            .and_then(|f| f.get(2).map(|d| (*d).to_owned()))
    };
    let data = device(&source);
    for target in [paths.containers(), paths.state(), paths.data_disk()] {
        let path = target.display().to_string();
        if data.is_some() && device(&path) == data {
            umount2(&target, MntFlags::empty())
                .unwrap_or_else(|e| warn!("data: umount {path}: {e}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn directories_are_not_hidden_and_files_are() {
        let dir = std::env::temp_dir().join(format!("b2p-hidden-{}", std::process::id()));
        fs::create_dir_all(dir.join("user/1000")).unwrap();
        assert!(!written(&dir, 0) && !written(&dir.join("none"), 0));
        fs::write(dir.join("user/1000/db.sql"), "").unwrap();
        assert!(written(&dir, 0));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn each_kind_has_its_options() {
        let ext4 = "errors=remount-ro,nodelalloc,discard";
        assert_eq!(options(SignatureKind::Ext4, true), ext4);
        assert_eq!(options(SignatureKind::Ext2, true), "errors=remount-ro");
        assert_eq!(options(SignatureKind::Xfs, true), "discard");
        assert_eq!(options(SignatureKind::Btrfs, true), "");
        assert_eq!(options(SignatureKind::Xfs, false), "");
    }
}
