// SPDX-License-Identifier: Apache-2.0
//! Disks that outlive their machines.

use crate::host::{CREATE, Host};
use crate::is;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the files of the disks that are kept.
fn kept(host: &Host) -> Result<Vec<PathBuf>> {
    let mut list = Vec::new();
    for entry in fs::read_dir(host.store().join("disks"))? {
        list.push(entry?.path());
    }
    list.sort_unstable();
    Ok(list)
}

fn inode(path: &Path) -> Result<u64> {
    let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(meta.ino())
}

#[test]
fn a_disk_that_is_kept_becomes_that_of_another_machine() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    let error = host.fails("rm -y --keep-disk box")?;
    ensure!(
        error.contains("it is running: stop it first") && error.lines().count() == 1,
        "{error}"
    );
    host.ok("stop box")?;
    host.ok("snapshot create box old")?;
    let disk = inode(&host.file("disk.qcow2"))?;
    let said = host.ok("rm -y --keep-disk box")?;
    let path = host.store().canonicalize()?.join("disks/box.qcow2");
    let create = format!("create --data-disk {}", path.display());
    ensure!(
        said.contains(&format!("`podman-machine {create} NAME`")),
        "{said}"
    );
    ensure!(inode(&path)? == disk && !host.file("").exists());
    host.nothing_left()?;
    // A machine that does not start leaves the disk where it was.
    let options = "--accel tcg --cpus 1 --memory 256M";
    host.fails(&format!(
        "{create} {options} --timeout 1 --image silent new"
    ))?;
    ensure!(kept(&host)? == std::slice::from_ref(&path));
    host.nothing_left()?;
    host.ok(&format!("{create} {options} --image usual box"))?;
    ensure!(kept(&host)?.is_empty() && inode(&host.file("disk.qcow2"))? == disk);
    is(&host, "Running")?;
    let size = host.ok("ls --format {{.DiskSize}}")?;
    ensure!(size == "1073741824" || size.starts_with("1"), "{size}");
    ensure!(host.ok("snapshot list box")?.contains("old"));
    // A machine that runs is killed by force alone.
    host.ok("rm -f --keep-disk box")?;
    ensure!(kept(&host)? == [path]);
    host.nothing_left()
}

#[test]
fn disks_that_no_machine_can_have_are_refused() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let (text, own) = (host.path().join("text"), host.file("disk.qcow2"));
    fs::write(&text, "no disk")?;
    let link = host.path().join("link.qcow2");
    fs::hard_link(&own, &link)?;
    for (path, words) in [
        (
            Path::new("/nonexistent"),
            "no such file: `rm --keep-disk` prints",
        ),
        (host.path(), "no such file"),
        (text.as_path(), "not in qcow2 format"),
        (own.as_path(), "it is the disk of machine \"box\""),
        (link.as_path(), "it is the disk of machine \"box\""),
    ] {
        let out = host.run(&format!("create --data-disk {} new", path.display()))?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.code() == Some(3) && said.contains(words) && said.lines().count() == 1,
            "{}: {out:?}",
            path.display()
        );
    }
    let error = host.fails("create --data-disk link.qcow2 --disk 5G new")?;
    ensure!(error.contains("cannot be used with"), "{error}");
    // Any other disk is copied.
    fs::remove_file(&link)?;
    fs::copy(&own, &link)?;
    let line = CREATE
        .replace("--disk 1G", "--data-disk link.qcow2")
        .replace("box", "new");
    host.ok(&line)?;
    let copy = own.with_file_name("").with_file_name("new/disk.qcow2");
    ensure!(link.exists() && inode(&copy)? != inode(&link)?);
    ensure!(host.ok("ls -q")? == "box\nnew");
    let mut compare = Command::new("cmp");
    ensure!(compare.arg(&copy).arg(&link).status()?.success());
    Ok(())
}
