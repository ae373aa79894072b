// SPDX-License-Identifier: Apache-2.0
//! Names of services that other services, the reactions and the ready line refer to.
#![expect(missing_docs, reason = "the table says what each service is for")]

pub use sys::service_names::{CONSOLE_PREFIX, REGISTRIES, RESCUE_PREFIX};

pub const BOOTLOCAL: &str = "bootlocal";
pub const BOOTSYNC: &str = "bootsync";
pub const CLOUD: &str = "cloud";
pub const CLOUD_SCRIPTS: &str = "cloud-scripts";
pub const CONTAINERS: &str = "containers";
pub const DATA: &str = "data";
pub const EXTENSIONS: &str = "ext";
pub const HOSTKEY: &str = "hostkey";
pub const IGNITION: &str = "ignition";
pub const IMAGE_SYNC: &str = "image-sync";
pub const NET: &str = "net";
pub const PODMAN: &str = "podman";
pub const PODMAN_USER: &str = "podman-user";
pub const SHARE: &str = "share";
pub const SSHD: &str = "sshd";
pub const TEMPLATE: &str = "template";
pub const USER_SERVICES: &str = "user-services";

/// Services that must come before a service that uses files of the data disk.
pub const DATA_DISK: &[&str] = &[DATA];
/// Services that must come before a service that depends on keys, users or trusted
/// certificates: the data disk, cloud-init's disk and Ignition all configure these.
pub const CONFIGURATION: &[&str] = &[DATA, CLOUD, IGNITION];
/// Services that must come before a service that starts or runs containers: configuration,
/// bootsync.sh, and the folders and programs that containers use.
pub const ENGINE_PREREQUISITES: &[&str] = &[
    DATA, CLOUD, IGNITION, REGISTRIES, BOOTSYNC, SHARE, EXTENSIONS,
];
