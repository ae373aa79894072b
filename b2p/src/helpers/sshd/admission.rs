// SPDX-License-Identifier: Apache-2.0
//! Decisions which clients are served, from facts about connections and without a system call.
//!
//! A client of ssh sends its identification string at once (RFC 4253, section 4.2), so a silent
//! connection is served only while few others are. Where all slots are taken, the one whose client
//! does not answer is ended for a newer client: a client that logs in answers within a round
//! trip, and does not wait for clients that do not answer. Among waiting clients, a source from which
//! a login has succeeded is first in three of four turns: an attacker may have more addresses than
//! there are slots, and none of them is one of these. The next is a source with few sessions, there a
//! program with few, then one of the newest connections: the clients of old ones have given up, or
//! never meant to log in.

mod queue;

use std::collections::VecDeque;
use std::net::IpAddr;

use sys::clock::Millis;

use super::hello::Software;
pub use queue::Id;
use queue::{Loads, Queue};

/// Time for a login, in milliseconds; `LoginGraceTime` of sshd_config is the same.
pub const LOGIN_GRACE: Millis = 30_000;
/// Time in milliseconds after which a client that does not answer may lose its slot.
const STALLED: Millis = 2_000;
/// Age in milliseconds at which a session without a login may lose its slot in any case.
const OVERDUE: Millis = 10_000;
/// Sources with a login that are remembered.
const MAX_KNOWN: usize = 64;
/// Number of connections of one source that counts as many: connections of the source with the most
/// are closed first.
const MANY: usize = 8;
/// Share of the memory for the data of waiting clients, as a power of 1/2, and its bounds in MiB: an
/// identification string in each of the connections takes less (a packet has up to 2,304 bytes).
const UNREAD_SHIFT: u32 = 6;
const MIN_UNREAD_MIB: u64 = 2;
const MAX_UNREAD_MIB: u64 = 32;
/// Time between two sessions that are ended early, in milliseconds: within this time the new
/// session shows that it works.
const PACE: Millis = 100;

/// Sizes that bound the cost of clients without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions without a login; each is two processes with about 1.5 MiB of their own.
    pub sessions: usize,
    /// Sessions that work at the same time: the next one shares the processors with them.
    pub working: usize,
    /// Number of sessions up to which a silent client is served.
    pub silent: usize,
    /// Connections that wait for a session; each is a socket of a few KiB.
    pub waiting: usize,
    /// Connections of one source that wait.
    pub waiting_per_source: usize,
    /// Memory in bytes of the data of waiting connections. The kernel has a limit for all of the
    /// machine's connections (tcp(7), tcp_mem): a tenth of the memory or less.
    pub unread: u64,
}

impl Limits {
    /// Returns the sizes for a machine with this memory, of which they take a tenth at most, and
    /// this number of processors.
    #[must_use]
    pub fn of_machine(mib: u64, cpus: usize) -> Limits {
        let clamp =
            |n: u64, low: usize, high: usize| usize::try_from(n).unwrap_or(high).clamp(low, high);
        let sessions = clamp(mib / 32, 4, 24);
        let waiting = clamp(mib.saturating_mul(5), 512, 4_096);
        Limits {
            sessions,
            working: cpus.clamp(2, 16),
            silent: sessions / 4,
            waiting,
            waiting_per_source: waiting / 4 * 3,
            unread: mib.clamp(
                MIN_UNREAD_MIB << UNREAD_SHIFT,
                MAX_UNREAD_MIB << UNREAD_SHIFT,
            ) << (20 - UNREAD_SHIFT),
        }
    }
}

/// Origin of a connection: an IPv4 address, or the /64 of an IPv6 one, which one host may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(u128);

impl From<IpAddr> for Source {
    fn from(addr: IpAddr) -> Source {
        match addr.to_canonical() {
            IpAddr::V4(v4) => Source(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Source(v6.to_bits() >> 64 << 64),
        }
    }
}

/// A client: a user and an attacker may have the same address, but not the same program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Origin.
    pub source: Source,
    /// Software, if its identification string has arrived.
    pub software: Option<Software>,
}

/// Facts about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Client.
    pub client: Client,
    /// Time of its start.
    pub since: Millis,
    /// True if the session certainly has no login; false for a session that starts.
    pub has_no_login: bool,
    /// True if the processes of the session run, so that it waits for nothing.
    pub is_working: bool,
    /// Time for which sshd has waited for an answer of its client; 0 if sshd does not wait.
    pub unanswered: Millis,
    /// True if the session was requested to end.
    pub is_ending: bool,
}

/// Next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a session for this connection, which waits no longer.
    Start(Id, Client),
    /// End the session with this index, for a connection that gets its slot.
    End(usize),
}

/// Connections that wait, and the last decision.
pub struct Admission {
    limits: Limits,
    queue: Queue,
    /// Time of the last [`Step::End`].
    last_end: Option<Millis>,
    /// Connection that the slot is for: the client that loses the slot may be back before it is
    /// free.
    promised: Option<Id>,
    /// Number of decisions for clients that have identified themselves.
    turn: usize,
    /// Sources of the latest logins, the newest last.
    known: VecDeque<Source>,
}

impl Admission {
    /// Returns an admission without connections.
    #[must_use]
    pub fn new(limits: Limits) -> Admission {
        Admission {
            limits,
            queue: Queue::default(),
            last_end: None,
            promised: None,
            turn: 0,
            known: VecDeque::new(),
        }
    }

    /// Adds a new connection, with a higher number than all before. Returns the connection to
    /// close if too many wait.
    #[must_use]
    pub fn add(&mut self, id: Id, source: Source, now: Millis) -> Option<Id> {
        self.queue.insert(id, source, now);
        let (size, _) = self.queue.largest_source()?;
        let is_full = self.queue.len() > self.limits.waiting;
        (is_full || size > self.limits.waiting_per_source).then(|| self.shed())?
    }

    /// Returns a connection to close where memory or descriptors are short: one of the source with the
    /// most, or the oldest of all if no source has many.
    #[must_use]
    pub fn shed(&mut self) -> Option<Id> {
        let oldest = match self.queue.largest_source()? {
            (size, source) if size >= MANY => self.queue.oldest_of(source)?,
            _ => self.queue.oldest()?,
        };
        self.queue.remove(oldest).map(|_| oldest)
    }

    /// Notes a login. Its source is served before others from now on: attackers with many addresses
    /// have no login at any.
    pub fn note_login(&mut self, source: Source) {
        self.known.retain(|known| *known != source);
        self.known.push_back(source);
        if self.known.len() > MAX_KNOWN {
            self.known.pop_front();
        }
    }

    /// Notes the memory in bytes of the data of a connection. If all connections take too much,
    /// returns the connection to close: the one with the most.
    #[must_use]
    pub fn weigh(&mut self, id: Id, bytes: u32) -> Option<Id> {
        self.queue.weigh(id, bytes);
        let heaviest = self.queue.heaviest()?;
        let is_too_much = self.queue.weight() > self.limits.unread;
        is_too_much.then(|| self.queue.remove(heaviest).map(|_| heaviest))?
    }

    /// Notes the identification string of a client.
    pub fn identify(&mut self, id: Id, software: Software) {
        self.queue.identify(id, software);
    }

    /// Removes a connection that its client has closed.
    pub fn remove(&mut self, id: Id) {
        self.queue.remove(id);
    }

    /// Returns a connection to close after too long a silence.
    #[must_use]
    pub fn expired(&mut self, now: Millis) -> Option<Id> {
        let (id, since) = self.queue.oldest_silent()?;
        let is_late = now.saturating_sub(since) >= LOGIN_GRACE;
        is_late.then(|| self.queue.remove(id).map(|_| id))?
    }

    /// Returns true if no connection waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.len() == 0
    }

    /// Returns true if a client waits that has identified itself.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.queue.has_identified()
    }

    /// Returns true if `sessions`, the number of sessions without a login, is so large that a
    /// newcomer can wait for a moment.
    #[must_use]
    pub fn is_crowded(&self, sessions: usize) -> bool {
        sessions >= self.limits.silent
    }

    /// Returns the number of sessions, of a total of `sessions`, that may work at the same time:
    /// where there are many, a processor is left to later ones.
    #[must_use]
    pub fn working(&self, sessions: usize) -> usize {
        match self.is_crowded(sessions) {
            true => (self.limits.working - 1).max(1),
            false => self.limits.working,
        }
    }

    /// Decides the next step.
    #[must_use]
    pub fn next(&mut self, sessions: &[Session], now: Millis) -> Option<Step> {
        let working = sessions.iter().filter(|s| s.is_working).count();
        if working >= self.working(sessions.len()) {
            return None;
        }
        let loads = Loads::of(sessions.iter().map(|s| s.client));
        let known = self.known.iter();
        let Some(first) = self.queue.first_identified(&loads, known, self.turn) else {
            // A silent connection is served only while no session works.
            let is_quiet = working == 0 && sessions.len() < self.limits.silent;
            let silent = self.queue.first_silent(&loads).filter(|_| is_quiet);
            return silent.and_then(|id| self.start(id));
        };
        if sessions.len() < self.limits.sessions {
            let promised = self.promised.take().filter(|&id| self.queue.contains(id));
            self.turn += usize::from(promised.is_none());
            return self.start(promised.unwrap_or(first));
        }
        let is_paced = self
            .last_end
            .is_none_or(|at| now.saturating_sub(at) >= PACE);
        if !is_paced || sessions.iter().any(|s| s.is_ending) {
            return None;
        }
        let ended = slot_to_free(sessions, &loads, now)?;
        self.last_end = Some(now);
        self.promised = Some(first);
        self.turn += 1;
        Some(Step::End(ended))
    }

    fn start(&mut self, id: Id) -> Option<Step> {
        self.queue.remove(id).map(|client| Step::Start(id, client))
    }
}

/// Returns the index of the session that may lose its slot: of the source with the most, the oldest.
fn slot_to_free(sessions: &[Session], loads: &Loads, now: Millis) -> Option<usize> {
    let may_end = |s: &Session| {
        s.has_no_login && (s.unanswered >= STALLED || now.saturating_sub(s.since) >= OVERDUE)
    };
    let candidates = sessions.iter().enumerate().filter(|(_, s)| may_end(s));
    let load = |s: &Session| loads.of_source(s.client.source);
    let slot_to_free = candidates.min_by_key(|(_, s)| (usize::MAX - load(s), s.since));
    slot_to_free.map(|(index, _)| index)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
