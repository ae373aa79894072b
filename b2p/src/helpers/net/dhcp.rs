//! The DHCP client of one interface: a pure state machine (RFC 2131, figure 5).
//!
//! Time and randomness are arguments; what is to be sent or applied is returned.

use std::net::Ipv4Addr;

use services::Millis;

use super::lease::Lease;
use super::packet::{Answer, Ask, answer};

/// Between two tries of the same message; the last repeats for ever. RFC 2131
/// starts at 4 s; a link that has just come up loses the first packet too often.
const RETRIES: &[Millis] = &[500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000];
/// So often an offer is asked for before we start over.
const REQUESTS: usize = 4;
/// RFC 2131, 4.4.5: a renewal is repeated after half the time left, not sooner.
const RENEW_AT_LEAST: Millis = 60_000;

/// What the edge is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to everybody, below IP.
    Broadcast(Ask),
    /// Send to this server, from our address.
    Unicast(Ask, Ipv4Addr),
    /// The lease holds: set address, routes, DNS.
    Apply(Lease),
    /// The address is no longer ours.
    Drop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// No link.
    Down,
    Selecting,
    Requesting(Lease),
    /// Whether our address is still ours (INIT-REBOOT and REBOOTING).
    Rebooting,
    Bound,
    Renewing,
    Rebinding,
}

/// One interface's client.
#[derive(Debug)]
pub struct Client {
    mac: [u8; 6],
    hostname: String,
    xid: u32,
    state: State,
    tries: usize,
    deadline: Option<Millis>,
    /// What we have, and when it was granted.
    lease: Option<(Lease, Millis)>,
}

impl Client {
    /// A client that waits for its link.
    #[must_use]
    pub fn new(mac: [u8; 6], hostname: &str) -> Client {
        Client {
            mac,
            hostname: hostname.to_owned(),
            xid: 0,
            state: State::Down,
            tries: 0,
            deadline: None,
            lease: None,
        }
    }

    /// When [`Client::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.deadline.into_iter().chain(self.expiry()).min()
    }

    /// The lease that holds now.
    #[cfg(test)]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().map(|(l, _)| l)
    }

    /// The link came or went. A link that comes back may be another network:
    /// the old address is asked for again and kept until somebody says no.
    pub fn carrier(&mut self, up: bool, now: Millis, random: u32) -> Vec<Output> {
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

    /// Time may have passed that no clock here knows of: what we have is asked for
    /// again, and kept until somebody says no.
    pub fn doubt(&mut self, now: Millis, random: u32) -> Vec<Output> {
        match self.state {
            State::Bound | State::Renewing | State::Rebinding => self.reboot(now, random),
            _ => Vec::new(),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis, random: u32) -> Vec<Output> {
        if self.deadline().is_none_or(|at| at > now) {
            return Vec::new();
        }
        if self.lease.is_some() && self.expiry().is_some_and(|at| at <= now) {
            self.lease = None;
            let mut all = vec![Output::Drop];
            if self.state == State::Down {
                self.deadline = None;
            } else {
                all.extend(self.discover(now, random));
            }
            return all;
        }
        match &self.state {
            State::Down => Vec::new(),
            State::Requesting(_) | State::Rebooting if self.tries >= REQUESTS => {
                self.discover(now, random)
            }
            State::Selecting | State::Requesting(_) | State::Rebooting => self.send(now),
            State::Bound | State::Renewing | State::Rebinding => self.renew(now, random),
        }
    }

    /// A DHCP message arrived.
    pub fn message(&mut self, bytes: &[u8], now: Millis, random: u32) -> Vec<Output> {
        let Some(answer) = answer(bytes, self.xid, self.mac) else {
            return Vec::new();
        };
        let again = [State::Rebooting, State::Renewing, State::Rebinding].contains(&self.state);
        match (answer, &self.state) {
            (Answer::Offer(lease), State::Selecting) => {
                self.state = State::Requesting(lease);
                self.tries = 0;
                self.send(now)
            }
            (Answer::Ack(lease), State::Requesting(_)) => self.bind(lease, now),
            (Answer::Ack(lease), _) if again => self.bind(lease, now),
            (Answer::Nak, State::Requesting(_)) => self.refused(now, random),
            (Answer::Nak, _) if again => self.refused(now, random),
            _ => Vec::new(),
        }
    }

    fn discover(&mut self, now: Millis, random: u32) -> Vec<Output> {
        self.xid = random;
        self.tries = 0;
        self.state = State::Selecting;
        self.send(now)
    }

    fn reboot(&mut self, now: Millis, random: u32) -> Vec<Output> {
        self.xid = random;
        self.tries = 0;
        self.state = State::Rebooting;
        self.send(now)
    }

    fn refused(&mut self, now: Millis, random: u32) -> Vec<Output> {
        let mut all = Vec::new();
        if self.lease.take().is_some() {
            all.push(Output::Drop);
        }
        // Not at once: a server that refuses what it offers must not make us spin.
        self.xid = random;
        self.tries = 1;
        self.state = State::Selecting;
        self.deadline = Some(now + RETRIES[1]);
        all
    }

    /// Sends the message of Selecting, Requesting or Rebooting, and sets the next try.
    fn send(&mut self, now: Millis) -> Vec<Output> {
        let have_had = self.lease.as_ref().map(|(l, _)| l.addr);
        let (discover, want, server) = match &self.state {
            State::Requesting(offer) => (false, Some(offer.addr), Some(offer.server)),
            State::Rebooting => (false, have_had, None),
            _ => (true, have_had, None),
        };
        self.deadline = Some(now + wait(self.tries));
        self.tries += 1;
        let unspecified = Ipv4Addr::UNSPECIFIED;
        vec![Output::Broadcast(self.ask(
            discover,
            unspecified,
            want,
            server,
        ))]
    }

    fn bind(&mut self, lease: Lease, now: Millis) -> Vec<Output> {
        self.state = State::Bound;
        self.deadline = Some(now + seconds(lease.times.renew));
        self.lease = Some((lease.clone(), now));
        vec![Output::Apply(lease)]
    }

    /// T1 or T2 has come, or nobody answered since.
    fn renew(&mut self, now: Millis, random: u32) -> Vec<Output> {
        let Some((lease, since)) = self.lease.clone() else {
            return self.discover(now, random);
        };
        if self.state == State::Bound {
            self.xid = random;
        }
        let rebind = since + seconds(lease.times.rebind);
        let expire = since + seconds(lease.times.expire);
        let (next, ask) = (
            if now < rebind { rebind } else { expire },
            self.ask(false, lease.addr, None, None),
        );
        let left = next.saturating_sub(now);
        self.deadline = Some(now + (left / 2).max(RENEW_AT_LEAST.min(left)));
        if now < rebind {
            self.state = State::Renewing;
            vec![Output::Unicast(ask, lease.server)]
        } else {
            self.state = State::Rebinding;
            vec![Output::Unicast(ask, Ipv4Addr::BROADCAST)]
        }
    }

    fn ask(
        &self,
        discover: bool,
        have: Ipv4Addr,
        want: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Ask {
        Ask {
            xid: self.xid,
            mac: self.mac,
            discover,
            have,
            want,
            server,
            hostname: self.hostname.clone(),
        }
    }

    fn expiry(&self) -> Option<Millis> {
        self.lease
            .as_ref()
            .map(|(l, since)| since + seconds(l.times.expire))
    }
}

fn wait(tries: usize) -> Millis {
    RETRIES
        .get(tries)
        .or(RETRIES.last())
        .copied()
        .unwrap_or(60_000)
}

fn seconds(s: u32) -> Millis {
    Millis::from(s) * 1000
}

#[cfg(test)]
mod tests;
