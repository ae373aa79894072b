// SPDX-License-Identifier: Apache-2.0
//! Ports of the host that two containers have requested. Requests do not tell containers apart, and podman takes a port back
//! for a container that it could not start, too (libpod/networking_linux.go, `configureNetNS`,
//! `teardownNetNS`). A port that was requested twice is therefore taken back only when nothing in the guest is bound
//! to it any more: podman, conmon(8) and pasta(1) hold a published port as long as its container runs.

use super::forward::Forward;
use serde::{Deserialize, Serialize};

/// Maximum number of checks of a port that was given back, until no socket of the guest is bound to it. podman gives a port back before conmon,
/// which is bound to it, ends.
pub const CHECKS_AFTER_RELEASE: u32 = 5;

/// Ports that were requested twice, and those of them that were given back once, each with the number of checks that remain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContestedPorts {
    ports: Vec<Forward>,
    given_back: Vec<(Forward, u32)>,
}

/// Step that follows from a check of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The port stays as it is.
    Keep,
    /// The port is taken back from the host.
    TakeBack,
    /// The port is checked once more, after a pause.
    CheckAgain,
}

impl ContestedPorts {
    /// Returns true if no port was requested twice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.given_back.is_empty()
    }

    /// Returns the ports that were given back, whose checks a keeper that has adopted QEMU begins anew.
    pub fn resume_checks(&mut self) -> Vec<Forward> {
        for (_, left) in &mut self.given_back {
            *left = CHECKS_AFTER_RELEASE;
        }
        let ports = self.given_back.iter().map(|(port, _)| port.clone());
        ports.collect()
    }

    /// Records that a port was requested a second time, and forgets that it was given back. Returns true if it was given
    /// back before: podman then restarts the container that had the port. For a container of root, podman binds the port
    /// before it requests the port, so that a check would find it bound.
    pub fn note_second_request(&mut self, port: &Forward) -> bool {
        let before = self.given_back.len();
        self.given_back.retain(|(other, _)| !other.same_port(port));
        if !self.ports.iter().any(|other| other.same_port(port)) {
            self.ports.push(port.clone());
        }
        self.given_back.len() < before
    }

    /// Records that a port was given back, by one of two containers. Returns false for a port that one alone had.
    pub fn given_back(&mut self, port: &Forward) -> bool {
        let contested = self.ports.iter().any(|other| other.same_port(port));
        if contested {
            self.given_back.retain(|(other, _)| !other.same_port(port));
            self.given_back.push((port.clone(), CHECKS_AFTER_RELEASE));
        }
        contested
    }

    /// Returns the step after a check of a port that was given back. If the check failed (`bound` is `None`), the guest
    /// may still use the port.
    pub fn after_check(&mut self, port: &Forward, bound: Option<bool>) -> Step {
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
        Step::CheckAgain
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
        let mut ports = ContestedPorts::default();
        assert!(!ports.given_back(&port()));
        assert_eq!(ports.after_check(&port(), Some(false)), Step::Keep);
        ports.note_second_request(&port());
        let udp = Forward {
            protocol: "udp".into(),
            ..port()
        };
        assert!(!ports.given_back(&udp));
    }

    #[test]
    fn a_container_that_failed_takes_no_port_of_another() {
        let mut ports = ContestedPorts::default();
        ports.note_second_request(&port());
        // podman gives it back twice: after the error, and with the rest of the container.
        assert!(ports.given_back(&port()) && ports.given_back(&port()));
        for _ in 1..CHECKS_AFTER_RELEASE {
            assert_eq!(ports.after_check(&port(), Some(true)), Step::CheckAgain);
        }
        assert_eq!(ports.after_check(&port(), None), Step::Keep);
        assert_eq!(ports.after_check(&port(), Some(false)), Step::Keep, "over");
        // The container that has it ends: conmon is still there at the first check.
        assert!(ports.given_back(&port()));
        assert_eq!(ports.after_check(&port(), Some(true)), Step::CheckAgain);
        assert_eq!(ports.after_check(&port(), Some(false)), Step::TakeBack);
        assert!(!ports.given_back(&port()), "one container has it again");
    }

    #[test]
    fn a_port_that_the_next_container_wants_stays() {
        let mut ports = ContestedPorts::default();
        assert!(!ports.note_second_request(&port()), "the first one has it");
        assert!(ports.given_back(&port()));
        assert!(ports.note_second_request(&port()), "a restart");
        // The container is not bound yet.
        assert_eq!(ports.after_check(&port(), Some(false)), Step::Keep);
    }
}
