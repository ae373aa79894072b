// SPDX-License-Identifier: Apache-2.0
//! Disks that are damaged, unreadable or unwritable: the machine becomes ready, reports the fault,
//! and causes no further damage.

use super::{END, SOON, loud, missing, off, on};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use tests::disks::inspect::{self, Ext};
use tests::disks::make;
use tests::disks::{self, Image, MIB, tool};
use tests::{Checks, Guest, Random, eventually};
use vmm::Disk;

/// Makes and damages a disk of the machine's own format.
fn damaged(name: &str, damage: impl FnOnce(&Image, u64) -> Result<()>) -> Result<Image> {
    let dir = disks::dir(name)?;
    let disk = make::ours(&dir, name)?;
    let at = inspect::partitions(&disk)?
        .first()
        .context("no partition")?
        .first;
    damage(&disk, at)?;
    Ok(disk)
}

/// Boots with the disk.
fn boot(name: &str, disk: &Image) -> Result<Guest> {
    let guest = Guest::boot(&format!("data-{name}"), |m| m.disk(Disk::raw(disk.file())))?;
    println!("{name}: {} {:?}", guest.ready.line, guest.ready.degraded);
    Ok(guest)
}

/// Expects the invariant of any damage: the machine runs from RAM with a degraded line and the disk
/// unchanged, or from the disk, which is clean in the end and keeps its content.
fn either(name: &str, disk: &Image) -> Result<()> {
    let before = disk.copy("before")?;
    let guest = boot(name, disk)?;
    let mut checks = Checks::new(name);
    let used = guest.ready.field("data") != "ram";
    if used {
        checks.check("the earlier content exists", || {
            let said = guest.sh("cat /var/lib/containers/kept")?;
            ensure!(format!("{said}\n") == make::KEPT, "{said}");
            Ok(())
        });
    } else {
        checks.check("the data is in RAM, and a degraded line says so", || {
            loud(&guest)
        });
    }
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("nothing is worse", || {
        let same = disk.sum()? == before.sum()?;
        // Safe repairs made before the error was found stay, and errors found after the mount are
        // noted in the superblock for the next check.
        let said = guest.vm.console();
        let tried = said.contains("e2fsck") || said.contains("EXT4-fs error (device vda1)");
        ensure!(same || tried || used, "the disk was changed");
        // By hand, everything can be repaired that could be repaired before.
        let (after, before) = (Ext::taken_out(disk)?, Ext::taken_out(&before)?);
        before.repair()?;
        after.repair()?;
        let kept = before.file("/containers/kept")? == make::KEPT.as_bytes();
        ensure!(!kept || after.file("/containers/kept")? == make::KEPT.as_bytes());
        Ok(())
    });
    checks.finish(&guest)?;
    let dir = disk.file().parent().context("no directory")?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Expects a file system that is clean, or marked for a repair at the next boot.
fn sound(disk: &Image) -> Result<()> {
    let ext = Ext::taken_out(disk)?;
    ext.mend()?;
    ext.clean()?;
    ensure!(ext.file("/containers/kept")? == make::KEPT.as_bytes());
    Ok(())
}

/// The primary superblock alone is destroyed; a backup exists, but its use was not requested.
#[test]
fn a_disk_without_its_superblock_is_left_untouched() -> Result<()> {
    let disk = damaged("superblock", |disk, at| disk.write(at + 1024, &[0; 1024]))?;
    let before = disk.sum()?;
    let guest = boot("superblock", &disk)?;
    let mut checks = Checks::new("superblock");
    checks.check("the data is in RAM, and a degraded line says so", || {
        loud(&guest)
    });
    checks.check("the degraded line names the partition", || {
        missing(&guest, &["vda1"])
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the disk is unchanged", || {
        ensure!(disk.sum()? == before);
        Ok(())
    });
    // The repair follows the message; e2fsck finds the backup by itself.
    checks.check("fsck repairs the file system by hand", || {
        let ext = Ext::taken_out(&disk)?;
        ext.repair()?;
        ensure!(ext.file("/containers/kept")? == make::KEPT.as_bytes());
        Ok(())
    });
    checks.finish(&guest)
}

/// Power failed, and the journal contains garbage.
#[test]
fn journal_lost() -> Result<()> {
    let disk = damaged("journal", |disk, at| {
        let ext = Ext::on(disk)?;
        ext.change("feature needs_recovery")?;
        let blocks = ext.debugfs("blocks <8>")?;
        let first: u64 = blocks
            .split_whitespace()
            .next()
            .context("no journal")?
            .parse()?;
        let size: u64 = ext.field("Block size")?.parse()?;
        disk.write(at + first * size, &Random::new(5).bytes(8192))
    })?;
    either("journal", &disk)
}

/// Flips bytes of metadata behind the file system's back.
fn flipped(seed: u64) -> Result<()> {
    let name = format!("flipped-{seed}");
    let disk = damaged(&name, |disk, at| {
        let mut random = Random::new(seed);
        // Group descriptors, bitmaps and the first inodes; not the superblock, which another test
        // covers.
        for _ in 0..16 {
            let place = at + 4096 + random.below(2 * MIB);
            let old = disk.read(place, 1)?[0];
            disk.write(place, &[old ^ (1 << random.below(8))])?;
        }
        Ok(())
    })?;
    either(&name, &disk)
}

#[test]
fn metadata_flipped() -> Result<()> {
    flipped(1)?;
    flipped(2)
}

#[test]
#[ignore = "nightly: twenty boots"]
fn metadata_flipped_often() -> Result<()> {
    (3..23).try_for_each(flipped)
}

/// Writes a file of blkdebug rules.
fn rules(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf> {
    let file = dir.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// Every read of one disk fails, and of another those of one sector in its data partition, 68 KiB behind its start.
#[test]
fn unreadable_disks_are_degraded_and_untouched() -> Result<()> {
    let dir = disks::dir("unreadable")?;
    let disk = make::ours(&dir, "disk")?;
    let second = make::ours(&dir, "second")?;
    let fails = "[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\n";
    let all = rules(&dir, "all", fails)?;
    let one = rules(&dir, "one", &format!("{fails}sector = \"2184\"\n"))?;
    let before = disk.sum()?;
    let guest = Guest::boot("data-unreadable", |m| {
        m.disk(Disk::raw(disk.file()).blkdebug(&all))
            .disk(Disk::raw(second.file()).blkdebug(&one))
    })?;
    let mut checks = Checks::new("unreadable");
    checks.check("the data is in RAM, and a degraded line says so", || {
        loud(&guest)
    });
    checks.check("the degraded line names the disk", || {
        missing(&guest, &["vda: cannot be read"])?;
        missing(&guest, &["vdb1: cannot be read"])
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the disk is unchanged", || {
        ensure!(disk.sum()? == before);
        Ok(())
    });
    checks.finish(&guest)
}

/// One write to a disk in use fails: the file system stops writing, and the machine continues.
#[test]
fn after_a_failed_write_the_machine_continues() -> Result<()> {
    let dir = disks::dir("unwritable")?;
    let disk = make::ours(&dir, "disk")?;
    // The target is behind the backups of the superblock, in space that is not used yet.
    let first = 2048 + 100 * MIB / 512;
    let text =
        format!("[inject-error]\nevent = \"write_aio\"\nerrno = \"5\"\nsector = \"{first}\"\n");
    let rules = rules(&dir, "rules", &text)?;
    let guest = Guest::boot("data-unwritable", |m| {
        m.disk(Disk::raw(disk.file()).blkdebug(&rules))
    })?;
    let mut checks = Checks::new("unwritable");
    checks.check("the data disk is used", || on(&guest, "/dev/vda1"));
    checks.check("the write fails", || {
        let fill =
            "dd if=/dev/zero of=/var/lib/containers/fill bs=1M; sync /var/lib/containers/fill";
        let out = guest.ssh("root", fill)?;
        ensure!(!out.status.success(), "{out:?}");
        Ok(())
    });
    checks.check("the machine goes on", || {
        guest
            .sh("b2p status; test $(cat /var/lib/containers/kept | wc -l) = 1")
            .map(drop)
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the earlier content exists", || sound(&disk));
    checks.finish(&guest)
}

/// A disk in use disappears.
#[test]
fn a_disk_that_is_pulled_out_is_degraded() -> Result<()> {
    let dir = disks::dir("pulled")?;
    let disk = make::ours(&dir, "disk")?;
    let guest = Guest::boot("data-pulled", |m| {
        m.disk(Disk::raw(disk.file()).on(vmm::Bus::Scsi).serial("pulled"))
    })?;
    let mut checks = Checks::new("pulled");
    checks.check("the data disk is used", || on(&guest, "/dev/sda1"));
    checks.check("the disk is pulled out", || {
        guest
            .vm
            .qmp_with("device_del", &serde_json::json!({"id": "dev0"}))?;
        eventually(SOON, || {
            let status = guest.sh("b2p status")?;
            ensure!(
                status.contains("degraded data") && status.contains("vanished"),
                "{status}"
            );
            Ok(())
        })
    });
    checks.check("another look does not take its loss back", || {
        guest.sh("b2p start data")?;
        let status = guest.sh("b2p status")?;
        ensure!(status.contains("/dev/sda1 has vanished"), "{status}");
        Ok(())
    });
    checks.check("the machine lives", || {
        guest
            .ssh_alone("core", "b2p status || sudo b2p status")
            .map(drop)
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        guest.vm.wait_exit(END).map(drop)
    });
    checks.check("the earlier content exists", || sound(&disk));
    checks.finish(&guest)?;
    tool("rm", &["-r".as_ref(), dir.as_os_str()]).map(drop)
}
