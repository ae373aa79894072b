// SPDX-License-Identifier: Apache-2.0
//! Names of the built-in services. The names that helpers use as well are in [`sys::service_names`].

pub use sys::service_names::{
    AUTO_UPDATE, BOOTLOCAL, BOOTSYNC, CONSOLE_PREFIX, REGISTRIES, RESCUE_PREFIX, TIMERS,
};

/// Applies the configuration of a disk labelled cidata.
pub const CLOUD: &str = "cloud";
/// Runs the commands of a disk labelled cidata.
pub const CLOUD_SCRIPTS: &str = "cloud-scripts";
/// Starts containers by their restart policies.
pub const CONTAINERS: &str = "containers";
/// Finds and mounts the data disk.
pub const DATA: &str = "data";
/// Mounts extensions.
pub const EXTENSIONS: &str = "ext";
/// Runs the health checks of containers.
pub const HEALTH: &str = "health";
/// Provides sshd's host key.
pub const HOSTKEY: &str = "hostkey";
/// Applies a document of Ignition.
pub const IGNITION: &str = "ignition";
/// Flushes images to the disk.
pub const IMAGE_SYNC: &str = "image-sync";
/// Serves the socket of systemd's journald.
pub const JOURNAL: &str = "journal";
/// Loads the drivers that no other service has loaded.
pub const LATE_DRIVERS: &str = "late-drivers";
/// Keeps the log in files.
pub const LOG_FILES: &str = "log-files";
/// Configures the network.
pub const NET: &str = "net";
/// Serves root's podman API.
pub const PODMAN: &str = "podman";
/// Serves the API of the user's podman.
pub const PODMAN_USER: &str = "podman-user";
/// Sends the log to a receiver.
pub const REMOTE_LOG: &str = "remote-log";
/// Mounts folders of the host.
pub const SHARE: &str = "share";
/// Runs sshd.
pub const SSHD: &str = "sshd";
/// Turns swap areas on.
pub const SWAP: &str = "swap";
/// Serves the socket of syslog(3).
pub const SYSLOG: &str = "syslog";
/// Waits until a host has copied the memory of this machine.
pub const TEMPLATE: &str = "template";
/// Sets the clock.
pub const TIME: &str = "time";
/// Sets the time zone.
pub const TIMEZONE: &str = "timezone";
/// Serves the part of systemd's D-Bus interface that `podman auto-update` calls.
pub const UNIT_BUS: &str = "unit-bus";
/// Keeps a version on trial, or returns to the previous one.
pub const UPGRADE: &str = "upgrade";
/// Loads the files of user services.
pub const USER_SERVICES: &str = "user-services";
/// Serves the varlink interface of the machine.
pub const VARLINK_MACHINE: &str = "varlink-machine";
/// Serves the varlink interface of podman 1.
pub const VARLINK_PODMAN: &str = "varlink-podman";
/// Serves the addresses of varlink interfaces.
pub const VARLINK_RESOLVER: &str = "varlink-resolver";
/// Serves ssh and the API to the host over vsock.
pub const VSOCK: &str = "vsock";

/// Services that apply cloud-init's configuration.
pub const CLOUD_INIT_SERVICES: &[&str] = &[CLOUD, CLOUD_SCRIPTS];

/// Services that precede a service that uses files of the data disk.
pub const AFTER_DATA_DISK: &[&str] = &[DATA];
/// Services that precede a service that depends on keys, users or trusted certificates: the data
/// disk, cloud-init's disk and Ignition all configure these.
pub const AFTER_CONFIGURATION: &[&str] = &[DATA, CLOUD, IGNITION];
/// Services that precede a service that starts or runs containers: those of the configuration, bootsync.sh, and
/// those of the folders and programs that containers use.
pub const AFTER_ENGINE_PREREQUISITES: &[&str] = &[
    DATA, CLOUD, IGNITION, REGISTRIES, BOOTSYNC, SHARE, EXTENSIONS,
];
