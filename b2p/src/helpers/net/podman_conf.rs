// SPDX-License-Identifier: Apache-2.0
//! podman's default network, in its configuration. podman reads it with every command; the bridge
//! is made with the first container.

use std::fs;
use std::path::Path;

use sys::error::{Doing, Result};
use sys::files::replace;

use super::lease::Network;
use super::overlap;

/// Defaults of podman, in RAM: a file of the owner in /etc/containers takes precedence.
const CONTAINERS_CONF: &str = "/usr/share/containers/containers.conf";

/// Returns podman's default network, which an earlier run of this service may have moved.
pub fn default_subnet() -> Network {
    let text = fs::read_to_string(CONTAINERS_CONF).unwrap_or_default();
    overlap::subnet_of(&text)
}

/// Sets podman's default network.
///
/// # Errors
/// The file cannot be read or written.
pub fn set_default_subnet(network: Network) -> Result<()> {
    let path = Path::new(CONTAINERS_CONF);
    let text = fs::read_to_string(path).on(path)?;
    match overlap::with_subnet(&text, network) {
        Some(new) => replace(path, new.as_bytes(), 0o644),
        None => Ok(()),
    }
}
