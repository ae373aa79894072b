// SPDX-License-Identifier: Apache-2.0
//! System calls of [`super::admission`]: sockets and processes. A turn costs its events only, however
//! many connections wait: epoll(7) reports changes alone.

mod incoming;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::wait::{Id as Child, WaitPidFlag, waitid, waitpid};
use signal_hook::consts::SIGCHLD;
use signal_hook::low_level::pipe;
use sys::clock::{Millis, now};

use super::admission::{self, Admission, Id, LOGIN_GRACE, Limits, Source, Step};
use super::hello::Hello;
use super::session::{self, Session};
use incoming::{Accepted, accept, peek};

/// Connections that are accepted before others are looked at.
const MAX_ACCEPTS: usize = 64;
/// Connections that are weighed at once.
const MAX_WEIGHED: usize = 512;
/// Events that one call of epoll_wait(2) reports, and calls before the next turn.
const MAX_EVENTS: usize = 256;
const MAX_CALLS: usize = 32;
/// Time in milliseconds between two reviews of the sessions while a client waits that has
/// identified itself: the kernel reports neither a login nor a client that does not answer.
const REVIEW_INTERVAL: Millis = 100;
/// Time in milliseconds between two reviews while all waiting clients are silent.
const SILENT_REVIEW_INTERVAL: Millis = 500;
/// Time in milliseconds for which no connection is accepted after memory or descriptors were short, and no session
/// started after processes were.
const SHORTAGE_PAUSE: Millis = 250;
/// Least time in milliseconds between two reports of connections that are not admitted.
const NOTE_INTERVAL: Millis = 60_000;
/// Token of the children's ends in epoll(7). Connections have higher tokens, listening sockets
/// lower ones.
const CHILDREN_TOKEN: u64 = 100;
const FIRST_CONNECTION: Id = 101;

/// The listening sockets, and all connections without a login.
pub struct Gate {
    epoll: Epoll,
    listeners: Vec<TcpListener>,
    /// Readable once a session has ended.
    children: UnixStream,
    admission: Admission,
    streams: BTreeMap<Id, TcpStream>,
    /// Connections of which epoll(7) reports nothing: memory was short, or `fs.epoll.max_user_watches`, which containers
    /// of root share with the machine, was reached. They are read when they are weighed.
    unreported: BTreeSet<Id>,
    next_id: Id,
    sessions: Vec<Session>,
    /// Time of the last review of the sessions.
    reviewed: Millis,
    /// Time of the last check of the memory of connections, and the last checked connection.
    weighed: (Millis, Id),
    /// Time until which no connection is accepted.
    paused_until: Option<Millis>,
    /// Time until which no session is started, and the number of failures to start one.
    start_failed: (Millis, usize),
    /// Time of the last report of a connection that is not admitted.
    refusal_noted: Option<Millis>,
    /// Connections that were closed because too many waited.
    dropped: usize,
    /// True if containers may connect.
    admits_containers: bool,
}

impl Gate {
    /// Opens the gate at these sockets, which do not block. `admits_containers` lets rootless containers connect.
    ///
    /// # Errors
    /// The error of epoll_create(2), of a socket pair or of a signal handler.
    pub fn open(
        listeners: Vec<TcpListener>,
        limits: Limits,
        admits_containers: bool,
    ) -> io::Result<Gate> {
        let (children, on_end) = UnixStream::pair()?;
        children.set_nonblocking(true)?;
        pipe::register(SIGCHLD, on_end)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (n, listener) in (0..CHILDREN_TOKEN).zip(&listeners) {
            epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, n))?;
        }
        epoll.add(
            &children,
            EpollEvent::new(EpollFlags::EPOLLIN, CHILDREN_TOKEN),
        )?;
        Ok(Gate {
            epoll,
            listeners,
            children,
            admission: Admission::new(limits),
            streams: BTreeMap::new(),
            unreported: BTreeSet::new(),
            next_id: FIRST_CONNECTION,
            sessions: Vec::new(),
            reviewed: 0,
            weighed: (0, 0),
            paused_until: None,
            start_failed: (0, 0),
            refusal_noted: None,
            dropped: 0,
            admits_containers,
        })
    }

    /// Sleeps until there is work, and does all work that is possible at once.
    pub fn turn(&mut self) {
        let is_new = self.wait();
        let now = now();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.set_accepting(true);
            self.paused_until = None;
        }
        if is_new && self.paused_until.is_none() {
            self.accept(now);
        }
        while let Some(id) = self.admission.expired(now) {
            self.streams.remove(&id);
        }
        self.weigh_some(now);
        self.admit(now);
    }

    /// Sleeps, then notes the events of clients and children. Returns true if there are new
    /// connections.
    fn wait(&mut self) -> bool {
        let mut events = [EpollEvent::empty(); MAX_EVENTS];
        let mut timeout = self.timeout();
        let mut is_new = false;
        // All events are handled before the next client is chosen.
        for _ in 0..MAX_CALLS {
            let Ok(count) = self.epoll.wait(&mut events, timeout) else {
                return is_new; // EINTR
            };
            for event in &events[..count] {
                match event.data() {
                    CHILDREN_TOKEN => self.reap(),
                    id if id < CHILDREN_TOKEN => is_new = true,
                    id => self.read_hello(id, event.events()),
                }
            }
            if count < events.len() {
                break;
            }
            timeout = EpollTimeout::ZERO;
        }
        is_new
    }

    /// Returns the time until the next work that no descriptor reports.
    fn timeout(&self) -> EpollTimeout {
        let now = now();
        let review = self.reviewed + self.interval();
        let waits = !self.admission.is_idle();
        let due = [waits.then_some(review), self.paused_until];
        let Some(due) = due.into_iter().flatten().min() else {
            return EpollTimeout::NONE;
        };
        let millis = due.saturating_sub(now).min(LOGIN_GRACE);
        EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::ZERO)
    }

    /// Reads the client's first bytes, and leaves them in the socket for sshd.
    fn read_hello(&mut self, id: Id, events: EpollFlags) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let gone = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let hello = match events.intersects(gone) {
            true => None,
            false => peek(stream),
        };
        match hello {
            Some(Hello::Incomplete | Hello::OtherProtocol) => self.weigh(id),
            Some(Hello::Complete(software)) => {
                self.admission.identify(id, software);
                self.weigh(id);
            }
            None | Some(Hello::TooMuch) => {
                self.admission.remove(id);
                self.streams.remove(&id);
            }
        }
    }

    /// Closes a connection if the data of clients takes too much memory.
    fn weigh(&mut self, id: Id) {
        let memory = |stream| super::limit::receive_memory(stream).unwrap_or(0);
        let bytes = self.streams.get(&id).map_or(0, memory);
        if let Some(heaviest) = self.admission.weigh(id, bytes) {
            self.drop_connection(heaviest);
        }
    }

    /// Weighs connections in turns: the kernel does not report packets that wait for an earlier one. Reads those of which
    /// it reports nothing.
    fn weigh_some(&mut self, now: Millis) {
        let (at, last) = self.weighed;
        if self.streams.is_empty() || now.saturating_sub(at) < SILENT_REVIEW_INTERVAL {
            return;
        }
        let after = self.streams.range(last + 1..).map(|(id, _)| *id);
        let ids: Vec<Id> = after.take(MAX_WEIGHED).collect();
        // With the last of them, the turns begin anew.
        let last = ids.last().copied().filter(|_| ids.len() == MAX_WEIGHED);
        self.weighed = (now, last.unwrap_or(0));
        for id in ids {
            match self.unreported.contains(&id) {
                true => self.read_hello(id, EpollFlags::empty()),
                false => self.weigh(id),
            }
        }
        let streams = &self.streams;
        self.unreported.retain(|id| streams.contains_key(id));
    }

    /// Forgets sessions that have ended, with a login or without.
    fn reap(&mut self) {
        let mut bytes = [0; 64];
        while self.children.read(&mut bytes).is_ok_and(|n| n > 0) {}
        // procfs has the cgroup of a process that is not reaped yet.
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(status) = waitid(Child::All, ended) {
            let Some(pid) = status.pid() else { return }; // No child has ended.
            if let Some(at) = self.sessions.iter().position(|s| s.pid == pid.as_raw()) {
                let session = self.sessions.swap_remove(at);
                if session.has_login() {
                    self.admission.note_login(session.source());
                }
                session.kill_remaining();
            }
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
    }

    /// Accepts connections of each socket, a number that leaves time for everything else.
    fn accept(&mut self, now: Millis) {
        for n in 0..self.listeners.len() {
            for _ in 0..MAX_ACCEPTS {
                match accept(&self.listeners[n], self.admits_containers) {
                    Accepted::Connection(stream, source) => {
                        self.add_connection(stream, source, now)
                    }
                    Accepted::Error => {}
                    Accepted::Own => self.note_refused(now),
                    Accepted::Nobody => break,
                    Accepted::Shortage => return self.pause_accepting(now),
                }
            }
        }
    }

    fn add_connection(&mut self, stream: TcpStream, source: Source, now: Millis) {
        let id = self.next_id;
        let changes = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        if self
            .epoll
            .add(&stream, EpollEvent::new(changes, id))
            .is_err()
        {
            self.unreported.insert(id);
        }
        self.next_id += 1;
        self.streams.insert(id, stream);
        if let Some(surplus) = self.admission.add(id, source, now) {
            self.drop_connection(surplus);
        }
        // The identification strings of most clients arrive before the connection is accepted, and
        // count in the next choice.
        self.read_hello(id, EpollFlags::empty());
    }

    /// Reports, seldom, that connections from the machine's own address are closed: a person who connects so gets no answer.
    fn note_refused(&mut self, now: Millis) {
        if self
            .refusal_noted
            .is_none_or(|at| now.saturating_sub(at) >= NOTE_INTERVAL)
        {
            self.refusal_noted = Some(now);
            eprintln!(
                "a connection from the machine's own address is closed, as those of rootless containers are: \
                 connect to localhost, or set b2p.container_ssh=on"
            );
        }
    }

    fn drop_connection(&mut self, id: Id) {
        self.streams.remove(&id);
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            let dropped = self.dropped;
            eprintln!("too many clients do not log in: {dropped} dropped so far");
        }
    }

    /// Accepts no connection for a moment, and makes room: the kernel would report the connections
    /// that cannot be accepted again and again.
    fn pause_accepting(&mut self, now: Millis) {
        if let Some(id) = self.admission.shed() {
            self.drop_connection(id);
        }
        self.paused_until = Some(now + SHORTAGE_PAUSE);
        self.set_accepting(false);
    }

    fn set_accepting(&self, accepting: bool) {
        let events = match accepting {
            true => EpollFlags::EPOLLIN,
            false => EpollFlags::empty(),
        };
        for (n, listener) in (0..CHILDREN_TOKEN).zip(&self.listeners) {
            let _ = self.epoll.modify(listener, &mut EpollEvent::new(events, n));
        }
    }

    /// Starts and ends sessions until no work is left before the next event.
    fn admit(&mut self, now: Millis) {
        let is_due = now.saturating_sub(self.reviewed) >= self.interval();
        let is_crowded = self.admission.is_crowded(self.sessions.len());
        let may_start = self.start_failed.0 <= now;
        if self.admission.is_idle() || !may_start || (is_crowded && !is_due) {
            return;
        }
        self.reviewed = now;
        // If the processors have no time, few sessions are looked at.
        let on = self
            .sessions
            .iter_mut()
            .filter_map(|s| s.works_on(now).then_some(()));
        if on.count() >= self.admission.working(self.sessions.len()) {
            return;
        }
        let mut facts = self.review_all(now);
        while let Some(step) = self.admission.next(&facts, now) {
            match step {
                Step::Start(id, client) => {
                    let Some(stream) = self.streams.remove(&id) else {
                        continue;
                    };
                    let _ = self.epoll.delete(&stream);
                    match Session::start(&stream, client, now) {
                        Ok(mut session) => {
                            facts.extend(session.review(now));
                            self.sessions.push(session);
                        }
                        Err(why) => return self.start_later(stream, client.source, now, &why),
                    }
                }
                Step::End(index) => {
                    return self.sessions[index].end(now);
                }
            }
        }
    }

    /// Keeps the connection of a session that could not be started: processes or memory are short for a moment, as
    /// while a container starts threads without end.
    fn start_later(&mut self, stream: TcpStream, source: Source, now: Millis, why: &io::Error) {
        let failures = self.start_failed.1 + 1;
        self.start_failed = (now + SHORTAGE_PAUSE, failures);
        if failures.is_power_of_two() {
            eprintln!(
                "{}: {why}; tried again, {failures} failures so far",
                session::SSHD
            );
        }
        self.add_connection(stream, source, now);
    }

    /// Returns the facts of the sessions without a login. Drops those with a login, which the admission notes.
    fn review_all(&mut self, now: Millis) -> Vec<admission::Session> {
        let mut facts = Vec::new();
        self.sessions.retain_mut(|session| {
            session.kill_overdue(now);
            let reviewed = session.review(now);
            facts.extend(reviewed);
            if reviewed.is_none() {
                self.admission.note_login(session.source());
            }
            reviewed.is_some()
        });
        facts
    }

    /// Returns the time between two reviews.
    fn interval(&self) -> Millis {
        match self.admission.is_urgent() {
            true => REVIEW_INTERVAL,
            false => SILENT_REVIEW_INTERVAL,
        }
    }
}
