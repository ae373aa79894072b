// SPDX-License-Identifier: Apache-2.0
//! The data disk of every machine: ext4, with one container image in podman's storage, the probe,
//! and no host key. A boot of this system makes the disk once; writes of measured boots are
//! discarded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use initramfs::fsutil;
use initramfs::stamp::{self, Inputs};
use tests::image as container;
use tests::{BOOT_LIMIT, Guest};
use vmm::{Artifacts, Board, Disk, Machine};

/// Hook that this system runs before its engine (docs/guide/data.md). The probe runs in the
/// background, so that nothing waits for it; the program has another name until the disk is
/// complete.
const HOOK: &str = "#!/bin/sh\n/var/lib/boot2podman/bench-probe &\n";

/// Commands that fill the mounted disk.
const FILL: &str = "set -e; cd /var/lib/boot2podman
podman load --quiet --input box.tar
podman image exists localhost/box:1
rm box.tar
chown 0:0 bench-probe hook
mv hook bootsync.sh
rm -f ssh/*
sync";

const POWER_OFF: Duration = Duration::from_secs(120);

/// Makes the disk in a machine of this board, unless one exists for this probe and these packages.
pub fn make(
    boot: &Artifacts,
    board: Board,
    probe: &Path,
    packages: &str,
    dir: &Path,
) -> Result<PathBuf> {
    let disk = dir.join("data.img");
    let mut inputs = Inputs::new();
    inputs.add_file("probe", probe)?.add("packages", packages);
    inputs.add("hook", HOOK).add("fill", FILL);
    stamp::make(&disk, &inputs.finish(), |to| {
        let staged = dir.join("data");
        fsutil::remove(&staged)?;
        stage(&staged.join("boot2podman"), probe)?;
        format(&staged, to)?;
        fsutil::remove(&staged)?;
        fill(boot, board, to, dir)
    })?;
    Ok(disk)
}

fn stage(at: &Path, probe: &Path) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("make {}", at.display()))?;
    container::archive(at)?;
    let copy = at.join("bench-probe");
    fs::copy(probe, &copy).with_context(|| format!("copy {}", probe.display()))?;
    fs::write(at.join("hook"), HOOK)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn format(staged: &Path, to: &Path) -> Result<()> {
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", "boot2podman-data"]);
    mke2fs.args(["-E", "root_owner=0:0", "-d"]);
    let out = mke2fs.arg(staged).arg(to).arg("512M").output();
    let out = out.context("cannot start mke2fs: is e2fsprogs installed?")?;
    ensure!(
        out.status.success(),
        "mke2fs: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(())
}

fn fill(boot: &Artifacts, board: Board, disk: &Path, dir: &Path) -> Result<()> {
    let machine = Machine::new(boot)
        .board(board)
        .dir(dir.join("data.vm"))
        .ssh_key(&Guest::public_key()?)
        .disk(Disk::raw(disk));
    let vm = machine.start()?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let guest = Guest::wrap(vm, ready)?;
    guest.sh(FILL)?;
    guest.vm.power_button()?;
    guest.vm.wait_exit(POWER_OFF).map(drop)
}
