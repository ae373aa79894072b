// SPDX-License-Identifier: Apache-2.0
//! The kernel log as PID 1's own log (`/dev/kmsg`, Documentation/ABI/testing/dev-kmsg).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use config::Loglevel;
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::PollFlags;

use crate::syscall::poll_one;

/// Maximum length of a record's message in bytes. With its prefix, the longest service name
/// included, printk keeps it whole (`LOG_LINE_MAX`, 976 on older kernels).
const MAX_RECORD_BYTES: usize = 900;

static SINK: Kmsg = Kmsg {
    file: OnceLock::new(),
};

/// Writer of records to `/dev/kmsg`.
struct Kmsg {
    file: OnceLock<File>,
}

/// Opens `/dev/kmsg` as the sink of the `log` crate. Without it (no /dev, or a namespace that may
/// not write there), messages go to standard error.
pub fn init_logger(level: LevelFilter) {
    if let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = SINK.file.set(file);
    }
    let _ = log::set_logger(&SINK);
    log::set_max_level(level);
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

/// Writes a message whatever the log level is: the ready line, degraded lines, a crash.
pub fn write(priority: u8, text: &str) {
    write_records(priority, "boot2podman: ", text);
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

/// Computes a printed priority: it must be below the console level, the first number of
/// `kernel.printk`.
fn below(printk: &str, wanted: u8) -> u8 {
    let level = printk
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u8>().ok())
        .unwrap_or(7);
    wanted.min(level.saturating_sub(1))
}

/// Console level at which a record of every priority is printed: the kernel prints records whose
/// priority number is below the level, and 7 (debug) is the largest.
pub const CONSOLE_SHOWS_ALL: u8 = 8;

/// Sets the console level to `level`, unless the kernel command line asks for another one.
pub fn set_console_level(level: u8) {
    let chosen = std::fs::read("/proc/cmdline").unwrap_or_default();
    let has = |word: &[u8]| {
        chosen
            .split(|b| b.is_ascii_whitespace())
            .any(|w| w.starts_with(word))
    };
    let asked = [&b"loglevel="[..], b"quiet", b"debug", b"ignore_loglevel"];
    if !asked.into_iter().any(has) && log::max_level() <= LevelFilter::Info {
        let _ = std::fs::write("/proc/sys/kernel/printk", level.to_string());
    }
}

/// Writes a line of a service's output at level debug: in the log, not on the console at which a
/// person types.
pub fn write_service_line(name: &str, line: &[u8]) {
    write_records(7, &format!("{name}: "), &String::from_utf8_lossy(line));
}

fn write_records(priority: u8, prefix: &str, text: &str) {
    for piece in pieces(text) {
        // One write is one record. The kernel prints a record at once only if it ends in a newline;
        // otherwise it waits for a continuation (LOG_CONT, printk.c).
        let line = format!("<{priority}>{prefix}{piece}\n");
        let file = SINK.file.get();
        if file.is_none_or(|mut file| file.write(line.as_bytes()).is_err()) {
            stderr(line.as_bytes().get(3..).unwrap_or(&[]));
        }
    }
}

/// Writes to standard error as a last resort; an error cannot be reported. A stopped terminal or a
/// full pipe takes nothing, and the caller does not wait for it.
fn stderr(line: &[u8]) {
    let stderr = std::io::stderr();
    if poll_one(stderr.as_fd(), PollFlags::POLLOUT, 0) {
        let _ = nix::unistd::write(&stderr, line);
    }
}

/// Splits `text` into lines that are not empty, and lines too long for one record into pieces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|mut line| {
        std::iter::from_fn(move || {
            let end = line.floor_char_boundary(MAX_RECORD_BYTES);
            let (piece, rest) = line.split_at_checked(end).unwrap_or((line, ""));
            line = rest;
            (!piece.is_empty()).then_some(piece)
        })
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
        let got: Vec<&str> = pieces(&text).collect();
        assert!(got.iter().all(|p| p.len() <= MAX_RECORD_BYTES));
        assert_eq!(got.concat(), text.replace('\n', ""));
        assert_eq!(got.len(), 4, "no more than are needed");
        assert_eq!(pieces("\n\nx\n").collect::<Vec<_>>(), ["x"]);
    }
}
