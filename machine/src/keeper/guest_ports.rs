// SPDX-License-Identifier: Apache-2.0
//! Requests of the guest for ports, which any process of a container can send. A port that another container has
//! published is refused, and stays the other's.

use super::requests::answer;
use super::{Event, Keeper, bound, ports};
use crate::store::contested_ports::{CHECKS_AFTER_RELEASE, Step};
use crate::store::record::Forward;
use anyhow::{Result, anyhow};
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

/// Maximum number of port checks at the same time: each is an ssh.
const MAX_CHECKS: usize = 8;
/// Pause before a check of a port that was given back; it doubles with each further check.
const PAUSE: Duration = Duration::from_secs(1);

/// Check whether the guest still uses a port.
#[derive(Debug)]
pub struct PortCheck {
    port: Forward,
    /// Client that has requested the port; `None` if the port was given back.
    client: Option<UnixStream>,
    /// Number of this check of the port, from 0.
    number: u32,
}

impl Keeper {
    /// Publishes a port for the guest. Where it is published for the guest already, the guest tells whether a container
    /// still has it.
    pub(super) fn guest_expose(&mut self, request: &Value, client: UnixStream) {
        let port = ports::parse(request, &self.config.publish_on)
            .and_then(|forward| ports::of_guest(forward, &self.config));
        match port {
            Ok(port) if self.is_of_guest(&port) => {
                if self.note_second_request(&port) {
                    return answer(&client, self.publish(port));
                }
                if self.running_checks >= MAX_CHECKS {
                    return answer(&client, Err(taken(&port)));
                }
                self.start_check(PortCheck {
                    port,
                    client: Some(client),
                    number: 0,
                });
            }
            Ok(port) => {
                let published = self.publish(port.clone());
                let error = published.as_ref().err().map(|error| format!("{error:#}"));
                answer(&client, published);
                // The owner is looked up among all processes of the host.
                if let Some(error) = error
                    && let Some(owner) = port.owner()
                {
                    eprintln!("{error}: {owner}");
                }
            }
            Err(error) => answer(&client, Err(error)),
        }
    }

    /// Takes a port back for the guest. A port that the user publishes stays.
    pub(super) fn guest_unexpose(&mut self, request: &Value) -> Result<()> {
        let port = ports::parse(request, &self.config.publish_on)?;
        let port = ports::of_guest(port, &self.config)?;
        if self.config.ports.iter().any(|own| own.same_port(&port)) {
            return Ok(());
        }
        // podman names no port of the guest here, and asks for that of the host (`requestMachinePorts`).
        if !self.record.contested_ports.given_back(&port) {
            return self.take_back(&port);
        }
        self.write_record();
        self.check_released(port, 0);
        Ok(())
    }

    /// Notes that a port was requested a second time ([`crate::store::contested_ports::ContestedPorts::note_second_request`]).
    fn note_second_request(&mut self, port: &Forward) -> bool {
        let before = self.record.contested_ports.clone();
        let is_restart = self.record.contested_ports.note_second_request(port);
        if self.record.contested_ports != before {
            self.write_record();
        }
        is_restart
    }

    /// Resumes the checks of ports that were given back to a keeper which was killed.
    pub(super) fn resume_checks(&mut self) {
        for port in self.record.contested_ports.resume_checks() {
            self.check_released(port, 0);
        }
    }

    /// Checks a port that was given back, if not too many checks run.
    fn check_released(&mut self, port: Forward, number: u32) {
        if self.running_checks < MAX_CHECKS {
            self.start_check(PortCheck {
                port,
                client: None,
                number,
            });
        }
    }

    /// Returns true for a port that the guest has published, as it was.
    fn is_of_guest(&self, port: &Forward) -> bool {
        self.record.forwards.contains(port)
            && !self.config.ports.iter().any(|own| own.same_port(port))
    }

    /// Checks a port in a thread; the result is an event.
    fn start_check(&mut self, check: PortCheck) {
        self.running_checks += 1;
        let (boot, machine, events) = (self.boot, self.machine.clone(), self.events.clone());
        thread::spawn(move || {
            if check.client.is_none() {
                thread::sleep(PAUSE * 2_u32.pow(check.number.min(CHECKS_AFTER_RELEASE)));
            }
            let bound = bound::is_port_bound(&machine, &check.port);
            let _ = events.send(Event::PortChecked(boot, check, bound));
        });
    }

    /// Acts on the result of a check.
    pub(super) fn on_checked(&mut self, check: PortCheck, bound: Result<bool>) {
        if let Err(error) = &bound {
            eprintln!("{}: {error:#}", check.port);
        }
        let bound = bound.ok();
        let Some(client) = check.client else {
            return self.on_released_checked(check.port, bound, check.number);
        };
        match bound {
            Some(true) => answer(&client, Err(taken(&check.port))),
            // podman refuses a container whose port is taken in the guest.
            Some(false) | None => {
                self.note_second_request(&check.port);
                answer(&client, self.publish(check.port));
            }
        }
    }

    /// Acts on the result of a check of a port that was given back.
    fn on_released_checked(&mut self, port: Forward, bound: Option<bool>, number: u32) {
        let step = self.record.contested_ports.after_check(&port, bound);
        self.write_record();
        match step {
            Step::Keep => {}
            Step::TakeBack => {
                if let Err(error) = self.take_back(&port) {
                    eprintln!("{error:#}");
                }
            }
            Step::CheckAgain => self.check_released(port, number + 1),
        }
    }
}

/// Describes a port that another container has, in the words in which gvproxy and the kernel do.
fn taken(port: &Forward) -> anyhow::Error {
    let Forward {
        protocol,
        address,
        port,
        ..
    } = port;
    anyhow!(
        "listen {protocol} {address}:{port}: bind: address already in use: another container of this machine has published it"
    )
}
