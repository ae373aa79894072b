// SPDX-License-Identifier: Apache-2.0
//! Services that the host of a virtual machine asks for.

use services::ServiceDef;
use sys::paths::B2P;

use super::names::{CLOUD, DATA, DATA_DISK, IGNITION, TEMPLATE};
use super::{Entry, ignition};

/// Rows of the service table, after those of [`super::SERVICES`].
pub const HOST: &[Entry] = &[
    // After cloud-init, because both rewrite /etc/passwd. A document of 1 MB takes the kernel 35 s to
    // read where the processor is emulated: its reader of fw_cfg skips what was read, byte by byte,
    // for each page (drivers/firmware/qemu_fw_cfg.c, fw_cfg_read_blob).
    Entry {
        def: ServiceDef {
            name: IGNITION,
            why: "a document that podman machine or a person gives sets users, keys, files and mounts",
            argv: &[B2P, "ignition"],
            after: &[DATA, CLOUD],
            gates_ready: true,
            late_ms: 180_000,
            ..ServiceDef::ONE_SHOT
        },
        when: ignition,
        ..Entry::DEFAULT
    },
    // Nothing but a copy of the memory ends the wait: a template that went on by itself would have a
    // host key, which its copies would share.
    Entry {
        def: ServiceDef {
            name: TEMPLATE,
            why: "a host copies the memory of this machine before it has anything unique",
            argv: &[B2P, "template"],
            after: DATA_DISK,
            gates_ready: true,
            late_ms: u64::MAX,
            ..ServiceDef::ONE_SHOT
        },
        when: |_, platform| platform.is_template,
        ..Entry::DEFAULT
    },
];
