// SPDX-License-Identifier: Apache-2.0
//! Records that a keeper writes: `run.json` while it runs, `last.json` at the end.

use super::contested_ports::ContestedPorts;
use crate::state::State;
use serde::{Deserialize, Serialize};

pub use super::forward::Forward;

/// Record of a running machine. A reader compares `keeper` with the holder of the keeper's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Pid of the keeper that wrote the record.
    pub keeper: i32,
    /// State as the keeper sees it.
    #[serde(rename = "phase")]
    pub state: State,
    /// Port of 127.0.0.1 that leads to sshd.
    pub ssh_port: u16,
    /// Length of the console's log before this boot.
    pub console_from: u64,
    /// True if the guest has written its ready line, or continues from a memory that had.
    #[serde(default)]
    pub ready: bool,
    /// Accelerator in use.
    #[serde(default)]
    pub accelerator: Option<String>,
    /// Ready line of this boot, which has its times.
    #[serde(default)]
    pub ready_line: Option<String>,
    /// True if the guest was ready with its data disk in this boot: it has applied the document of Ignition there.
    #[serde(default)]
    pub ready_on_disk: bool,
    /// Degraded lines of this boot, `what: why`.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// Shortcomings of the host, `what: why`; a part of `degraded` from the ready line on.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Reason for a state that was not asked for.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Published ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Ports that two containers of this boot have asked for.
    #[serde(
        rename = "contest",
        default,
        skip_serializing_if = "ContestedPorts::is_empty"
    )]
    pub contested_ports: ContestedPorts,
}

impl RunRecord {
    /// Returns the record of this process at its start.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self {
            keeper: i32::try_from(std::process::id()).unwrap_or_default(),
            state,
            ssh_port: 0,
            console_from: 0,
            ready: false,
            accelerator: None,
            ready_line: None,
            ready_on_disk: false,
            degraded: Vec::new(),
            notes: Vec::new(),
            trouble: None,
            forwards: Vec::new(),
            contested_ports: ContestedPorts::default(),
        }
    }
}

impl RunRecord {
    /// Returns true if this may be the ready line of the boot that the record describes.
    #[must_use]
    pub fn is_line(&self, line: &str) -> bool {
        self.ready_line.as_deref().is_none_or(|known| known == line)
    }
}

/// Record of an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRecord {
    /// True if the machine was asked to end and did.
    pub clean: bool,
    /// Reason, one line.
    pub why: String,
    /// Last lines of the console and of QEMU, for an end that was not asked for.
    #[serde(default)]
    pub tail: Vec<String>,
    /// Time in seconds since 1970.
    pub at: u64,
}
