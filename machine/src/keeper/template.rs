// SPDX-License-Identifier: Apache-2.0
//! Template: memory and disk of a machine that has booted, and that has nothing of its own yet
//! (`b2p.template`). Machines of the same image and hardware begin as its copies.

use super::console::tail;
use super::memory;
use crate::driver::{self, Launched, Start};
use crate::state::State;
use crate::store::config::MachineConfig;
use crate::store::dirs::{make_private, remove_all};
use crate::store::record::RunRecord;
use crate::store::saved::{SUSPENDED, Saved};
use crate::store::template::{DESCRIPTION, DISK};
use crate::store::watch::Watch;
use crate::store::{Machine, files};
use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Line of a guest that waits for its copies (`b2p/src/helpers/template.rs`).
const WAITS: &str = "boot2podman: template: waits";
/// Lines of the console in the report of a failure.
const TAIL_LINES: usize = 20;
/// Words of the kernel's command line: the boot ends in the wait. fw_cfg is read by the copies.
const WORDS: [&str; 3] = ["b2p.template", "b2p.format=blank", "b2p.machine=qemu"];

/// Sign of the machine that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// The console's log may have grown.
    Changed,
    /// QEMU has ended.
    Gone,
}

/// Boots a machine with this configuration in the directory `machine.dir`, which has an empty disk, and
/// leaves there the disk with the memory, and its description.
pub fn make(machine: &Machine, config: &MachineConfig, limit: Duration) -> Result<()> {
    make_private(&machine.run)?;
    let made = boot(machine, config, Instant::now() + limit);
    remove_all(&machine.run)?;
    let saved = made?;
    let text = serde_json::to_string_pretty(&saved)?;
    files::replace(&machine.file(DESCRIPTION), text.as_bytes())?;
    keep(&machine.dir, &[DESCRIPTION, DISK])
}

fn boot(machine: &Machine, config: &MachineConfig, deadline: Instant) -> Result<Saved> {
    let config = MachineConfig {
        append: WORDS.map(str::to_owned).to_vec(),
        ssh_port_fixed: false,
        ..config.clone()
    };
    machine.save(&config)?;
    // Nobody logs in.
    files::replace(&machine.file("id_ed25519.pub"), b"")?;
    let console = machine.file("console.log");
    files::replace(&console, b"")?;
    let mut launched =
        driver::named(&config.driver)?
            .launch(machine, &config, Start::Template, &mut |_, _| Ok(()))?;
    let (signs, events) = channel();
    // The monitor's thread ends with the receiver of its events: both last until the memory is saved.
    let saved = listen(&mut launched, &console, signs)
        .and_then(|()| wait(&events, &console, deadline))
        .and_then(|()| save(machine, &mut launched))
        .map_err(|error| with_tail(&error, &console));
    // QEMU has written everything by now, or nothing of it counts.
    let _ = launched.child.kill();
    launched.child.wait()?;
    saved
}

/// Starts the sources of signs.
fn listen(launched: &mut Launched, console: &Path, signs: Sender<Sign>) -> Result<()> {
    let events = signs.clone();
    launched.vm.listen(Box::new(move |event| {
        let sign = match event {
            Some(_) => Sign::Changed,
            None => Sign::Gone,
        };
        events.send(sign).is_ok()
    }))?;
    let watch = Watch::new(console)?;
    // What was written before there was a watch.
    let _ = signs.send(Sign::Changed);
    thread::spawn(move || while watch.wait().is_ok() && signs.send(Sign::Changed).is_ok() {});
    Ok(())
}

/// Waits until the guest waits.
fn wait(events: &Receiver<Sign>, console: &Path, deadline: Instant) -> Result<()> {
    loop {
        let text = fs::read(console).context("console.log")?;
        if waits(&String::from_utf8_lossy(&text))? {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Sign::Changed) => {}
            Ok(Sign::Gone) => bail!("QEMU has ended"),
            Err(RecvTimeoutError::Timeout) => bail!("the time of --timeout is over"),
            Err(RecvTimeoutError::Disconnected) => bail!("no more events"),
        }
    }
}

/// Returns true if the console shows that the guest waits. A guest without this wait, or one whose
/// preparation failed, becomes ready instead.
fn waits(console: &str) -> Result<bool> {
    if console.contains(vmm::READY) {
        bail!(
            "the guest has become ready instead of waiting: its image is too old, or podman did not answer"
        );
    }
    if console.contains("Kernel panic - not syncing") {
        bail!("the guest's kernel has stopped");
    }
    Ok(console.contains(WAITS))
}

/// Saves memory and disk of the same moment in the file of the disk, and ends QEMU.
fn save(machine: &Machine, launched: &mut Launched) -> Result<Saved> {
    let vm = launched.vm.as_mut();
    vm.pause()?;
    let record = RunRecord::new(State::Paused);
    let saved = memory::describe(machine, vm, SUSPENDED, &record)?;
    vm.save(SUSPENDED)?;
    let disk = machine.disk();
    let synced = fs::File::open(&disk).and_then(|file| file.sync_all());
    synced.with_context(|| format!("sync {}", disk.display()))?;
    vm.quit();
    launched.child.wait()?;
    Ok(Saved {
        template: true,
        ..saved
    })
}

fn with_tail(error: &anyhow::Error, console: &Path) -> anyhow::Error {
    let lines = tail(console, TAIL_LINES).into_iter();
    let text = lines.fold(format!("{error:#}"), |text, line| text + "\n" + &line);
    anyhow!("no template was saved: {text}")
}

/// Removes all files but these.
fn keep(dir: &Path, names: &[&str]) -> Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if !names.iter().any(|name| entry.file_name() == *name) {
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_tells_whether_the_guest_waits() {
        for (console, expected) in [
            ("", Some(false)),
            ("[    9.1] boot2podman: templ", Some(false)),
            (
                "[    9.1] boot2podman: template: waits until a host has copied this memory",
                Some(true),
            ),
            ("boot2podman: ready ssh=10.0.2.15:22 data=ram\n", None),
            ("Kernel panic - not syncing: x\n", None),
        ] {
            assert_eq!(waits(console).ok(), expected, "{console}");
        }
    }

    #[test]
    fn only_what_copies_need_is_kept() {
        let tmp = tempfile::tempdir().expect("a directory");
        for name in [DISK, DESCRIPTION, "console.log", "config.json"] {
            fs::write(tmp.path().join(name), "").expect("written");
        }
        keep(tmp.path(), &[DESCRIPTION, DISK]).expect("kept");
        let names = fs::read_dir(tmp.path()).expect("listed").flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, [DISK, DESCRIPTION]);
    }
}
