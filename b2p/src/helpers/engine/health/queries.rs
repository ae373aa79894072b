// SPDX-License-Identifier: Apache-2.0
//! Questions to podman about the checks of containers. Each is a process of the container's user,
//! which may take as long as that user likes, so the loop of the service waits for none.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use log::warn;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use sys::error::{Doing, Result};

use super::new_containers::Container;
use super::schedule::{FORMAT, Schedule};
use crate::common::pidfd;
use crate::helpers::engine::conmon::Machine;
use crate::helpers::engine::stop::comm_and_parent;

/// Number of questions that are asked at once, each a podman of 45 MB; one of each user.
const MAX_QUERIES: usize = 4;
/// Number of containers of one user that wait for their question.
const MAX_OF_USER: usize = 256;
/// Time for the answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// A question that podman has not answered.
struct Query {
    container: Container,
    podman: Child,
    /// Readable when podman has ended.
    process: OwnedFd,
    until: Instant,
}

/// Questions, and the containers that wait for theirs.
#[derive(Default)]
pub struct Queries {
    waiting: VecDeque<Container>,
    asked: Vec<Query>,
}

impl Queries {
    /// Adds a container.
    pub fn add(&mut self, container: Container) {
        let uid = container.user.uid;
        let of_user = self.waiting.iter().filter(|c| c.user.uid == uid).count();
        if of_user < MAX_OF_USER && !self.waiting.contains(&container) {
            self.waiting.push_back(container);
        }
    }

    /// Starts the next queries, and returns the answers that have arrived.
    pub fn advance(&mut self) -> Vec<(Container, Schedule)> {
        let mut answers = Vec::new();
        let now = Instant::now();
        self.asked
            .retain_mut(|query| match query.podman.try_wait() {
                Ok(None) => {
                    if query.until <= now {
                        let _ = query.podman.kill(); // its end is noted in a later turn
                    }
                    true
                }
                ended => {
                    let success = ended.is_ok_and(|e| e.is_some_and(|status| status.success()));
                    let schedule = success.then(|| query.answer()).flatten();
                    answers.extend(schedule.map(|s| (query.container.clone(), s)));
                    false
                }
            });
        self.ask();
        answers
    }

    fn ask(&mut self) {
        while self.asked.len() < MAX_QUERIES {
            let is_asked = |uid| self.asked.iter().any(|q| q.container.user.uid == uid);
            let next = self.waiting.iter().position(|c| !is_asked(c.user.uid));
            let Some(container) = next.and_then(|at| self.waiting.remove(at)) else {
                return;
            };
            match Query::start(container) {
                Ok(query) => self.asked.push(query),
                Err(e) => warn!("health: {e}"),
            }
        }
    }

    /// Returns true if there is no question.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    /// Returns when the first question has had its time.
    pub fn deadline(&self) -> Option<Instant> {
        let killed = |query: &&Query| query.until > Instant::now();
        self.asked.iter().filter(killed).map(|q| q.until).min()
    }

    /// Descriptors that poll(2) is to watch for input.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.asked.iter().map(|query| query.process.as_fd())
    }
}

impl Query {
    fn start(container: Container) -> Result<Query> {
        let inspect = ["container", "inspect", "--format", FORMAT, &container.id];
        let mut podman = container.user.podman(&inspect);
        podman
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let podman = podman.spawn().doing("podman container inspect")?;
        let process = pidfd::open(podman.id().cast_signed());
        Ok(Query {
            container,
            podman,
            process: process.ok_or(Errno::last()).doing("pidfd_open")?,
            until: Instant::now() + TIMEOUT,
        })
    }

    /// Reads the answer. `None` if the container is gone or has no check, or if the process that
    /// podman names is no container of this user's.
    fn answer(&mut self) -> Option<Schedule> {
        let text = read_now(self.podman.stdout.take()?)?;
        let Container { user, id } = &self.container;
        let schedule = Schedule::parse(&text, id)?;
        if !is_container_of(schedule.pid, user.uid) {
            warn!(
                "health: {id} of {}: process {} is no container of this user's",
                user.name, schedule.pid
            );
            return None;
        }
        Some(schedule)
    }
}

/// Reads the output of a podman that has ended, up to a bound. Another process may still hold the
/// pipe, and is not waited for.
pub fn read_now(mut stdout: ChildStdout) -> Option<String> {
    fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    let mut bytes = [0; MAX_ANSWER_BYTES];
    let count = stdout.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// Returns true if the process is the child of a conmon of the machine's that serves the user.
fn is_container_of(pid: i32, uid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = comm_and_parent(&stat).map(|(_, parent)| parent);
    let user = parent.and_then(|conmon| Machine::detect()?.conmon_of(Path::new("/proc"), conmon));
    user == Some(uid)
}
