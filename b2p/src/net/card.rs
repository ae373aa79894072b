//! One network card: its sockets, its DHCP client, and what it has been given.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use log::{error, info};
use nix::sys::socket::{MsgFlags, recv};
use services::Millis;

use super::dhcp::{Client, Output};
use super::lease::{Lease, Route};
use super::plan::Plan;
use super::{apply, packet, sockets};
use init::net::up;

/// A card that is part of the plan.
pub struct Card {
    name: String,
    index: u32,
    socket: OwnedFd,
    /// `None` with a static address.
    client: Option<Client>,
    fixed: Option<Lease>,
    /// What has been set on the card.
    applied: Option<Lease>,
    /// Its link was there when last looked at.
    up: bool,
    /// From our address to the server, while a renewal is asked for.
    renewal: Option<UdpSocket>,
}

impl Card {
    /// Brings the card up and gets it ready for its part of the plan.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(name: &str, index: u32, plan: &Plan, hostname: &str) -> io::Result<Card> {
        // We forward, and still want to hear routers (ip-sysctl.rst, accept_ra);
        // `all` and `default` do not reach a card that is there already.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "2");
        up(name)?;
        let socket = sockets::listen(index)?;
        let (client, fixed) = match plan {
            Plan::Dhcp(_) => (Some(Client::new(mac(name)?, hostname)), None),
            Plan::Static(lease, _) => (None, Some(lease.clone())),
        };
        Ok(Card {
            name: name.to_owned(),
            index,
            socket,
            client,
            fixed,
            applied: None,
            up: false,
            renewal: None,
        })
    }

    /// Whether this is that card, and not one that took its name.
    #[must_use]
    pub fn is(&self, name: &str, index: u32) -> bool {
        self.name == name && self.index == index
    }

    /// What `poll(2)` watches.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// When there is something to do without an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.client.as_ref().and_then(Client::deadline)
    }

    /// Whether it has an address.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.applied.is_some()
    }

    /// Its name servers.
    #[must_use]
    pub fn dns(&self) -> Vec<Ipv4Addr> {
        self.applied
            .as_ref()
            .map_or_else(Vec::new, |l| l.dns.clone())
    }

    /// Its domain.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        self.applied.as_ref().and_then(|l| l.domain.clone())
    }

    /// Its time servers.
    #[must_use]
    pub fn ntp(&self) -> Vec<Ipv4Addr> {
        self.applied
            .as_ref()
            .map_or_else(Vec::new, |l| l.ntp.clone())
    }

    /// What its network calls this machine.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        self.applied.as_ref().and_then(|l| l.hostname.clone())
    }

    /// Looks at the link. `true` if the address changed.
    pub fn look(&mut self, now: Millis) -> bool {
        let carrier = fs::read_to_string(format!("/sys/class/net/{}/carrier", self.name));
        let up = carrier.is_ok_and(|c| c.trim() == "1");
        let returned = up && !std::mem::replace(&mut self.up, up);
        if let Some(lease) = self
            .fixed
            .clone()
            .filter(|_| returned || self.applied.is_none())
        {
            return self.apply(lease);
        }
        let todo = self.client.as_mut().map(|c| c.carrier(up, now, random()));
        self.act(todo.unwrap_or_default())
    }

    /// Takes what has arrived and what is due. `true` if the address changed.
    pub fn work(&mut self, now: Millis) -> bool {
        let mut changed = false;
        let mut bytes = [0u8; 2048];
        while let Ok(n) = recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            let Some(client) = self.client.as_mut() else {
                continue;
            };
            let message = packet::unwrap(bytes.get(..n).unwrap_or(&[]));
            let todo = message.map(|m| client.message(m, now, random()));
            changed |= self.act(todo.unwrap_or_default());
        }
        let todo = self.client.as_mut().map(|c| c.tick(now, random()));
        changed | self.act(todo.unwrap_or_default())
    }

    fn act(&mut self, todo: Vec<Output>) -> bool {
        let mut changed = false;
        for output in todo {
            let result = match output {
                Output::Broadcast(ask) => {
                    let wire = packet::broadcast(&packet::message(&ask));
                    sockets::broadcast(&self.socket, self.index, &wire)
                }
                Output::Unicast(ask, to) => self.unicast(&ask, to),
                Output::Apply(lease) => {
                    changed |= self.apply(lease);
                    Ok(())
                }
                Output::Drop => {
                    changed = true;
                    self.forget()
                }
            };
            // The next try is already due: an error is a lost packet.
            result.unwrap_or_else(|e| error!("{}: {e}", self.name));
        }
        changed
    }

    /// Asks for a renewal. The socket stays open until there is an answer, or the
    /// kernel would tell the server that nobody listens.
    fn unicast(&mut self, ask: &packet::Ask, to: Ipv4Addr) -> io::Result<()> {
        // A server that did not say who it is is asked like any other.
        let to = if to.is_unspecified() {
            Ipv4Addr::BROADCAST
        } else {
            to
        };
        if self.renewal.is_none() {
            self.renewal = Some(sockets::renew(&self.name, ask.have)?);
        }
        let socket = self.renewal.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        socket.send_to(&packet::message(ask), (to, 67)).map(drop)
    }

    /// Sets what a lease says. `true` if it says something new.
    fn apply(&mut self, lease: Lease) -> bool {
        self.renewal = None;
        let same = |a: &Lease| {
            Lease {
                times: lease.times,
                ..a.clone()
            } == lease
        };
        if self.applied.as_ref().is_some_and(same) {
            // The kernel drops routes when a link goes down; there already is as good.
            self.add_routes(&lease);
            self.applied = Some(lease);
            return false;
        }
        let Lease { addr, prefix, .. } = lease;
        self.drop_routes();
        if let Err(e) = apply::address(&self.name, addr, prefix) {
            error!("{}: address {addr}/{prefix}: {e}", self.name);
            return self.applied.take().is_some();
        }
        if let Some(mtu) = lease.mtu {
            apply::mtu(&self.name, mtu).unwrap_or_else(|e| error!("{}: mtu {mtu}: {e}", self.name));
        }
        self.add_routes(&lease);
        let by = lease
            .routes
            .first()
            .map_or_else(String::new, |r| format!(" by {}", r.gateway));
        info!("{}: {addr}/{prefix}{by}", self.name);
        self.applied = Some(lease);
        true
    }

    fn add_routes(&self, lease: &Lease) {
        for route in all_routes(lease) {
            let added = apply::add_route(&self.name, &route, self.metric());
            added.unwrap_or_else(|e| error!("{}: route by {}: {e}", self.name, route.gateway));
        }
    }

    fn drop_routes(&self) {
        for route in self.applied.iter().flat_map(all_routes) {
            let _ = apply::drop_route(&self.name, &route, self.metric());
        }
    }

    fn forget(&mut self) -> io::Result<()> {
        self.drop_routes();
        self.renewal = None;
        info!("{}: the lease has ended", self.name);
        self.applied = None;
        apply::address(&self.name, Ipv4Addr::UNSPECIFIED, 0)
    }

    /// The first card's default route wins over the second's.
    fn metric(&self) -> i16 {
        i16::try_from(self.index.min(1000)).unwrap_or(1000) + 100
    }
}

/// The routes of a lease. A router outside of its network is reached directly
/// first, as clouds that grant a /32 have it.
fn all_routes(lease: &Lease) -> Vec<Route> {
    let mut all = Vec::new();
    for route in &lease.routes {
        let by = route.gateway;
        if !by.is_unspecified() && !same_network(by, lease.addr, lease.prefix) {
            all.push(Route {
                network: by,
                prefix: 32,
                gateway: Ipv4Addr::UNSPECIFIED,
            });
        }
        all.push(*route);
    }
    all
}

fn same_network(a: Ipv4Addr, b: Ipv4Addr, prefix: u8) -> bool {
    let mask = u32::from(super::lease::netmask(prefix));
    u32::from(a) & mask == u32::from(b) & mask
}

fn mac(name: &str) -> io::Result<[u8; 6]> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/address"))?;
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("hardware address {text:?}"),
        )
    };
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().ok_or_else(bad)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
    }
    Ok(mac)
}

/// Not a secret: it tells one exchange from another.
fn random() -> u32 {
    let mut bytes = [0u8; 4];
    let read =
        fs::File::open("/dev/urandom").and_then(|mut f| io::Read::read_exact(&mut f, &mut bytes));
    match read {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::try_from(init::machine::now() & 0xffff_ffff).unwrap_or(1),
    }
}
