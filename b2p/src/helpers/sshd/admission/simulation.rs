// SPDX-License-Identifier: Apache-2.0
//! A machine under attack on a simulated clock: attackers of each kind, and a user that logs in.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Interval of the clock in milliseconds.
const TICK: Millis = 10;
/// Interval of reviews in milliseconds.
const REVIEW: Millis = 100;
/// Work of sshd until it has sent its key exchange, for the key exchange, and for the login, in
/// milliseconds of a slow processor.
const START: Millis = 500;
const EXCHANGE: Millis = 200;
const LOGIN: Millis = 400;
/// Time of an answer in milliseconds.
const ROUND_TRIP: Millis = 40;

/// Conduct of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The user logs in.
    User,
    /// Sends nothing.
    Silent,
    /// Sends its identification and no more, or now and then a byte, which makes no packet.
    Identified,
    /// Leaves in the middle of the key exchange.
    HalfExchanged,
    /// Has no key, and leaves.
    Refused,
}

/// A client, and its place in the machine.
#[derive(Clone, Copy, Debug)]
struct Peer {
    kind: Kind,
    source: Source,
    /// True if an attacker names the user's software.
    is_disguised: bool,
}

impl Peer {
    /// Returns the software, which an attacker may know.
    fn software(&self) -> Software {
        7 + Software::from(self.kind != Kind::User && !self.is_disguised)
    }
}

struct Running {
    peer: Peer,
    since: Millis,
    /// Work that is left until sshd waits for the client, and steps that follow.
    work: Millis,
    steps: usize,
    /// Time since which sshd waits.
    waits: Millis,
}

impl Running {
    /// Returns the work after an answer of the client; `None` if there is none.
    fn answer(&self) -> Option<Millis> {
        let answers = match self.peer.kind {
            Kind::User | Kind::Refused => 2,
            Kind::HalfExchanged => 1,
            Kind::Silent | Kind::Identified => 0,
        };
        (self.steps < answers).then_some([EXCHANGE, LOGIN][self.steps])
    }
}

/// A machine, and the return of attackers.
struct Machine {
    admission: Admission,
    peers: BTreeMap<Id, Peer>,
    running: Vec<Running>,
    cpus: u64,
    next_id: Id,
    /// True if an attacker whose connection is closed connects again at once.
    comes_again: bool,
    /// Time of the user's login.
    login: Option<Millis>,
    /// Largest numbers of sessions and of waiting connections.
    most: (usize, usize),
}

impl Machine {
    fn new(limits: Limits, cpus: u64, comes_again: bool) -> Machine {
        Machine {
            admission: Admission::new(limits),
            peers: BTreeMap::new(),
            running: Vec::new(),
            cpus,
            next_id: 0,
            comes_again,
            login: None,
            most: (0, 0),
        }
    }

    fn connect(&mut self, peer: Peer, now: Millis) {
        let mut surplus = self.connect_once(peer, now);
        // A client connects again for each one that is closed, but not endlessly within a tick.
        for _ in 0..16 {
            let Some(closed) = surplus.and_then(|id| self.peers.remove(&id)) else {
                return;
            };
            surplus = match self.comes_again && closed.kind != Kind::User {
                true => self.connect_once(closed, now),
                false => None,
            };
        }
        surplus.and_then(|id| self.peers.remove(&id));
    }

    fn connect_once(&mut self, peer: Peer, now: Millis) -> Option<Id> {
        let id = self.next_id;
        self.next_id += 1;
        self.peers.insert(id, peer);
        let surplus = self.admission.add(id, peer.source, now);
        if peer.kind != Kind::Silent {
            self.admission.identify(id, peer.software());
        }
        surplus
    }

    fn tick(&mut self, now: Millis) {
        let mut closed = self.work(now);
        while let Some(id) = self.admission.expired(now) {
            closed.extend(self.peers.remove(&id));
        }
        if now.is_multiple_of(REVIEW) {
            closed.extend(self.admit(now));
        }
        for peer in closed {
            if self.comes_again && peer.kind != Kind::User {
                self.connect(peer, now);
            }
        }
        let sizes = (self.running.len(), self.peers.len());
        self.most = (self.most.0.max(sizes.0), self.most.1.max(sizes.1));
    }

    /// Shares the processors among sessions that work, and returns clients that are gone.
    fn work(&mut self, now: Millis) -> Vec<Peer> {
        let working = self.running.iter().filter(|r| r.work > 0).count() as u64;
        let share = TICK * self.cpus.min(working) / working.max(1);
        let mut gone = Vec::new();
        let (login, mut left) = (&mut self.login, Vec::new());
        for mut session in self.running.drain(..) {
            if session.work > 0 {
                session.work = session.work.saturating_sub(share.max(1));
                session.waits = now;
            } else if now - session.waits >= ROUND_TRIP
                && let Some(work) = session.answer()
            {
                session.work = work;
                session.steps += 1;
            }
            let is_done = session.work == 0 && session.steps == 2;
            let is_late = now - session.since >= LOGIN_GRACE;
            match (is_done, session.peer.kind) {
                (true, Kind::User) => *login = Some(now),
                (true, _) => gone.push(session.peer),
                _ if is_late => gone.push(session.peer),
                _ => left.push(session),
            }
        }
        self.running = left;
        gone
    }

    fn admit(&mut self, now: Millis) -> Vec<Peer> {
        let mut ended = Vec::new();
        loop {
            let facts: Vec<Session> = self.running.iter().map(|r| fact(r, now)).collect();
            match self.admission.next(&facts, now) {
                None => return ended,
                Some(Step::Start(id, _)) => {
                    let peer = self.peers.remove(&id).expect("it waits");
                    let (work, steps) = (START, 0);
                    self.running.push(Running {
                        peer,
                        since: now,
                        work,
                        steps,
                        waits: now,
                    });
                }
                Some(Step::End(index)) => ended.push(self.running.remove(index).peer),
            }
        }
    }
}

fn fact(running: &Running, now: Millis) -> Session {
    let is_working = running.work > 0;
    Session {
        client: Client {
            source: running.peer.source,
            software: Some(running.peer.software()),
        },
        since: running.since,
        has_no_login: running.steps > 0 || !is_working,
        is_working,
        unanswered: match is_working {
            true => 0,
            false => now - running.waits,
        },
        is_ending: false,
    }
}

/// An attack: conduct, number of connections and sources, return of closed ones, and disguise.
/// The user has the attacker's address where there is one source.
#[derive(Clone, Copy, Debug)]
struct Attack {
    kind: Kind,
    count: u64,
    sources: u64,
    comes_again: bool,
    is_disguised: bool,
}

impl Attack {
    /// Returns true for clients that work as the user does, connect again at once, and have other addresses or the
    /// user's program. A few of them are always the newest: the time of a login is a matter of chance.
    fn is_unbounded(self) -> bool {
        let works = matches!(self.kind, Kind::Refused | Kind::HalfExchanged);
        works && self.comes_again && (self.is_disguised || self.sources > 1)
    }
}

fn source(n: u64) -> Source {
    let [.., a, b] = n.to_be_bytes();
    IpAddr::from([10, 0, a, b]).into()
}

impl Machine {
    /// Connects all clients of an attack.
    fn begin(&mut self, attack: Attack) {
        for n in 0..attack.count {
            let peer = Peer {
                kind: attack.kind,
                source: source(n % attack.sources),
                is_disguised: attack.is_disguised,
            };
            self.connect(peer, 0);
        }
    }

    /// Disconnects the clients of the attack, which do not connect again.
    fn end_attack(&mut self) {
        self.comes_again = false;
        let ids: Vec<Id> = self.peers.keys().copied().collect();
        for id in ids {
            if self.peers[&id].kind != Kind::User {
                self.peers.remove(&id);
                self.admission.remove(id);
            }
        }
    }
}

/// Returns the time from the user's arrival at `at` to the login, and the largest numbers of
/// sessions and waiting connections. The attack ends when `lasts` is over.
fn login(
    attack: Attack,
    limits: Limits,
    cpus: u64,
    at: Millis,
    lasts: Millis,
) -> (Millis, (usize, usize)) {
    let mut machine = Machine::new(limits, cpus, attack.comes_again);
    let user = Peer {
        kind: Kind::User,
        source: source(if attack.sources == 1 { 0 } else { 5_000 }),
        is_disguised: attack.is_disguised,
    };
    for now in (0..at + 60_000).step_by(TICK as usize) {
        if now == 0 {
            machine.begin(attack);
        }
        if now == lasts {
            machine.end_attack();
        }
        if now == at {
            machine.connect(user, now);
        }
        machine.tick(now);
        if machine.login.is_some() {
            break;
        }
    }
    let done = machine.login.unwrap_or(Millis::MAX);
    (done.saturating_sub(at), machine.most)
}

/// Aim for a login, in milliseconds; and limit where no fact distinguishes the user from attackers,
/// so that both take turns.
const AIM: Millis = 5_000;
const ALIKE: Millis = 7_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_attack_keeps_the_user_out(
        kind in prop::sample::select(
            vec![Kind::Silent, Kind::Identified, Kind::HalfExchanged, Kind::Refused]
        ),
        count in 0..1_500_u64,
        sources in prop::sample::select(vec![1_u64, 2, 30, 1_000]),
        (comes_again, is_disguised) in any::<(bool, bool)>(),
        (mib, cpus) in prop::sample::select(vec![(256, 1), (256, 2), (1_024, 2), (4_096, 4)]),
        at in 0..30_000 / TICK,
        lasts in prop::sample::select(vec![5_000, 100_000]),
    ) {
        let attack = Attack { kind, count, sources, comes_again, is_disguised };
        let limits = Limits::of_machine(mib, cpus as usize);
        let (took, (sessions, waiting)) = login(attack, limits, cpus, at * TICK, lasts);
        let limit = match is_disguised || sources > 1 {
            _ if attack.is_unbounded() => Millis::MAX,
            true => ALIKE,
            false => AIM,
        };
        prop_assert!(took <= limit, "{took} ms");
        prop_assert!(sessions <= limits.sessions, "{sessions} sessions");
        prop_assert!(waiting <= limits.waiting, "{waiting} wait");
    }
}
