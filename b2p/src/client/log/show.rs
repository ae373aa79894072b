//! `b2p log`: from the ring, what it has lost from the files, and what comes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::filter::{Filter, Style};
use super::options::Show;
use crate::common::log::format::{self, Line, Position};
use crate::common::log::record::{self, Priority, Record};
use crate::common::log::ring::{Next, Ring};

/// Lines are handed on when there are so many bytes of them.
const FULL: usize = 32 << 10;

/// This boot, and its clock.
#[derive(Clone, Debug)]
pub struct Here {
    /// /proc/sys/kernel/random/boot_id.
    pub boot: String,
    /// Added to the kernel's microseconds: those since 1970.
    pub offset: i64,
    /// The kernel's microseconds now: what comes later is not asked for.
    pub until: u64,
}

/// Shows what `show` asks for.
///
/// # Errors
/// When writing fails; a reader that has gone is none.
pub fn run(
    show: &Show,
    style: Style,
    here: &Here,
    ring: &mut Ring,
    out: &mut (impl Write + AsFd),
) -> io::Result<()> {
    let mut screen = Screen {
        filter: Filter {
            worst: show.max_level,
            names: show.names.clone(),
        },
        style,
        offset: here.offset,
        expected: 0,
        text: String::new(),
        last: show.last.map(|n| (n, VecDeque::new())),
    };
    match session(show, here, ring, &mut screen, out) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn session(
    show: &Show,
    here: &Here,
    ring: &mut Ring,
    screen: &mut Screen,
    out: &mut (impl Write + AsFd),
) -> io::Result<()> {
    let mut first = true;
    let until = if show.follow { u64::MAX } else { here.until };
    loop {
        match ring.read() {
            Next::Record(record) if record.us > until => break,
            Next::Record(record) => {
                if std::mem::take(&mut first) && (show.all || record.seq > 0) {
                    files(show, here, record.seq, screen, out)?;
                }
                screen.record(&record);
                screen.hand_on(out)?;
            }
            Next::Again => {}
            Next::Nothing | Next::End => break,
        }
    }
    if first {
        files(show, here, u64::MAX, screen, out)?;
    }
    screen.flush(out)?;
    if show.follow {
        follow(ring, screen, out)?;
    }
    Ok(())
}

/// What the files have of this boot before its record `before`, and of earlier
/// boots if wanted.
fn files(
    show: &Show,
    here: &Here,
    before: u64,
    screen: &mut Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut result = Ok(());
    for path in format::oldest_first(&show.dir) {
        let mut at = Position::default();
        // A file that cannot be read is as good as none.
        let _ = format::lines(&path, |text| {
            let line = format::parse(text);
            if at.boot == here.boot.as_bytes() {
                if let Line::Record(us, priority, text) = line
                    && at.next < before
                    && at.next >= screen.expected
                {
                    screen.numbered(at.next, us, priority, text);
                }
            } else if show.all {
                screen.earlier(&line, text);
            }
            at.pass(&line);
            result = screen.hand_on(out);
            result.is_ok()
        });
        if result.is_err() {
            break;
        }
    }
    result
}

/// Sleeps until there is more, or nobody who reads it.
fn follow(ring: &mut Ring, screen: &mut Screen, out: &mut (impl Write + AsFd)) -> io::Result<()> {
    loop {
        if gone(ring.as_fd(), out.as_fd())? {
            return Ok(());
        }
        loop {
            match ring.read() {
                Next::Record(record) => screen.record(&record),
                Next::Again => {}
                Next::Nothing => break,
                Next::End => return screen.flush(out),
            }
            screen.hand_on(out)?;
        }
        screen.flush(out)?;
    }
}

/// Waits; whether the reader has gone (POLLERR on a pipe, POLLHUP on a terminal).
fn gone(ring: BorrowedFd<'_>, out: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(ring, PollFlags::POLLIN),
        PollFd::new(out, PollFlags::empty()),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => Ok(fds[1].any().unwrap_or(false)),
        Err(Errno::EINTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Lines on their way out.
struct Screen {
    filter: Filter,
    style: Style,
    offset: i64,
    /// The number of the next record of this boot.
    expected: u64,
    text: String,
    /// Only so many, and those that may still be shown.
    last: Option<(usize, VecDeque<String>)>,
}

impl Screen {
    fn record(&mut self, record: &Record<'_>) {
        let us = i64::try_from(record.us).unwrap_or(i64::MAX);
        let us = us.saturating_add(self.offset);
        self.numbered(record.seq, us, record.priority, record.text);
    }

    /// A record of this boot; what is missing before it is said.
    fn numbered(&mut self, seq: u64, us: i64, priority: Priority, text: &[u8]) {
        let missing = seq.saturating_sub(self.expected);
        if missing > 0 {
            self.line(format!(
                "… {missing} earlier records are no longer in the kernel's log\n"
            ));
        }
        self.expected = seq.saturating_add(1);
        self.shown(us, priority, text);
    }

    fn shown(&mut self, us: i64, priority: Priority, text: &[u8]) {
        if self.filter.wants(priority, text) {
            let mut line = String::new();
            self.style.line(us, priority, text, &mut line);
            self.line(line);
        }
    }

    /// A line of an earlier boot.
    fn earlier(&mut self, line: &Line<'_>, text: &[u8]) {
        match line {
            Line::Record(us, priority, text) => self.shown(*us, *priority, text),
            Line::Boot(_, 0) | Line::Lost(_) => {
                let mut whole = String::new();
                record::printable(text, |c| whole.push_str(c));
                self.line(whole + "\n");
            }
            Line::Boot(..) | Line::Other => {}
        }
    }

    fn line(&mut self, line: String) {
        let Some((most, last)) = &mut self.last else {
            return self.text.push_str(&line);
        };
        last.push_back(line);
        if last.len() > *most {
            last.pop_front();
        }
    }

    fn hand_on(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.text.len() < FULL {
            return Ok(());
        }
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }

    /// Everything so far; from now on there is no last line.
    fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some((_, last)) = self.last.take() {
            last.iter().for_each(|l| self.text.push_str(l));
        }
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        out.flush()
    }
}

#[cfg(test)]
mod tests;
