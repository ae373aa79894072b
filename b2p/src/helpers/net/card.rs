//! One network card: its sockets, its DHCP client, and what it has been given.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use log::{debug, error, info};
use nix::sys::socket::{MsgFlags, recv};
use services::Millis;

use super::dhcp::{Client, Output};
use super::lease::{Lease, Route};
use super::netlink::{self, Address};
use super::plan::Plan;
use super::router::{Servers, Told};
use super::{apply, link, packet, sockets};
use sys::net::set_up;

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
    /// Its link when last looked at.
    link: link::Link,
    /// Its MTU before a lease changed it.
    mtu: Option<i32>,
    /// Name servers that routers told of.
    told: Servers,
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
        // What the owner has added stays when the lease's address goes (ip-sysctl.rst).
        let stay = format!("/proc/sys/net/ipv4/conf/{name}/promote_secondaries");
        let _ = fs::write(stay, "1");
        let early = link::look(name).up;
        set_up(name)?;
        if early && let Err(e) = sockets::solicit(index) {
            debug!("{name}: routers are not asked: {e}"); // they will advertise
        }
        let socket = sockets::listen(index)?;
        let (client, fixed) = match plan {
            Plan::Dhcp(_) => (Some(Client::new(link::mac(name)?, hostname)), None),
            Plan::Static(lease, _) => (None, Some(lease.clone())),
        };
        Ok(Card {
            name: name.to_owned(),
            index,
            socket,
            client,
            fixed,
            applied: None,
            link: link::Link::default(),
            mtu: None,
            told: Servers::default(),
            renewal: None,
        })
    }

    /// Whether this is that card, and not one that took its name.
    #[must_use]
    pub fn is(&self, name: &str, index: u32) -> bool {
        self.name == name && self.index == index
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `poll(2)` watches.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// When there is something to do without an event.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let client = self.client.as_ref().and_then(Client::deadline);
        client.into_iter().chain(self.told.deadline()).min()
    }

    /// Whether it has an address.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.applied.is_some()
    }

    /// Whether that is for a while.
    #[must_use]
    pub fn leased(&self) -> bool {
        self.client.is_some() && self.applied.is_some()
    }

    /// The name servers of its lease.
    #[must_use]
    pub fn dns(&self) -> Vec<String> {
        let all = self.applied.iter().flat_map(|l| &l.dns);
        all.map(ToString::to_string).collect()
    }

    /// Those that routers told of; one on the link is of this link (RFC 4007, 11).
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let name = |a: std::net::Ipv6Addr| match a.is_unicast_link_local() {
            true => format!("{a}%{}", self.name),
            false => a.to_string(),
        };
        self.told.list().into_iter().map(name).collect()
    }

    /// A router told of name servers. `true` if that is news.
    pub fn hear(&mut self, told: &Told, now: Millis) -> bool {
        told.index == self.index && self.told.hear(told, now)
    }

    /// The clock was set: the machine may have slept, and its lease may be another's.
    pub fn doubt(&mut self, now: Millis) -> bool {
        let todo = self.client.as_mut().map(|c| c.doubt(now, random()));
        self.act(todo.unwrap_or_default())
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

    /// Looks at the link. `true` if an address or a name server changed.
    pub fn look(&mut self, now: Millis) -> bool {
        let before = std::mem::replace(&mut self.link, link::look(&self.name));
        let (lost, returned) = before.to(&self.link);
        // Whoever is at the other end next has servers of its own.
        let forgot = !self.link.up && self.told.clear();
        let fixed = self.fixed.clone();
        if let Some(lease) = fixed.filter(|_| returned || self.applied.is_none()) {
            return self.apply(lease) | forgot;
        }
        let Some(client) = self.client.as_mut() else {
            return forgot;
        };
        let mut todo = Vec::new();
        if lost {
            todo.extend(client.carrier(false, now, random()));
        }
        todo.extend(client.carrier(self.link.up, now, random()));
        self.act(todo) | forgot
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
        changed | self.act(todo.unwrap_or_default()) | self.told.expire(now)
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
                    self.forget();
                    Ok(())
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
            // It holds for longer. The kernel drops routes when a link goes down; there
            // already is as good.
            self.add_address(&lease);
            self.add_routes(&lease);
            self.applied = Some(lease);
            return false;
        }
        let Lease { addr, prefix, .. } = lease;
        self.drop_routes();
        let other = |l: &&Lease| (l.addr, l.prefix) != (addr, prefix);
        if let Some(old) = self.applied.as_ref().filter(other) {
            // First: in the same network it is the one that others hang on.
            self.remove_address(old);
        }
        if !self.add_address(&lease) {
            return self.applied.take().is_some();
        }
        self.set_mtu(lease.mtu.map(i32::from));
        self.add_routes(&lease);
        let by = lease
            .routes
            .first()
            .map_or_else(String::new, |r| format!(" by {}", r.gateway));
        info!("{}: {addr}/{prefix}{by}", self.name);
        self.applied = Some(lease);
        true
    }

    fn add_address(&self, lease: &Lease) -> bool {
        let address = self.address(lease);
        let done = netlink::add(&address);
        if let Err(e) = &done {
            error!(
                "{}: address {}/{}: {e}",
                self.name, lease.addr, lease.prefix
            );
        }
        done.is_ok()
    }

    fn remove_address(&self, lease: &Lease) {
        let done = netlink::remove(&self.address(lease));
        done.unwrap_or_else(|e| error!("{}: address {}: {e}", self.name, lease.addr));
    }

    fn address(&self, lease: &Lease) -> Address {
        Address {
            index: self.index,
            addr: lease.addr,
            prefix: lease.prefix,
            seconds: lease.times.expire,
            metric: u32::try_from(self.metric()).unwrap_or(0),
        }
    }

    /// What a lease says; without that, what the card had.
    fn set_mtu(&mut self, wanted: Option<i32>) {
        let Some(mtu) = wanted.or(self.mtu) else {
            return;
        };
        let now = link::mtu(&self.name);
        if now != Some(mtu) {
            self.mtu = self.mtu.or(now);
            let done = apply::mtu(&self.name, mtu);
            done.unwrap_or_else(|e| error!("{}: mtu {mtu}: {e}", self.name));
        }
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

    fn forget(&mut self) {
        self.drop_routes();
        self.renewal = None;
        info!("{}: the lease has ended", self.name);
        if let Some(lease) = self.applied.take() {
            self.remove_address(&lease);
        }
        self.set_mtu(None);
    }

    /// The first card's routes win over the second's.
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

/// Not a secret: it tells one exchange from another.
fn random() -> u32 {
    let mut bytes = [0u8; 4];
    let read =
        fs::File::open("/dev/urandom").and_then(|mut f| io::Read::read_exact(&mut f, &mut bytes));
    match read {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::try_from(sys::clock::now() & 0xffff_ffff).unwrap_or(1),
    }
}
