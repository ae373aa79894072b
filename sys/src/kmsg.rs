//! The kernel log as PID 1's own log (`/dev/kmsg`, Documentation/ABI/testing/dev-kmsg).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use config::Loglevel;
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Longest message of one record, in bytes: with its prefix, the longest name of a
/// service included, printk keeps it whole (`LOG_LINE_MAX`, 976 on older kernels).
const MAX_RECORD_BYTES: usize = 900;

static SINK: Kmsg = Kmsg {
    file: OnceLock::new(),
};

/// Writes records to `/dev/kmsg`.
struct Kmsg {
    file: OnceLock<File>,
}

/// Opens `/dev/kmsg` and makes it the `log` crate's sink. Without it (no /dev, or
/// a namespace that must not write there) messages go to standard error.
pub fn init_logger(level: LevelFilter) {
    if let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = SINK.file.set(file);
    }
    let _ = log::set_logger(&SINK);
    log::set_max_level(level);
}

/// The `log` crate's level for `b2p.loglevel`.
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

/// Says something whatever the log level is: `ready`, `degraded`, last words.
pub fn write(priority: u8, text: &str) {
    write_records(priority, "boot2podman: ", text);
}

/// The priority nearest to `wanted` that the kernel prints on every console:
/// with `quiet` or `loglevel=3` the ready line must still be seen there.
#[must_use]
pub fn console_visible(wanted: u8) -> u8 {
    let printk = std::fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    if printk.starts_with('0') {
        // `loglevel=0` shows nothing at all; 1 shows what is said at 0, as this is.
        let _ = std::fs::write("/proc/sys/kernel/printk", "1");
    }
    below(&printk, wanted)
}

/// A record is printed when its priority is below the console level, the first
/// number of `kernel.printk`.
fn below(printk: &str, wanted: u8) -> u8 {
    let level = printk
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u8>().ok())
        .unwrap_or(7);
    wanted.min(level.saturating_sub(1))
}

/// Console level at which a record of every priority is printed (`CONSOLE_LOGLEVEL_DEBUG` is
/// less by one, 7 being the lowest priority of all).
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

/// A line of a service's output. Level debug: in the log, not on the console
/// that a person is typing at.
pub fn write_service_line(name: &str, line: &[u8]) {
    write_records(7, &format!("{name}: "), &String::from_utf8_lossy(line));
}

fn write_records(priority: u8, prefix: &str, text: &str) {
    for piece in pieces(text) {
        // One write is one record, shown at once only if it ends in a newline:
        // without, the kernel waits for a continuation (LOG_CONT, printk.c).
        let line = format!("<{priority}>{prefix}{piece}\n");
        let file = SINK.file.get();
        if file.is_none_or(|mut file| file.write(line.as_bytes()).is_err()) {
            stderr(line.as_bytes().get(3..).unwrap_or(&[]));
        }
    }
}

/// The last resort; an error has nowhere to be reported. A terminal that is
/// stopped or a pipe that is full takes nothing, and nobody waits for it.
fn stderr(line: &[u8]) {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO) == Ok(1) {
        let _ = nix::unistd::write(&stderr, line);
    }
}

/// Lines of `text`, cut where they are too long for one record.
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
    fn long_lines_come_in_pieces_and_none_is_lost() {
        let text = format!("{}\nsecond", "é".repeat(1000));
        let got: Vec<&str> = pieces(&text).collect();
        assert!(got.iter().all(|p| p.len() <= MAX_RECORD_BYTES));
        assert_eq!(got.concat(), text.replace('\n', ""));
        assert_eq!(got.len(), 4, "no more than are needed");
        assert_eq!(pieces("\n\nx\n").collect::<Vec<_>>(), ["x"]);
    }
}
