// SPDX-License-Identifier: Apache-2.0
//! Services of the network: addresses, ssh, and vsock, by which the host reaches the machine without a network.

use config::Net;
use services::{ReadyWhen, Restart, ServiceDef};
use sys::exit_status::EX_CONFIG;
use sys::paths::B2P;

use super::names::*;
use super::{OOM_PROTECTED, Row, adapt};

/// Rows of the service table about the network.
pub const NETWORK: &[Row] = &[
    // The network service is a separate process, so that PID 1 parses no data of a network. `late_ms` is five seconds,
    // because dnsmasq probes an address for three seconds before its offer. Without a lease by then, a degraded line
    // reports the delay, the ready line appears, and the service continues.
    Row {
        when: |config, _| config.net != Net::Off,
        def: ServiceDef {
            name: NET,
            why: "the machine has addresses, routes and DNS servers",
            argv: &[B2P, "net"],
            ready: ReadyWhen::Notify,
            gates_ready: true,
            late_ms: 5_000,
            late_text: "no address by DHCP after {} s; still asking",
            oom_score_adj: OOM_PROTECTED,
            ..ServiceDef::DEFAULT
        },
        adapt: adapt::network,
        ..Row::DEFAULT
    },
    Row {
        when: |config, _| config.sshd,
        def: ServiceDef {
            name: HOSTKEY,
            why: "sshd has a host key: that of the data disk, else a new key, which is stored on the data disk if there is one",
            argv: &[B2P, "hostkey"],
            after: AFTER_DATA_DISK,
            restart: Restart::OnFailure,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // sshd needs a host key. The program does not read `[listener]`: with this argument, ps(1) shows the process as it
    // shows OpenSSH's own listener.
    Row {
        when: |config, _| config.sshd,
        def: ServiceDef {
            name: SSHD,
            why: "people log in, copy files, and reach the API from other machines",
            argv: &[B2P, "sshd", "[listener]"],
            needs: &[HOSTKEY],
            after: AFTER_CONFIGURATION,
            ready: ReadyWhen::Notify,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // On a machine without a vsock device, `b2p vsock` reports the lack and ends with EX_CONFIG, after which PID 1
    // does not start it again. When `b2p vsock` ends, ssh sessions continue, because each is a process of its own;
    // connections to the API end, because each is a thread.
    Row {
        when: |config, platform| config.vsock && !platform.in_container,
        def: ServiceDef {
            name: VSOCK,
            why: "the host of the virtual machine reaches ssh and the API without a network",
            argv: &[B2P, "vsock"],
            after: &[DATA, CLOUD, IGNITION, HOSTKEY],
            ready: ReadyWhen::Notify,
            gates_ready: true,
            final_statuses: &[EX_CONFIG],
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
];
