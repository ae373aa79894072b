//! What the machine has made of a disk, seen from the host by other tools than
//! its own, and without mounting anything.

use super::{Image, MIB, tool, tool_out};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::ffi::OsString;

/// A partition, as sfdisk(8) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The table: `gpt` or `dos`.
    pub table: String,
    /// In bytes from the beginning of the disk.
    pub first: u64,
    /// In bytes.
    pub len: u64,
    /// Its name in a GPT.
    pub name: String,
}

/// The partitions of a disk.
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

/// An ext file system on a disk, as e2fsprogs take it.
pub struct Ext {
    target: OsString,
}

impl Ext {
    /// That on the disk itself, or in its only partition.
    pub fn on(image: &Image) -> Result<Ext> {
        let mut target = image.file().as_os_str().to_owned();
        target.push(format!("?offset={}", begins(image)?));
        Ok(Ext { target })
    }

    /// A copy of it: e2fsck(8) of Debian 12 does not find the place again after it
    /// has replayed a journal.
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

    /// Fails where e2fsck(8) finds anything to mend. Nothing is written.
    pub fn clean(&self) -> Result<()> {
        let args = ["-f".into(), "-n".into(), self.target()];
        tool("e2fsck", &args).map(drop)
    }

    /// Mends what is safe to mend, as the machine does; fails at the rest.
    pub fn mend(&self) -> Result<()> {
        let out = tool_out("e2fsck", &["-p".into(), self.target()], b"")?;
        let code = out.status.code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!((0..=2).contains(&code), "e2fsck -p: {code}: {said}");
        Ok(())
    }

    /// Mends everything, as its owner would by hand in the end.
    pub fn repair(&self) -> Result<()> {
        let out = tool_out("e2fsck", &["-f".into(), "-y".into(), self.target()], b"")?;
        let code = out.status.code().unwrap_or(-1);
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!((0..=1).contains(&code), "e2fsck -fy: {code}: {said}");
        self.clean()
    }

    /// What debugfs(8) says to a command.
    pub fn debugfs(&self, command: &str) -> Result<String> {
        tool("debugfs", &["-R".into(), command.into(), self.target()])
    }

    /// Lets debugfs(8) write.
    pub fn change(&self, command: &str) -> Result<()> {
        let args = ["-w".into(), "-R".into(), command.into(), self.target()];
        tool("debugfs", &args).map(drop)
    }

    /// The content of a file.
    pub fn file(&self, path: &str) -> Result<Vec<u8>> {
        let args = ["-R".into(), format!("cat {path}").into(), self.target()];
        let out = tool_out("debugfs", &args, b"")?;
        let said = String::from_utf8_lossy(&out.stderr);
        // It succeeds whatever it finds.
        ensure!(!said.contains("File not found"), "{path}: {said}");
        Ok(out.stdout)
    }

    /// A value of the superblock, by its name in `dumpe2fs -h`.
    pub fn field(&self, name: &str) -> Result<String> {
        let said = self.debugfs("show_super_stats -h")?;
        let mut lines = said.lines().filter_map(|l| l.split_once(':'));
        let found = lines.find(|(key, _)| *key == name);
        let (_, value) = found.with_context(|| format!("no {name} in {said}"))?;
        Ok(value.trim().to_owned())
    }
}

/// Where the file system is: on the disk itself, or in its only partition.
fn begins(image: &Image) -> Result<u64> {
    if image.read(1080, 2)? == [0x53, 0xef] {
        return Ok(0);
    }
    match partitions(image)?.as_slice() {
        [one] => Ok(one.first),
        other => bail!("{other:?} are not one partition"),
    }
}

/// Fails unless the disk is divided as the machine divides disks: one partition of
/// a GPT, which ends with the disk, so that it can grow.
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
    // sfdisk says nothing of a broken copy of the table; this does.
    let said = tool("sfdisk", &["--verify".as_ref(), image.file().as_os_str()])?;
    ensure!(said.contains("No errors detected"), "sfdisk: {said}");
    Ok(one.clone())
}
