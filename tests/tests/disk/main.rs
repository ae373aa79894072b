// SPDX-License-Identifier: Apache-2.0
//! The disk of `make disk` in its usual uses: the disk boots on BIOS and UEFI, grows, takes a new
//! version, and returns to the old one if the new one fails. `make test` has made the disk.

mod cuts;
mod look;
mod nights;

use anyhow::{Context, Result, ensure};
use cuts::Story;
use initramfs::disk::PARTITIONS;
use initramfs::paths::{self, QCOW2, RAW_DISK};
use initramfs::sums;
use look::Look;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::replay::{Log, empty};
use tests::disks::{self, Image, MIB, tool};
use tests::firmware::Firmware::{self, Bios, Uefi};
use tests::firmware::{keyed, machine};
use tests::{BOOT_LIMIT, Checks, Guest, eventually, initrd};
use vmm::{Disk, Machine};

/// Time limit of an orderly shutdown.
const END: Duration = Duration::from_secs(240);

fn out(name: &str) -> Result<PathBuf> {
    let file = paths::out().join(name);
    ensure!(
        file.exists(),
        "there is no {}: `make disk` makes it",
        file.display()
    );
    Ok(file)
}

/// Returns the disk that results from writing the raw image to a larger one.
fn larger(dir: &Path, mib: u64) -> Result<Image> {
    let disk = Image::blank(dir, "disk", 1)?;
    let how = ["--sparse=always", "--reflink=auto"].map(Path::new);
    tool("cp", &[how[0], how[1], &out(RAW_DISK)?, disk.file()])?;
    disk.grow(mib)?;
    Ok(disk)
}

/// Makes a file system with versions to upgrade to, each a directory or a file; `make test-all`
/// adds more.
fn shelf(dir: &Path, night: bool) -> Result<PathBuf> {
    let root = dir.join("shelf");
    let add = |name: &str, kernel: &[u8], initrd: &[u8]| -> Result<()> {
        let dir = root.join(name);
        fs::create_dir_all(&dir)?;
        let files = ["vmlinuz", "initrd.img"].map(|name| dir.join(name));
        fs::write(&files[0], kernel)?;
        fs::write(&files[1], initrd)?;
        Ok(fs::write(dir.join("SHA256SUMS"), sums::lines(&files)?)?)
    };
    let kernel = fs::read(out("vmlinuz")?)?;
    // A valid header in front of something that GRUB cannot load.
    add("short", kernel.get(..4096).context("a kernel")?, b"nothing")?;
    add("panics", &kernel, b"nothing")?;
    if night {
        let mut bare = fs::read(out("initrd.img")?)?;
        initrd::hide(&mut bare, "userland.erofs")?;
        add("bare", &kernel, &bare)?;
        tool(
            "cp",
            &[Path::new("--sparse=always"), &out(RAW_DISK)?, &root],
        )?;
    }
    let iso = fs::read(out(paths::ISO)?)?;
    fs::write(root.join("new.iso"), &iso)?;
    let mut damaged = iso;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(root.join("damaged.iso"), &damaged)?;
    let image = Image::blank(dir, "shelf", 800)?;
    let words = ["-q", "-F", "-t", "ext4", "-d"].map(Path::new);
    tool("mke2fs", &[&words[..], &[&root, image.file()]].concat())?;
    Ok(image.file().to_owned())
}

/// Returns the machine with its disk, and the versions on a second disk.
fn with(name: &str, firmware: Firmware, disk: Disk, shelf: &Path) -> Result<Machine> {
    let shelf = Disk::raw(shelf).read_only();
    Ok(keyed(machine(name, firmware)?)?.disk(disk).disk(shelf))
}

/// Expects the slot and its role on the kernel's command line.
fn runs(guest: &Guest, slot: &str) -> Result<()> {
    let line = guest.sh("cat /proc/cmdline")?;
    let found = line.split(' ').find_map(|w| w.strip_prefix("b2p.slot="));
    ensure!(found == Some(slot), "not {slot}: {line}");
    Ok(())
}

fn up(guest: &Guest, firmware: Firmware) -> Result<()> {
    guest.sh(firmware.check())?;
    let data = guest.ready.field("data");
    ensure!(data == "/dev/vda5", "data={data}");
    guest.sh("mount -o ro /dev/vdb /media").map(drop)
}

fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    let ended = guest.vm.wait_exit(END)?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

/// Runs a command that must fail, and returns its output.
fn refused(guest: &Guest, script: &str) -> Result<String> {
    let out = guest.ssh("root", script)?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        out.status.code() == Some(1),
        "{script}: {}: {said}",
        out.status
    );
    Ok(said)
}

/// Expects the refusal of invalid versions, without a write.
fn refusals(guest: &Guest, checks: &mut Checks) {
    for (file, why) in [
        ("/media/damaged.iso", "damaged.iso: initrd.img is damaged"),
        ("/media/none", "No such file"),
        ("/usr/bin/podman", "neither an ISO"),
        ("/etc", "vmlinuz"),
        ("/dev/vdb", "neither an ISO"),
    ] {
        checks.check(&format!("{file} is refused"), || {
            let said = refused(guest, &format!("b2p upgrade {file}"))?;
            ensure!(said.contains(why), "{said}");
            Ok(())
        });
    }
    checks.check("there is nothing to go back to", || {
        let said = refused(guest, "b2p upgrade --back")?;
        ensure!(said.contains("slot b has no version"), "{said}");
        Ok(())
    });
}

/// Four boots on each firmware: a new disk, a new version on trial, one that cannot be loaded, and
/// the old one.
#[test]
fn a_disk_boots_grows_is_upgraded_and_falls_back() -> Result<()> {
    let dir = disks::dir("disk")?;
    let (disk, shelf) = (larger(&dir, 2048)?, shelf(&dir, false)?);
    let (before, log) = (disk.copy("before")?, empty(&disk)?);
    let logged = Disk::raw(disk.file()).log_writes(&log);
    let guest = Guest::start(&with("disk-new", Uefi, logged, &shelf)?)?;
    let mut checks = Checks::new("disk");
    checks.check("the disk boots on UEFI, from slot a", || {
        ensure!(
            guest.ready.degraded.is_empty(),
            "{:?}",
            guest.ready.degraded
        );
        up(&guest, Uefi).and_then(|()| runs(&guest, "a"))
    });
    checks.check("the data partition is as large as the disk", || {
        let free = guest.sh("stat -fc '%b %S' /mnt/data")?;
        let (blocks, size) = free.split_once(' ').context("two numbers")?;
        let mib = blocks.parse::<u64>()? * size.parse::<u64>()? / MIB;
        ensure!((1400..1622).contains(&mib), "{mib} MiB");
        guest.sh(&format!("echo kept | tee {NOTES}")).map(drop)
    });
    refusals(&guest, &mut checks);
    checks.check("an upgrade from an ISO", || {
        let said = guest.sh("b2p upgrade /media/new.iso; cat /proc/mounts")?;
        ensure!(said.contains("done: the next boot tries it"), "{said}");
        ensure!(!said.contains("boot2podman/mnt"), "still mounted: {said}");
        Ok(())
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.finish(&guest)?;
    drop(guest);
    Story::new(&Log::open(&log)?, before)?.look(3, 1, |_, _| Ok(()))?;
    trial(&disk, &shelf)?;
    fallen(&disk, &shelf)?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Files that an upgrade keeps: of the state directory, of /etc and of a home.
const NOTES: &str = "/var/lib/boot2podman/note /etc/containers/note /home/core/note";

/// Second boot.
fn trial(disk: &Image, shelf: &Path) -> Result<()> {
    let guest = Guest::start(&with("disk-trial", Bios, Disk::raw(disk.file()), shelf)?)?;
    let mut checks = Checks::new("disk");
    checks.check("the new version runs, on BIOS, and has the data", || {
        ensure!(
            guest.ready.degraded.is_empty(),
            "{:?}",
            guest.ready.degraded
        );
        up(&guest, Bios).and_then(|()| runs(&guest, "b:trial"))?;
        let notes = guest.sh(&format!("cat {NOTES}"))?;
        ensure!(notes == "kept\nkept\nkept", "{notes}");
        Ok(())
    });
    checks.check("a version on trial is kept once it is ready", || {
        eventually(END, || {
            let state = guest.sh("b2p status --json upgrade")?;
            ensure!(state.contains("\"done\""), "{state}");
            Ok(())
        })?;
        let said = guest.sh("dmesg | grep upgrade:")?;
        ensure!(
            said.contains("slot b has become ready, and is kept"),
            "{said}"
        );
        Ok(())
    });
    checks.check(
        "a version with right sums that GRUB cannot load is installed",
        || guest.sh("b2p upgrade /media/short").map(drop),
    );
    checks.check("poweroff succeeds", || off(&guest));
    checks.finish(&guest)?;
    let look = Look::at(disk)?;
    ensure!((look.env("good")?, look.env("try")?) == ("b".into(), "a".into()));
    look.whole("b")
}

/// Third boot, which does not reach a kernel, and the fourth.
fn fallen(disk: &Image, shelf: &Path) -> Result<()> {
    let vm = with("disk-short", Uefi, Disk::raw(disk.file()), shelf)?.start()?;
    // QEMU exits where a machine would restart.
    vm.wait_exit(BOOT_LIMIT)?;
    ensure!(
        !vm.console().contains("Linux version"),
        "a kernel: {}",
        vm.tail()
    );
    drop(vm);
    let guest = Guest::start(&with("disk-back", Uefi, Disk::raw(disk.file()), shelf)?)?;
    let mut checks = Checks::new("disk");
    checks.check("the version before runs, and says why", || {
        up(&guest, Uefi).and_then(|()| runs(&guest, "b:fallback"))?;
        let told = format!("{:?}", guest.ready.degraded);
        ensure!(
            told.contains("the version in slot a did not become ready"),
            "{told}"
        );
        Ok(())
    });
    checks.check("whoever is content says so", || {
        guest.sh("b2p upgrade --keep").map(drop)
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.finish(&guest)?;
    let look = Look::at(disk)?;
    ensure!(
        (look.env("good")?, look.env("try")?, look.env("tried")?)
            == ("b".into(), String::new(), String::new())
    );
    Ok(())
}

/// Checks the images with tools that know nothing of this project.
#[test]
fn raw_and_qcow2_disks_are_equal_and_clean() -> Result<()> {
    let (raw, qcow2) = (out(RAW_DISK)?, out(QCOW2)?);
    tool(
        "qemu-img",
        &["check", "-q", "-f", "qcow2", &qcow2.to_string_lossy()],
    )?;
    // Beyond the end of the shorter image, the longer one is zero.
    let both = [raw.to_string_lossy(), qcow2.to_string_lossy()];
    let same = ["compare", "-f", "raw", "-F", "qcow2", &both[0], &both[1]];
    tool("qemu-img", &same)?;
    let dir = disks::dir("disk-files")?;
    let disk = larger(&dir, 700)?;
    let look = Look::at(&disk)?;
    look.whole("a")?;
    ensure!(look.env("good")? == "a" && look.grub("grub.cfg")?.contains("b2p.slot="));
    for (name, fsck, words) in [
        ("esp", "fsck.vfat", vec!["-n"]),
        ("a", "e2fsck", vec!["-fn"]),
        ("data", "e2fsck", vec!["-fn"]),
    ] {
        let part = dir.join(name);
        let from = format!("if={}", disk.file().display());
        let skip = format!("skip={}", look.begins(name)? / MIB);
        let mib = PARTITIONS
            .iter()
            .find(|row| row.name.ends_with(name))
            .context("a row")?
            .mib;
        let (to, count) = (format!("of={}", part.display()), format!("count={mib}"));
        tool(
            "dd",
            &[
                &from,
                &to,
                &skip,
                &count,
                "bs=1M",
                "conv=sparse",
                "status=none",
            ],
        )?;
        tool(fsck, &[words, vec![&*part.to_string_lossy()]].concat())?;
    }
    Ok(fs::remove_dir_all(dir)?)
}
