// SPDX-License-Identifier: Apache-2.0
//! GRUB's view of a disk, read from the host.

use super::out;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use tests::disks::inspect::partitions;
use tests::disks::{Image, tool};

/// GRUB's view of a disk.
pub struct Look<'a> {
    disk: &'a Image,
    first: BTreeMap<String, u64>,
}

impl<'a> Look<'a> {
    /// Opens the partitions of a disk by name.
    pub fn at(disk: &'a Image) -> Result<Look<'a>> {
        let all = partitions(disk)?.into_iter();
        let first = all.map(|p| (p.name, p.first)).collect();
        Ok(Look { disk, first })
    }

    /// Returns the offset of a partition.
    pub fn begins(&self, name: &str) -> Result<u64> {
        let first = self.first.get(&format!("boot2podman-{name}"));
        first
            .copied()
            .with_context(|| format!("no partition {name}: {:?}", self.first))
    }

    /// Returns a file of GRUB's.
    pub fn grub(&self, name: &str) -> Result<String> {
        let place = format!("{}@@{}", self.disk.file().display(), self.begins("esp")?);
        tool("mtype", &["-i", &place, &format!("::/grub/{name}")])
    }

    /// Returns a variable of GRUB's environment.
    pub fn env(&self, name: &str) -> Result<String> {
        let text = self.grub("grubenv")?;
        let lines = text.lines().filter_map(|l| l.split_once('='));
        let mut hits = lines.filter(|(n, _)| *n == name);
        let (_, value) = hits
            .next()
            .with_context(|| format!("no {name} in {text:?}"))?;
        Ok(value.to_owned())
    }

    /// Expects the kernel and initrd of `make image` in the slot.
    pub fn whole(&self, slot: &str) -> Result<()> {
        let place = format!(
            "{}?offset={}",
            self.disk.file().display(),
            self.begins(slot)?
        );
        for name in ["vmlinuz", "initrd.img"] {
            let to = self.disk.file().with_extension("out");
            let dump = format!("dump /{name} {}", to.display());
            tool("debugfs", &["-R", &dump, &place])?;
            let same = fs::read(&to)? == fs::read(out(name)?)?;
            ensure!(same, "{name} in slot {slot} is another");
            fs::remove_file(to)?;
        }
        Ok(())
    }
}
