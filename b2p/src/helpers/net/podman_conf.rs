// SPDX-License-Identifier: Apache-2.0
//! podman's default network, in its configuration. podman reads the configuration with every
//! command; the bridge is made with the first container.

use sys::error::Result;

use super::lease::Network;
use super::overlap;
use crate::common::podman_defaults;

/// Returns podman's default network, which an earlier run of this service may have moved.
pub fn default_subnet() -> Network {
    let text = podman_defaults::read().unwrap_or_default();
    overlap::subnet_of(&text)
}

/// Sets podman's default network.
///
/// # Errors
/// The file cannot be read or written.
pub fn set_default_subnet(network: Network) -> Result<()> {
    podman_defaults::edit(|text| overlap::with_subnet(text, network))
}
