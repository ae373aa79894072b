// SPDX-License-Identifier: Apache-2.0
//! Requests of the guest for ports, which any process of a container can send. A port that another container has
//! published is refused, and stays the other's.

use super::requests::answer;
use super::{Event, Keeper, bound, ports};
use crate::store::contest::{LOOKS, Step};
use crate::store::record::Forward;
use anyhow::{Result, anyhow};
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

/// Looks at the guest at the same time: each is an ssh.
const MOST_LOOKS: usize = 8;
/// Pause before a look for a port that was given back; twice as long before each further one.
const PAUSE: Duration = Duration::from_secs(1);

/// Look at the guest for a port.
#[derive(Debug)]
pub struct Look {
    port: Forward,
    /// Client that has asked for the port; without one the port was given back.
    client: Option<UnixStream>,
    /// Number of this look.
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
                if self.asked_again(&port) {
                    return answer(&client, self.publish(port));
                }
                if self.looks >= MOST_LOOKS {
                    return answer(&client, Err(taken(&port)));
                }
                self.look(Look {
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
        if !self.record.contest.given_back(&port) {
            return self.take_back(&port);
        }
        self.write_record();
        self.look_after(port, 0);
        Ok(())
    }

    /// Notes that a port was asked for a second time ([`crate::store::contest::Contest::asked_again`]).
    fn asked_again(&mut self, port: &Forward) -> bool {
        let before = self.record.contest.clone();
        let is_restart = self.record.contest.asked_again(port);
        if self.record.contest != before {
            self.write_record();
        }
        is_restart
    }

    /// Goes on with the looks for ports that were given back to a keeper which was killed.
    pub(super) fn look_again(&mut self) {
        for port in self.record.contest.look_again() {
            self.look_after(port, 0);
        }
    }

    /// Looks at the guest for a port that was given back.
    fn look_after(&mut self, port: Forward, number: u32) {
        if self.looks < MOST_LOOKS {
            self.look(Look {
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

    /// Looks at the guest in a thread; the result is an event.
    fn look(&mut self, look: Look) {
        self.looks += 1;
        let (boot, machine, events) = (self.boot, self.machine.clone(), self.events.clone());
        thread::spawn(move || {
            if look.client.is_none() {
                thread::sleep(PAUSE * 2_u32.pow(look.number.min(LOOKS)));
            }
            let bound = bound::look(&machine, &look.port);
            let _ = events.send(Event::Looked(boot, look, bound));
        });
    }

    /// Acts on what a look has found.
    pub(super) fn looked(&mut self, look: Look, bound: Result<bool>) {
        if let Err(error) = &bound {
            eprintln!("{}: {error:#}", look.port);
        }
        let bound = bound.ok();
        let Some(client) = look.client else {
            return self.looked_after(look.port, bound, look.number);
        };
        match bound {
            Some(true) => answer(&client, Err(taken(&look.port))),
            // podman refuses a container whose port is taken in the guest.
            Some(false) | None => {
                self.asked_again(&look.port);
                answer(&client, self.publish(look.port));
            }
        }
    }

    /// Goes on after a look for a port that was given back.
    fn looked_after(&mut self, port: Forward, bound: Option<bool>, number: u32) {
        let step = self.record.contest.looked(&port, bound);
        self.write_record();
        match step {
            Step::Keep => {}
            Step::TakeBack => {
                if let Err(error) = self.take_back(&port) {
                    eprintln!("{error:#}");
                }
            }
            Step::Look => self.look_after(port, number + 1),
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
