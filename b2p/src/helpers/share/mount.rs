// SPDX-License-Identifier: Apache-2.0
//! Mounts a shared folder without hiding anything and without waiting for a server that has
//! ended.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use config::SharedFolder;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;
use sys::error::{Doing, Error, Result};
use sys::mountinfo::unescape;
use sys::syscall::{self, Child};
use sys_mount::{Mount, MountFlags};

use super::host_shares::Transport;

/// Flags of every folder: its set-user-ID programs and device nodes are not the machine's.
const RESTRICTED: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// Options of 9p over virtio, in Linux's dialect. Without a cache no file could be mapped for
/// writing (Documentation/filesystems/9p.rst). Each user of the machine acts under their own number
/// (access=user, the default).
const PLAN9_OPTIONS: &str = "trans=virtio,version=9p2000.L,cache=mmap";

/// Unmounts a mounted folder: its device is gone, and an access would fail or wait for ever.
pub fn unmount(folder: &SharedFolder) {
    if is_mounted(folder) {
        let _ = detach(Path::new(&folder.path));
    }
}

/// Runs `work` for each folder in a child of its own, all at once, and returns the results; [`super`] gives the
/// reason. The error of a child that does not end within `limit` blames the server. A mount that was made by
/// then stays: the kernel would wait for the server's answer to the unmount, with a lock that every other mount
/// of virtiofs needs (fs/fuse/virtio_fs.c, virtio_fs_drain_all_queues_locked).
pub fn side_by_side(
    folders: &[SharedFolder],
    limit: Duration,
    work: impl Fn(&SharedFolder) -> Result<String>,
) -> Vec<Result<String>> {
    let begun: Vec<_> = folders.iter().map(|f| begin(|| work(f))).collect();
    let deadline = Instant::now() + limit;
    let end = |begun: Option<(Child, UnixStream)>| {
        let Some((child, ours)) = begun else {
            return Err(Error::invalid("there is no memory for a process"));
        };
        finish(&child, ours, deadline).unwrap_or_else(|| {
            Err(Error::invalid(
                "the server on the host does not answer; every access waits for it",
            ))
        })
    };
    begun.into_iter().map(end).collect()
}

/// Runs `work` in a child, which writes the result to the socket.
fn begin(work: impl FnOnce() -> Result<String>) -> Option<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    let child = syscall::in_child_with(&[theirs.as_fd()], || {
        let (text, status) = match work() {
            Ok(text) => (text, 0),
            Err(why) => (why.to_string(), 1),
        };
        let _ = (&theirs).write_all(text.as_bytes());
        syscall::exit(status)
    })?;
    Some((child, ours))
}

/// Returns `None` if the child does not end before the deadline.
fn finish(child: &Child, mut ours: UnixStream, deadline: Instant) -> Option<Result<String>> {
    let left = deadline.saturating_duration_since(Instant::now());
    let ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
    if !child.exited_within(ms) {
        child.kill(); // has no effect while it waits for a server
        return None;
    }
    let mut text = String::new();
    ours.read_to_string(&mut text).ok()?;
    Some(match child.exit_status()? {
        0 => Ok(text),
        _ => Err(Error::invalid(text)),
    })
}

/// Mounts the folder, or finds it mounted; waits for its server, and returns a description of the
/// mount.
///
/// # Errors
/// The folder cannot be mounted.
pub fn mount(folder: &SharedFolder, transport: Transport) -> Result<String> {
    if is_mounted(folder) {
        match statvfs(folder.path.as_str()) {
            Ok(_) => return Ok("it is mounted".into()),
            // The device was removed and added again.
            Err(_) => detach(Path::new(&folder.path))?,
        };
    }
    let target = mount_point(&folder.path)?;
    let mut builder = Mount::builder().flags(RESTRICTED);
    if folder.read_only {
        builder = builder.flags(RESTRICTED | MountFlags::RDONLY);
    }
    let (fs_type, builder) = match transport {
        Transport::Virtiofs => ("virtiofs", builder),
        Transport::Plan9 => ("9p", builder.data(PLAN9_OPTIONS)),
    };
    let mounted = builder.fstype(fs_type).mount(&folder.tag, &target);
    explained(mounted.map(drop)).doing(format!("mount(2) of {fs_type}"))?;
    // The first access would wait for a server that has ended, and is therefore made here, in the
    // child.
    statvfs(&target).doing("the server on the host")?;
    let read_only = if folder.read_only { ", read-only" } else { "" };
    Ok(format!("mounted by {fs_type}{read_only}"))
}

/// Adds to the errno of a mount its meaning for a shared folder.
fn explained(outcome: io::Result<()>) -> Result<()> {
    let errno = outcome.as_ref().err().and_then(io::Error::raw_os_error);
    match errno.map(Errno::from_raw) {
        Some(Errno::ENODEV) => outcome.doing("this kernel has no such file system"),
        Some(Errno::EBUSY | Errno::ENOENT) => outcome.doing("9p mounts each tag only once"),
        _ => Ok(outcome?),
    }
}

fn is_mounted(folder: &SharedFolder) -> bool {
    let mountinfo = fs::read(sys::mountinfo::PATH).unwrap_or_default();
    is_mounted_in(folder, &mountinfo)
}

/// Returns true if the folder is mounted at its path, without a mount over it
/// (proc_pid_mountinfo(5)).
fn is_mounted_in(folder: &SharedFolder, mountinfo: &[u8]) -> bool {
    let fields = |line: &[u8]| line.split(|b| *b == b' ').map(unescape).collect();
    let mut lines = mountinfo.split(|b| *b == b'\n').map(fields);
    let at_path = |fields: &Vec<Vec<u8>>| {
        let mount_point = fields.get(4);
        mount_point.is_some_and(|p| p == folder.path.as_bytes())
    };
    let Some(topmost) = lines.rfind(at_path) else {
        return false;
    };
    // Six fields that every line has, any number of optional ones, and a hyphen.
    let rest = topmost.iter().skip(6).skip_while(|f| f.as_slice() != b"-");
    let rest: Vec<&[u8]> = rest.skip(1).map(Vec::as_slice).collect();
    matches!(rest[..], [b"virtiofs" | b"9p", source, ..] if source == folder.tag.as_bytes())
}

fn detach(path: &Path) -> Result<()> {
    // Not with sys-mount, whose NOFOLLOW is the flag of open(2): umount2(2) answers EINVAL.
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    umount2(path, flags).doing("the earlier mount stays")
}

/// Returns the directory at `path`, which is made if necessary.
///
/// # Errors
/// The directory cannot be made, is a symbolic link, or has entries, which would be hidden.
fn mount_point(path: &str) -> Result<PathBuf> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.doing("it cannot be made")?;
    let real = fs::canonicalize(path)?;
    // The list of mounts has the real path, by which the folder is found again.
    if real != Path::new(path) {
        return Err(Error::invalid(format!(
            "it leads to {}: name that path",
            real.display()
        )));
    }
    if fs::read_dir(&real)?.next().is_some() {
        return Err(Error::invalid(
            "it is not empty, and what is in it would be hidden; use an empty directory or a new \
             one",
        ));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    fn folder(path: &str) -> SharedFolder {
        SharedFolder {
            tag: "home".into(),
            path: path.into(),
            read_only: false,
        }
    }

    #[test]
    fn mount_point_refuses_to_hide_files() {
        let temp = Temp::new();
        let dir = fs::canonicalize(temp.dir()).unwrap();
        let at = |name: &str| dir.join(name).display().to_string();
        let new = at("a/b");
        assert_eq!(mount_point(&new).unwrap(), fs::canonicalize(&new).unwrap());
        fs::write(dir.join("a/b/file"), "").unwrap();
        assert!(why(mount_point(&new)).contains("not empty"));
        assert!(why(mount_point(&at("a/b/file"))).contains("cannot be made"));
        std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
        assert!(why(mount_point(&at("link"))).contains("leads to /etc"));
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
        let mounted = |path: &str| is_mounted_in(&folder(path), text);
        assert!(mounted("/mnt/my files"));
        for path in ["/", "/mnt/b", "/mnt/c", "/mnt"] {
            assert!(!mounted(path), "{path}");
        }
        let truncated = b"\n1\n1 2 3 4 /\n1 2 3 4 / 6 -\n1 2 3 4 / 6 - 9p";
        assert!(!is_mounted_in(&folder("/"), truncated));
    }

    #[test]
    fn errors_of_mount_are_explained() {
        let explain = |errno: Errno| explained(Err(errno.into()));
        assert!(why(explain(Errno::ENODEV)).starts_with("this kernel has no such file system: "));
        assert!(why(explain(Errno::EBUSY)).ends_with(": EBUSY: Device or resource busy"));
        assert_eq!(explain(Errno::EPERM), Err(Errno::EPERM.into()));
    }

    #[test]
    fn servers_that_do_not_answer_delay_no_folder_beside_theirs() {
        let start = Instant::now();
        let paths = ["/dead/1", "/dead/2", "/dead/3", "/z"];
        let folders = paths.map(folder);
        let work = |folder: &SharedFolder| {
            if folder.path.starts_with("/dead") {
                std::thread::sleep(Duration::from_secs(60));
            }
            Ok(folder.path.clone())
        };
        let outcomes = side_by_side(&folders, Duration::from_secs(3), work);
        let [dead @ .., last] = &outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert_eq!(last, &Ok("/z".into()));
        let blames = |outcome: &Result<String>| why(outcome.clone()).contains("does not answer");
        assert!(dead.len() == 3 && dead.iter().all(blames));
        assert!(start.elapsed() < Duration::from_secs(30));
        let failed = || Err(Error::invalid("b"));
        let outcomes = side_by_side(&folders[..1], Duration::from_secs(30), |_| failed());
        assert_eq!(outcomes, [failed()]);
    }
}
