// SPDX-License-Identifier: Apache-2.0
//! Decisions on who is served: pure functions on what is known of connections.
//!
//! A client of ssh sends its version at once (RFC 4253, section 4.2), so a connection that says
//! nothing is served only while few others are. Where all slots are taken, the one whose client
//! owes an answer is ended for a newer client: a client that logs in answers within a round
//! trip, and nobody else is kept waiting by those that do not. Among those that wait, a source
//! with few sessions comes first, then the newest connection: old ones are those whose owners
//! have given up, or never meant to log in.

use std::net::IpAddr;

use sys::clock::Millis;

/// Time for a login, in milliseconds; `LoginGraceTime` of sshd_config is the same.
pub const LOGIN_GRACE: Millis = 30_000;
/// Time in milliseconds after which a client that owes an answer may lose its slot.
const STALLED: Millis = 2_000;
/// Age in milliseconds at which a session without a login may lose its slot in any case: a
/// client that sends a byte now and then owes no answer for long.
const OVERDUE: Millis = 10_000;
/// Time between two sessions that are ended early, in milliseconds: each is replaced by a new
/// one, whose key exchange must leave processor time to the others.
const PACE: Millis = 1_000;

/// Sizes that bound what clients that are not logged in cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions without a login; each is two processes with about 1.5 MiB of their own.
    pub sessions: usize,
    /// Sessions that work at the same time: whoever comes next shares the processors with them.
    pub busy: usize,
    /// Sessions up to which a client that has said nothing is served.
    pub silent: usize,
    /// Connections that wait for a session; each is a socket of a few KiB.
    pub waiting: usize,
}

impl Limits {
    /// Returns the sizes for a machine with so much memory, a tenth of it at most, and so many
    /// processors.
    #[must_use]
    pub fn of_machine(mib: u64, cpus: usize) -> Limits {
        let clamp =
            |n: u64, low: usize, high: usize| usize::try_from(n).unwrap_or(high).clamp(low, high);
        let sessions = clamp(mib / 16, 4, 24);
        Limits {
            sessions,
            busy: (cpus * 2).clamp(3, 16),
            silent: sessions / 4,
            waiting: clamp(mib * 5, 512, 4_096),
        }
    }
}

/// Origin of a connection: an IPv4 address, or the /64 of an IPv6 one, which one host may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u128);

impl From<IpAddr> for Source {
    fn from(addr: IpAddr) -> Source {
        match addr.to_canonical() {
            IpAddr::V4(v4) => Source(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Source(v6.to_bits() >> 64 << 64),
        }
    }
}

/// A connection that no sshd serves yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Origin.
    pub source: Source,
    /// Time of arrival.
    pub since: Millis,
    /// True once a byte has arrived.
    pub has_spoken: bool,
    /// True if a session was told to end for it.
    pub is_promised: bool,
}

/// A session, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Origin.
    pub source: Source,
    /// Time of its start.
    pub since: Millis,
    /// True if it certainly has no login: a session that starts is none of these, either.
    pub has_no_login: bool,
    /// Time for which its client has owed an answer.
    pub owing: Millis,
    /// True if it was told to end.
    pub is_ending: bool,
}

/// Next step, with the index of whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a session for this waiting connection.
    Start(usize),
    /// End a session for a waiting connection, which has its slot from now on: the client that
    /// loses it may be back before it is free.
    End {
        /// Index of the session.
        session: usize,
        /// Index of the waiting connection.
        waiting: usize,
    },
}

/// Decides the next step; `last_end` is the time of the last [`Step::End`].
#[must_use]
pub fn next(
    waiting: &[Waiting],
    sessions: &[Session],
    limits: Limits,
    now: Millis,
    last_end: Option<Millis>,
) -> Option<Step> {
    let load = |source: Source| sessions.iter().filter(|s| s.source == source).count();
    let first = |has_spoken: bool| {
        let candidates = waiting.iter().enumerate();
        let candidates = candidates.filter(|(_, w)| w.has_spoken == has_spoken);
        // `max_by_key` returns the last of equals.
        let best = candidates.max_by_key(|(_, w)| (usize::MAX - load(w.source), w.since));
        best.map(|(index, _)| index)
    };
    let busy = sessions.iter().filter(|s| s.owing == 0).count();
    if busy >= limits.busy {
        return None;
    }
    let spoken = first(true);
    if sessions.len() < limits.sessions && spoken.is_some() {
        let promised = waiting.iter().position(|w| w.is_promised);
        return promised.or(spoken).map(Step::Start);
    }
    if sessions.len() < limits.silent {
        return first(false).map(Step::Start);
    }
    let in_pace = last_end.is_none_or(|at| now.saturating_sub(at) >= PACE);
    if !in_pace || sessions.iter().any(|s| s.is_ending) {
        return None;
    }
    let may_end = |s: &Session| {
        s.has_no_login && (s.owing >= STALLED || now.saturating_sub(s.since) >= OVERDUE)
    };
    let candidates = sessions.iter().enumerate().filter(|(_, s)| may_end(s));
    let worst = candidates.min_by_key(|(_, s)| (usize::MAX - load(s.source), s.since));
    let (session, waiting) = (worst?.0, spoken?);
    Some(Step::End { session, waiting })
}

/// Returns the connection to close where too many wait: of the source with the most, one that
/// has said nothing before one that has, the oldest first.
#[must_use]
pub fn surplus(waiting: &[Waiting], limits: Limits) -> Option<usize> {
    if waiting.len() <= limits.waiting {
        return None;
    }
    let mut loads: Vec<(Source, usize)> = Vec::new();
    for connection in waiting {
        match loads
            .iter_mut()
            .find(|(source, _)| *source == connection.source)
        {
            Some((_, load)) => *load += 1,
            None => loads.push((connection.source, 1)),
        }
    }
    let (heaviest, _) = loads.into_iter().max_by_key(|(_, load)| *load)?;
    let of_it = waiting
        .iter()
        .enumerate()
        .filter(|(_, w)| w.source == heaviest);
    let oldest = of_it.min_by_key(|(_, w)| (w.has_spoken, w.since));
    oldest.map(|(index, _)| index)
}

#[cfg(test)]
mod tests;
