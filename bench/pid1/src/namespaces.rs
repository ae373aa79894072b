// SPDX-License-Identifier: Apache-2.0
//! Namespaces of a candidate, set up by its process before the exec. As in a container engine: an
//! own /run, a /dev of a few nodes, /proc/sys and /sys read-only, and a writable cgroup tree of its
//! own.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::candidates::{Candidate, Made};

/// Socket on which the service reports.
pub const SOCKET: &str = "/bench/sock";
/// Directory of the guest that a candidate sees in the place of [`SOCKET`]'s, by its name.
pub const OUTSIDE: &str = "/run/bench";
/// Root of the cgroup tree.
pub const CGROUPS: &str = "/sys/fs/cgroup";
/// Nodes of the guest's /dev that are bind-mounted into the candidate's.
const NODES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "kmsg"];
/// File that replaces the kernel command line in the namespace, for this project's init.
const FLAGS: &str = "/etc/bench/cmdline";

const PLAIN: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);

type Done = Result<(), String>;

/// Returns the cgroup of a candidate in the guest's tree.
pub fn cgroup(name: &str) -> PathBuf {
    Path::new(CGROUPS).join(name)
}

/// Mounts a file system.
pub fn mount_fs(kind: &str, at: &str, flags: MsFlags, data: &str) -> Done {
    let _ = fs::create_dir_all(at);
    let data = Some(data).filter(|d| !d.is_empty());
    mount(Some(kind), at, Some(kind), flags, data).map_err(|e| format!("mount {kind} on {at}: {e}"))
}

fn bind(from: &str, to: &str, flags: MsFlags) -> Done {
    let flags = flags | MsFlags::MS_BIND;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
        .map_err(|e| format!("bind {from} on {to}: {e}"))
}

/// Sets up the namespaces from within. The caller is PID 1 of a new pid, mount, net, uts and ipc
/// namespace.
pub fn set_up(candidate: &Candidate) -> Done {
    let join = cgroup(candidate.name).join("cgroup.procs");
    fs::write(&join, "0").map_err(|e| format!("{}: {e}", join.display()))?;
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|e| format!("cgroup namespace: {e}"))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|e| format!("private mounts: {e}"))?;
    let dir = format!("{OUTSIDE}/{}", candidate.name);
    bind(&dir, "/bench", MsFlags::empty())?;
    devices()?;
    mount_fs("proc", "/proc", PLAIN, "")?;
    bind("/proc/sys", "/proc/sys", MsFlags::empty())?;
    bind(
        "/proc/sys",
        "/proc/sys",
        MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | PLAIN,
    )?;
    bind(FLAGS, "/proc/cmdline", MsFlags::empty())?;
    mount_fs("sysfs", "/sys", PLAIN | MsFlags::MS_RDONLY, "")?;
    mount_fs("cgroup2", CGROUPS, PLAIN, "")?;
    mount_fs(
        "tmpfs",
        "/run",
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        "mode=0755",
    )?;
    candidate.run.iter().try_for_each(one)
}

/// Makes a /dev with bind mounts of the guest's nodes.
fn devices() -> Done {
    let at = "/mnt";
    mount_fs("tmpfs", at, MsFlags::MS_NOSUID, "mode=0755")?;
    for node in NODES {
        let to = format!("{at}/{node}");
        File::create(&to).map_err(|e| format!("{to}: {e}"))?;
        bind(&format!("/dev/{node}"), &to, MsFlags::empty())?;
    }
    mount(
        Some(at),
        "/dev",
        None::<&str>,
        MsFlags::MS_MOVE,
        None::<&str>,
    )
    .map_err(|e| format!("/dev: {e}"))
}

fn one(what: &Made) -> Done {
    let made = match what {
        Made::Dir(path) => fs::create_dir(path),
        Made::Link(path, to) => symlink(to, path),
        Made::File(path, text) => fs::write(path, text),
        Made::Old(path) => File::open(path).and_then(|dir| dir.set_modified(UNIX_EPOCH)),
    };
    made.map_err(|e| format!("{what:?}: {e}"))
}

/// Returns program, arguments and the whole environment, as execve(2) takes them.
pub fn words(candidate: &Candidate) -> Result<(CString, Vec<CString>, Vec<CString>), String> {
    let text = |s: &&str| CString::new(*s).map_err(|e| e.to_string());
    let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=bench"];
    let all = |list: &[&str]| list.iter().map(text).collect::<Result<Vec<_>, _>>();
    Ok((
        text(&candidate.program)?,
        all(candidate.words)?,
        all(&environment)?,
    ))
}
