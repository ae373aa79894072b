// SPDX-License-Identifier: Apache-2.0
//! Services of the log: the sockets of syslog(3) and of systemd's journald, whose messages are added to the kernel's
//! log; the log files; the remote receiver.

use services::ServiceDef;
use sys::paths::{B2P, LOG_DIR};

use super::names::*;
use super::{OOM_PROTECTED, Row, datagram_socket};

/// Rows of the service table about the log. `log-files` is separate from
/// the services of sockets, so that a disk that hangs does not stop a socket from being read.
pub const LOGS: &[Row] = &[
    Row {
        def: ServiceDef {
            name: SYSLOG,
            why: "messages that programs send by syslog(3) are added to the kernel log",
            argv: &[B2P, "syslog"],
            socket: datagram_socket("/dev/log", 0o666),
            after_ready: true,
            oom_score_adj: OOM_PROTECTED,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // conmon sends the output of a container with `--log-driver journald` to this socket, and reports no error
    // if there is no socket.
    Row {
        def: ServiceDef {
            name: JOURNAL,
            why: "messages that programs send to systemd's journald are added to the kernel log",
            argv: &[B2P, "syslog", "journal"],
            socket: datagram_socket("/run/systemd/journal/socket", 0o666),
            after_ready: true,
            oom_score_adj: OOM_PROTECTED,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // The flag `syslog` is off by default: the kernel's ring buffer has the log of this boot. On a data disk the files
    // also keep the logs of earlier boots; without a data disk the files only duplicate the ring buffer.
    Row {
        when: |config, _| config.syslog,
        def: ServiceDef {
            name: LOG_FILES,
            why: "the log is kept in files of bounded size, so that it can be read after a reboot",
            argv: &[B2P, "log-files", LOG_DIR],
            after: AFTER_DATA_DISK,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // The service may start late: the ring buffer keeps the records from before the network was set up. In a container
    // the kernel log belongs to the container's host.
    Row {
        when: |config, platform| config.rsyslog.is_some() && !platform.in_container,
        def: ServiceDef {
            name: REMOTE_LOG,
            why: "records of the log are sent to a receiver of syslog",
            argv: &[B2P, "remote-log"],
            after: &[NET],
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];
