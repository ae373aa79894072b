// SPDX-License-Identifier: Apache-2.0
//! Services that run with the uid of the machine's user (`b2p.user=`).

use config::{Podman, Rootless};
use services::ServiceDef;
use sys::paths::B2P;

use super::names::*;
use super::table::GO_ENV;
use super::{Row, adapt, stream_socket};

/// Services that run with the uid of the machine's user: rows of the service table after those of [`super::CORE`].
pub const USERS: &[Row] = &[
    // PID 1 holds the socket, as it does for root's podman; the first connection starts the process.
    Row {
        def: ServiceDef {
            name: PODMAN_USER,
            why: "`podman --remote` and ssh://core@host reach the API of the user's own podman",
            env: GO_ENV,
            socket: stream_socket("", 0o600),
            argv: &[B2P, "podman-user"],
            after: ENGINE_PREREQUISITES,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, platform| {
            let is_on = config.podman != Podman::Off && config.rootless != Rootless::Off;
            is_on && platform.user.is_some()
        },
        adapt: adapt::podman_user,
        ..Row::DEFAULT
    },
];
