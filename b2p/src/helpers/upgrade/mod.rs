// SPDX-License-Identifier: Apache-2.0
//! `b2p upgrade`: installs a new version beside the one that runs, on a disk of `make disk`.
//! docs/guide/upgrade.md describes the upgrade for users, `initramfs/src/boot/slots.rs` is the boot
//! menu.
//!
//! The steps, and the state that a power cut in each of them leaves:
//!
//! 1. The whole new version is read and verified: everything is as before.
//! 2. The running slot becomes `good` in grubenv, one sector: either of two slots that work.
//! 3. The other slot is formatted, written, and read back: the running slot; the menu does not
//!    offer the other one until it is complete.
//! 4. The other slot is to be tried, in grubenv, one sector: the running slot, or a trial of the
//!    new version.
//! 5. GRUB clears that request before it boots the trial: the old version.
//! 6. The machine is ready and the new slot becomes `good` in grubenv, one sector: the old version
//!    or the new one. A `b2p upgrade` before that ends the trial, and its choice stays.

mod boot_disk;
pub mod commit;
mod grubenv;
mod mounts;
mod slot;
mod source;
mod sums;
mod trial;

use std::fs;
use std::path::Path;

use boot_disk::BootDisk;
use grubenv::GrubEnv;
use nix::fcntl::FlockArg;
use source::Source;
use sys::error::{Doing, Error, Result};
use sys::paths::UPGRADE_LOCK;

use crate::common::audit;
use crate::common::terminal::{print, print_error};

/// Path of GRUB's environment block on the EFI system partition.
const GRUBENV: &str = "grub/grubenv";

/// A command line of `b2p upgrade`.
enum Command<'a> {
    /// Installs the version in this file or directory.
    Install(&'a Path),
    /// Boots the other slot from the next boot on.
    Back,
    /// Keeps the slot that runs.
    Keep,
}

/// `b2p upgrade FILE`, `--back` or `--keep`.
pub fn main(args: &[String]) -> i32 {
    let command = match args {
        [arg] if arg == "--back" => Command::Back,
        [arg] if arg == "--keep" => Command::Keep,
        [arg] if !arg.starts_with('-') => Command::Install(Path::new(arg)),
        _ => {
            print_error(
                "b2p upgrade: one FILE (an ISO, a raw disk, a directory), or --back, or --keep",
            );
            return 2;
        }
    };
    if !nix::unistd::geteuid().is_root() {
        print_error("b2p: only root may: sudo b2p upgrade");
        return 1;
    }
    match run(&command) {
        Ok(()) => {
            audit::record(&format!("upgrade {}", args.join(" ")));
            0
        }
        Err(why) => {
            print_error(&format!("b2p upgrade: {why}"));
            1
        }
    }
}

fn run(command: &Command<'_>) -> Result<()> {
    let slot = sys::config_sources::read().0.slot.map(|slot| slot.name);
    let running = slot.ok_or_else(|| {
        Error::invalid(
            "this machine was not booted from a disk of `make disk`: replace kernel and initrd \
             where it was booted from (docs/guide/upgrade.md)",
        )
    })?;
    let disk = boot_disk::find()?.ok_or_else(|| {
        Error::invalid("the disk that this machine was booted from is no longer there")
    })?;
    let path = Path::new(UPGRADE_LOCK);
    let lock = trial::lock(path, FlockArg::LockExclusiveNonblock)?;
    let _lock = lock.ok_or_else(|| Error::invalid("another `b2p upgrade` is running"))?;
    mounts::private()?;
    match command {
        Command::Install(path) => install(path, &disk, running),
        Command::Back => back(&disk, other(running)),
        Command::Keep => {
            decide(&disk, running)?;
            print(&format!("slot {running} is booted from now on.\n"));
            Ok(())
        }
    }
}

/// Returns the name of the other slot.
fn other(slot: char) -> char {
    if slot == 'a' { 'b' } else { 'a' }
}

/// Makes `slot` the one that is booted, and ends any trial.
fn committed(env: GrubEnv, slot: char) -> GrubEnv {
    let env = env.with("good", &slot.to_string());
    env.with("try", "").with("tried", "")
}

/// Makes `slot` the one that is booted, and notes for `b2p upgrade-commit` that any trial has ended.
fn decide(disk: &BootDisk, slot: char) -> Result<()> {
    change_grubenv(disk, |env| committed(env, slot))?;
    // Without the note, the other process waits for the lock and reads GRUB's environment.
    trial::note_end(Path::new(UPGRADE_LOCK))
        .unwrap_or_else(|why| print_error(&format!("b2p: {why}")));
    Ok(())
}

fn install(path: &Path, disk: &BootDisk, running: char) -> Result<()> {
    let target = other(running);
    let partition = disk.slot(target);
    let source = Source::open(path)?;
    slot::fits(partition, source.size)?;
    let mib = source.size >> 20;
    print(&format!("verifies {} ({mib} MiB)\n", path.display()));
    check_sum_beside(path)?;
    source.verify().on(path)?;
    decide(disk, running)?;
    print(&format!(
        "writes it to slot {target}, /dev/{partition}, and reads it back\n"
    ));
    slot::write(partition, target, &source)?;
    change_grubenv(disk, |env| env.with("try", &target.to_string()))?;
    print("done: the next boot tries it (`b2p reboot`), and keeps it once the machine is ready.\n");
    Ok(())
}

/// Checks the file at `path` against `path`.sha256, if that exists.
fn check_sum_beside(path: &Path) -> Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    let mut list = path.as_os_str().to_owned();
    list.push(".sha256");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let listed = sums::read_list(Path::new(&list))?.and_then(|list| sums::find(&list, &name));
    match listed {
        Some(sum) => sums::check(&fs::canonicalize(path).on(path)?, &sum),
        None => Ok(()),
    }
}

/// Boots the slot `target` from the next boot on, if the slot has a version.
fn back(disk: &BootDisk, target: char) -> Result<()> {
    let verify = || {
        let mounted = mounts::partition(disk.slot(target), "ext4", false)?;
        Source::open(mounted.dir())?.verify()?;
        Ok(mounted)
    };
    let verified: Result<_> = verify();
    verified
        .doing(format!("slot {target} has no version that could be booted"))?
        .end()?;
    decide(disk, target)?;
    print(&format!("slot {target} is booted from the next boot on.\n"));
    Ok(())
}

/// Changes GRUB's environment on the boot disk.
fn change_grubenv(disk: &BootDisk, edit: impl FnOnce(GrubEnv) -> GrubEnv) -> Result<()> {
    let esp = mounts::partition(&disk.esp, "vfat", true)?;
    grubenv::change(&esp.dir().join(GRUBENV), edit)?;
    esp.end()
}

/// Reads GRUB's environment on the boot disk.
fn read_grubenv(disk: &BootDisk) -> Result<GrubEnv> {
    let esp = mounts::partition(&disk.esp, "vfat", false)?;
    let path = esp.dir().join(GRUBENV);
    let block = sys::files::read_bounded(&path, grubenv::LENGTH as u64 + 1).on(&path)?;
    GrubEnv::parse(&block).on(&path)
}
