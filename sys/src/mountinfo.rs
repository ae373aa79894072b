// SPDX-License-Identifier: Apache-2.0
//! Mounts in the kernel's list (proc_pid_mountinfo(5)), and those that must be unmounted before
//! power off. Pure: text in, rows out.

use std::collections::HashSet;

/// The list of the mounts of this process.
pub const PATH: &str = "/proc/self/mountinfo";

/// Kind of a mount: the loss without an unmount, and the time that the unmount may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// On a disk: must be unmounted, or at least remounted read-only, to be clean.
    Disk,
    /// On another mount, as a container's overlay is: keeps that one busy.
    Stacked,
    /// Served over a network or by a process: may never answer.
    Remote,
}

/// A mount that the shutdown must handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Number of the mount.
    pub id: u64,
    /// Number of the parent mount.
    pub parent: u64,
    /// Mount point, unescaped.
    pub target: Vec<u8>,
    /// File system type, such as `ext4`.
    pub fstype: String,
    /// Kind of the mount.
    pub kind: MountKind,
    /// Device number `major:minor`, as in `stat`'s st_dev.
    pub device: (u32, u32),
}

/// File systems in memory, or views of the kernel's state, which end with the machine.
/// fs/filesystems.c calls most of them "nodev".
const IN_MEMORY: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// File systems with a server.
const REMOTE: &[&str] = &[
    "9p", "afs", "ceph", "cifs", "coda", "ncpfs", "nfs", "nfs4", "smb3", "virtiofs",
];

/// Returns the kind of a file system type; `None` for one that can stay mounted.
#[must_use]
pub fn mount_kind(fstype: &str) -> Option<MountKind> {
    // A FUSE file system is `fuse.<program>` or `fuseblk`.
    let base = fstype.split('.').next().unwrap_or(fstype);
    match base {
        _ if IN_MEMORY.contains(&base) => None,
        _ if REMOTE.contains(&base) => Some(MountKind::Remote),
        "fuse" | "fuseblk" => Some(MountKind::Remote),
        "overlay" => Some(MountKind::Stacked),
        // An unknown file system may be on a disk.
        _ => Some(MountKind::Disk),
    }
}

/// Returns the mounts of `text` that must be unmounted, in order: the last one mounted is the first.
/// The root is in RAM and stays. A mount in memory is included if its mount point is on a mount of the list,
/// which is busy until then, as with the /dev/shm of a container; or if it covers such a mount, which has no
/// path until then.
#[must_use]
pub fn to_unmount(text: &[u8]) -> Vec<Mount> {
    let mut rows: Vec<Row> = text.split(|b| *b == b'\n').filter_map(parse).collect();
    rows.retain(|row| row.mount.target != b"/");
    // A mount that was moved may be listed before its parent.
    while mark_holders(&mut rows) {}
    let unmounted = rows.into_iter().rev().filter(|row| row.must_unmount);
    unmounted.map(|row| row.mount).collect()
}

/// Marks the mounts that must be unmounted before others can be. Returns true if there are any.
fn mark_holders(rows: &mut [Row]) -> bool {
    let marked = rows.iter().filter(|row| row.must_unmount);
    let parents: HashSet<u64> = marked.map(|row| row.mount.id).collect();
    let mut has_marked = false;
    for at in 0..rows.len() {
        let (earlier, rest) = rows.split_at_mut(at);
        let Some(row) = rest.first_mut().filter(|row| !row.must_unmount) else {
            continue;
        };
        let covers =
            |other: &Row| other.must_unmount && below(&other.mount.target, &row.mount.target);
        row.must_unmount = parents.contains(&row.mount.parent) || earlier.iter().any(covers);
        has_marked |= row.must_unmount;
    }
    has_marked
}

/// Returns the source of the topmost mount at `target`, unescaped.
#[must_use]
pub fn source_at(text: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|b| *b == b'\n');
    let line = lines.rfind(|line| is_at(line, target) && parse(line).is_some())?;
    let mut fields = line.split(|b| *b == b' ').skip(6);
    fields.find(|field| *field == b"-")?;
    fields.nth(1).map(unescape)
}

/// Returns true if the mount of a line is at `target`. Most lines are not, and a list has a hundred of them:
/// the other fields are not looked at.
fn is_at(line: &[u8], target: &[u8]) -> bool {
    let field = line.split(|b| *b == b' ').nth(4);
    field.is_some_and(|field| {
        field == target || (field.contains(&b'\\') && unescape(field) == target)
    })
}

/// Returns true if `path` is `dir` or below `dir`.
fn below(path: &[u8], dir: &[u8]) -> bool {
    let rest = path.strip_prefix(dir);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A line of the list.
struct Row {
    mount: Mount,
    /// True if the mount must be unmounted. The parser sets this for disks, servers and mount namespaces that have a name.
    must_unmount: bool,
}

/// Parses a line: `36 35 98:0 /root /target options optional… - type source super`.
fn parse(line: &[u8]) -> Option<Row> {
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    // The search starts after the six fields that every line has: a source or a target may be `-`,
    // too.
    let dash = 6 + fields.get(6..)?.iter().position(|f| *f == b"-")?;
    let fstype = std::str::from_utf8(fields.get(dash + 1)?).ok()?;
    // A mount namespace that is bound to a name keeps its own mounts of a disk
    // (mount_namespaces(7)); its root is `mnt:[…]`.
    let namespace = fstype == "nsfs" && fields.get(3)?.starts_with(b"mnt:");
    let own = mount_kind(fstype).or(namespace.then_some(MountKind::Stacked));
    let mount = Mount {
        id: number(fields.first()?)?,
        parent: number(fields.get(1)?)?,
        target: unescape(fields.get(4)?),
        fstype: fstype.to_owned(),
        kind: own.unwrap_or(MountKind::Stacked),
        device: device(fields.get(2)?)?,
    };
    Some(Row {
        mount,
        must_unmount: own.is_some(),
    })
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn device(text: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Decodes `\040` and so on, by which the kernel writes space, tab, newline and backslash
/// (fs/proc_namespace.c, mangle()).
#[must_use]
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = more;
            }
            _ => out.push(*first),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "\
22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/b2p/lower
23 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw
24 22 0:21 / /run rw shared:3 - tmpfs tmpfs rw
30 22 254:1 / /var/lib/boot2podman rw shared:9 master:4 - ext4 /dev/vda1 rw
31 22 254:1 /containers /var/lib/containers rw - ext4 /dev/vda1 rw
40 31 0:40 / /var/lib/containers/storage/overlay/a\\040b/merged rw - overlay overlay rw
41 22 0:41 / /mnt/host rw - virtiofs share rw
42 22 0:42 / /mnt/ssh rw - fuse.sshfs x rw
43 24 0:4 net:[402] /run/netns/x rw - nsfs nsfs rw
";

    #[test]
    fn mounts_are_unmounted_in_reverse_order_and_tmpfs_is_kept() {
        let got = to_unmount(BOOT.as_bytes());
        let seen: Vec<_> = got.iter().map(|m| (m.kind, m.fstype.as_str())).collect();
        let expected = [
            (MountKind::Remote, "fuse.sshfs"),
            (MountKind::Remote, "virtiofs"),
            (MountKind::Stacked, "overlay"),
            (MountKind::Disk, "ext4"),
            (MountKind::Disk, "ext4"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(
            got[2].target,
            b"/var/lib/containers/storage/overlay/a b/merged"
        );
        assert_eq!(got[4].device, (254, 1));
    }

    #[test]
    fn a_mount_over_a_disk_is_unmounted_before_the_disk() {
        let text = "\
24 22 0:21 / /mnt rw - tmpfs tmpfs rw
30 22 254:1 / /mnt/disk rw - ext4 /dev/vda1 rw
31 22 0:50 / /mnt rw - tmpfs none rw
32 22 0:51 / /mnt/disk2 rw - tmpfs none rw
33 22 0:52 / /mnt/disk rw - ramfs none rw
";
        let got = to_unmount(text.as_bytes());
        let seen: Vec<_> = got.iter().map(|m| (m.kind, m.device)).collect();
        let expected = [
            (MountKind::Stacked, (0, 52)),
            (MountKind::Stacked, (0, 50)),
            (MountKind::Disk, (254, 1)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_mount_on_a_disk_is_unmounted_before_the_disk() {
        // podman leaves the /dev/shm of a container if there is no room to clean up; the bind mount
        // of the disk has a copy of that mount. 50 was mounted elsewhere and moved.
        let text = "\
24 22 0:21 / /run rw - tmpfs tmpfs rw
30 22 254:1 / /mnt/data rw shared:5 - ext4 /dev/vda1 rw
31 22 254:1 /containers /var/lib/containers rw shared:5 - ext4 /dev/vda1 rw
50 60 0:50 / /mnt/data/a/b rw - proc proc rw
60 30 0:60 / /mnt/data/a rw - ramfs none rw
61 31 0:61 / /var/lib/containers/storage/shm rw - tmpfs shm rw
62 30 0:61 / /mnt/data/containers/storage/shm rw - tmpfs shm rw
63 24 0:63 / /run/x rw - tmpfs x rw
";
        let got = to_unmount(text.as_bytes());
        let seen: Vec<_> = got.iter().map(|m| m.device).collect();
        let disk = (254, 1);
        assert_eq!(seen, [(0, 61), (0, 61), (0, 60), (0, 50), disk, disk]);
    }

    #[test]
    fn kept_mount_namespaces_are_unmounted_and_other_namespaces_are_not() {
        let text = "\
43 24 0:4 net:[402] /run/netns/x rw - nsfs nsfs rw
44 24 0:4 mnt:[403] /run/ns/m rw - nsfs nsfs rw
45 24 7:0 / /srv rw - squashfs /dev/loop0 rw
";
        let got = to_unmount(text.as_bytes());
        let seen: Vec<_> = got.iter().map(|m| (m.kind, &*m.fstype)).collect();
        assert_eq!(
            seen,
            [(MountKind::Disk, "squashfs"), (MountKind::Stacked, "nsfs")]
        );
    }

    #[test]
    fn unknown_file_systems_count_as_disks() {
        assert_eq!(mount_kind("bcachefs"), Some(MountKind::Disk));
        assert_eq!(mount_kind("tmpfs"), None);
    }

    #[test]
    fn damaged_lines_are_left_out() {
        let text =
            b"\n1\n22 1 0:20 / /x rw\n22 1 zero / /x rw - ext4 a b\n22 1 8:1 / /x rw - ext4\n- -\n";
        let got = to_unmount(text);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].target, b"/x");
    }

    #[test]
    fn a_dash_among_the_first_six_fields_is_no_separator() {
        let got = to_unmount(b"22 1 8:1 - - rw - ext4 /dev/sda1 rw\n22 1 8:1 / /x - ext4 a rw");
        let seen: Vec<_> = got.iter().map(|m| (&*m.target, &*m.fstype)).collect();
        assert_eq!(seen, [(&b"-"[..], "ext4")]);
    }

    #[test]
    fn only_three_octal_digits_are_an_escape() {
        assert_eq!(unescape(b"a\\040b\\134\\04\\999\\"), b"a b\\\\04\\999\\");
    }
}
