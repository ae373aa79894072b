//! A folder in its place, without anything being hidden and without waiting for a
//! server that is gone.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::SharedFolder;
use nix::mount::{MntFlags, MsFlags, mount as mount2, umount2};
use nix::sys::statvfs::statvfs;
use sys::mountinfo::unescape;
use sys::syscall;

use super::find::By;

/// No set-user-ID program and no device node counts that somebody outside made.
const PLAIN: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
/// 9p over virtio as Linux speaks it; without a cache no file could be mapped for
/// writing (Documentation/filesystems/9p.rst). Each user of the machine acts under
/// their own number (access=user, the default).
const PLAN9: &str = "trans=virtio,version=9p2000.L,cache=mmap";

/// Mounts the folder, or finds it mounted; how it came, or why it did not.
pub fn mount(folder: &SharedFolder, by: By, within: Duration) -> Result<String, String> {
    // What is mounted then stays: the kernel would wait for the server's farewell,
    // with a lock that every other mount of virtiofs needs (fs/fuse/virtio_fs.c,
    // virtio_fs_drain_all_queues_locked).
    let silent = "the server on the host does not answer; who enters waits for it";
    bounded(within, || put(folder, by)).unwrap_or_else(|| Err(silent.into()))
}

/// Takes it away, where it is mounted: its device is gone, and who enters would get
/// nothing but errors, or wait for ever.
pub fn forget(folder: &SharedFolder, within: Duration) {
    let take = || match mounted(folder) {
        true => detach(Path::new(&folder.path)),
        false => Ok(String::new()),
    };
    let _ = bounded(within, take);
}

/// Runs `work` in a child; `None` where it has not come back. See [`super`].
fn bounded(
    within: Duration,
    work: impl FnOnce() -> Result<String, String>,
) -> Option<Result<String, String>> {
    let (mut ours, mut theirs) = UnixStream::pair().ok()?;
    let child = syscall::in_child(|| {
        let (text, failed) = match work() {
            Ok(text) => (text, 0),
            Err(text) => (text, 1),
        };
        let _ = theirs.write_all(text.as_bytes());
        syscall::exit(failed)
    })?;
    drop(theirs);
    let ms = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    if !child.exited_within(ms) {
        child.kill(); // heeded, unless it waits for a server
        return None;
    }
    let mut text = String::new();
    ours.read_to_string(&mut text).ok()?;
    Some(match child.exit_status()? {
        0 => Ok(text),
        _ => Err(text),
    })
}

fn put(folder: &SharedFolder, by: By) -> Result<String, String> {
    if mounted(folder) {
        match statvfs(folder.path.as_str()) {
            Ok(_) => return Ok("it is mounted".into()),
            // The device has been taken away and given again.
            Err(_) => detach(Path::new(&folder.path))?,
        };
    }
    let point = point(&folder.path)?;
    let (kind, options) = match by {
        By::Virtiofs => ("virtiofs", None),
        By::Plan9 => ("9p", Some(PLAN9)),
    };
    let flags = match folder.read_only {
        true => PLAIN | MsFlags::MS_RDONLY,
        false => PLAIN,
    };
    mount2(
        Some(folder.tag.as_str()),
        &point,
        Some(kind),
        flags,
        options,
    )
    .map_err(|e| format!("mount(2) of {kind}: {}", why(e)))?;
    // A dead server is found out by whoever asks first.
    statvfs(&point).map_err(|e| format!("the server on the host: {e}"))?;
    let only = if folder.read_only { ", read-only" } else { "" };
    Ok(format!("mounted by {kind}{only}"))
}

/// What the kernel says, and what that means here.
fn why(e: nix::errno::Errno) -> String {
    use nix::errno::Errno::{EBUSY, ENODEV, ENOENT};
    match e {
        ENODEV => format!("{e}: this kernel has no such file system"),
        EBUSY | ENOENT => format!("{e}: 9p has each tag in one place only"),
        e => e.to_string(),
    }
}

fn mounted(folder: &SharedFolder) -> bool {
    is_mounted(
        folder,
        &fs::read("/proc/self/mountinfo").unwrap_or_default(),
    )
}

/// Whether this folder is mounted at its place, and nothing over it
/// (proc_pid_mountinfo(5)).
fn is_mounted(folder: &SharedFolder, mountinfo: &[u8]) -> bool {
    let fields = |line: &[u8]| line.split(|b| *b == b' ').map(unescape).collect();
    let mut lines = mountinfo.split(|b| *b == b'\n').map(fields);
    let at = |fields: &Vec<Vec<u8>>| fields.get(4).is_some_and(|f| f == folder.path.as_bytes());
    let Some(last) = lines.rfind(at) else {
        return false;
    };
    // Behind the six fields that every line has, and those that not every one has.
    let rest = last.iter().skip(6).skip_while(|f| f.as_slice() != b"-");
    let rest: Vec<&[u8]> = rest.skip(1).map(Vec::as_slice).collect();
    matches!(rest[..], [b"virtiofs" | b"9p", source, ..] if source == folder.tag.as_bytes())
}

fn detach(path: &Path) -> Result<String, String> {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    umount2(path, flags).map_err(|e| format!("what was mounted there stays: {e}"))?;
    Ok(String::new())
}

/// The directory, made if missing; refused where something would be hidden.
fn point(path: &str) -> Result<PathBuf, String> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.map_err(|e| format!("it cannot be made: {e}"))?;
    let real = fs::canonicalize(path).map_err(|e| e.to_string())?;
    // By its own name alone it is known again in the list of mounts.
    if real != Path::new(path) {
        return Err(format!("it leads to {}: say that path", real.display()));
    }
    let mut inside = fs::read_dir(&real).map_err(|e| e.to_string())?;
    if inside.next().is_some() {
        return Err("it is not empty, and what is in it would be hidden; \
                    an empty directory or a new one is right"
            .into());
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;

    fn folder(path: &str) -> SharedFolder {
        SharedFolder {
            tag: "home".into(),
            path: path.into(),
            read_only: false,
        }
    }

    #[test]
    fn nothing_is_hidden() {
        let dir = std::env::temp_dir().join(format!("b2p-place-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let dir = fs::canonicalize(dir).unwrap();
        let at = |name: &str| dir.join(name).display().to_string();
        let new = at("a/b");
        assert_eq!(point(&new).unwrap(), fs::canonicalize(&new).unwrap());
        fs::write(dir.join("a/b/file"), "").unwrap();
        assert!(point(&new).unwrap_err().contains("not empty"));
        assert!(
            point(&at("a/b/file"))
                .unwrap_err()
                .contains("cannot be made")
        );
        std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
        assert!(point(&at("link")).unwrap_err().contains("leads to /etc"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_mount_is_known_by_its_place_kind_and_tag() {
        let text = b"\
22 1 0:20 / / rw shared:1 - overlay overlay rw
41 22 0:41 / /mnt/my\\040files rw,nosuid shared:9 master:1 - virtiofs home rw
42 22 0:42 / /mnt/b rw - 9p other rw
43 22 0:43 / /mnt/c rw - virtiofs home rw
44 43 0:44 / /mnt/c rw - tmpfs home rw
";
        let is = |path: &str| is_mounted(&folder(path), text);
        assert!(is("/mnt/my files"));
        for path in ["/", "/mnt/b", "/mnt/c", "/mnt"] {
            assert!(!is(path), "{path}");
        }
        assert!(!is_mounted(
            &folder("/"),
            b"\n1\n1 2 3 4 /\n1 2 3 4 / 6 -\n1 2 3 4 / 6 - 9p"
        ));
    }

    #[test]
    fn a_child_that_waits_for_ever_is_left() {
        let begun = Instant::now();
        let slow = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(String::new())
        };
        assert_eq!(bounded(Duration::from_millis(50), slow), None);
        assert!(begun.elapsed() < Duration::from_secs(30));
        let limit = Duration::from_secs(30);
        assert_eq!(bounded(limit, || Ok("a".into())), Some(Ok("a".into())));
        assert_eq!(bounded(limit, || Err("b".into())), Some(Err("b".into())));
    }
}
