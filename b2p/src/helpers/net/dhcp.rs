// SPDX-License-Identifier: Apache-2.0
//! The DHCP client of one card: a pure state machine (RFC 2131, figure 5).
//!
//! Time and randomness are arguments; actions, such as messages to send, are returned.

use std::net::Ipv4Addr;

use services::Millis;

use super::answer::{ServerMessage, decode};
use super::lease::Lease;
use super::packet::ClientMessage;

/// Times between two tries of the same message, in milliseconds; the last one repeats. RFC
/// 2131 starts at 4 s, but a link that is up for a short time loses the first packet too often.
const RETRIES: &[Millis] = &[500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000];
/// Number of DHCPREQUESTs without an answer, of an offer or of the old address, after which the client sends
/// DHCPDISCOVER.
const MAX_REQUESTS: usize = 4;
/// Minimum interval between renewals, in milliseconds; the interval is otherwise half of the time that is
/// left (RFC 2131, 4.4.5).
const MIN_RENEW_DELAY: Millis = 60_000;

/// Action that the client requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Broadcast, below IP: the card has no address yet.
    Broadcast(ClientMessage),
    /// Send by UDP from the card's address, to a server or to 255.255.255.255.
    SendUdp(ClientMessage, Ipv4Addr),
    /// Set address, routes and DNS of this lease.
    Apply(Lease),
    /// Remove the address: the lease has ended.
    Remove,
    /// Log that an answer is not used, and why.
    Refuse(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The card has no carrier.
    Down,
    Selecting,
    Requesting(Lease),
    /// The client asks the server to confirm the lease (INIT-REBOOT and REBOOTING).
    Rebooting,
    Bound,
    Renewing,
    Rebinding,
}

/// The client of one card.
#[derive(Debug)]
pub struct Client {
    mac: [u8; 6],
    hostname: String,
    xid: u32,
    state: State,
    tries: usize,
    deadline: Option<Millis>,
    /// Time of the last DHCPREQUEST.
    requested: Millis,
    /// Current lease, and the time of its request: the lease counts from there (RFC 2131, 4.4.1).
    lease: Option<(Lease, Millis)>,
}

impl Client {
    /// Returns a client that waits for a carrier.
    #[must_use]
    pub fn new(mac: [u8; 6], hostname: &str) -> Client {
        Client {
            mac,
            hostname: hostname.to_owned(),
            xid: 0,
            state: State::Down,
            tries: 0,
            deadline: None,
            requested: 0,
            lease: None,
        }
    }

    /// Returns when [`Client::on_deadline`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.deadline.into_iter().chain(self.expiry()).min()
    }

    /// Returns the current lease.
    #[cfg(test)]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().map(|(l, _)| l)
    }

    /// Takes a change of the carrier. A link that is up again may lead to another network:
    /// the client requests the old address again, and keeps it until a server refuses.
    pub fn set_carrier(&mut self, up: bool, now: Millis, random: u32) -> Vec<Action> {
        match (up, &self.state) {
            (true, State::Down) if self.lease.is_some() => self.reboot(now, random),
            (true, State::Down) => self.discover(now, random),
            (false, s) if *s != State::Down => {
                self.state = State::Down;
                self.deadline = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Requests the lease again, because time may have passed that no clock here has counted; the
    /// lease is kept until a server refuses.
    pub fn reconfirm(&mut self, now: Millis, random: u32) -> Vec<Action> {
        match self.state {
            State::Bound | State::Renewing | State::Rebinding => self.reboot(now, random),
            _ => Vec::new(),
        }
    }

    /// Does the work that is due at `now`.
    pub fn on_deadline(&mut self, now: Millis, random: u32) -> Vec<Action> {
        if self.deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        if self.lease.is_some() && self.expiry().is_some_and(|at| at <= now) {
            self.lease = None;
            let mut actions = vec![Action::Remove];
            if self.state == State::Down {
                self.deadline = None;
            } else {
                actions.extend(self.discover(now, random));
            }
            return actions;
        }
        match &self.state {
            State::Down => Vec::new(),
            State::Requesting(_) | State::Rebooting if self.tries >= MAX_REQUESTS => {
                self.discover(now, random)
            }
            State::Selecting | State::Requesting(_) | State::Rebooting => self.send(now),
            State::Bound | State::Renewing | State::Rebinding => self.renew(now, random),
        }
    }

    /// Takes a DHCP message.
    pub fn on_message(&mut self, bytes: &[u8], now: Millis, random: u32) -> Vec<Action> {
        let Some(message) = decode(bytes, self.xid, self.mac) else {
            return Vec::new();
        };
        let has_lease = [State::Rebooting, State::Renewing, State::Rebinding].contains(&self.state);
        match (message, &self.state) {
            (ServerMessage::Offer(lease), State::Selecting) => {
                self.state = State::Requesting(lease);
                self.tries = 0;
                self.send(now)
            }
            (ServerMessage::Ack(lease), State::Requesting(_)) => self.bind(lease),
            (ServerMessage::Ack(lease), _) if has_lease => self.bind(lease),
            (ServerMessage::Nak(Some(server)), _) if self.is_another(server) => {
                vec![Action::Refuse(format!(
                    "{server} was not asked, and refuses"
                ))]
            }
            (ServerMessage::Nak(_), State::Requesting(_)) => self.on_nak(now, random),
            (ServerMessage::Nak(_), _) if has_lease => self.on_nak(now, random),
            (ServerMessage::Unusable(why), _) => vec![Action::Refuse(why)],
            _ => Vec::new(),
        }
    }

    /// Returns true if the last request was to another server. Any server may refuse a request to all
    /// servers (RFC 2131, 4.3.2).
    fn is_another(&self, server: Ipv4Addr) -> bool {
        let asked = match (&self.state, &self.lease) {
            (State::Requesting(offer), _) => offer.server,
            (State::Renewing, Some((lease, _))) => lease.server,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        !asked.is_unspecified() && asked != server
    }

    fn discover(&mut self, now: Millis, random: u32) -> Vec<Action> {
        self.xid = random;
        self.tries = 0;
        self.state = State::Selecting;
        self.send(now)
    }

    fn reboot(&mut self, now: Millis, random: u32) -> Vec<Action> {
        self.xid = random;
        self.tries = 0;
        self.state = State::Rebooting;
        self.send(now)
    }

    fn on_nak(&mut self, now: Millis, random: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.lease.take().is_some() {
            actions.push(Action::Remove);
        }
        // Not at once: a server that refuses its own offers must not make the client spin.
        self.xid = random;
        self.tries = 1;
        self.state = State::Selecting;
        self.deadline = Some(now + RETRIES[1]);
        actions
    }

    /// Sends the message of Selecting, Requesting or Rebooting, and sets the next try.
    fn send(&mut self, now: Millis) -> Vec<Action> {
        let old_addr = self.lease.as_ref().map(|(l, _)| l.addr);
        let (discover, requested_addr, server) = match &self.state {
            State::Requesting(offer) => (false, Some(offer.addr), Some(offer.server)),
            State::Rebooting => (false, old_addr, None),
            _ => (true, old_addr, None),
        };
        self.deadline = Some(now + retry_delay(self.tries));
        self.tries += 1;
        self.requested = now;
        vec![Action::Broadcast(ClientMessage {
            discover,
            requested_addr,
            server,
            ..self.request()
        })]
    }

    fn bind(&mut self, lease: Lease) -> Vec<Action> {
        self.state = State::Bound;
        self.deadline = Some(self.requested + millis(lease.times.renew));
        self.lease = Some((lease.clone(), self.requested));
        vec![Action::Apply(lease)]
    }

    /// Requests a renewal, at T1 and T2 and until there is an answer.
    fn renew(&mut self, now: Millis, random: u32) -> Vec<Action> {
        let Some((lease, requested)) = self.lease.clone() else {
            return self.discover(now, random);
        };
        if self.state == State::Bound {
            self.xid = random;
        }
        let rebind = requested + millis(lease.times.rebind);
        let expire = requested + millis(lease.times.expire);
        let request = ClientMessage {
            client_addr: lease.addr,
            ..self.request()
        };
        self.requested = now;
        let next = if now < rebind { rebind } else { expire };
        let left = next.saturating_sub(now);
        self.deadline = Some(now + (left / 2).max(MIN_RENEW_DELAY.min(left)));
        if now < rebind {
            self.state = State::Renewing;
            vec![Action::SendUdp(request, lease.server)]
        } else {
            self.state = State::Rebinding;
            vec![Action::SendUdp(request, Ipv4Addr::BROADCAST)]
        }
    }

    /// Returns a REQUEST of the current transaction that names no address and no server.
    fn request(&self) -> ClientMessage {
        ClientMessage {
            xid: self.xid,
            mac: self.mac,
            discover: false,
            client_addr: Ipv4Addr::UNSPECIFIED,
            requested_addr: None,
            server: None,
            hostname: self.hostname.clone(),
        }
    }

    /// Returns when the lease ends.
    fn expiry(&self) -> Option<Millis> {
        self.lease
            .as_ref()
            .map(|(l, requested)| requested + millis(l.times.expire))
    }
}

fn retry_delay(tries: usize) -> Millis {
    RETRIES
        .get(tries)
        .or(RETRIES.last())
        .copied()
        .unwrap_or(60_000)
}

fn millis(seconds: u32) -> Millis {
    Millis::from(seconds) * 1000
}

#[cfg(test)]
mod tests;
