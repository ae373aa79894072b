// SPDX-License-Identifier: Apache-2.0
//! Services that take messages for the log from sockets of other systems.

use services::ServiceDef;
use sys::paths::B2P;

use super::table::NEEDED;
use super::{Entry, datagrams};

/// Rows of the service table, after those of [`super::SERVICES`]. The services are separate from
/// `log-files`, so that a disk that hangs does not stop a socket from being read.
pub const LOGS: &[Entry] = &[
    Entry {
        def: ServiceDef {
            name: "syslog",
            oom_score_adj: NEEDED,
            why: "messages of programs to syslog(3) are added to the kernel's log",
            argv: &[B2P, "syslog"],
            socket: datagrams("/dev/log", 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Entry::DEFAULT
    },
    // conmon sends there what a container with `--log-driver journald` prints, and reports no error
    // if there is no socket.
    Entry {
        def: ServiceDef {
            name: "journal",
            why: "messages of programs to journald, which is not there, are added to the kernel's log",
            argv: &[B2P, "syslog", "journal"],
            socket: datagrams("/run/systemd/journal/socket", 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Entry::DEFAULT
    },
];
