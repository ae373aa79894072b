// SPDX-License-Identifier: Apache-2.0
//! Target `mountinfo`: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use sys::mountinfo::{Mount, MountKind, mount_kind, to_unmount};

pub(crate) const DICTIONARY: &[&str] = &[
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

/// - Each line that gives a mount alone gives the same mount among the others, in the order of
///   unmounting; every other mount covers one that is unmounted later, or is on one that is unmounted.
/// - The root is never unmounted.
/// - A line in the form of the kernel (fs/proc_namespace.c) is read back.
pub fn mountinfo(data: &[u8]) {
    let mounts = to_unmount(data);
    let lines = data.split(|b| *b == b'\n').rev();
    let single: Vec<Mount> = lines.flat_map(to_unmount).collect();
    let mut rest = mounts.iter();
    assert!(single.iter().all(|m| rest.any(|other| other == m)));
    for (at, mount) in mounts.iter().enumerate() {
        assert_ne!(mount.target, b"/");
        let kind = mount_kind(&mount.fstype);
        assert_eq!(mount.kind, kind.unwrap_or(MountKind::Stacked));
        let mut later = mounts.iter().skip(at + 1);
        let is_on = mounts.iter().any(|m| m.id == mount.parent);
        assert!(is_on || single.contains(mount) || later.any(|m| covers(mount, m)));
    }
    let written: Vec<u8> = mounts.iter().rev().flat_map(line).collect();
    assert_eq!(to_unmount(&written), mounts);
}

/// Returns true if `other` cannot be reached by its path under `mount`: its path is equal, or
/// below.
fn covers(mount: &Mount, other: &Mount) -> bool {
    let mut path = other.target.clone();
    path.push(b'/');
    let mut dir = mount.target.clone();
    dir.push(b'/');
    path.starts_with(&dir)
}

/// Returns the line of a mount.
fn line(mount: &Mount) -> Vec<u8> {
    let (major, minor) = mount.device;
    let root = if mount.fstype == "nsfs" {
        "mnt:[1]"
    } else {
        "/"
    };
    let Mount { id, parent, .. } = mount;
    let mut line = format!("{id} {parent} {major}:{minor} {root} ").into_bytes();
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
