//! /proc/self/mountinfo (proc_pid_mountinfo(5)).

use sys::mountinfo::{Mount, MountKind, mount_kind, to_unmount};

pub(crate) const WORDS: &[&str] = &[
    " - ",
    " / ",
    " mnt:[1] ",
    "nsfs",
    "\\040",
    "\\134",
    "\\011",
    "\\012",
    "overlay",
    "ext4",
    "tmpfs",
    "virtiofs",
    "nfs4",
    "fuse.sshfs",
    "0:1",
    "254:1",
    " rw",
    "shared:1",
    "master:2",
    "\n",
    "4294967295:0",
    "-",
];

/// - What a line says for its own sake, it says among others too, in the order of
///   the unmounting; what comes on top of that covers something unmounted later.
/// - The root is never among them.
/// - A row written as the kernel writes it (fs/proc_namespace.c) is read back.
pub fn mountinfo(data: &[u8]) {
    let all = to_unmount(data);
    let lines = data.split(|b| *b == b'\n').rev();
    let own: Vec<Mount> = lines.flat_map(to_unmount).collect();
    let mut rest = all.iter();
    assert!(own.iter().all(|m| rest.any(|other| other == m)));
    for (at, mount) in all.iter().enumerate() {
        assert_ne!(mount.target, b"/");
        let kind = mount_kind(&mount.fstype);
        assert_eq!(mount.kind, kind.unwrap_or(MountKind::Stacked));
        let mut later = all.iter().skip(at + 1);
        assert!(own.contains(mount) || later.any(|m| covers(mount, m)));
    }
    let written: Vec<u8> = all.iter().rev().flat_map(line).collect();
    assert_eq!(to_unmount(&written), all);
}

/// Whether `other` has no name while `mount` is there: the same path, or one in it.
fn covers(mount: &Mount, other: &Mount) -> bool {
    let mut path = other.target.clone();
    path.push(b'/');
    let mut dir = mount.target.clone();
    dir.push(b'/');
    path.starts_with(&dir)
}

/// The line of a mount.
fn line(mount: &Mount) -> Vec<u8> {
    let (major, minor) = mount.device;
    let root = if mount.fstype == "nsfs" {
        "mnt:[1]"
    } else {
        "/"
    };
    let mut line = format!("36 35 {major}:{minor} {root} ").into_bytes();
    for byte in &mount.target {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                line.extend(format!("\\{byte:03o}").bytes());
            }
            _ => line.push(*byte),
        }
    }
    line.extend(format!(" rw,noatime shared:1 - {} - rw\n", mount.fstype).bytes());
    line
}
