// SPDX-License-Identifier: Apache-2.0
//! Disks after a boot, seen from the host with other tools than the machine's own, and without
//! mounting anything.

use super::{Image, MIB, tool, tool_out};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::ffi::OsString;

/// A partition in the output of sfdisk(8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Kind of the table: `gpt` or `dos`.
    pub table: String,
    /// First byte, counted from the start of the disk.
    pub first: u64,
    /// Length in bytes.
    pub len: u64,
    /// Name in a GPT.
    pub name: String,
}

/// Returns the partitions of a disk.
pub fn partitions(image: &Image) -> Result<Vec<Partition>> {
    let said = tool("sfdisk", &["--json".as_ref(), image.file().as_os_str()])?;
    let table: Value = serde_json::from_str(&said)?;
    let table = &table["partitiontable"];
    let unit = table["sectorsize"].as_u64().unwrap_or(512);
    let list = table["partitions"].as_array().context("no partitions")?;
    let one = |p: &Value| {
        Some(Partition {
            table: table["label"].as_str()?.to_owned(),
            first: p["start"].as_u64()? * unit,
            len: p["size"].as_u64()? * unit,
            name: p["name"].as_str().unwrap_or_default().to_owned(),
        })
    };
    list.iter()
        .map(|p| one(p).with_context(|| format!("{p} is no partition")))
        .collect()
}

/// An ext file system on a disk, in the form for e2fsprogs.
pub struct Ext {
    target: OsString,
}

impl Ext {
    /// Opens the file system on the disk itself, or in its only partition.
    pub fn on(image: &Image) -> Result<Ext> {
        let mut target = image.file().as_os_str().to_owned();
        target.push(format!("?offset={}", begins(image)?));
        Ok(Ext { target })
    }

    /// Copies the file system out of its disk: after the replay of a journal, e2fsck(8) of Debian
    /// 12 does not find a file system at an offset again.
    pub fn taken_out(image: &Image) -> Result<Ext> {
        let copy = image.file().with_extension("ext");
        let words = [
            format!("if={}", image.file().display()),
            format!("of={}", copy.display()),
            format!("iflag=skip_bytes skip={}", begins(image)?),
            "bs=1M conv=sparse status=none".into(),
        ];
        let words: Vec<&str> = words.iter().flat_map(|w| w.split(' ')).collect();
        tool("dd", &words)?;
        let target = copy.into_os_string();
        Ok(Ext { target })
    }

    fn target(&self) -> OsString {
        self.target.clone()
    }

    /// Fails if e2fsck(8) finds any error. Writes nothing.
    pub fn clean(&self) -> Result<()> {
        let args = ["-f".into(), "-n".into(), self.target()];
        tool("e2fsck", &args).map(drop)
    }

    /// Makes safe repairs, as the machine does; fails if errors remain.
    pub fn mend(&self) -> Result<()> {
        let out = tool_out("e2fsck", &["-p".into(), self.target()], b"")?;
        let code = out.status.code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!((0..=2).contains(&code), "e2fsck -p: {code}: {said}");
        Ok(())
    }

    /// Repairs everything, as a person would by hand.
    pub fn repair(&self) -> Result<()> {
        let out = tool_out("e2fsck", &["-f".into(), "-y".into(), self.target()], b"")?;
        let code = out.status.code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!((0..=1).contains(&code), "e2fsck -fy: {code}: {said}");
        self.clean()
    }

    /// Runs a debugfs(8) command and returns its output.
    pub fn debugfs(&self, command: &str) -> Result<String> {
        tool("debugfs", &["-R".into(), command.into(), self.target()])
    }

    /// Runs a debugfs(8) command that may write.
    pub fn change(&self, command: &str) -> Result<()> {
        let args = ["-w".into(), "-R".into(), command.into(), self.target()];
        tool("debugfs", &args).map(drop)
    }

    /// Returns the content of a file.
    pub fn file(&self, path: &str) -> Result<Vec<u8>> {
        let args = ["-R".into(), format!("cat {path}").into(), self.target()];
        let out = tool_out("debugfs", &args, b"")?;
        let said = String::from_utf8_lossy(&out.stderr);
        // debugfs succeeds even if the file does not exist.
        ensure!(!said.contains("File not found"), "{path}: {said}");
        Ok(out.stdout)
    }

    /// Returns a value of the superblock, by its name in `dumpe2fs -h`.
    pub fn field(&self, name: &str) -> Result<String> {
        let said = self.debugfs("show_super_stats -h")?;
        let mut lines = said.lines().filter_map(|l| l.split_once(':'));
        let found = lines.find(|(key, _)| *key == name);
        let (_, value) = found.with_context(|| format!("no {name} in {said}"))?;
        Ok(value.trim().to_owned())
    }
}

/// Returns the offset of the file system: 0, or the start of the only partition.
fn begins(image: &Image) -> Result<u64> {
    if image.read(1080, 2)? == [0x53, 0xef] {
        return Ok(0);
    }
    match partitions(image)?.as_slice() {
        [one] => Ok(one.first),
        other => bail!("{other:?} are not one partition"),
    }
}

/// Fails unless the disk has the machine's layout: a GPT with one partition that ends with the
/// disk, so that the partition can grow.
pub fn divided(image: &Image) -> Result<Partition> {
    let all = partitions(image)?;
    let [one] = all.as_slice() else {
        bail!("{all:?} are not one partition");
    };
    ensure!(
        one.table == "gpt" && one.name == "boot2podman-data",
        "{one:?}"
    );
    ensure!(one.first.is_multiple_of(MIB), "not aligned: {one:?}");
    let rest = image.size()? - one.first - one.len;
    ensure!(rest <= 2 * MIB, "{rest} bytes are left behind {one:?}");
    // sfdisk does not report a broken backup table in its listing; `--verify` does.
    let said = tool("sfdisk", &["--verify".as_ref(), image.file().as_os_str()])?;
    ensure!(said.contains("No errors detected"), "sfdisk: {said}");
    Ok(one.clone())
}
