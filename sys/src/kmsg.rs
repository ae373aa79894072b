// SPDX-License-Identifier: Apache-2.0
//! The kernel log as PID 1's own log (`/dev/kmsg`, Documentation/ABI/testing/dev-kmsg).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use config::Loglevel;
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::PollFlags;

use crate::poll::poll_one;
use crate::printable::printable_text;

/// Maximum length of a record's message in bytes. printk keeps whole a message of this length and
/// its prefix, the longest service name included (`LOG_LINE_MAX`, 976 on older kernels).
const MAX_RECORD_BYTES: usize = 900;

/// Mark at the beginning of a record that continues the message of the record before.
const CONTINUED: &str = "… ";

static SINK: Kmsg = Kmsg {
    file: OnceLock::new(),
};

/// Writer of records to `/dev/kmsg`.
struct Kmsg {
    file: OnceLock<File>,
}

/// Opens `/dev/kmsg` as the sink of the `log` crate. Without this file (no /dev, or a namespace
/// that may not write there), messages are written to standard error.
pub fn init_logger(level: LevelFilter) {
    if let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = SINK.file.set(file);
    }
    let _ = log::set_logger(&SINK);
    log::set_max_level(level);
}

/// Returns the descriptor of the log's sink, which children of this process keep.
pub(crate) fn descriptor() -> Option<BorrowedFd<'static>> {
    SINK.file.get().map(AsFd::as_fd)
}

/// Returns the `log` crate's level for `b2p.loglevel`.
#[must_use]
pub fn level_filter(level: Loglevel) -> LevelFilter {
    match level {
        Loglevel::Error => LevelFilter::Error,
        Loglevel::Warn => LevelFilter::Warn,
        Loglevel::Info => LevelFilter::Info,
        Loglevel::Debug => LevelFilter::Debug,
        Loglevel::Trace => LevelFilter::Trace,
    }
}

/// Writes a message at any log level: the ready line, degraded lines, a crash.
pub fn write(priority: u8, text: &str) {
    write_records(priority, "boot2podman: ", text.as_bytes());
}

/// Returns the priority nearest to `wanted` that the kernel prints on every console: the ready line
/// must be visible with `quiet` or `loglevel=3`, too. A console level of 0, which prints no record,
/// is raised to 1, which prints records of priority 0.
#[must_use]
pub fn ensure_console_priority(wanted: u8) -> u8 {
    let printk = std::fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    if printk.starts_with('0') {
        let _ = std::fs::write("/proc/sys/kernel/printk", "1");
    }
    below(&printk, wanted)
}

/// Computes a printed priority, which must be below the console level, the first number of
/// `kernel.printk`.
fn below(printk: &str, wanted: u8) -> u8 {
    let level = printk
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u8>().ok())
        .unwrap_or(7);
    wanted.min(level.saturating_sub(1))
}

/// Priority of a warning (syslog(3)).
pub const WARNING: u8 = 4;
/// Priority of a normal but significant condition (syslog(3), `LOG_NOTICE`).
pub const NOTICE: u8 = 5;

/// Console level at which a record of every priority is printed: the kernel prints records whose
/// priority number is below the level, and 7 (debug) is the largest.
pub const CONSOLE_SHOWS_ALL: u8 = 8;

/// Sets the console level to `level`, unless the kernel command line asks for another one, or the log has
/// debug messages, which a person wants to see.
pub fn set_console_level(level: u8) {
    let command_line = std::fs::read("/proc/cmdline").unwrap_or_default();
    if !chooses_console_level(&command_line) && log::max_level() <= LevelFilter::Info {
        let _ = std::fs::write("/proc/sys/kernel/printk", level.to_string());
    }
}

/// Returns true if a parameter of the kernel command line sets the console level
/// (Documentation/admin-guide/kernel-parameters.txt).
fn chooses_console_level(command_line: &[u8]) -> bool {
    let mut words = command_line.split(u8::is_ascii_whitespace);
    words.any(|word| {
        matches!(word, b"quiet" | b"debug" | b"ignore_loglevel") || word.starts_with(b"loglevel=")
    })
}

/// Writes a line of a service's output at level debug: in the log, not on the console at which a
/// person types.
pub fn write_service_line(name: &str, line: &[u8]) {
    write_records(7, &format!("{name}: "), line);
}

/// Writes the records of a text. Every line of this program to the log passes this function.
fn write_records(priority: u8, prefix: &str, text: &[u8]) {
    for record in records(prefix, text) {
        // One write is one record. The kernel prints a record at once only if the record ends in a
        // newline; otherwise the kernel waits for a continuation (LOG_CONT, printk.c).
        let line = format!("<{priority}>{record}\n");
        let file = SINK.file.get();
        if file.is_none_or(|mut file| file.write(line.as_bytes()).is_err()) {
            stderr(line.as_bytes().get(3..).unwrap_or(&[]));
        }
    }
}

/// Writes to standard error as a last resort; an error cannot be reported. A stopped terminal or a
/// full pipe takes nothing, and the caller does not wait.
fn stderr(line: &[u8]) {
    let stderr = std::io::stderr();
    if poll_one(stderr.as_fd(), PollFlags::POLLOUT, 0) {
        let _ = nix::unistd::write(&stderr, line);
    }
}

/// Returns the records of a text: one for each line, and more for a line that is too long for one.
///
/// A text may hold words from outside: the name of a container or a file, the answer of a server.
/// Control characters of a terminal are written as `\xNN`, and each record but the first begins
/// with a mark, so that none looks like the beginning of another message.
fn records(prefix: &str, text: &[u8]) -> Vec<String> {
    let lines = text.split(|b| *b == b'\n');
    let lines = lines.map(|line| printable_text(line.strip_suffix(b"\r").unwrap_or(line)));
    let mut records = Vec::new();
    for line in lines {
        for piece in pieces(&line) {
            let mark = if records.is_empty() { "" } else { CONTINUED };
            records.push(format!("{prefix}{mark}{piece}"));
        }
    }
    records
}

/// Splits a line that is too long for one record into pieces.
fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = line.floor_char_boundary(MAX_RECORD_BYTES);
        let (piece, rest) = line.split_at_checked(end).unwrap_or((line, ""));
        line = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Log for Kmsg {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true // set_max_level filters
    }

    fn log(&self, record: &Record<'_>) {
        let priority = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        write(priority, &record.args().to_string());
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printable::is_control;

    #[test]
    fn only_whole_words_choose_the_console_level() {
        for line in ["quiet", "a debug b\n", "loglevel=3", "ignore_loglevel"] {
            assert!(chooses_console_level(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "debugfs=off",
            "quieter debug=1",
            "x.loglevel=3 b2p.loglevel=3",
        ] {
            assert!(!chooses_console_level(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_console_level_decides_what_is_seen() {
        assert_eq!(below("7\t4\t1\t7", 5), 5);
        assert_eq!(below("4\t4\t1\t7", 5), 3);
        assert_eq!(below("1 4 1 7", 5), 0);
        assert_eq!(below("nonsense", 5), 5);
    }

    #[test]
    fn long_lines_come_in_pieces_and_no_text_is_lost() {
        let text = format!("{}\nsecond", "é".repeat(1000));
        let got = records("", text.as_bytes());
        assert!(
            got.iter()
                .all(|p| p.len() <= MAX_RECORD_BYTES + CONTINUED.len())
        );
        assert_eq!(got.concat().replace(CONTINUED, ""), text.replace('\n', ""));
        assert_eq!(got.len(), 4, "no more than are needed");
        assert_eq!(records("a: ", b"\n\nx\n"), ["a: x"]);
    }

    /// Text from outside in a message has no effect on a terminal, and no record but the first
    /// begins as a message does.
    #[test]
    fn no_text_from_outside_speaks_as_pid_1() {
        let ready = "boot2podman: ready ssh=6.6.6.6:22";
        let hostile: [&[u8]; 9] = [
            b"x\x1b[2J\x1b[31mRED",
            b"x\nready ssh=6.6.6.6:22",
            b"x\r\nready ssh=6.6.6.6:22",
            b"x\rboot2podman: ready ssh=6.6.6.6:22",
            b"x\x0b\x0cready ssh=6.6.6.6:22\0",
            "x\u{9b}2J\u{85}ready\u{2028}ready\u{202e}".as_bytes(),
            b"x\xff\xfe\x9b2J",
            b"x\n<0>boot2podman: ready ssh=6.6.6.6:22",
            b"x\n\n\nready ssh=6.6.6.6:22",
        ];
        let long = [&[b'x'; MAX_RECORD_BYTES][..], b"ready ssh=6.6.6.6:22"].concat();
        for text in hostile.into_iter().chain([&long[..]]) {
            for prefix in ["boot2podman: ", "sshd: "] {
                let got = records(prefix, text);
                let shown = format!("{got:?}");
                assert!(got.iter().all(|r| !r.chars().any(is_control)), "{shown}");
                assert!(got.iter().all(|r| !r.starts_with(ready)), "{shown}");
                assert!(got.iter().all(|r| r.starts_with(prefix)), "{shown}");
                assert!(got.concat().contains('x'), "{shown}");
            }
        }
        assert_eq!(records("", b"a\x1b[2J\xff\tb"), ["a\\x1b[2J\\xff\tb"]);
    }
}
