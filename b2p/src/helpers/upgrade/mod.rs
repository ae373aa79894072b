//! A new version beside the one that runs, on a disk of `make disk`: `b2p upgrade`.
//! docs/guide/upgrade.md has it from outside, `initramfs/src/boot/slots.rs` the boot menu.
//!
//! | Step | A power cut in it leaves |
//! |---|---|
//! | the new version is read, all of it | everything as it was |
//! | what runs is what is kept: grubenv, one sector | the one or the other of two that work |
//! | the other slot is made anew, and read back | what runs; the other slot is not in the menu until it is whole |
//! | the other slot is tried next: grubenv, one sector | what runs, or the trial of the new |
//! | the trial: GRUB takes the wish away first | what ran |
//! | ready: the new one is kept: grubenv, one sector | what ran, or the new |

mod env;
mod mounts;
mod place;
mod slot;
mod source;
mod sums;
pub mod trial;

use std::fs::{self, File};
use std::path::Path;

use env::Env;
use nix::fcntl::{Flock, FlockArg};
use place::Place;
use source::Source;

use crate::common::terminal::{complain, print};
use sys::paths::UPGRADE_LOCK;

/// GRUB's environment, on its partition.
const GRUBENV: &str = "grub/grubenv";

/// What is asked for.
enum Wish<'a> {
    /// A new version.
    New(&'a Path),
    /// The other slot, as it is.
    Back,
    /// What runs, for good.
    Keep,
}

/// `b2p upgrade FILE`, `--back` or `--keep`.
pub fn main(words: &[String]) -> i32 {
    let wish = match words {
        [word] if word == "--back" => Wish::Back,
        [word] if word == "--keep" => Wish::Keep,
        [word] if !word.starts_with('-') => Wish::New(Path::new(word)),
        _ => {
            complain(
                "b2p upgrade: one FILE (an ISO, a raw disk, a directory), or --back, or --keep",
            );
            return 2;
        }
    };
    if !nix::unistd::geteuid().is_root() {
        complain("b2p: only root may: sudo b2p upgrade");
        return 1;
    }
    match run(&wish) {
        Ok(()) => 0,
        Err(why) => {
            complain(&format!("b2p upgrade: {why}"));
            1
        }
    }
}

fn run(wish: &Wish<'_>) -> Result<(), String> {
    let slot = sys::config_sources::read().0.slot.map(|slot| slot.name);
    let own = slot.ok_or(
        "this machine was not booted from a disk of `make disk`: replace kernel and initrd \
         where it was booted from (docs/guide/upgrade.md)",
    )?;
    let lost = "the disk that this machine was booted from is not there any more";
    let place = place::find()?.ok_or(lost)?;
    let _lock = lock(FlockArg::LockExclusiveNonblock)?;
    mounts::private()?;
    match wish {
        Wish::New(path) => new(path, &place, own),
        Wish::Back => back(&place, other(own)),
        Wish::Keep => {
            change(&place, |env| kept(env, own))?;
            print(&format!("slot {own} is what is booted.\n"));
            Ok(())
        }
    }
}

/// Keeps others away, or waits for them to end.
fn lock(how: FlockArg) -> Result<Flock<File>, String> {
    let file = File::create(UPGRADE_LOCK).map_err(|e| format!("{UPGRADE_LOCK}: {e}"))?;
    let locked = Flock::lock(file, how);
    locked.map_err(|_| "another one is at work".to_owned())
}

/// The name of the other one.
fn other(slot: char) -> char {
    if slot == 'a' { 'b' } else { 'a' }
}

/// This slot, and no trial.
fn kept(env: Env, slot: char) -> Env {
    let env = env.with("good", &slot.to_string());
    env.with("try", "").with("tried", "")
}

fn new(path: &Path, place: &Place, own: char) -> Result<(), String> {
    let target = other(own);
    let device = place.slot(target);
    let source = Source::open(path)?;
    slot::fits(device, source.size)?;
    print(&format!(
        "verifies {} ({} MiB)\n",
        path.display(),
        source.size >> 20
    ));
    beside(path)?;
    let verified = source.verify();
    verified.map_err(|why| format!("{}: {why}", path.display()))?;
    change(place, |env| kept(env, own))?;
    print(&format!(
        "writes it to slot {target}, /dev/{device}, and reads it back\n"
    ));
    slot::write(device, target, &source)?;
    change(place, |env| env.with("try", &target.to_string()))?;
    print("done: the next boot tries it (`b2p reboot`), and keeps it once the machine is ready.\n");
    Ok(())
}

/// The sum beside a file, where there is one.
fn beside(path: &Path) -> Result<(), String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    let last = path.file_name().unwrap_or_default().to_string_lossy();
    let list = path
        .is_file()
        .then(|| sums::list(Path::new(&name)))
        .flatten();
    match list.and_then(|list| sums::find(&list, &last)) {
        Some(sum) => {
            let real = fs::canonicalize(path).map_err(|e| format!("{}: {e}", path.display()))?;
            sums::check(&real, &sum)
        }
        None => Ok(()),
    }
}

/// The other slot from the next boot on, if there is a version in it.
fn back(place: &Place, target: char) -> Result<(), String> {
    let device = place.slot(target);
    let none = |why: String| format!("slot {target} has no version that could be booted: {why}");
    let mounted = mounts::device(device, "ext4", false).map_err(none)?;
    let source = Source::open(mounted.dir()).and_then(|source| source.verify());
    source.map_err(none)?;
    mounted.end()?;
    change(place, |env| kept(env, target))?;
    print(&format!(
        "slot {target} is what is booted from the next boot on.\n"
    ));
    Ok(())
}

/// Changes GRUB's environment.
fn change(place: &Place, with: impl FnOnce(Env) -> Env) -> Result<(), String> {
    let esp = mounts::device(&place.esp, "vfat", true)?;
    env::change(&esp.dir().join(GRUBENV), with)?;
    esp.end()
}
