// SPDX-License-Identifier: Apache-2.0
//! Output of `b2p log`: the records of the ring, the records of the files that the ring has lost,
//! and new records.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::boots::{self, Here};
use super::grep::Grep;
use super::options::{Choice, Options};
use super::style::{Format, Style};
use crate::common::log::filter::{Filter, as_journald};
use crate::common::log::format::{self, Line};
use crate::common::log::record::{self, Priority, Record};
use crate::common::log::ring::{Next, Present, Ring};

/// Number of bytes after which lines are written.
const OUTPUT_BUFFER: usize = 32 << 10;

/// Shows the records that `options` selects. Records after `present` are shown only in a follow.
///
/// # Errors
/// The errno of write(2); a closed reader (EPIPE) is not an error.
pub fn run(
    options: &Options,
    style: Style,
    here: &Here,
    (ring, present): (&mut Ring, &mut Present),
    out: &mut (impl Write + AsFd),
) -> io::Result<()> {
    let mut screen = Screen::new(options, style, here)?;
    if screen.reverse && screen.last.is_none() {
        screen.last = Some((usize::MAX, VecDeque::new()));
    }
    match session(options, here, (ring, present), &mut screen, out) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn session(
    options: &Options,
    here: &Here,
    (ring, present): (&mut Ring, &mut Present),
    screen: &mut Screen,
    out: &mut (impl Write + AsFd),
) -> io::Result<()> {
    if let Some(id) = boots::chosen(&options.boots, &options.dir, here)? {
        earlier_boot(options, &id, screen, out)?;
        return screen.flush(out);
    }
    let mut first = true;
    loop {
        match ring.read() {
            Next::Record(record) if !options.follow && present.is_before(record.seq) => break,
            Next::Record(record) => {
                if std::mem::take(&mut first) && (options.boots == Choice::All || record.seq > 0) {
                    files(options, here, record.seq, screen, out)?;
                }
                screen.record(&record);
                screen.write_full(out)?;
            }
            Next::Again => {}
            Next::Nothing | Next::End => break,
        }
    }
    if first {
        files(options, here, u64::MAX, screen, out)?;
    }
    screen.quiet |= options.follow;
    screen.flush(out)?;
    if options.follow {
        follow(ring, screen, out)?;
    }
    Ok(())
}

/// Shows the records of this boot before number `before` from the files, and earlier boots on
/// request. A file that cannot be read is passed over.
fn files(
    options: &Options,
    here: &Here,
    before: u64,
    screen: &mut Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut result = Ok(());
    let mut boot = Vec::new();
    for path in format::oldest_first(&options.dir) {
        let _ = format::lines(&path, |text| {
            let line = format::parse(text);
            match line {
                Line::Boot(id) if id != boot => {
                    boot = id.to_owned();
                    screen.enter(id, here);
                    if options.boots == Choice::All && screen.style.format == Format::Plain {
                        screen.mark(text);
                    }
                }
                _ if boot == here.boot.as_bytes() => screen.missing(&line, before),
                _ if options.boots == Choice::All => screen.earlier(&line, text),
                _ => {}
            }
            result = screen.write_full(out);
            result.is_ok()
        });
        if result.is_err() {
            break;
        }
    }
    screen.enter(here.boot.as_bytes(), here);
    result
}

/// Shows the records of an earlier boot, from the files.
fn earlier_boot(
    options: &Options,
    wanted: &[u8],
    screen: &mut Screen,
    out: &mut impl Write,
) -> io::Result<()> {
    (screen.style.boot, screen.style.offset) = (boots::plain_id(wanted), None);
    let mut result = Ok(());
    let mut is_shown = false;
    for path in &format::oldest_first(&options.dir) {
        let _ = format::lines(path, |text| {
            match format::parse(text) {
                Line::Boot(id) => is_shown = id == wanted,
                line if is_shown => screen.earlier(&line, text),
                _ => {}
            }
            result = screen.write_full(out);
            result.is_ok()
        });
    }
    result
}

/// Shows records as they are logged, until the reader has closed the output.
fn follow(ring: &mut Ring, screen: &mut Screen, out: &mut (impl Write + AsFd)) -> io::Result<()> {
    loop {
        if reader_gone(ring.as_fd(), out.as_fd())? {
            return Ok(());
        }
        loop {
            match ring.read() {
                Next::Record(record) => screen.record(&record),
                Next::Again => {}
                Next::Nothing => break,
                Next::End => return screen.flush(out),
            }
            screen.write_full(out)?;
        }
        screen.flush(out)?;
    }
}

/// Sleeps until there is a record; returns true if the reader of the output has closed it (POLLERR
/// on a pipe, POLLHUP on a terminal).
fn reader_gone(ring: BorrowedFd<'_>, out: BorrowedFd<'_>) -> io::Result<bool> {
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

/// Lines on their way to the output.
struct Screen {
    filter: Filter,
    grep: Option<Grep>,
    style: Style,
    /// Boot of the last line, if that is one of journalctl(1).
    shown_boot: Option<String>,
    /// Lines that say something about the log are left out.
    quiet: bool,
    offset: i64,
    /// Sequence number of the next record of this boot.
    expected: u64,
    text: String,
    /// The newest line is the first.
    reverse: bool,
    /// With `-n`: the number of lines, and the last lines so far.
    last: Option<(usize, VecDeque<String>)>,
}

impl Screen {
    fn new(options: &Options, style: Style, here: &Here) -> io::Result<Screen> {
        let grep = options.grep.as_ref().map(|(pattern, is_exact)| {
            let malformed = || io::Error::other(format!("-g: `{pattern}` is no expression"));
            Grep::new(pattern, *is_exact).ok_or_else(malformed)
        });
        let reverse = options.reverse && !options.follow;
        Ok(Screen {
            filter: Filter {
                max_level: options.max_level,
                names: options.names.clone(),
                pids: options.pids.clone(),
                of_units: options.of_units,
                times: (options.since, options.until),
            },
            grep: grep.transpose()?,
            reverse,
            quiet: options.quiet || !style.format.has_marks(),
            style,
            shown_boot: None,
            offset: here.offset,
            expected: 0,
            text: String::new(),
            last: options.last.map(|n| (n, VecDeque::new())),
        })
    }

    /// Notes the boot of the records that follow.
    fn enter(&mut self, id: &[u8], here: &Here) {
        let is_here = id == here.boot.as_bytes();
        self.style.boot = boots::plain_id(id);
        self.style.offset = is_here.then_some(here.offset);
    }

    fn record(&mut self, record: &Record<'_>) {
        let us = record.realtime(self.offset);
        self.numbered(record.seq, us, record.priority, record.text);
    }

    /// Shows a record of this boot, after a line about the missing records before it.
    fn numbered(&mut self, seq: u64, us: i64, priority: Priority, text: &[u8]) {
        let missing = seq.saturating_sub(self.expected);
        if missing > 0 && self.style.format == Format::Plain {
            self.line(format!(
                "… {missing} earlier records are no longer in the kernel log\n"
            ));
        }
        self.expected = seq.saturating_add(1);
        self.filtered(us, priority, text);
    }

    fn filtered(&mut self, us: i64, priority: Priority, text: &[u8]) {
        let (priority, text) = match self.style.format {
            Format::Plain => (priority, text.into()),
            _ => as_journald(priority, text),
        };
        let is_found = |grep: &Grep| grep.matches(&Style::message(priority, &text));
        if self.filter.wants(us, priority, &text) && self.grep.as_ref().is_none_or(is_found) {
            let mut line = String::new();
            self.style.line(us, priority, &text, &mut line);
            self.add_boot_mark(&mut line);
            self.line(line);
        }
    }

    /// Adds journalctl(1)'s mark to the first line of another boot than that of the last line. In reverse the mark
    /// is behind the line, and before those of the earlier boot.
    fn add_boot_mark(&mut self, line: &mut String) {
        if self.style.format == Format::Plain {
            return;
        }
        let before = self.shown_boot.replace(self.style.boot.clone());
        let Some(before) = before.filter(|id| *id != self.style.boot && !self.quiet) else {
            return;
        };
        match self.reverse {
            true => line.push_str(&format!("-- Boot {before} --\n")),
            false => line.insert_str(0, &format!("-- Boot {} --\n", self.style.boot)),
        }
    }

    /// Shows a line of a file of this boot if the line is a record that is not shown yet, and that
    /// the ring, which begins at number `before`, does not have.
    fn missing(&mut self, line: &Line<'_>, before: u64) {
        if let Line::Record {
            seq: Some(seq),
            us,
            priority,
            text,
        } = *line
            && (self.expected..before).contains(&seq)
        {
            self.numbered(seq, us, priority, text);
        }
    }

    /// Shows a line of an earlier boot.
    fn earlier(&mut self, line: &Line<'_>, text: &[u8]) {
        match *line {
            Line::Record {
                us, priority, text, ..
            } => self.filtered(us, priority, text),
            Line::Lost(_) => self.mark(text),
            Line::Boot(_) | Line::Other => {}
        }
    }

    /// Shows the text of a mark, unchanged.
    fn mark(&mut self, text: &[u8]) {
        if self.quiet {
            return;
        }
        let mut whole = String::new();
        record::printable(text, |c| whole.push_str(c));
        self.line(whole + "\n");
    }

    fn line(&mut self, line: String) {
        let Some((max, last)) = &mut self.last else {
            return self.text.push_str(&line);
        };
        last.push_back(line);
        if last.len() > *max {
            last.pop_front();
        }
    }

    /// Writes the lines if there are [`OUTPUT_BUFFER`] bytes of them.
    fn write_full(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.text.len() < OUTPUT_BUFFER {
            return Ok(());
        }
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }

    /// Writes every line so far; `-n` no longer holds then.
    fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some((_, mut last)) = self.last.take() {
            if self.reverse {
                last.make_contiguous().reverse();
            }
            last.iter().for_each(|l| self.text.push_str(l));
        }
        let is_journal = self.style.format != Format::Plain;
        if is_journal && self.shown_boot.is_none() && !self.quiet {
            self.text.push_str("-- No entries --\n");
        }
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        out.flush()
    }
}

#[cfg(test)]
mod tests;
