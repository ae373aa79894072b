// SPDX-License-Identifier: Apache-2.0
//! Kernel and initrd on the media that this project makes: disc image, and disk with two slots.

use super::image_source::FILES;
use super::iso;
use super::logfile::append;
use super::space;
use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use disk::bytes::SizedFile;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Directory of the files on a disc image.
const DIR: &str = "boot";
/// Name of the partition of a disk with a version, the first slot.
const SLOT: &str = "boot2podman-a";
/// Begin of a file by qcow2 (docs/interop/qcow2.txt in QEMU).
const QCOW2: &[u8] = b"QFI\xfb";

/// Returns true for names of media in a URL.
#[must_use]
pub fn is_name(name: &str) -> bool {
    [".iso", ".qcow2", ".raw"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Copies kernel and initrd of a medium into `to`.
pub fn extract(medium: &Path, to: &Path) -> Result<()> {
    let open = || File::open(medium).with_context(|| format!("open {}", medium.display()));
    let mut file = open()?;
    if iso::is(&mut file) {
        return of_disc(&mut file, to);
    }
    let mut magic = [0; 4];
    let len = file.read_at(&mut magic, 0)?;
    if magic.get(..len) != Some(QCOW2) {
        return of_disk(medium, to);
    }
    check_qcow2(medium)?;
    let raw = to.join(".raw");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-q", "-f", "qcow2", "-O", "raw"]);
    let extracted = tool::run(convert.arg(medium).arg(&raw)).and_then(|()| of_disk(&raw, to));
    super::dirs::remove_all(&raw)?;
    extracted
}

/// Refuses a qcow2 for which QEMU would read another file of the host.
pub fn check_qcow2(disk: &Path) -> Result<()> {
    let mut info = Command::new("qemu-img");
    info.args(["info", "-f", "qcow2", "--output", "json"]);
    let text = tool::output(info.arg(disk))?;
    let info: serde_json::Value = serde_json::from_str(&text).context("qemu-img info")?;
    let plain = info.get("backing-filename").is_none()
        && info["format-specific"]["data"].get("data-file").is_none();
    ensure!(
        plain,
        "{}: the disk refers to another file, and is refused",
        disk.display()
    );
    Ok(())
}

fn of_disc(disc: &mut File, to: &Path) -> Result<()> {
    let extents = FILES.map(|name| iso::find(disc, &format!("{DIR}/{name}")));
    let known = extents.iter().flatten();
    space::check("the image", to, known.map(|extent| extent.len).sum())?;
    for (name, extent) in FILES.into_iter().zip(extents) {
        let extent = extent?;
        disc.seek(SeekFrom::Start(extent.offset))?;
        let mut out = append(&to.join(name))?;
        let len = io::copy(&mut disc.take(extent.len), &mut out)?;
        ensure!(len == extent.len, "{name}: the disc image is cut");
    }
    Ok(())
}

/// Reads a disk by its partition table, and the slot's ext4 by debugfs(8).
fn of_disk(disk: &Path, to: &Path) -> Result<()> {
    let file = File::open(disk).with_context(|| format!("open {}", disk.display()))?;
    // A file that is too short for a table has none.
    let source = SizedFile {
        size: file.metadata()?.len(),
        file,
    };
    let table = disk::gpt::read(&source, 512).ok().flatten();
    let partitions = table.map(|table| table.partitions()).unwrap_or_default();
    let Some(slot) = partitions.iter().find(|partition| partition.name == SLOT) else {
        bail!(
            "{}: neither a disc image nor a disk of this project",
            disk.display()
        );
    };
    let path = disk
        .to_str()
        .filter(|path| !path.contains('?'))
        .context("a path of UTF-8 without ?")?;
    let place = format!("{path}?offset={}", slot.offset);
    for name in FILES {
        let to = to.join(name);
        dump(&place, name, &to)?;
        ensure!(
            to.metadata().is_ok_and(|meta| meta.len() > 0),
            "{}: no {name} in {SLOT}",
            disk.display()
        );
    }
    Ok(())
}

/// Copies a file out of an ext4 by debugfs(8). `place` is the path of the disk with the offset of the file system.
fn dump(place: &str, name: &str, to: &Path) -> Result<()> {
    let program = tool::find("debugfs").unwrap_or_else(|| "/usr/sbin/debugfs".into());
    let quoted = to
        .to_str()
        .filter(|path| !path.contains('"'))
        .context("a path of UTF-8 without quotes")?;
    let request = format!("dump /{name} \"{quoted}\"");
    tool::run(Command::new(program).arg("-R").arg(request).arg(place))
}
