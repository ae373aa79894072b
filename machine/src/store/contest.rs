// SPDX-License-Identifier: Apache-2.0
//! Ports of the host that two containers want. Requests do not tell containers apart, and podman takes a port back
//! for a container that it could not start, too (libpod/networking_linux.go, `configureNetNS`,
//! `teardownNetNS`). A port that was asked for twice is therefore taken back only when nothing in the guest is bound
//! to it any more: podman, conmon(8) and pasta(1) hold a published port as long as its container runs.

use super::forward::Forward;
use serde::{Deserialize, Serialize};

/// Looks at the guest after a port was given back, until nothing is bound to it. podman gives a port back before conmon,
/// which is bound to it, ends.
pub const LOOKS: u32 = 5;

/// Ports that were asked for twice, and those of them that were given back once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contest {
    ports: Vec<Forward>,
    given_back: Vec<(Forward, u32)>,
}

/// Step that follows from a look at the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The port stays as it is.
    Keep,
    /// The port is taken back from the host.
    TakeBack,
    /// The guest is looked at once more, after a pause.
    Look,
}

impl Contest {
    /// Returns true if no port was asked for twice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.given_back.is_empty()
    }

    /// Returns the ports that were given back, for which a keeper that has adopted QEMU begins to look at the guest anew.
    pub fn look_again(&mut self) -> Vec<Forward> {
        for (_, looks) in &mut self.given_back {
            *looks = LOOKS;
        }
        let ports = self.given_back.iter().map(|(port, _)| port.clone());
        ports.collect()
    }

    /// Notes that a port was asked for a second time. What was given back before is over: returns true if it was, since
    /// podman then restarts the container that had the port, and binds the port of one of root before it asks.
    pub fn asked_again(&mut self, port: &Forward) -> bool {
        let before = self.given_back.len();
        self.given_back.retain(|(other, _)| !other.same_port(port));
        if !self.ports.iter().any(|other| other.same_port(port)) {
            self.ports.push(port.clone());
        }
        self.given_back.len() < before
    }

    /// Notes that a port was given back, by one of two containers. Returns false for a port that one alone had.
    pub fn given_back(&mut self, port: &Forward) -> bool {
        let contested = self.ports.iter().any(|other| other.same_port(port));
        if contested {
            self.given_back.retain(|(other, _)| !other.same_port(port));
            self.given_back.push((port.clone(), LOOKS));
        }
        contested
    }

    /// Returns the step after a look at the guest for a port that was given back. A guest that could not be
    /// asked (`None`) may still use it.
    pub fn looked(&mut self, port: &Forward, bound: Option<bool>) -> Step {
        let waiting = &mut self.given_back;
        let Some(at) = waiting.iter().position(|(other, _)| other.same_port(port)) else {
            return Step::Keep;
        };
        if bound == Some(false) {
            waiting.remove(at);
            self.ports.retain(|other| !other.same_port(port));
            return Step::TakeBack;
        }
        waiting[at].1 -= 1;
        if waiting[at].1 == 0 {
            waiting.remove(at);
            return Step::Keep;
        }
        Step::Look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> Forward {
        Forward {
            protocol: "tcp".into(),
            address: "127.0.0.1".into(),
            port: 8080,
            guest: 8080,
        }
    }

    #[test]
    fn a_port_of_one_container_is_given_back_at_once() {
        let mut contest = Contest::default();
        assert!(!contest.given_back(&port()));
        assert_eq!(contest.looked(&port(), Some(false)), Step::Keep);
        contest.asked_again(&port());
        let udp = Forward {
            protocol: "udp".into(),
            ..port()
        };
        assert!(!contest.given_back(&udp));
    }

    #[test]
    fn a_container_that_failed_takes_no_port_of_another() {
        let mut contest = Contest::default();
        contest.asked_again(&port());
        // podman gives it back twice: after the error, and with the rest of the container.
        assert!(contest.given_back(&port()) && contest.given_back(&port()));
        for _ in 1..LOOKS {
            assert_eq!(contest.looked(&port(), Some(true)), Step::Look);
        }
        assert_eq!(contest.looked(&port(), None), Step::Keep);
        assert_eq!(contest.looked(&port(), Some(false)), Step::Keep, "over");
        // The container that has it ends: conmon is still there at the first look.
        assert!(contest.given_back(&port()));
        assert_eq!(contest.looked(&port(), Some(true)), Step::Look);
        assert_eq!(contest.looked(&port(), Some(false)), Step::TakeBack);
        assert!(!contest.given_back(&port()), "one container has it again");
    }

    #[test]
    fn a_port_that_the_next_container_wants_stays() {
        let mut contest = Contest::default();
        assert!(!contest.asked_again(&port()), "the first one has it");
        assert!(contest.given_back(&port()));
        assert!(contest.asked_again(&port()), "a restart");
        // The container is not bound yet.
        assert_eq!(contest.looked(&port(), Some(false)), Step::Keep);
    }
}
