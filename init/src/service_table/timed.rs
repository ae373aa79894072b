// SPDX-License-Identifier: Apache-2.0
//! Services that start other services at set times, and the update of containers.

use config::Podman;
use services::{ReadyWhen, ServiceDef};
use sys::paths::{B2P, UNIT_BUS};

use super::names::{self, *};
use super::{Row, stream_socket};

/// Rows of the service table about timers and the update of containers.
pub const TIMED: &[Row] = &[
    // `b2p user-services` starts this service if a flag or a service file names a time.
    Row {
        def: ServiceDef {
            name: TIMERS,
            why: "services start at the times that their files name, and podman updates containers",
            argv: &[B2P, "timers"],
            ready: ReadyWhen::Notify,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // `b2p timers` starts this service at the times of the flag `b2p.auto_update`. `late_ms` is the time limit of
    // `b2p auto-update` for one user, whose images are pulled. If several users take long, the service is reported as
    // late and continues.
    Row {
        when: |config, _| config.podman != Podman::Off,
        def: ServiceDef {
            name: AUTO_UPDATE,
            why: "containers with the label io.containers.autoupdate run the newest image of their name",
            argv: &[B2P, "auto-update"],
            after: AFTER_ENGINE_PREREQUISITES,
            after_ready: true,
            late_ms: 3_600_000,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // `podman auto-update` of any user connects; the service identifies the user by the credentials of the socket
    // (unix(7), SO_PEERCRED).
    Row {
        when: |config, _| config.podman != Podman::Off,
        def: ServiceDef {
            name: names::UNIT_BUS,
            why: "podman auto-update, which calls systemd over D-Bus, restarts the units of containers",
            argv: &[B2P, "unit-bus"],
            socket: stream_socket(UNIT_BUS, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];
