// SPDX-License-Identifier: Apache-2.0
//! Driver for QEMU: the board q35 with KVM or TCG, slirp for the network, qcow2 for disks and memories.

mod arguments;
mod disk;
mod findings;
mod hardware;
mod launch;
pub mod monitor;
mod proxy;
mod session;
mod settings;
mod shares;
mod vm;

use super::{Announce, Driver, Launched, Program, Snapshot, SnapshotChange, Start, Vm};
use crate::finding::Finding;
use crate::store::config::MachineConfig;
use crate::store::{Machine, saved};
use crate::tool;
use anyhow::{Context, Result};
use monitor::Monitor;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// Name of QEMU's program.
const QEMU: &str = "qemu-system-x86_64";

/// First version of QEMU that saves a memory by QMP (`snapshot-save`).
const OLDEST: (u32, u32) = (6, 0);

const PROGRAMS: &[Program] = &[
    Program {
        name: QEMU,
        version: "--version",
        package: "qemu-system-x86",
        oldest: OLDEST,
    },
    Program {
        name: disk::QEMU_IMG,
        version: "--version",
        package: "qemu-utils",
        oldest: (0, 0),
    },
];

/// Driver for QEMU.
pub struct Qemu;

impl Driver for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn programs(&self) -> &'static [Program] {
        PROGRAMS
    }

    fn findings(&self, kernel: Option<&Path>) -> Vec<Finding> {
        findings::all(kernel)
    }

    fn host(&self, cache: &Path, config: &MachineConfig) -> Result<Vec<String>> {
        let version = tool::output(Command::new(QEMU).arg("--version"))?;
        // The setting may leave the choice to the host.
        let accelerator = format!("{:?}", launch::accelerator(cache, config)?.0);
        let card = format!("network card {}", arguments::MAC);
        Ok(vec![version, accelerator, saved::host_cpu(), card])
    }

    fn launch(
        &self,
        machine: &Machine,
        config: &MachineConfig,
        start: Start,
        announce: Announce<'_>,
    ) -> Result<Launched> {
        launch::launch(machine, config, start, announce)
    }

    fn connect(&self, machine: &Machine) -> Result<Box<dyn Vm>> {
        let path = machine.run_file("qmp.sock");
        let stream = UnixStream::connect(&path).with_context(|| path.display().to_string())?;
        let mut monitor = Monitor::connect(stream)?;
        monitor.end_left_job()?;
        Ok(Box::new(monitor))
    }

    fn create_disk(&self, disk: &Path, bytes: u64) -> Result<()> {
        disk::create(disk, bytes)
    }

    fn grow_disk(&self, disk: &Path, bytes: u64) -> Result<()> {
        disk::grow(disk, bytes)
    }

    fn change_snapshots(&self, disk: &Path, change: SnapshotChange, tag: &str) -> Result<()> {
        disk::change_snapshots(disk, change, tag)
    }

    fn disk_bytes(&self, disk: &Path) -> Result<u64> {
        disk::virtual_size(disk)
    }

    fn snapshots(&self, disk: &Path) -> Result<Vec<Snapshot>> {
        disk::snapshots(disk)
    }
}
