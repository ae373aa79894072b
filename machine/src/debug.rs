// SPDX-License-Identifier: Apache-2.0
//! `--debug`: what this program does, on standard error.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("(debug) {}", record.args());
    }

    fn flush(&self) {}
}

/// Starts the output.
pub fn start() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}
