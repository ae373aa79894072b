// SPDX-License-Identifier: Apache-2.0
//! Drivers: the programs by which machines run on this host. Commands and keepers know a machine
//! through [`Driver`] and [`Vm`] alone; a further driver is another row of [`DRIVERS`].
//!
//! A driver's program outlives the process that starts it, and holds a POSIX lock on `qemu.pid` in the
//! runtime directory for its life (`store::lock`). It appends the guest's serial console to `console.log`
//! in the machine's directory, and serves the guest's port `org.boot2podman.host.0` on `host.sock` in the
//! runtime directory.

pub mod qemu;

use crate::finding::Finding;
use crate::store::Machine;
use crate::store::config::MachineConfig;
use crate::store::record::Forward;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Child;

/// Drivers of this host. The first is that of `create` without `--driver`.
pub static DRIVERS: [&dyn Driver; 1] = [&qemu::Qemu];

/// Program that a machine needs on the host.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name, looked for in `PATH`.
    pub name: &'static str,
    /// Option that prints the version; empty if there is none.
    pub version: &'static str,
    /// Debian's package.
    pub package: &'static str,
    /// Oldest version with which machines run, major and minor; 0.0 for any.
    pub oldest: (u32, u32),
}

impl Program {
    /// Returns the version of the program by its words, and the one that is needed, if it is older. Words without a
    /// version tell nothing.
    #[must_use]
    pub fn too_old(&self, words: &str) -> Option<String> {
        let (_, rest) = words.split_once("version ")?;
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        let (least, then) = self.oldest;
        ((major, minor) < self.oldest)
            .then(|| format!("version {major}.{minor} is too old: {least}.{then} is needed"))
    }
}

/// Programs that machines of every driver need.
pub const SSH: &[Program] = &[
    Program {
        name: "ssh",
        version: "-V",
        package: "openssh-client",
        oldest: (0, 0),
    },
    Program {
        name: "ssh-keygen",
        version: "",
        package: "openssh-client",
        oldest: (0, 0),
    },
];

/// Way in which a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The guest boots.
    Boot,
    /// The processors stand still until [`Vm::resume`]: a memory is loaded first.
    Load,
    /// The guest boots for its memory alone: it does not outlive this process.
    Template,
}

/// Machine that was started, as a child of this process.
pub struct Launched {
    /// Process.
    pub child: Child,
    /// Connection for commands.
    pub vm: Box<dyn Vm>,
    /// Accelerator in use.
    pub accelerator: &'static str,
    /// Port of 127.0.0.1 that leads to sshd.
    pub ssh_port: u16,
    /// Shortcomings of the host, `what: why`.
    pub notes: Vec<String>,
}

/// Takes the port and the shortcomings of a machine before there is a process that they describe.
pub type Announce<'a> = &'a mut dyn FnMut(u16, &[String]) -> Result<()>;

/// Reason of a driver for the end of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The guest has powered off.
    PowerOff,
    /// The guest's kernel has stopped.
    Panic,
    /// A signal has ended the driver's program.
    Signal,
    /// Another one, in the driver's words; empty where it gives none.
    Other(String),
}

/// Event of a machine that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmEvent {
    /// The machine is about to end.
    Shutdown(Shutdown),
    /// The guest has restarted.
    Restarted,
    /// The processors run again.
    Resumed,
    /// The processors stand still.
    Paused,
    /// The host could not write the disk, and the processors stand still; true if the disk of the
    /// host is full.
    DiskFailed(bool),
}

/// Receiver of events: gets `None` when the driver's program has ended, and returns false when nobody
/// listens any more.
pub type Events = Box<dyn FnMut(Option<VmEvent>) -> bool + Send>;

/// Program that runs machines.
pub trait Driver: Sync {
    /// Returns the name: the value of `create --driver`, and `driver` in config.json.
    fn name(&self) -> &'static str;

    /// Returns the programs without which no machine starts.
    fn programs(&self) -> &'static [Program];

    /// Checks the host's support for this driver, besides the programs. A kernel is one to try.
    fn findings(&self, kernel: Option<&Path>) -> Vec<Finding>;

    /// Describes the host as the memory of a template depends on it, one part per entry.
    fn host(&self, cache: &Path, config: &MachineConfig) -> Result<Vec<String>>;

    /// Starts a machine, and returns when its program answers.
    fn launch(
        &self,
        machine: &Machine,
        config: &MachineConfig,
        start: Start,
        announce: Announce<'_>,
    ) -> Result<Launched>;

    /// Connects to a machine that has lost its keeper.
    fn connect(&self, machine: &Machine) -> Result<Box<dyn Vm>>;

    /// Makes an empty data disk.
    fn create_disk(&self, disk: &Path, bytes: u64) -> Result<()>;

    /// Makes the data disk of a machine that is off larger.
    fn grow_disk(&self, disk: &Path, bytes: u64) -> Result<()>;

    /// Changes the snapshots of the data disk of a machine that is off.
    fn change_snapshots(&self, disk: &Path, change: SnapshotChange, tag: &str) -> Result<()>;

    /// Returns the size in bytes that the guest sees of a data disk.
    fn disk_bytes(&self, disk: &Path) -> Result<u64>;

    /// Returns the snapshots of a data disk, also while the machine runs.
    fn snapshots(&self, disk: &Path) -> Result<Vec<Snapshot>>;
}

/// Change of a data disk's snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotChange {
    /// A snapshot of the present content is made.
    Create,
    /// The disk gets the content of the snapshot.
    Restore,
    /// The snapshot is removed.
    Remove,
}

/// Snapshot of a data disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Tag.
    pub tag: String,
    /// Bytes of memory; 0 for a snapshot of the disk alone.
    pub memory_bytes: u64,
    /// Time in seconds since 1970.
    pub created: u64,
}

/// Machine that runs. Memory and disk of one moment are kept together under a tag.
pub trait Vm: Send {
    /// Sends the events from now on, from a thread of its own.
    fn listen(&mut self, events: Events) -> Result<()>;

    /// Returns false if the processors stand still.
    fn is_running(&mut self) -> Result<bool>;

    /// Returns true if the processors stand still because the host could not write the disk.
    fn has_disk_failed(&mut self) -> Result<bool>;

    /// Lets the processors stand still.
    fn pause(&mut self) -> Result<()>;

    /// Lets the processors run.
    fn resume(&mut self) -> Result<()>;

    /// Presses the power button.
    fn press_power_button(&mut self) -> Result<()>;

    /// Pulls the plug. Returns before the driver's program has ended.
    fn quit(&mut self);

    /// Returns the hardware of which the memory depends, one part per entry.
    fn hardware(&mut self, machine: &Machine) -> Result<Vec<String>>;

    /// Keeps memory and disk.
    fn save(&mut self, tag: &str) -> Result<()>;

    /// Loads memory and disk into a machine that was started by [`Start::Load`].
    fn load(&mut self, tag: &str) -> Result<()>;

    /// Removes the kept files.
    fn remove(&mut self, tag: &str) -> Result<()>;

    /// Makes the data disk larger.
    fn grow_disk(&mut self, bytes: u64) -> Result<()>;

    /// Publishes a port; the error is the reason for the client.
    fn publish(&mut self, forward: &Forward) -> Result<()>;

    /// Takes a published port back.
    fn withdraw(&mut self, forward: &Forward) -> Result<()>;

    /// Returns the ports that are published, with that of ssh.
    fn forwards(&mut self) -> Result<Vec<Forward>>;
}

/// Returns the driver of this name.
pub fn named(name: &str) -> Result<&'static dyn Driver> {
    let found = DRIVERS.into_iter().find(|driver| driver.name() == name);
    found.with_context(|| {
        let names = DRIVERS.map(Driver::name).join(", ");
        format!("there is no driver \"{name}\" on this host; there is {names}")
    })
}

/// Returns the driver of a machine.
pub fn of(machine: &Machine) -> Result<&'static dyn Driver> {
    named(&machine.config()?.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_too_old() {
        let program = Program {
            oldest: (6, 0),
            ..SSH[0]
        };
        for (words, expected) in [
            ("QEMU emulator version 4.2.1 (Debian)", true),
            ("QEMU emulator version 5.9", true),
            ("QEMU emulator version 6.0.0", false),
            ("QEMU emulator version 10.0.2", false),
            ("OpenSSH_9.2p1", false),
            ("version x", false),
        ] {
            assert_eq!(program.too_old(words).is_some(), expected, "{words}");
        }
    }

    #[test]
    fn drivers_have_names() {
        for driver in DRIVERS {
            let found = named(driver.name()).expect("a driver of this host");
            assert_eq!(found.name(), driver.name());
        }
        let error = named("vfkit").err().expect("none").to_string();
        assert_eq!(
            error,
            "there is no driver \"vfkit\" on this host; there is qemu"
        );
    }
}
