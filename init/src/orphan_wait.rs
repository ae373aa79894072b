// SPDX-License-Identifier: Apache-2.0
//! Descriptors of one sleep as a set in the kernel (epoll(7)), for a sleep in which many orphans end.
//!
//! poll(2) enters every descriptor into a queue and takes each out again, at each call; epoll_wait(2) examines
//! only the descriptors that are ready. The set lives no longer than the list that it is made of: a descriptor
//! that is closed meanwhile would stay in a set for as long as a child has a copy of the descriptor.

use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use nix::poll::PollTimeout;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// Set of descriptors that are open as long as the set.
#[derive(Debug)]
pub struct EpollSet<'a> {
    epoll: Epoll,
    length: u64,
    descriptors: PhantomData<BorrowedFd<'a>>,
}

impl<'a> EpollSet<'a> {
    /// Creates a set; `None` without memory or a descriptor, where poll(2) still works.
    pub fn of(fds: impl Iterator<Item = BorrowedFd<'a>>) -> Option<EpollSet<'a>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
        let mut length = 0;
        for fd in fds {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, length);
            epoll.add(fd, event).ok()?;
            length += 1;
        }
        Some(EpollSet {
            epoll,
            length,
            descriptors: PhantomData,
        })
    }

    /// Sleeps until a descriptor is ready or the time is over. Returns true if the last descriptor is ready and no
    /// other.
    #[must_use]
    pub fn wait_for_last_alone(&self, timeout: PollTimeout) -> bool {
        let mut events = [EpollEvent::empty(); 2];
        let count = self.epoll.wait(&mut events, timeout);
        count == Ok(1) && events.first().is_some_and(|e| e.data() + 1 == self.length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn the_last_descriptor_alone_is_recognized() {
        let (first, mut to_first) = std::io::pipe().unwrap();
        let (last, mut to_last) = std::io::pipe().unwrap();
        let set = EpollSet::of([first.as_fd(), last.as_fd()].into_iter()).unwrap();
        let is_alone = || set.wait_for_last_alone(PollTimeout::ZERO);
        assert!(!is_alone(), "none is ready");
        to_last.write_all(b"x").unwrap();
        assert!(is_alone() && is_alone(), "it stays ready until it is read");
        to_first.write_all(b"x").unwrap();
        assert!(!is_alone(), "both are ready");
    }

    #[test]
    fn a_descriptor_that_cannot_be_polled_makes_no_set() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(EpollSet::of([file.as_fd()].into_iter()).is_none());
    }
}
