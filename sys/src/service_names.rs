//! Names of services that PID 1 and its helpers both use.

use config::Config;

/// What the names of the services on consoles begin with.
pub const CONSOLE_PREFIX: &str = "console-";

/// And those of the shells that `b2p rescue` puts in their place.
pub const RESCUE_PREFIX: &str = "rescue-";

/// What begins only where there is something on the data disk for it, which `b2p data`
/// tells of: registries, and the ancestors' hooks.
pub const CONFIGURED_ON_DISK: &[&str] = &[REGISTRIES, "bootsync", "bootlocal"];

/// The name of the service that takes registries from the data disk.
pub const REGISTRIES: &str = "registries";

/// Whether a service is started with the machine.
#[must_use]
pub fn starts_at_boot(config: &Config, name: &str) -> bool {
    let told = config.services.iter().find(|(known, _)| known == name);
    let asked = name.starts_with(RESCUE_PREFIX) || CONFIGURED_ON_DISK.contains(&name);
    told.map_or(!asked, |(_, on)| *on)
}
