// SPDX-License-Identifier: Apache-2.0
//! Configuration of a machine.

use super::record::Forward;
use super::share::Share;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the file that this program writes.
pub const VERSION: u32 = 1;

/// Configuration of a machine. Keys that this version does not know are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Version of the format.
    pub version: u32,
    /// Name of the machine.
    pub name: String,
    /// Driver, `qemu`.
    pub driver: String,
    /// Image in the cache: `sha256-<hex>`.
    pub image: String,
    /// Image before an upgrade whose image has not become ready yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Size of the data disk in bytes.
    pub disk_bytes: u64,
    /// Port of 127.0.0.1 that leads to sshd; chosen anew at each start unless it is fixed. 0 before
    /// the first start.
    #[serde(default)]
    pub ssh_port: u16,
    /// True if the user chose the port.
    #[serde(default)]
    pub ssh_port_fixed: bool,
    /// User of `ssh`.
    #[serde(default = "core")]
    pub user: String,
    /// Accelerator: `auto`, `kvm` or `tcg`.
    #[serde(default = "auto")]
    pub accel: String,
    /// Words appended to the kernel's command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<String>,
    /// Flags without `b2p.` and their values, passed by fw_cfg.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<(String, String)>,
    /// True if the proxies of the host's environment are the machine's as well.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub proxy_env: bool,
    /// Labels, `key=value`, which `ls --filter label=` finds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// True if `rm` and `reset` refuse to remove the machine.
    #[serde(default, skip_serializing_if = "is_no")]
    pub protected: bool,
    /// Address of the host on which published ports without an address listen.
    #[serde(default = "loopback")]
    pub publish_on: String,
    /// Folders of this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Ports that are published at each start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Forward>,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Time of the API's first answer in the newest boot in which it has answered, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_up: Option<u64>,
    /// Keys of other versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn core() -> String {
    "core".to_owned()
}

fn auto() -> String {
    "auto".to_owned()
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_no(value: &bool) -> bool {
    !*value
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

impl MachineConfig {
    /// Returns the configuration of a machine with default sizes: 2 processors, 2 GiB of memory, a
    /// disk of 100 GiB.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            driver: "qemu".to_owned(),
            image: String::new(),
            previous: None,
            cpus: 2,
            memory_mib: 2048,
            disk_bytes: 100 << 30,
            ssh_port: 0,
            ssh_port_fixed: false,
            user: core(),
            accel: auto(),
            append: Vec::new(),
            flags: Vec::new(),
            proxy_env: true,
            labels: Vec::new(),
            protected: false,
            publish_on: loopback(),
            shares: Vec::new(),
            ports: Vec::new(),
            created: 0,
            last_up: None,
            other: Map::new(),
        }
    }
}
