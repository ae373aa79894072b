// SPDX-License-Identifier: Apache-2.0
//! Services of the hardware and of the boot disk: versions of the image on trial, the remaining drivers, the clock.

use config::Role;
use services::{ReadyWhen, ServiceDef};
use sys::paths::{B2P, INIT};

use super::names::*;
use super::{OOM_PROTECTED, Row, adapt};

/// Rows of the service table about hardware and the boot disk.
pub const HARDWARE: &[Row] = &[
    // The boot menu reports by `b2p.slot=` that the version is on trial, or that a trial has failed. During a trial
    // `b2p upgrade-commit` waits for the ready line; after a failed trial the ready line waits for the service
    // (`adapt::upgrade`). The program takes less than `late_ms` (b2p/src/helpers/upgrade/commit.rs).
    Row {
        when: |config, _| config.slot.is_some_and(|slot| slot.role != Role::Confirmed),
        def: ServiceDef {
            name: UPGRADE,
            why: "a new version is kept once the machine is ready, else the machine returns to the previous one",
            argv: &[B2P, "upgrade-commit"],
            late_ms: 300_000,
            ..ServiceDef::ONE_SHOT
        },
        adapt: adapt::upgrade,
        ..Row::DEFAULT
    },
    // The remaining drivers are those of random-number generators, of container networks, and those of disks that
    // `b2p data` has not loaded. With `cpu.idle` (cgroup-v2.rst), programs that waited for the ready line run first.
    // PID 1 loads the drivers of devices that appear later. In a container the program ends at once, because the
    // devices belong to the container's host (`coldplug.rs`).
    Row {
        def: ServiceDef {
            name: LATE_DRIVERS,
            why: "every present device has its driver",
            argv: &[INIT, "coldplug"],
            after_ready: true,
            // The program waits up to 10 s for an idle processor.
            late_ms: 60_000,
            cgroup_files: &[("cpu.idle", "1")],
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // The kernel has set the clock by now (CONFIG_RTC_HCTOSYS). In a container the clock belongs
    // to the container's host.
    Row {
        when: |_, platform| !platform.in_container,
        def: ServiceDef {
            name: TIME,
            why: "the clock is corrected after the machine was paused, and follows the hypervisor's clock or a time server",
            argv: &[B2P, "time"],
            ready: ReadyWhen::Notify,
            after_ready: true,
            oom_score_adj: OOM_PROTECTED,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];
