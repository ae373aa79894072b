// SPDX-License-Identifier: Apache-2.0
//! Memory of the guest, kept with its disk under one tag, and loaded again.

use super::ports::{self, PORTS};
use super::{Keeper, control, end};
use crate::driver::{Launched, Vm};
use crate::state::State;
use crate::store::Machine;
use crate::store::config::MachineConfig;
use crate::store::record::{Forward, RunRecord};
use crate::store::saved::{self, SUSPENDED, Saved};
use crate::store::space;
use crate::text::shell::word;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::net::UnixStream;

/// Bytes below which a disk may be the reason for which a memory was not saved.
const LITTLE_BYTES: u64 = 64 << 20;

impl Keeper {
    /// Saves memory and disk, and ends QEMU. The machine continues where that fails.
    pub(super) fn suspend(&mut self, client: UnixStream) {
        let before = self.record.state;
        let done = match before {
            State::Running | State::Paused => self.try_suspend(),
            other => Err(anyhow!("the machine is {other}, and not ready to be saved")),
        };
        match done {
            Ok(()) => self.followers.push(Box::new(client)),
            Err(error) => {
                let error = with_space(error, space::free(&self.machine.dir));
                eprintln!("suspend: {error:#}");
                if before == State::Running && self.record.state == State::Stopping {
                    let _ = self.vm.resume();
                }
                self.set_state(before);
                // The state is right before the answer.
                control::send(&client, &json!({"error": format!("{error:#}")}));
            }
        }
    }

    fn try_suspend(&mut self) -> Result<()> {
        self.set_state(State::Stopping);
        self.vm.pause()?;
        if self.machine.is_pending() {
            self.vm.remove(SUSPENDED)?;
        }
        self.machine.set_pending()?;
        let saved = self.saved(SUSPENDED)?;
        let saved_now = self.vm.save(SUSPENDED);
        saved_now.map_err(|error| with_shares(&error, &self.config))?;
        // The snapshot is on the host's disk before the mark that relies on it.
        let disk = self.machine.disk();
        let synced = File::open(&disk).and_then(|file| file.sync_all());
        synced.with_context(|| format!("sync {}", disk.display()))?;
        self.machine.set_saved(&saved)?;
        self.suspended = true;
        self.vm.quit();
        Ok(())
    }

    /// Describes the machine as it runs.
    fn saved(&mut self, tag: &str) -> Result<Saved> {
        let saved = describe(&self.machine, self.vm.as_mut(), tag, &self.record)?;
        Ok(Saved {
            own: self.config.ports.clone(),
            ..saved
        })
    }

    /// Makes a snapshot that the user has named, and returns the description of its memory.
    pub(super) fn snapshot(&mut self, request: &Value) -> Result<Value> {
        let tag = request["tag"].as_str().context("no tag")?;
        if !matches!(self.record.state, State::Running | State::Paused) {
            bail!("the machine is {}: try again", self.record.state);
        }
        let saved = self.saved(tag)?;
        let saved_now = self.vm.save(tag);
        saved_now.map_err(|error| with_shares(&error, &self.config))?;
        Ok(serde_json::to_value(saved)?)
    }

    pub(super) fn delete_snapshot(&mut self, request: &Value) -> Result<()> {
        self.vm.remove(request["tag"].as_str().context("no tag")?)
    }
}

/// Adds the space of a full disk to the error of a memory that was not saved: QEMU's own words do not tell it.
fn with_space(error: anyhow::Error, free: Option<u64>) -> anyhow::Error {
    match free {
        Some(free) if free < LITTLE_BYTES => {
            anyhow!("{error:#}; the host's disk has {} MiB free", free >> 20)
        }
        _ => error,
    }
}

/// Adds the shared folders to the error of a memory that was not saved: QEMU saves no 9p folder that is mounted, and a
/// folder of virtiofsd with the newest versions alone.
fn with_shares(error: &anyhow::Error, config: &MachineConfig) -> anyhow::Error {
    let (name, targets) = (
        &config.name,
        config.shares.iter().map(|s| s.target.as_str()),
    );
    let targets: Vec<&str> = targets.collect();
    match targets.first() {
        None => anyhow!("{error:#}"),
        Some(first) => anyhow!(
            "{error:#}; its shared folders ({}) may prevent it: `podman-machine share rm {name} {} --restart`",
            targets.join(", "),
            word(first)
        ),
    }
}

/// Describes a machine whose QEMU runs.
pub(super) fn describe(
    machine: &Machine,
    vm: &mut dyn Vm,
    tag: &str,
    record: &RunRecord,
) -> Result<Saved> {
    Ok(Saved {
        tag: tag.to_owned(),
        hardware: vm.hardware(machine)?,
        forwards: record.forwards.clone(),
        own: Vec::new(),
        contested_ports: record.contested_ports.clone(),
        degraded: record.degraded.clone(),
        template: false,
        ready_on_disk: record.ready_on_disk,
        at: end::now(),
    })
}

/// Loads a memory into a QEMU that stands still. A memory that does not fit is left as it is.
pub(super) fn load(
    machine: &Machine,
    launched: &mut Launched,
    saved: &Saved,
    record: &mut RunRecord,
) -> Result<()> {
    let refused = |why: String| {
        let name = &machine.name;
        anyhow!(
            "the saved memory cannot continue: {why}; `podman-machine start --cold {name}` drops it and boots"
        )
    };
    let now = launched.vm.hardware(machine)?;
    if let Some(difference) = saved::difference(&saved.hardware, &now) {
        return Err(refused(difference));
    }
    let loaded = launched.vm.load(&saved.tag);
    loaded.map_err(|error| refused(format!("{error:#}")))?;
    // A copy of a template becomes ready like a guest that boots.
    record.ready = !saved.template;
    record.ready_on_disk = saved.ready_on_disk;
    // Those of ports are of the moment at which they were published.
    record.degraded.clone_from(&saved.degraded);
    record.degraded.retain(|line| !line.starts_with(PORTS));
    record.contested_ports.clone_from(&saved.contested_ports);
    for forward in forwards(saved, &machine.config()?) {
        if let Err(error) = publish(launched.vm.as_mut(), forward, record) {
            record.degraded.push(format!("{PORTS}{error:#}"));
        }
    }
    Ok(())
}

/// Returns the ports of a memory that continues: those of the configuration of now, and those of containers that it still
/// allows. A port that the user has given up meanwhile is not among them.
fn forwards(saved: &Saved, config: &MachineConfig) -> Vec<Result<Forward>> {
    let others = saved.forwards.iter();
    let others = others.filter(|port| !saved.own.contains(port));
    // The address of a container's port depends on the configuration, too.
    let of_containers = others
        .map(|port| ports::of_guest(port.clone(), config))
        .filter(|port| {
            let is_own = |port| config.ports.iter().any(|own| own.same_port(port));
            !port.as_ref().is_ok_and(is_own)
        });
    let own = config.ports.iter().cloned().map(Ok);
    own.chain(of_containers).collect()
}

fn publish(vm: &mut dyn Vm, forward: Result<Forward>, record: &mut RunRecord) -> Result<()> {
    let forward = forward?;
    match vm.publish(&forward) {
        Err(error) => match forward.owner() {
            Some(owner) => Err(anyhow!("{error:#}: {owner}")),
            None => Err(error),
        },
        Ok(()) => {
            record.forwards.push(forward);
            Ok(())
        }
    }
}

/// Removes the snapshot of a suspension that is over, or that was cut before it was whole.
pub(super) fn sweep(machine: &Machine, vm: &mut dyn Vm) {
    if !machine.is_pending() {
        return;
    }
    // The snapshot may not exist: a suspension may have been cut before that.
    if let Err(error) = vm.remove(SUSPENDED) {
        eprintln!("remove the snapshot of a suspension: {error:#}");
    }
    if let Err(error) = machine.forget_pending() {
        eprintln!("{error:#}");
    }
}

/// Ends the suspension of a keeper that was killed after the memory was whole, before QEMU ended:
/// the machine has not run since.
pub(super) fn finish(machine: &Machine, vm: &mut dyn Vm) -> Result<()> {
    vm.quit();
    crate::store::lock::wait_free(&machine.run_file("qemu.pid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_folder_is_named_where_the_memory_is_not_saved() {
        let mut config = MachineConfig::new("box");
        assert_eq!(with_shares(&anyhow!("no"), &config).to_string(), "no");
        for target in ["/a x", "/b"] {
            config.shares.push(crate::store::share::Share {
                source: "/".into(),
                target: target.into(),
                read_only: false,
            });
        }
        let text = with_shares(&anyhow!("no"), &config).to_string();
        assert!(
            text.starts_with("no; its shared folders (/a x, /b)")
                && text.ends_with("share rm box '/a x' --restart`"),
            "{text}"
        );
    }

    #[test]
    fn ports_of_a_memory_are_those_that_the_configuration_allows() {
        let port = |address: &str, port: u16| Forward {
            protocol: "tcp".into(),
            address: address.into(),
            port,
            guest: 80,
        };
        let mut config = MachineConfig::new("box");
        config.ports = vec![port("127.0.0.1", 1), port("0.0.0.0", 4)];
        let saved = Saved {
            tag: String::new(),
            hardware: Vec::new(),
            forwards: vec![
                port("127.0.0.1", 1),
                port("0.0.0.0", 2),
                port("0.0.0.0", 3),
                port("192.0.2.1", 5),
            ],
            own: vec![port("127.0.0.1", 1), port("0.0.0.0", 2)],
            contested_ports: crate::store::contested_ports::ContestedPorts::default(),
            degraded: Vec::new(),
            template: false,
            ready_on_disk: true,
            at: 0,
        };
        let found = forwards(&saved, &config);
        let (right, wrong): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let right: Vec<Forward> = right.into_iter().filter_map(Result::ok).collect();
        // The user has given up 2, has added 4, and does not publish to other hosts any more.
        let expected = [
            port("127.0.0.1", 1),
            port("0.0.0.0", 4),
            port("127.0.0.1", 3),
        ];
        assert_eq!(right, expected);
        assert_eq!(wrong.len(), 1, "192.0.2.1");
    }
}
