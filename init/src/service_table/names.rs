// SPDX-License-Identifier: Apache-2.0
//! Names of services that other services, the reactions and the ready line refer to.

pub use sys::service_names::{BOOTLOCAL, BOOTSYNC, CONSOLE_PREFIX, REGISTRIES, RESCUE_PREFIX};

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
/// Provides sshd's host key.
pub const HOSTKEY: &str = "hostkey";
/// Applies a document of Ignition.
pub const IGNITION: &str = "ignition";
/// Flushes images to the disk.
pub const IMAGE_SYNC: &str = "image-sync";
/// Configures the network.
pub const NET: &str = "net";
/// Serves root's podman API.
pub const PODMAN: &str = "podman";
/// Serves the API of the user's podman.
pub const PODMAN_USER: &str = "podman-user";
/// Mounts folders of the host.
pub const SHARE: &str = "share";
/// Runs sshd.
pub const SSHD: &str = "sshd";
/// Waits until a host has copied the memory of this machine.
pub const TEMPLATE: &str = "template";
/// Loads the files of user services.
pub const USER_SERVICES: &str = "user-services";

/// Services that precede a service that uses files of the data disk.
pub const DATA_DISK_SERVICES: &[&str] = &[DATA];
/// Services that precede a service that depends on keys, users or trusted certificates: the data
/// disk, cloud-init's disk and Ignition all configure these.
pub const CONFIGURATION_SERVICES: &[&str] = &[DATA, CLOUD, IGNITION];
/// Services that precede a service that starts or runs containers: those of the configuration, bootsync.sh, and
/// those of the folders and programs that containers use.
pub const ENGINE_PREREQUISITES: &[&str] = &[
    DATA, CLOUD, IGNITION, REGISTRIES, BOOTSYNC, SHARE, EXTENSIONS,
];
