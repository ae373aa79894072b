// SPDX-License-Identifier: Apache-2.0
//! Services by which the host configures or copies a virtual machine.

use services::ServiceDef;
use sys::paths::B2P;

use super::names::{CLOUD, DATA, DATA_DISK_SERVICES, IGNITION, TEMPLATE};
use super::{Row, wants_ignition};

/// Services by which the host configures or copies a virtual machine: rows of the service table after those of
/// [`super::CORE`].
pub const HOST: &[Row] = &[
    // The service runs after cloud-init, because both rewrite /etc/passwd. `late_ms` exceeds the time to read a
    // document and to apply it, which each take a minute at most. On an emulated processor the kernel needs 35 s to
    // read a document of 1 MB from fw_cfg: for each page, the driver skips the bytes before that page one by one
    // (drivers/firmware/qemu_fw_cfg.c, fw_cfg_read_blob).
    Row {
        def: ServiceDef {
            name: IGNITION,
            why: "the users, keys, files and mounts of an Ignition document are set up",
            argv: &[B2P, "ignition"],
            after: &[DATA, CLOUD],
            gates_ready: true,
            late_ms: 180_000,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_ignition,
        ..Row::DEFAULT
    },
    // `b2p template` reports to the host, then waits without a time limit. The wait ends only in a copy of the memory.
    // A template that continued by itself would create a host key, and all of its copies would have the same key.
    Row {
        def: ServiceDef {
            name: TEMPLATE,
            why: "a host copies the memory of this machine before host keys and machine-id exist",
            argv: &[B2P, "template"],
            after: DATA_DISK_SERVICES,
            gates_ready: true,
            late_ms: u64::MAX,
            ..ServiceDef::ONE_SHOT
        },
        when: |_, platform| platform.is_template,
        ..Row::DEFAULT
    },
];
