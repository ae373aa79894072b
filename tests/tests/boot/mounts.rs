// SPDX-License-Identifier: Apache-2.0
//! The mount table: targets, file systems, options.

use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest};

/// Target, file system, options.
const WANTED: &[(&str, &str, &[&str])] = &[
    ("/proc", "proc", &["nosuid", "nodev", "noexec"]),
    ("/sys", "sysfs", &["nosuid", "nodev", "noexec"]),
    ("/dev", "devtmpfs", &["nosuid"]),
    (
        "/dev/pts",
        "devpts",
        &["nosuid", "noexec", "gid=5", "mode=620"],
    ),
    ("/dev/shm", "tmpfs", &["nosuid", "nodev", "nr_inodes=16384"]),
    ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"]),
    ("/dev/hugepages", "hugetlbfs", &["nosuid", "nodev"]),
    ("/run", "tmpfs", &["nosuid", "nodev"]),
    (
        "/run/user",
        "tmpfs",
        &["nosuid", "nodev", "size=64k", "nr_inodes=1024"],
    ),
    (
        "/run/user/1000",
        "tmpfs",
        &["nosuid", "nodev", "nr_inodes=16384", "uid=1000", "mode=700"],
    ),
    (
        "/run/lock",
        "tmpfs",
        &["nosuid", "nodev", "noexec", "nr_inodes=1024"],
    ),
    ("/sys/fs/cgroup", "cgroup2", &["nosuid", "nodev", "noexec"]),
    ("/sys/fs/bpf", "bpf", &["nosuid", "nodev", "noexec"]),
    (
        "/sys/kernel/tracing",
        "tracefs",
        &["nosuid", "nodev", "noexec"],
    ),
    (
        "/sys/kernel/security",
        "securityfs",
        &["nosuid", "nodev", "noexec"],
    ),
];

pub fn all(guest: &Guest, checks: &mut Checks) {
    let table = guest.sh("cat /proc/self/mountinfo").unwrap_or_default();
    let table: Vec<Mount> = table.lines().filter_map(Mount::parse).collect();
    for (point, kind, options) in WANTED {
        checks.check(&format!("mount {point}"), || {
            wanted(&table, point, kind, options)
        });
    }
    checks.check("/ is an overlay, shared, and can be written to", || {
        root(guest, &table)
    });
    checks.check("podman's storage is not on the overlay", || {
        storage(guest, &table)
    });
    checks.check(
        "a user who fills what all may write to leaves /run alone",
        || user_fills_run(guest),
    );
    checks.check("devpts is mounted and terminals work", || terminals(guest));
    checks.check("nothing of the initrd is in the way", || unique(&table));
}

/// A line of proc_pid_mountinfo(5).
#[derive(Debug)]
struct Mount {
    point: String,
    options: Vec<String>,
    shared: bool,
    kind: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let options = left.get(5)?.split(',').chain(right.get(2)?.split(','));
        Some(Self {
            point: (*left.get(4)?).to_owned(),
            options: options.map(str::to_owned).collect(),
            shared: left
                .iter()
                .skip(6)
                .any(|field| field.starts_with("shared:")),
            kind: (*right.first()?).to_owned(),
        })
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

/// Returns the visible mount at `point`: the last one in the table.
fn at<'a>(table: &'a [Mount], point: &str) -> Result<&'a Mount> {
    table
        .iter()
        .rev()
        .find(|m| m.point == point)
        .with_context(|| format!("nothing is mounted on {point}"))
}

fn wanted(table: &[Mount], point: &str, kind: &str, options: &[&str]) -> Result<()> {
    let mount = at(table, point)?;
    ensure!(mount.kind == kind, "{mount:?}");
    for option in options {
        ensure!(mount.has(option), "{option} is missing: {mount:?}");
    }
    ensure!(mount.shared, "not shared: {mount:?}");
    Ok(())
}

fn root(guest: &Guest, table: &[Mount]) -> Result<()> {
    let root = at(table, "/")?;
    ensure!(
        root.kind == "overlay" && root.has("rw") && root.shared,
        "{root:?}"
    );
    guest
        .sh("echo x >/usr/b2p-test && rm /usr/b2p-test && mkdir /b2p-test && rmdir /b2p-test")
        .map(drop)
}

fn storage(guest: &Guest, table: &[Mount]) -> Result<()> {
    guest.sh("mkdir -p /var/lib/containers/storage")?;
    let below = |m: &&Mount| {
        "/var/lib/containers/storage/".starts_with(&format!("{}/", m.point.trim_end_matches('/')))
    };
    let mount = table
        .iter()
        .filter(below)
        .max_by_key(|m| m.point.len())
        .context("no root?")?;
    ensure!(mount.kind != "overlay", "{mount:?}");
    Ok(())
}

fn user_fills_run(guest: &Guest) -> Result<()> {
    let fill = "dd if=/dev/zero of=/run/user/1000/fill bs=64k 2>&1; true";
    let said = guest.sh_as("core", fill)?;
    ensure!(said.contains("No space left on device"), "{said}");
    // Files without content: the memory of an inode counts to no size.
    let fill = "cd /run/user/1000 && rm fill && mkdir many && cd many && \
        seq 1 20000 | xargs touch 2>&1 | tail -n 1";
    let said = guest.sh_as("core", fill)?;
    ensure!(said.contains("No space left on device"), "{said}");
    let fill = "dd if=/dev/zero of=/run/lock/fill bs=64k 2>&1; true";
    let said = guest.sh_as("core", fill)?;
    ensure!(said.contains("No space left on device"), "{said}");
    let written = guest.sh("head -c 65536 /dev/zero >/run/podman/fill && rm /run/podman/fill");
    guest.sh("rm -r /run/user/1000/many /run/lock/fill")?;
    written?;
    // No other directory of these file systems is anyone's.
    let said = guest.sh("find / /run /dev -xdev -type d -perm -2 2>/dev/null | sort")?;
    let anyones: Vec<&str> = said.lines().collect();
    let own = ["/dev/mqueue", "/dev/shm", "/run/lock", "/tmp", "/var/tmp"];
    let is_known = |dir: &&str| own.contains(dir);
    ensure!(anyones.iter().all(is_known), "{said}");
    Ok(())
}

fn terminals(guest: &Guest) -> Result<()> {
    guest.sh(
        "test -c /dev/ptmx && test -c /dev/null && test -c /dev/console && test -e /dev/fd/0",
    )?;
    let mut ssh = guest.client("ssh");
    ssh.args([
        "-tt",
        "-l",
        "core",
        "guest",
        "--",
        "tty; stat -c '%g %a' $(tty)",
    ]);
    let out = vmm::process::output(ssh, b"", std::time::Duration::from_secs(60))?;
    let text = tests::text(&out)?;
    ensure!(
        text.contains("/dev/pts/") && text.contains("5 620"),
        "{text}"
    );
    Ok(())
}

/// Fails if two mounts share a target, because the lower one was forgotten.
fn unique(table: &[Mount]) -> Result<()> {
    let mut points: Vec<&str> = table.iter().map(|m| m.point.as_str()).collect();
    points.sort_unstable();
    let twice: Vec<_> = points
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
        .collect();
    ensure!(twice.is_empty(), "mounted twice: {twice:?}");
    Ok(())
}
