// SPDX-License-Identifier: Apache-2.0
//! Requests to a keeper.

use super::{Keeper, control, life, ports};
use crate::state::State;
use crate::store::config::MachineConfig;
use crate::store::progress::Progress;
use crate::store::record::Forward;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;

/// Tells a client that its request is done, or why it is not.
pub(super) fn answer(client: &UnixStream, done: Result<()>) {
    let answer = match done {
        Ok(()) => json!({"done": true}),
        Err(error) => json!({"error": format!("{error:#}")}),
    };
    control::send(client, &answer);
}

impl Keeper {
    /// Answers a request, or keeps its connection to tell what happens.
    pub(super) fn request(&mut self, request: &Value, client: UnixStream) {
        if request["do"] == "snapshot" {
            let made = self.snapshot(request).map(|saved| json!({"saved": saved}));
            let answer = made.unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
            control::send(&client, &answer);
            return;
        }
        let done = match request["do"].as_str().unwrap_or_default() {
            "follow" => return self.follow(client),
            "stop" => {
                self.followers.push(Box::new(client));
                return self.begin_stop(request["seconds"].as_u64().unwrap_or(life::STOP_SECONDS));
            }
            "suspend" => return self.suspend(client),
            "kill" => {
                self.killed = true;
                // Before QEMU, which may be stuck, is asked.
                control::send(&client, &json!({"done": true}));
                return self.vm.quit();
            }
            "delete-snapshot" => self.delete_snapshot(request),
            "pause" => self.pause(),
            "resume" => self.resume(),
            "expose" => self.expose(request),
            "unexpose" => self.unexpose(request),
            "guest-expose" => return self.guest_expose(request, client),
            "guest-unexpose" => self.guest_unexpose(request),
            "configure" => self.configure(request),
            other => Err(anyhow!("no request {other:?}")),
        };
        answer(&client, done);
    }

    /// Stops the processors. The state is written before the answer; QEMU's event follows.
    fn pause(&mut self) -> Result<()> {
        self.vm.pause()?;
        if self.record.state == State::Running {
            self.set_state(State::Paused);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<()> {
        self.vm.resume()?;
        self.resumed();
        Ok(())
    }

    /// Tells a new follower what earlier ones know.
    fn follow(&mut self, client: UnixStream) {
        self.ask_api_again();
        let record = &self.record;
        let mut known = vec![Progress::State(record.state)];
        known.extend(record.degraded.iter().cloned().map(Progress::Degraded));
        if self.record.ready && self.stop.is_none() {
            // A memory that was loaded has been ready in an earlier run, whose line is not kept.
            known.push(Progress::Ready(
                record.ready_line.clone().unwrap_or_default(),
            ));
        }
        known.extend(record.trouble.iter().map(|text| self.trouble(text.clone())));
        if known
            .iter()
            .all(|progress| control::send(&client, &progress.to_json()))
        {
            self.followers.push(Box::new(client));
        }
    }

    /// Takes a new configuration: the keeper is the only writer of its machine's file. The disk grows at once; all
    /// other changes take effect at the next start.
    fn configure(&mut self, request: &Value) -> Result<()> {
        let text = request["config"].as_str().context("no configuration")?;
        let new = MachineConfig::parse(text)?;
        if new.disk_bytes > self.config.disk_bytes {
            self.vm.grow_disk(new.disk_bytes)?;
        }
        self.config = MachineConfig {
            ssh_port: match new.ssh_port_fixed {
                true => new.ssh_port,
                false => self.record.ssh_port,
            },
            last_up: self.config.last_up,
            previous: self.config.previous.take(),
            ..new
        };
        self.machine.save(&self.config)
    }

    /// Publishes the ports that the user has configured, and reports those that cannot be published.
    pub(super) fn publish_configured(&mut self) -> Vec<String> {
        let forwards = self.config.ports.clone();
        let failed = forwards.into_iter().filter_map(|forward| {
            let error = self.publish_own(forward).err()?;
            Some(format!("{}{error:#}", ports::PORTS))
        });
        failed.collect()
    }

    /// Makes QEMU's ports those of the record after an adoption: the former keeper may have been killed between a
    /// change of QEMU and that of its record.
    pub(super) fn compare_ports(&mut self) -> Result<()> {
        let now = self.vm.forwards()?;
        let ssh = |port: &Forward| port.guest == 22 && port.port == self.record.ssh_port;
        let known = std::mem::take(&mut self.record.forwards);
        for extra in now
            .iter()
            .filter(|port| !known.contains(port) && !ssh(port))
        {
            eprintln!("QEMU forwards {extra}, which the record does not have: it is withdrawn");
            self.vm.withdraw(extra)?;
        }
        let (there, lost): (Vec<Forward>, Vec<Forward>) =
            known.into_iter().partition(|port| now.contains(port));
        self.record.forwards = there;
        for port in lost {
            // A port that cannot be published again is left out of the list.
            if let Err(error) = self.publish(port) {
                eprintln!("{error:#}");
            }
        }
        Ok(())
    }

    fn expose(&mut self, request: &Value) -> Result<()> {
        self.publish_own(ports::parse(request, &self.config.publish_on)?)
    }

    /// Publishes a port for the user. If another process of the host has the port, the error names that process; an
    /// error for the guest does not, because the guest must not learn about processes of the host.
    fn publish_own(&mut self, forward: Forward) -> Result<()> {
        let port = forward.clone();
        self.publish(forward).map_err(|error| {
            let known = self.record.forwards.iter().any(|own| own.same_port(&port));
            match port.owner().filter(|_| !known) {
                Some(owner) => anyhow!("{error:#}: {owner}"),
                None => error,
            }
        })
    }

    pub(super) fn publish(&mut self, forward: Forward) -> Result<()> {
        if let Some(known) = self
            .record
            .forwards
            .iter()
            .find(|known| known.same_port(&forward))
        {
            if known.guest == forward.guest {
                return Ok(());
            }
            bail!(
                "{}:{} is published already, for port {}",
                known.address,
                known.port,
                known.guest
            );
        }
        if self.record.forwards.len() >= ports::MAX_FORWARDS {
            bail!(
                "{} ports are published, which is the most",
                ports::MAX_FORWARDS
            );
        }
        self.vm.publish(&forward)?;
        eprintln!("published {forward}");
        self.record.forwards.push(forward.clone());
        self.write_record();
        self.tell(&Progress::Published(forward));
        Ok(())
    }

    fn unexpose(&mut self, request: &Value) -> Result<()> {
        self.take_back(&ports::parse(request, &self.config.publish_on)?)
    }

    pub(super) fn take_back(&mut self, forward: &Forward) -> Result<()> {
        let forwards = &self.record.forwards;
        let Some(at) = forwards.iter().position(|known| known.same_port(forward)) else {
            return Ok(());
        };
        self.vm.withdraw(forward)?;
        let forward = self.record.forwards.remove(at);
        self.write_record();
        self.tell(&Progress::Unpublished(forward));
        Ok(())
    }
}
