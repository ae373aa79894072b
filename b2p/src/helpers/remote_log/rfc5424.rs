// SPDX-License-Identifier: Apache-2.0
//! Records of the kernel log as messages of syslog (RFC 5424).
//!
//! `<30>1 2026-11-23T20:30:38.123456Z box sshd 812 - [meta sequenceId="4712"] Accepted …`
//!
//! The crate `syslog` is not used here: its `Formatter5424` writes the time of the call instead of
//! the record's, has one program and one process for all messages, and has no facilities 12 to 15.
//! The tests compare the rest with that crate's output.

use std::fmt::Write;

use crate::common::log::log_time;
use crate::common::log::record::{self, KERNEL, Priority, Record, SYSLOG};
use crate::helpers::syslog::message;

/// Longest message, in bytes, that every receiver takes in one datagram (RFC 5426, section 3.2:
/// 1180 bytes over IPv6). A record of 976 bytes (printk's `LOG_LINE_MAX`) fits.
pub const MAX_MESSAGE: usize = 1180;
/// Longest HOSTNAME and APP-NAME (RFC 5424, section 6).
const MAX_HOSTNAME: usize = 255;
const MAX_APP_NAME: usize = 48;
/// Largest sequenceId (RFC 5424, section 7.3.1); 1 follows.
const MAX_SEQUENCE_ID: u64 = 2_147_483_647;
/// Years 0 to 9999, in microseconds since 1970: the range of RFC 3339.
const TIMESTAMPS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;
/// Value of an unknown field (`NILVALUE`).
const NIL: &str = "-";
/// Start of a text that is UTF-8 (RFC 5424, section 6.4). Text that is ASCII has none.
const BOM: &str = "\u{feff}";

/// Origin of a message.
#[derive(Clone, Copy, Debug)]
struct Header<'a> {
    priority: Priority,
    /// Microseconds since 1970.
    us: i64,
    host: &'a [u8],
    app: &'a [u8],
    pid: Option<u32>,
    /// Sequence number in the kernel log.
    seq: Option<u64>,
}

/// Formats a record; `offset` is that of [`log_time::realtime_offset_us`], `host` the host name.
#[must_use]
pub fn record(record: &Record<'_>, offset: i64, host: &[u8]) -> Vec<u8> {
    let (app, pid, text) = match record.priority.facility() {
        KERNEL => (&b"kernel"[..], None, record.text),
        _ => {
            let message = message::tagged(record.priority, record.text);
            (message.tag, message.pid, message.text)
        }
    };
    let header = Header {
        priority: record.priority,
        us: record.realtime(offset),
        host,
        app,
        pid,
        seq: Some(record.seq),
    };
    format(&header, text)
}

/// Formats the message in place of `count` records that the kernel log no longer has.
#[must_use]
pub fn lost(count: u64, us: i64, host: &[u8]) -> Vec<u8> {
    let header = Header {
        priority: Priority::of(SYSLOG, sys::kmsg::WARNING),
        us,
        host,
        app: super::NAME.as_bytes(),
        pid: None,
        seq: None,
    };
    let text = format!("{count} records lost: overwritten before they were sent");
    format(&header, text.as_bytes())
}

/// Formats a message of at most [`MAX_MESSAGE`] bytes without control characters; `text` has the
/// escapes of `/dev/kmsg`.
fn format(header: &Header<'_>, text: &[u8]) -> Vec<u8> {
    let mut out = format!("<{}>1 ", header.priority.number());
    match TIMESTAMPS.contains(&header.us) {
        true => log_time::append_rfc3339(header.us, &mut out),
        false => out.push_str(NIL),
    }
    field(header.host, MAX_HOSTNAME, &mut out);
    field(header.app, MAX_APP_NAME, &mut out);
    match header.pid {
        Some(pid) => drop(write!(out, " {pid}")),
        None => field(b"", 0, &mut out),
    }
    field(b"", 0, &mut out);
    match header.seq.map(|seq| seq % MAX_SEQUENCE_ID + 1) {
        Some(id) => drop(write!(out, " [meta sequenceId=\"{id}\"]")),
        None => field(b"", 0, &mut out),
    }
    let room = MAX_MESSAGE.saturating_sub(out.len() + 1 + BOM.len());
    let text = printable(text, room);
    if !text.is_empty() {
        out.push(' ');
    }
    if !text.is_ascii() {
        out.push_str(BOM);
    }
    out.push_str(&text);
    out.into_bytes()
}

/// Appends a space and at most `max` bytes of a field of the header, which is printable ASCII
/// without spaces; `-` for an empty one.
fn field(bytes: &[u8], max: usize, out: &mut String) {
    out.push(' ');
    let shown = |b: &u8| {
        if b.is_ascii_graphic() {
            *b as char
        } else {
            '?'
        }
    };
    match bytes.get(..max).unwrap_or(bytes) {
        [] => out.push_str(NIL),
        bytes => out.extend(bytes.iter().map(shown)),
    }
}

/// Returns `text` with unprintable characters as `\xNN`, cut to `max` bytes.
fn printable(text: &[u8], max: usize) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    record::unescape(text, &mut bytes);
    let (mut out, mut full) = (String::new(), false);
    record::printable(&bytes, |piece| {
        full |= out.len() + piece.len() > max;
        if !full {
            out.push_str(piece);
        }
    });
    out
}

#[cfg(test)]
mod tests;
