// SPDX-License-Identifier: Apache-2.0
//! Standard output and standard error. The macros of std panic where a line cannot be written: a keeper
//! whose log is on a full disk, or a creation whose reader has gone, would die of it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// First error of standard output.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a text.
pub fn text(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        // The first error is the reason of the others.
        let _ = FAILED.set(error);
    }
}

/// Writes a line to standard error, which has nobody to tell where that fails.
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
    fn a_reader_that_has_gone_is_told_nothing() {
        assert_eq!(words(&ErrorKind::BrokenPipe.into()), "");
        let full = words(&io::Error::from_raw_os_error(28));
        assert!(
            full.starts_with("Error: standard output: No space left"),
            "{full}"
        );
    }
}
