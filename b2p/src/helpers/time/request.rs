// SPDX-License-Identifier: Apache-2.0
//! Request to one server, by a thread of its own: a name that no name server knows takes half a minute, and a server
//! that does not answer seconds, in which the clocks are compared nevertheless.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

use sys::error::{Doing, Error, Result};

use super::drift::Ms;
use super::{clocks, sntp, trust};

/// Answer of a server. Its time is relative to the boot time, because the clock may be stepped before the answer is
/// judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    time: Ms,
    /// Time of a second answer, where a large offset needs one.
    again: Option<Ms>,
}

impl Answer {
    /// Returns by how much the system clock is behind now, by the answer and by the second one.
    pub fn offsets(&self) -> (Ms, Option<Ms>) {
        (offset(self.time), self.again.map(offset))
    }
}

/// Returns by how much the system clock is behind a clock that differs from the boot time by `time`.
fn offset(time: Ms) -> Ms {
    time.saturating_add(clocks::boottime())
        .saturating_sub(clocks::realtime())
}

/// Returns by how much a clock differs from the boot time that the system clock is `offset` behind.
fn relative(offset: Ms) -> Ms {
    offset
        .saturating_add(clocks::realtime())
        .saturating_sub(clocks::boottime())
}

/// Request that has been sent, or is about to be. The thread of one that is dropped ends by itself.
#[derive(Debug)]
pub struct Request {
    answer: Receiver<Result<Answer>>,
    /// Readable once there is an answer, or an error.
    done: UnixStream,
}

impl Request {
    /// Asks the server, and once more if the answer differs much and `asks_again`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(server: &str, port: u16, asks_again: bool) -> io::Result<Request> {
        let (done, mut on_end) = UnixStream::pair()?;
        let (sender, answer) = mpsc::channel();
        let server = server.to_owned();
        let ask = move || {
            let _ = sender.send(ask(&server, port, asks_again));
            let _ = on_end.write_all(b"x");
        };
        thread::Builder::new().spawn(ask)?;
        Ok(Request { answer, done })
    }

    /// Returns the answer, or the error; `None` while there is neither.
    pub fn answer(&self) -> Option<Result<Answer>> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Error::invalid("the request was given up")))
            }
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

fn ask(server: &str, port: u16, asks_again: bool) -> Result<Answer> {
    let query = || sntp::query(server, port).doing("time server");
    let first = query()?;
    let time = relative(first);
    let is_large = first.saturating_abs() > trust::BOUND;
    let again = (asks_again && is_large).then(query);
    Ok(Answer {
        time,
        again: again.and_then(Result::ok).map(relative),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_server_that_is_silent_holds_up_nobody() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let port = silent.local_addr().unwrap().port();
        let request = Request::start("127.0.0.1", port, true).unwrap();
        assert_eq!(request.answer(), None);
        assert!(begun.elapsed() < Duration::from_secs(1));
        let mut fds = [PollFd::new(request.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
        assert!(request.answer().is_some_and(|answer| answer.is_err()));
    }

    #[test]
    fn a_step_of_the_clock_changes_no_answer() {
        let near = |a: Ms, b: Ms| (a - b).abs() < 1_000;
        let answer = Answer {
            time: relative(5_000),
            again: Some(relative(-7_000)),
        };
        let (first, again) = answer.offsets();
        assert!(near(first, 5_000) && again.is_some_and(|again| near(again, -7_000)));
    }
}
