// SPDX-License-Identifier: Apache-2.0
//! Services of podman: bootsync.sh, which precedes podman, the API of root and of the user, and the services that
//! start, check and store containers.

use config::{Podman, Rootless};
use services::{ReadyWhen, Restart, ServiceDef};
use sys::paths::{B2P, HEALTH_SOCKET, PODMAN_PROGRAM, PODMAN_SOCKET};

use super::names::*;
use super::{Row, adapt, stream_socket, wants_data_disk};

/// Environment of podman, also of each `podman container cleanup`, which inherits it. By default Go's first garbage
/// collection starts at a heap of 4 MB; collections then take a fifth of the 90 ms in which podman starts. GOGC
/// postpones them, and GOMEMLIMIT bounds the heap (pkg.go.dev/runtime, "Environment Variables").
const GO_ENV: &[&str] = &["GOGC=400", "GOMEMLIMIT=128MiB"];

/// Rows of the service table about podman.
pub const ENGINE: &[Row] = &[
    // podman waits for bootsync.sh for `late_ms` at most; the script then continues. As in Tiny Core, boot2docker and
    // the boot2podman of 2018, bootsync.sh runs once the network has an address, has failed or is late.
    Row {
        when: wants_data_disk,
        def: ServiceDef {
            name: BOOTSYNC,
            why: "bootsync.sh on the data disk runs before podman starts",
            argv: &[B2P, "boot-script", BOOTSYNC],
            after: &[DATA, CLOUD, IGNITION, REGISTRIES, EXTENSIONS, NET],
            gates_ready: true,
            late_ms: 60_000,
            late_text: "bootsync.sh still runs after {} s; the boot continues",
            ..ServiceDef::ONE_SHOT
        },
        adapt: adapt::with_variables,
        ..Row::DEFAULT
    },
    // The process ends after idle time; PID 1 keeps the socket. Killing podman ends no container:
    // each has a conmon of its own.
    Row {
        when: |config, _| config.podman != Podman::Off,
        def: ServiceDef {
            name: PODMAN,
            why: "podman --remote, docker and the libraries of podman reach the API",
            argv: &[PODMAN_PROGRAM, "system", "service"],
            env: GO_ENV,
            socket: stream_socket(PODMAN_SOCKET, 0o660),
            after: AFTER_ENGINE_PREREQUISITES,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        adapt: adapt::podman,
        in_template: true,
        ..Row::DEFAULT
    },
    // PID 1 holds the socket, as it does for root's podman; the first connection starts the process.
    Row {
        when: |config, platform| {
            let is_on = config.podman != Podman::Off && config.rootless != Rootless::Off;
            is_on && platform.user.is_some()
        },
        def: ServiceDef {
            name: PODMAN_USER,
            why: "`podman --remote` and ssh://core@host reach the API of the user's own podman",
            argv: &[B2P, "podman-user"],
            env: GO_ENV,
            socket: stream_socket("", 0o600),
            after: AFTER_ENGINE_PREREQUISITES,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        adapt: adapt::podman_user,
        ..Row::DEFAULT
    },
    // The conversion of many quadlets may take longer than `late_ms`; the service is then reported as late and
    // continues.
    Row {
        def: ServiceDef {
            name: USER_SERVICES,
            why: "user services, quadlets, kube files and compose projects run (docs/guide/services.md)",
            argv: &[B2P, "user-services"],
            after: AFTER_ENGINE_PREREQUISITES,
            after_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // Storage in RAM is empty at every boot: only a data disk has containers to start. `late_ms` is the limit of
    // `podman start` for one user (b2p/src/helpers/engine/start.rs).
    Row {
        when: wants_data_disk,
        def: ServiceDef {
            name: CONTAINERS,
            why: "the containers on the data disk run again if their restart policy says so",
            argv: &[B2P, "containers-start"],
            after: AFTER_ENGINE_PREREQUISITES,
            after_ready: true,
            late_ms: 900_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    Row {
        when: wants_data_disk,
        def: ServiceDef {
            name: BOOTLOCAL,
            why: "bootlocal.sh on the data disk runs in parallel with the other services",
            argv: &[B2P, "boot-script", BOOTLOCAL],
            after: AFTER_ENGINE_PREREQUISITES,
            after_ready: true,
            restart: Restart::Never,
            ..ServiceDef::DEFAULT
        },
        adapt: adapt::with_variables,
        ..Row::DEFAULT
    },
    // The service also runs without a data disk, because it reports a full store and a podman that cannot open its
    // store. PID 1 restarts the service when a data disk appears (`reactions.rs`).
    Row {
        when: |config, platform| {
            wants_data_disk(config, platform)
                || (config.podman != Podman::Off && !platform.in_container)
        },
        def: ServiceDef {
            name: IMAGE_SYNC,
            why: "an image is flushed to the disk soon after podman has stored it, so that a power cut does not lose it",
            argv: &[B2P, "image-sync"],
            after: AFTER_DATA_DISK,
            ready: ReadyWhen::Notify,
            after_ready: true,
            restart: Restart::OnFailure,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // podman leaves the schedule of health checks to systemd timers, which do not exist here. A container that starts
    // wakes the service (`b2p health-hook`), and the service ends with the last container that has a health check.
    // Containers of any user may connect: the kernel reports the user (unix(7), SO_PEERCRED).
    Row {
        def: ServiceDef {
            name: HEALTH,
            why: "health checks of containers run when they are due",
            argv: &[B2P, "health"],
            socket: stream_socket(HEALTH_SOCKET, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];
