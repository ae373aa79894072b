// SPDX-License-Identifier: Apache-2.0
//! State of the network service before its first event.

use std::fs;
use std::path::Path;

use services::Millis;
use sys::clock::now;
use sys::paths::{NETWORK_PLANS, NTP_SERVERS, RESOLV_CONF};

use super::bridge_networks::BridgeNetworks;
use super::conntrack::Conntrack;
use super::firewall::Firewall;
use super::held::Held;
use super::plan::{self, Plan};
use super::router_limit::RouterLimit;
use super::{Service, podman_conf, resolv};
use crate::common::degraded::Degraded;

/// Time after which an IPv6 address alone makes the service ready, in milliseconds. The ready
/// line waits for five seconds (init/src/service_table/network.rs).
const IPV4_PATIENCE: Millis = 4_000;

/// File with the host name of the kernel.
const KERNEL_HOSTNAME: &str = "/proc/sys/kernel/hostname";

impl Service {
    /// Returns the service before its first event. Without a plan on the command line, each card has the plan of
    /// its line in [`NETWORK_PLANS`].
    pub(super) fn new(plan: Plan) -> Service {
        let per_card = match plan {
            Plan::Dhcp(None) => fs::read_to_string(NETWORK_PLANS).unwrap_or_default(),
            _ => String::new(),
        };
        let mut plans = plan::parse_lines(&per_card);
        if plans.is_empty() {
            plans.push(plan);
        }
        // PID 1 has reported the faults of the flags.
        let (config, _) = sys::config_sources::read();
        Service {
            plans,
            hostname: kernel_hostname(),
            interfaces: Vec::new(),
            cards: Vec::new(),
            ready: false,
            routed: config.routed,
            default_network: podman_conf::default_subnet(),
            stale_api: None,
            overlaps: Vec::new(),
            unconfined: Vec::new(),
            degraded: Degraded::of("net"),
            firewall: Firewall::new(config.routed, config.container_ssh),
            bridge_networks: BridgeNetworks::default(),
            router_limit: RouterLimit::default(),
            held: Held::default(),
            conntrack: Conntrack::default(),
            ipv6_suffices_at: now() + IPV4_PATIENCE,
            resolv_is_ours: !per_card.is_empty() && resolv::is_ours(Path::new(RESOLV_CONF)),
            ntp_servers: sys::files::read_text(NTP_SERVERS).unwrap_or_default(),
        }
    }
}

/// Returns the host name of the kernel.
pub(super) fn kernel_hostname() -> String {
    let name = fs::read_to_string(KERNEL_HOSTNAME).unwrap_or_default();
    name.trim().to_owned()
}
