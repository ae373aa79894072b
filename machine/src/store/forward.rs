// SPDX-License-Identifier: Apache-2.0
//! Published ports.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Published port: a key of the table of forwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address of the host.
    pub address: String,
    /// Port of the host.
    pub port: u16,
    /// Port of the guest.
    pub guest: u16,
}

impl fmt::Display for Forward {
    /// Writes `tcp 127.0.0.1:8080 to port 80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}:{} to port {}",
            self.protocol, self.address, self.port, self.guest
        )
    }
}
