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
pub const IMAGE_SYNC: &str = "image-sync";
pub const NET: &str = "net";
pub const PODMAN: &str = "podman";
pub const SHARE: &str = "share";
pub const SSHD: &str = "sshd";

/// `after` of services that use files of the data disk, or whose files belong on it.
pub const ON_DISK: &[&str] = &[DATA];
/// `after` of services that depend on who may log in and which hosts are trusted: the data
/// disk and cloud-init's disk both decide that.
pub const CONFIGURED: &[&str] = &[DATA, CLOUD];
/// `after` of services that start or run containers: what the owner does before the engine, by
/// hook or by cloud-init's way, and the folders and programs that containers use.
pub const BEFORE_ENGINE: &[&str] = &[DATA, CLOUD, REGISTRIES, BOOTSYNC, SHARE, EXTENSIONS];
