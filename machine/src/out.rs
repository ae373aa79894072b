// SPDX-License-Identifier: Apache-2.0
//! Standard output and standard error. The macros of std panic where a line cannot be written: a keeper
//! whose log is on a full disk, or a creation whose reader has gone, would die of it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// First error of standard output.
static FAILED: OnceLock<io::Error> = OnceLock::new();
/// True if the texts of a command are not asked for.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Prints a text.
pub fn text(text: Arguments<'_>) {
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        // The first error is the reason of the others.
        let _ = FAILED.set(error);
    }
}

/// Copies a file to standard output, for a terminal without control characters: a guest may have written it. Returns
/// `None` once standard output cannot be written, which [`failure`] tells.
pub fn copy(from: &mut impl Read) -> io::Result<Option<u64>> {
    let mut out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    let (mut part, mut copied) = ([0; 64 * 1024], 0);
    loop {
        let len = match from.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        if len == 0 {
            return Ok(Some(copied));
        }
        copied += len as u64;
        let bytes = match is_terminal {
            true => plain(&part[..len]).into_bytes(),
            false => part[..len].to_vec(),
        };
        if let Err(error) = out.write_all(&bytes).and_then(|()| out.flush()) {
            let _ = FAILED.set(error);
            return Ok(None);
        }
    }
}

fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(shown).collect()
}

/// Prints nothing more but errors.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Writes a line to standard error. A failure of that is ignored, because it cannot be reported.
pub fn message(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns the first error of standard output. Nobody waits for the rest of an output whose reader has
/// gone: that is no message.
#[must_use]
pub fn failure() -> Option<String> {
    FAILED.get().map(words)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::BrokenPipe => String::new(),
        _ => format!("Error: standard output: {error}"),
    }
}

/// Prints a line.
macro_rules! println {
    () => { $crate::out::text(format_args!("\n")) };
    ($format:literal $($rest:tt)*) => {
        $crate::out::text(format_args!("{}\n", format_args!($format $($rest)*)))
    };
}

/// Prints a text.
macro_rules! print {
    ($($text:tt)*) => { $crate::out::text(format_args!($($text)*)) };
}

/// Writes a line to standard error.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::out::message(format_args!($($text)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_escape_sequences() {
        assert_eq!(plain("a\x1b[2Kb\tc\u{9b}d\r\n".as_bytes()), "a[2Kb\tcd\n");
    }

    #[test]
    fn output_to_a_closed_pipe_is_no_error() {
        assert_eq!(words(&ErrorKind::BrokenPipe.into()), "");
        let full = words(&io::Error::from_raw_os_error(28));
        assert!(
            full.starts_with("Error: standard output: No space left"),
            "{full}"
        );
    }
}
