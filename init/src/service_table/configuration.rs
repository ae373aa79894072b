// SPDX-License-Identifier: Apache-2.0
//! Services that configure the machine: documents of cloud-init and Ignition, files of the data disk, flags, and the
//! host that copies a template.

use services::ServiceDef;
use sys::paths::B2P;

use super::names::*;
use super::{Row, wants_cloud, wants_data_disk, wants_ignition};

/// Rows of the service table that configure the machine.
pub const CONFIGURATION: &[Row] = &[
    // The mounts and commands of `b2p cloud` end within a minute (b2p/src/helpers/cloud/mod.rs). A daemon that
    // `bootcmd` starts continues to run after the service has ended.
    Row {
        when: wants_cloud,
        def: ServiceDef {
            name: CLOUD,
            why: "a disk labelled cidata configures the machine, in the format of cloud-init's NoCloud",
            argv: &[B2P, "cloud"],
            after: AFTER_DATA_DISK,
            gates_ready: true,
            late_ms: 80_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // The service runs after cloud-init, because both rewrite /etc/passwd. `late_ms` exceeds the time to read a
    // document and to apply it, which each take a minute at most. On an emulated processor the kernel needs 35 s to
    // read a document of 1 MB from fw_cfg: for each page, the driver skips the bytes before that page one by one
    // (drivers/firmware/qemu_fw_cfg.c, fw_cfg_read_blob).
    Row {
        when: wants_ignition,
        def: ServiceDef {
            name: IGNITION,
            why: "the users, keys, files and mounts of an Ignition document are set up",
            argv: &[B2P, "ignition"],
            after: &[DATA, CLOUD],
            gates_ready: true,
            late_ms: 180_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // `b2p template` reports to the host, then waits without a time limit. The wait ends only in a copy of the memory.
    // A template that continued by itself would create a host key, and all of its copies would have the same key.
    Row {
        when: |_, platform| platform.is_template,
        def: ServiceDef {
            name: TEMPLATE,
            why: "a host copies the memory of this machine before host keys and machine-id exist",
            argv: &[B2P, "template"],
            after: AFTER_DATA_DISK,
            gates_ready: true,
            late_ms: u64::MAX,
            ..ServiceDef::ONE_SHOT
        },
        in_template: true,
        ..Row::DEFAULT
    },
    // For each file that podman refuses, the program calls podman once more without that file, for at most 40 s
    // (b2p/src/helpers/registries.rs). If many files are bad, the service is reported as late and continues.
    Row {
        when: wants_data_disk,
        def: ServiceDef {
            name: REGISTRIES,
            why: "podman uses the files of registries and mirrors that are on the data disk, except those that podman refuses",
            argv: &[B2P, "registries"],
            after: AFTER_CONFIGURATION,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    Row {
        when: |config, _| config.tz.is_some() || !config.utc,
        def: ServiceDef {
            name: TIMEZONE,
            why: "the time zone that a flag names is set, and a hardware clock in local time is read as such",
            argv: &[B2P, "timezone"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // The commands have no time limit: after `late_ms` the service is reported as late, and continues.
    Row {
        when: wants_cloud,
        def: ServiceDef {
            name: CLOUD_SCRIPTS,
            why: "commands of the cidata disk run once for each instance, and its per-boot scripts at each boot",
            argv: &[B2P, "cloud", "scripts"],
            after: AFTER_CONFIGURATION,
            after_ready: true,
            late_ms: 600_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
];
