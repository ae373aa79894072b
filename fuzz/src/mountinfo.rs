//! /proc/self/mountinfo (proc_pid_mountinfo(5)).

use init::mountinfo::{Mount, kind, to_unmount};

pub(crate) const WORDS: &[&str] = &[
    " - ",
    " / ",
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

/// - Every line stands for itself: the rows are those of each line, the last first.
/// - The root is never among them, nor what lives in memory.
/// - A row written as the kernel writes it (fs/proc_namespace.c) is read back.
pub fn mountinfo(data: &[u8]) {
    let all = to_unmount(data);
    let lines = data.split(|b| *b == b'\n').rev();
    let each: Vec<Mount> = lines.flat_map(to_unmount).collect();
    assert_eq!(all, each);
    for mount in &all {
        assert_ne!(mount.target, b"/");
        assert_eq!(kind(&mount.fstype), Some(mount.kind));
    }
    let written: Vec<u8> = all.iter().rev().flat_map(line).collect();
    assert_eq!(to_unmount(&written), all);
}

/// The line of a mount.
fn line(mount: &Mount) -> Vec<u8> {
    let (major, minor) = mount.device;
    let mut line = format!("36 35 {major}:{minor} / ").into_bytes();
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
