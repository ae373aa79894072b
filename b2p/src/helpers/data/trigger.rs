// SPDX-License-Identifier: Apache-2.0
//! Reasons for which PID 1 runs `b2p data`.

/// Reason of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The boot: nothing that could need a disk runs yet.
    Boot,
    /// A disk that appeared in a machine that lives in RAM, whose host key and id are in use.
    Hotplug,
}
