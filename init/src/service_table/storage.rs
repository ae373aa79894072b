// SPDX-License-Identifier: Apache-2.0
//! Services of disks: the data disk, swap, folders of the host, extensions.

use services::{KillMode, ServiceDef};
use sys::paths::B2P;

use super::names::*;
use super::{Row, adapt, wants_data_disk};

/// Rows of the service table about disks.
pub const STORAGE: &[Row] = &[
    // `b2p data` ends e2fsck(8) after two minutes. Formatting may take longer than `late_ms`: services that are ordered
    // after this service then start without the disk, and keep their files in RAM.
    Row {
        when: wants_data_disk,
        def: ServiceDef {
            name: DATA,
            why: "the disk that keeps containers, keys and settings is found, formatted or repaired, and mounted",
            argv: &[B2P, "data"],
            gates_ready: true,
            late_ms: 130_000,
            late_text: "still looking for a disk, checking or mounting it after {} s; `b2p log data` says more",
            kill: KillMode::Cgroup,
            ..ServiceDef::ONE_SHOT
        },
        adapt: adapt::slow_disk,
        in_template: true,
        ..Row::DEFAULT
    },
    Row {
        when: |config, _| config.asks_for_swap(),
        def: ServiceDef {
            name: SWAP,
            why: "the machine swaps to the zram device, partitions and files that flags name",
            argv: &[B2P, "swap"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        adapt: adapt::swap,
        ..Row::DEFAULT
    },
    // A file server that does not answer blocks this service only. The limit of `b2p share`
    // is less than `late_ms` (b2p/src/helpers/share/mod.rs).
    Row {
        when: |config, platform| !config.shares.is_empty() && !platform.in_container,
        def: ServiceDef {
            name: SHARE,
            why: "the folders of the host that flags name are mounted, also if the host adds a folder later",
            argv: &[B2P, "share"],
            after: AFTER_DATA_DISK,
            gates_ready: true,
            late_ms: 20_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // podman, bootsync.sh and user services name this service in `after`, because they may run programs of an
    // extension, such as another container runtime. The service runs after cloud-init, because both rewrite
    // /etc/passwd to add users. `late_ms` is long because a CD-ROM is slow, and `b2p ext boot` reads the whole image to
    // verify it. If the program takes longer, the service is reported as late and continues.
    Row {
        when: |config, platform| {
            let is_wanted = !config.extensions.is_empty() || config.runtime.is_some();
            is_wanted && !platform.in_container
        },
        def: ServiceDef {
            name: EXTENSIONS,
            why: "the extensions (images with more programs) that flags name are a part of the root, and podman uses the OCI runtime that a flag names",
            argv: &[B2P, "ext", "boot"],
            after: AFTER_CONFIGURATION,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        adapt: adapt::slow_disk,
        ..Row::DEFAULT
    },
];
