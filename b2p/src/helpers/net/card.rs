// SPDX-License-Identifier: Apache-2.0
//! One network card: its sockets, its DHCP client, and the lease that is set on the card.

mod setting;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use log::{debug, error};
use nix::sys::socket::{MsgFlags, recv};
use services::Millis;

use super::bridge_networks::BridgeNetworks;
use super::carrier::{self, Carrier};
use super::dhcp::{Action, Client};
use super::lease::{Lease, Network, Route};
use super::own_network::OwnNetwork;
use super::plan::Plan;
use super::router::{Advertisement, Servers};
use super::router_prefixes::Link;
use super::vetting::{OtherCard, Surroundings};
use super::{held, packet, sockets};
use sys::error::{Doing, Result};
use sys::net::set_up;

/// Port of DHCP servers.
const SERVER_PORT: u16 = 67;

/// A card that follows a plan.
pub struct Card {
    name: String,
    index: u32,
    socket: OwnedFd,
    /// DHCP client; `None` with a static address.
    client: Option<Client>,
    /// Static address, if the plan has one.
    fixed: Option<Lease>,
    /// Lease that the server has granted.
    granted: Option<Lease>,
    /// Time of that.
    granted_at: Millis,
    /// The part of the lease that is set on the card.
    applied: Option<Lease>,
    /// Networks and servers that the lease must not reach into.
    around: Surroundings,
    /// Rules for the card's own network.
    own_network: Option<OwnNetwork>,
    /// Answers that were not used, so that each is logged once.
    refused: BTreeSet<String>,
    /// Reason why the address that the server has granted is not set.
    conflict: Option<String>,
    /// Carrier at the last reading.
    carrier: Carrier,
    /// MTU before the change by a lease.
    original_mtu: Option<i32>,
    /// Name servers that routers advertise.
    advertised: Servers,
    /// Socket from the card's address to the server, during a request for a renewal.
    renewal: Option<UdpSocket>,
}

impl Card {
    /// Brings the card up and opens its sockets.
    ///
    /// # Errors
    /// The card is gone, or is not one of Ethernet.
    pub fn open(name: &str, index: u32, plan: &Plan, hostname: &str) -> Result<Card> {
        let was_up = carrier::carrier(name).up;
        set_up(name).doing("up")?;
        if was_up && let Err(e) = sockets::solicit(index) {
            debug!("{name}: routers are not asked: {e}"); // routers advertise by themselves
        }
        let socket = sockets::listen(index).doing("packet socket")?;
        let (client, fixed) = match plan {
            Plan::Dhcp(_) => (Some(Client::new(carrier::mac(name)?, hostname)), None),
            Plan::Static(lease, _) => (None, Some(lease.clone())),
        };
        Ok(Card {
            name: name.to_owned(),
            index,
            socket,
            client,
            fixed,
            granted: None,
            granted_at: 0,
            own_network: None,
            applied: None,
            around: Surroundings::default(),
            refused: BTreeSet::new(),
            conflict: None,
            carrier: Carrier::default(),
            original_mtu: None,
            advertised: Servers::default(),
            renewal: None,
        })
    }

    /// Returns true if this card has this name and index: another one may take its name.
    #[must_use]
    pub fn is(&self, name: &str, index: u32) -> bool {
        self.name == name && self.index == index
    }

    /// Returns the name of the card.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the socket that is readable when there is work.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns when [`Card::work`] is to be called without an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let client = self.client.as_ref().and_then(Client::deadline);
        client.into_iter().chain(self.advertised.deadline()).min()
    }

    /// Returns true if an address is set.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.applied.is_some()
    }

    /// Returns true if that address is of a DHCP lease.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.client.is_some() && self.applied.is_some()
    }

    /// Returns the reason of a degraded line if no lease is set because of its address.
    #[must_use]
    pub fn conflict(&self) -> Option<String> {
        let why = self.conflict.as_ref()?;
        Some(format!("{}: {why}", self.name))
    }

    /// Returns the name servers of the lease.
    #[must_use]
    pub fn dns(&self) -> Vec<String> {
        let servers = self.applied.iter().flat_map(|l| &l.dns);
        servers.map(ToString::to_string).collect()
    }

    /// Returns the card with the servers that its routers advertise.
    pub fn link(&self) -> Link {
        Link {
            name: self.name.clone(),
            index: self.index,
            servers: self.advertised.list(),
        }
    }

    /// Returns the routers and servers on the link of the card, by the lease that is set and by the kernel's routes of
    /// IPv6.
    pub fn hosts<'a>(&'a self, table: &'a str) -> impl Iterator<Item = held::Host> + 'a {
        let of_lease = self.applied.iter().flat_map(held::of_lease);
        let all = of_lease.chain(held::routers(table, &self.name));
        all.map(|addr| (self.index, addr))
    }

    /// Returns the name servers that routers advertise, without those in the networks of `bridges`; a
    /// link-local address has the card's name appended (RFC 4007, 11).
    #[must_use]
    pub fn advertised_dns(&self, bridges: &BridgeNetworks) -> Vec<String> {
        let name = |a: std::net::Ipv6Addr| match a.is_unicast_link_local() {
            true => format!("{a}%{}", self.name),
            false => a.to_string(),
        };
        let mut servers = self.advertised.list();
        servers.retain(|server| !bridges.contain(&(*server).into()));
        servers.into_iter().map(name).collect()
    }

    /// Takes an advertisement; returns true if the list of name servers changed.
    pub fn take_advertisement(&mut self, advertisement: &Advertisement, now: Millis) -> bool {
        advertisement.index == self.index && self.advertised.update(advertisement, now)
    }

    /// Requests the lease again after the clock was set: the machine may have slept, and the lease
    /// may be another machine's. Returns true if the address changed.
    pub fn reconfirm(&mut self, now: Millis) -> bool {
        let actions = self.client.as_mut().map(|c| c.reconfirm(now, random()));
        self.act(actions.unwrap_or_default())
    }

    /// Returns the domains of the lease.
    #[must_use]
    pub fn domains(&self) -> Vec<String> {
        let domains = self.applied.as_ref().map(|l| l.domains.clone());
        domains.unwrap_or_default()
    }

    /// Returns the networks that the card leads to: its own and those of its routes, but for the
    /// default route.
    pub fn networks(&self) -> impl Iterator<Item = Network> + '_ {
        let lease = self.applied.iter();
        lease.flat_map(|lease| {
            let routes = lease.routes.iter().filter(|route| route.prefix > 0);
            [lease.network()].into_iter().chain(routes.map(Route::to))
        })
    }

    /// Returns the facts about this card for other cards, if this card has a lease or a static
    /// address.
    #[must_use]
    pub fn as_other_card(&self) -> Option<OtherCard> {
        let lease = self.granted.clone().or(self.fixed.clone())?;
        Some(OtherCard {
            name: self.name.clone(),
            index: self.index,
            lease,
        })
    }

    /// Returns the time servers of the lease, one a line, after a line with the card's name: servers
    /// of one card do not vouch for each other.
    #[must_use]
    pub fn ntp_lines(&self) -> String {
        let servers = self.applied.iter().flat_map(|lease| &lease.ntp);
        let lines: String = servers.map(|server| format!("{server}\n")).collect();
        match lines.as_str() {
            "" => String::new(),
            lines => format!("# {}\n{lines}", self.name),
        }
    }

    /// Returns the name of this machine in the lease.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        self.applied.as_ref().and_then(|l| l.hostname.clone())
    }

    /// Reads the carrier; returns true if an address or a name server changed.
    pub fn check_carrier(&mut self, now: Millis) -> bool {
        let before = std::mem::replace(&mut self.carrier, carrier::carrier(&self.name));
        let (lost, came_up) = before.changes_to(&self.carrier);
        // The next peer of the link has servers of its own.
        let servers_changed = !self.carrier.up && self.advertised.clear();
        let fixed = self.fixed.clone();
        if let Some(lease) = fixed.filter(|_| came_up || self.applied.is_none()) {
            return self.apply(lease) | servers_changed;
        }
        let Some(client) = self.client.as_mut() else {
            return servers_changed;
        };
        let mut actions = Vec::new();
        if lost {
            actions.extend(client.set_carrier(false, now, random()));
        }
        actions.extend(client.set_carrier(self.carrier.up, now, random()));
        self.act(actions) | servers_changed
    }

    /// Handles the messages that have arrived and the work that is due; returns true if an address or a name server
    /// changed.
    pub fn work(&mut self, now: Millis) -> bool {
        let mut changed = false;
        let mut bytes = [0u8; 2048];
        while let Ok(n) = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            let Some(client) = self.client.as_mut() else {
                continue;
            };
            let message = packet::udp_payload(bytes.get(..n).unwrap_or(&[]));
            let actions = message.map(|m| client.on_message(m, now, random()));
            changed |= self.act(actions.unwrap_or_default());
        }
        let due = self.client.as_mut().map(|c| c.on_deadline(now, random()));
        changed | self.act(due.unwrap_or_default()) | self.advertised.expire(now)
    }

    /// Carries out the requests of the client; returns true if the address changed.
    fn act(&mut self, actions: Vec<Action>) -> bool {
        let mut changed = false;
        for action in actions {
            let result = match action {
                Action::Broadcast(message) => {
                    let packet = packet::ip_packet(&packet::encode(&message));
                    sockets::broadcast(&self.socket, self.index, &packet)
                }
                Action::SendUdp(message, to) => self.unicast(&message, to),
                Action::Apply(lease) => {
                    changed |= self.grant(lease);
                    Ok(())
                }
                Action::Refuse(why) => {
                    self.refuse(&format!("an answer is not used: {why}"));
                    Ok(())
                }
                Action::Remove => {
                    changed = true;
                    self.remove_lease();
                    Ok(())
                }
            };
            // An error is like a lost packet: the next try has its time already.
            result.unwrap_or_else(|e| error!("{}: {e}", self.name));
        }
        changed
    }

    /// Requests a renewal. The socket stays open until there is an answer, or the kernel would
    /// report to the server that the port is closed.
    fn unicast(&mut self, message: &packet::ClientMessage, to: Ipv4Addr) -> io::Result<()> {
        if self.conflict.is_some() {
            return Ok(()); // there is no address to ask from: the lease ends, and another is asked for
        }
        // A server that sent no identifier is asked by broadcast.
        let to = if to.is_unspecified() {
            Ipv4Addr::BROADCAST
        } else {
            to
        };
        if self.renewal.is_none() {
            self.renewal = Some(sockets::bind_client(&self.name, message.client_addr)?);
        }
        let socket = self.renewal.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket
            .send_to(&packet::encode(message), (to, SERVER_PORT))
            .map(drop)
    }
}

/// Returns a transaction id, which is no secret.
fn random() -> u32 {
    let mut bytes = [0u8; 4];
    let read =
        fs::File::open("/dev/urandom").and_then(|mut f| io::Read::read_exact(&mut f, &mut bytes));
    match read {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::try_from(sys::clock::now() & 0xffff_ffff).unwrap_or(1),
    }
}
