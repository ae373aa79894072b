// SPDX-License-Identifier: Apache-2.0
//! `b2p net`, the network service: a process of its own, so that PID 1 never parses
//! data from the network.
//!
//! The service brings up every Ethernet card, at its start and when a card appears, sets the static
//! address or keeps a DHCP lease of each card, and writes resolv.conf. Between events the service
//! sleeps in poll(2); an idle machine is not woken.

pub mod answer;
mod bridge_networks;
mod bridges;
mod card;
mod card_settings;
mod carrier;
mod conntrack;
mod dhcp;
mod firewall;
mod held;
mod ioctls;
pub mod lease;
mod names;
mod neighbours;
mod netlink;
pub mod options;
mod overlap;
mod own_network;
pub mod packet;
mod plan;
mod podman_conf;
mod policy_routing;
mod prefix;
mod ranges;
mod resolv;
pub mod router;
mod router_flush;
mod router_limit;
mod router_prefixes;
mod routes;
mod rules;
mod sockets;
mod stale_api;
mod start;
mod vetting;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use log::{error, info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use config::Config;
use services::Millis;
use sys::clock::now;
use sys::error::{Doing, Result};
use sys::files::replace;
use sys::hostname;
use sys::net::{SYS_CLASS_NET, ethernet_interfaces, interface_addresses};
use sys::paths::{NTP_SERVERS, RESOLV_CONF};

use crate::common::degraded::Degraded;
use bridge_networks::BridgeNetworks;
use card::Card;
use conntrack::Conntrack;
use firewall::Firewall;
use held::Held;
use lease::Network;
use plan::Plan;
use router_limit::RouterLimit;
use stale_api::StaleApi;
use start::kernel_hostname;

/// Time after a first message within which further ones are handled together with the first.
const COALESCE: Duration = Duration::from_millis(50);

/// Reads of a netlink socket after which the messages count as an endless stream.
const MAX_READS: usize = 1024;

/// Runs until a signal ends the process.
pub fn main(args: &[String]) -> ! {
    let plan = Plan::parse(args).unwrap_or_else(|e| {
        println!("{e}");
        std::process::exit(2)
    });
    match Service::new(plan).run() {
        Ok(never) => match never {},
        Err(e) => {
            error!("network: {e}");
            std::process::exit(1)
        }
    }
}

/// The cards of the machine, and the state that follows from them.
struct Service {
    /// The plans; a card follows the first plan that covers it.
    plans: Vec<Plan>,
    hostname: String,
    /// Name and index of every card that the kernel has, planned or not.
    interfaces: Vec<(String, u32)>,
    cards: Vec<Card>,
    /// True if neighbours may use the machine as their router.
    routed: bool,
    /// podman's default network.
    default_network: Network,
    /// podman's API process that has another default network.
    stale_api: Option<StaleApi>,
    /// Bridges that are in the way of a card, and an API process with a former network.
    overlaps: Vec<String>,
    /// Cards by which neighbours may use the machine as a router, each with the reason.
    unconfined: Vec<(String, String)>,
    /// Degraded lines of this service.
    degraded: Degraded,
    /// True once READY=1 was sent.
    ready: bool,
    firewall: Firewall,
    /// Networks that are kept on their bridges.
    bridge_networks: BridgeNetworks,
    /// Cards whose routers are ignored.
    router_limit: RouterLimit,
    /// Routers and servers that stay in the kernel's tables.
    held: Held,
    conntrack: Conntrack,
    /// Time from which on an IPv6 address alone is enough for READY=1.
    ipv6_suffices_at: Millis,
    /// True if the name servers in resolv.conf are this service's, or those of DHCP before a document's plans.
    resolv_is_ours: bool,
    /// Content of the file with the time servers.
    ntp_servers: String,
}

impl Service {
    fn run(&mut self) -> Result<std::convert::Infallible> {
        let links = netlink::subscribe().doing("netlink")?;
        // This follows READY=1: each address of a new card causes several changes of routes.
        let mut routes = None;
        let clock = clock_set_timer().doing("timerfd")?;
        let resolv = Path::new(RESOLV_CONF);
        if !resolv.exists() {
            resolv::write(resolv, &resolv::text(&[], &[])).on(resolv)?;
        }
        loop {
            self.scan();
            self.confine_leases();
            self.notify_ready();
            // After READY=1: a driver may have to be loaded for the rules.
            let cards: Vec<_> = self.cards.iter().map(Card::name).collect();
            if self.firewall.update(&cards, now()) {
                self.update_degraded();
            }
            self.conntrack.enlarge();
            if self.ready && routes.is_none() {
                routes = Some(netlink::subscribe_to_routes().doing("netlink")?);
            }
            self.wait(&links, routes.as_ref(), &clock)?;
        }
    }

    /// Opens cards that appeared, drops those that are gone, and reads every carrier.
    fn scan(&mut self) {
        let interfaces = ethernet_interfaces(Path::new(SYS_CLASS_NET));
        let count = self.cards.len();
        let is_there = |card: &Card| interfaces.iter().any(|(name, index)| card.is(name, *index));
        self.cards.retain_mut(|card| {
            let keep = is_there(card);
            if !keep {
                card.forget_own_network();
            }
            keep
        });
        let mut changed = self.cards.len() != count;
        self.unconfined
            .retain(|(card, _)| interfaces.iter().any(|(name, _)| name == card));
        let known = std::mem::replace(&mut self.interfaces, interfaces.clone());
        for new in interfaces.iter().filter(|i| !known.contains(i)) {
            self.prepare(&new.0, new.1);
        }
        for (name, index) in interfaces {
            if !self.cards.iter().any(|card| card.is(&name, index)) {
                self.open(&name, index);
            }
        }
        for card in &mut self.cards {
            changed |= card.check_carrier(now());
        }
        self.follow(changed);
    }

    /// Makes the settings of every card, also of a card without a plan, before the card is up.
    fn prepare(&mut self, name: &str, index: u32) {
        card_settings::apply(name, index);
        self.router_limit.forget(name);
        self.unconfined.retain(|(card, _)| card != name);
        if let Err(e) = rules::confine(name, self.routed) {
            let why =
                format!("{name}: neighbours may use this machine as a router to other cards: {e}");
            warn!("{why}");
            self.unconfined.push((name.to_owned(), why));
        }
    }

    fn open(&mut self, name: &str, index: u32) {
        let count = self.cards.len();
        let Some(plan) = self.plans.iter().find(|plan| plan.covers(name, count)) else {
            return;
        };
        match Card::open(name, index, plan, &self.hostname) {
            Ok(card) => self.cards.push(card),
            Err(e) => error!("{name}: {e}"),
        }
    }

    /// Sleeps until an event of a card, a link or the clock, or until a deadline.
    fn wait(&mut self, links: &OwnedFd, routes: Option<&OwnedFd>, clock: &TimerFd) -> Result<()> {
        let mut fds: Vec<PollFd<'_>> = [links.as_fd()]
            .into_iter()
            .chain(routes.map(AsFd::as_fd))
            .chain([clock.as_fd()])
            .chain(self.cards.iter().map(Card::socket))
            .chain(self.stale_api.iter().map(StaleApi::end))
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        // A container that ends is thirty messages within a fifth of a second, and a scan of all links costs
        // 2 ms of instructions: one scan for all messages that arrive together. Until the machine has
        // an address, a card whose link is new does not wait.
        let kernel = fds.iter().take(1 + usize::from(routes.is_some()));
        if self.ready
            && kernel
                .filter_map(PollFd::any)
                .any(|has_message| has_message)
        {
            std::thread::sleep(COALESCE);
        }
        let advertisements = drain(links);
        routes.map(drain);
        // The timer never expires, and is readable only if the clock was set.
        self.work(clock.wait().is_ok(), &advertisements);
        Ok(())
    }

    /// Lets each card handle its messages.
    fn work(&mut self, clock_set: bool, advertisements: &[router::Advertisement]) {
        if clock_set && self.cards.iter().any(Card::has_lease) {
            info!("network: the clock was set; leases are asked for again");
        }
        let mut changed = false;
        for card in &mut self.cards {
            changed |= card.work(now());
            changed |= clock_set && card.reconfirm(now());
            for advertisement in advertisements {
                changed |= card.take_advertisement(advertisement, now());
            }
        }
        self.follow(changed);
    }

    /// Returns how long nothing has to be done without an event.
    fn timeout(&self) -> PollTimeout {
        let ipv6 = Some(self.ipv6_suffices_at).filter(|at| !self.ready && *at > now());
        let deadlines = self.cards.iter().filter_map(Card::deadline);
        let deadlines = deadlines.chain(self.router_limit.deadline());
        let deadlines = deadlines.chain(self.firewall.deadline());
        let look = self.stale_api.iter();
        let look = look.map(|_| now() + stale_api::LOOK.as_millis() as Millis);
        deadlines
            .chain(ipv6)
            .chain(look)
            .min()
            .map_or(PollTimeout::NONE, |at| {
                let ms = at.saturating_sub(now());
                let ms = i32::try_from(ms).unwrap_or(i32::MAX);
                PollTimeout::try_from(ms).unwrap_or(PollTimeout::ZERO)
            })
    }

    /// After a change of addresses, updates the state that depends on them.
    fn follow(&mut self, changed: bool) {
        if !changed {
            return;
        }
        self.write_ntp_servers();
        self.adopt_hostname();
        // The servers of leases first: not every container has IPv6.
        let leased = self.cards.iter().flat_map(Card::dns);
        let advertised = self
            .cards
            .iter()
            .flat_map(|card| card.advertised_dns(&self.bridge_networks));
        let dns: Vec<_> = leased.chain(advertised).collect();
        let domains: Vec<_> = self.cards.iter().flat_map(Card::domains).collect();
        // A lease without DNS must not remove name servers of another program, but removes those of
        // this service.
        if dns.is_empty() && !self.resolv_is_ours {
            return;
        }
        self.resolv_is_ours = !dns.is_empty();
        if let Err(e) = resolv::write(Path::new(RESOLV_CONF), &resolv::text(&dns, &domains)) {
            error!("{RESOLV_CONF}: {e}");
        }
    }

    /// Writes the file by which the time service learns of the servers.
    fn write_ntp_servers(&mut self) {
        let text: String = self.cards.iter().map(Card::ntp_lines).collect();
        if text == self.ntp_servers {
            return;
        }
        match replace(Path::new(NTP_SERVERS), text.as_bytes(), 0o644) {
            Ok(()) => self.ntp_servers = text,
            Err(e) => error!("{e}"),
        }
    }

    /// Takes the name that DHCP has for the machine, if the machine still has the default name.
    fn adopt_hostname(&self) {
        let Some(name) = self.cards.iter().find_map(Card::hostname) else {
            return;
        };
        let default = Config::default().hostname;
        if kernel_hostname() != default || name == default {
            return;
        }
        match hostname::set(&name, &sys::files::replace_at_once) {
            Ok(()) => info!("network: this machine is {name}"),
            Err(e) => error!("network: {e}"),
        }
    }

    /// Sends READY=1 once there is an address. An IPv6 address is enough where there is no
    /// other; for a while an IPv4 address is waited for, which most clients use.
    fn notify_ready(&mut self) {
        let ipv6 = || now() >= self.ipv6_suffices_at && !interface_addresses().is_empty();
        if !self.ready && (self.cards.iter().any(Card::has_address) || ipv6()) {
            self.ready = true;
            crate::common::notify::ready();
        }
    }
}

/// Returns a timer that is readable when the clock was set, as the time service does after
/// the machine has slept (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`); and in 2106.
fn clock_set_timer() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    let never = Expiration::OneShot(TimeSpec::new(i64::from(u32::MAX), 0));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(never, flags)?;
    Ok(timer)
}

/// Reads all messages and returns the advertisements of routers. The content of messages about
/// links is not needed: sysfs is read after each.
fn drain(fd: &OwnedFd) -> Vec<router::Advertisement> {
    let mut advertisements = Vec::new();
    let mut bytes = [0; 8192];
    for _ in 0..MAX_READS {
        match recv(fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(n) => advertisements.extend(router::parse(bytes.get(..n).unwrap_or(&[]))),
            // EAGAIN; or ENOBUFS, after which sysfs is read anyway.
            Err(_) => return advertisements,
        }
    }
    info!("network: links change without end");
    advertisements
}
