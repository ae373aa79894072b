// SPDX-License-Identifier: Apache-2.0
//! podman's default network, in its configuration. podman reads it with every command; the bridge
//! is made with the first container.

use std::path::Path;

use sys::error::Result;
use sys::files::{read_text, replace};

use super::lease::Network;
use super::overlap;

/// Defaults of podman, in RAM: a file of the owner in /etc/containers takes precedence.
const CONTAINERS_CONF: &str = "/usr/share/containers/containers.conf";

/// Returns podman's default network, which an earlier run of this service may have moved.
pub fn default_subnet() -> Network {
    let text = read_text(CONTAINERS_CONF).unwrap_or_default();
    overlap::subnet_of(&text)
}

/// Sets podman's default network.
///
/// # Errors
/// The file cannot be read or written.
pub fn set_default_subnet(network: Network) -> Result<()> {
    let path = Path::new(CONTAINERS_CONF);
    let text = read_text(path)?;
    match overlap::with_subnet(&text, network) {
        Some(new) => replace(path, new.as_bytes(), 0o644),
        None => Ok(()),
    }
}
