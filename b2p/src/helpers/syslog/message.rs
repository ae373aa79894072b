// SPDX-License-Identifier: Apache-2.0
//! Messages that programs send to `/dev/log`: RFC 3164 in the variants of the C libraries, logger
//! and busybox, RFC 5424, and any other text, in one form.

use crate::common::log::record::{Priority, number};

pub use crate::common::log::MAX_TAG;

/// Value of a field that is not known (RFC 5424, section 6, `NILVALUE`), and so no tag.
const NIL: &[u8] = b"-";

/// A message, borrowed from its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Facility and level; `user.notice` if the datagram has none (RFC 3164, 4.3.3).
    pub priority: Priority,
    /// Name of the program; empty if the datagram has none.
    pub tag: &'a [u8],
    /// Process id in the datagram.
    pub pid: Option<u32>,
    /// Text.
    pub text: &'a [u8],
}

/// Reads any datagram. `host` is the machine's own name, which some senders write before the
/// tag.
#[must_use]
pub fn parse<'a>(datagram: &'a [u8], host: &[u8]) -> Message<'a> {
    let bytes = without_end(datagram);
    let Some((priority, rest)) = priority(bytes) else {
        return tagged(Priority::of(1, 5), bytes);
    };
    if let Some(rest) = rest.strip_prefix(b"1 ")
        && let Some(message) = rfc5424(priority, rest)
    {
        return message;
    }
    let rest = without_time(rest);
    let rest = rest
        .strip_prefix(host)
        .filter(|_| !host.is_empty())
        .and_then(|r| r.strip_prefix(b" "))
        .unwrap_or(rest);
    tagged(priority, rest)
}

/// Removes the NUL that older versions of glibc sent, and line ends.
fn without_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., 0 | b'\n' | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads `<n>` with at most three digits.
fn priority(bytes: &[u8]) -> Option<(Priority, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let close = rest.iter().take(4).position(|b| *b == b'>')?;
    let number = number(rest.get(..close)?)?;
    let priority = Priority::new(u32::try_from(number).ok()?)?;
    Some((priority, rest.get(close + 1..)?))
}

/// Removes the time, because the kernel adds a better one: `Mmm dd hh:mm:ss `, or RFC 3339 in the
/// form of util-linux and rsyslog.
fn without_time(bytes: &[u8]) -> &[u8] {
    if let Some(classic) = bytes.get(..16)
        && has_form(classic, b"Aaa 00 00:00:00 ")
    {
        return &bytes[16..];
    }
    let first_space = bytes.iter().take(40).position(|b| *b == b' ');
    match first_space {
        Some(end) if has_form(bytes.get(..19).unwrap_or(&[]), b"0000-00-00T00:00:00") => {
            &bytes[end + 1..]
        }
        _ => bytes,
    }
}

/// Returns true if `text` has the form of `pattern`: `0` matches a digit or a space, `A` and
/// `a` for letters.
fn has_form(text: &[u8], pattern: &[u8]) -> bool {
    let alike = |(t, p): (&u8, &u8)| match p {
        b'0' => t.is_ascii_digit() || *t == b' ',
        b'A' => t.is_ascii_uppercase(),
        b'a' => t.is_ascii_lowercase(),
        other => t == other,
    };
    text.len() == pattern.len() && text.iter().zip(pattern).all(alike)
}

/// Reads `tag[pid]: text`, `tag: text`, or text alone.
#[must_use]
pub fn tagged(priority: Priority, bytes: &[u8]) -> Message<'_> {
    let alone = Message {
        priority,
        tag: &[],
        pid: None,
        text: bytes,
    };
    let length = bytes.iter().take_while(|b| is_in_tag(b)).count();
    let (tag, rest) = bytes.split_at(length);
    if tag.is_empty() || tag == NIL || tag.len() > MAX_TAG {
        return alone;
    }
    let (pid, rest) = match brackets(rest) {
        Some((inside, rest)) => (process(inside), rest),
        None => (None, rest),
    };
    let Some(text) = rest.strip_prefix(b":") else {
        return alone;
    };
    Message {
        priority,
        tag,
        pid,
        text: text.strip_prefix(b" ").unwrap_or(text),
    }
}

/// Returns true for the characters of a tag, none of which could end the tag.
pub fn is_in_tag(b: &u8) -> bool {
    b.is_ascii_graphic() && !b":[<".contains(b)
}

/// Returns the beginning of a name that can be a tag: a name such as `a:<TAB>b[1]` would read as another
/// program's record where the record is one line.
fn tag_of(name: &[u8]) -> &[u8] {
    let length = name.iter().take_while(|b| is_in_tag(b)).count();
    name.get(..length.min(MAX_TAG)).unwrap_or_default()
}

fn brackets(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(b"[")?;
    let close = rest.iter().take(16).position(|b| *b == b']')?;
    Some((rest.get(..close)?, rest.get(close + 1..)?))
}

fn process(digits: &[u8]) -> Option<u32> {
    number(digits).and_then(|n| u32::try_from(n).ok())
}

/// Reads the part after `<n>1 `: time, host, program, process, message id, structured data, text.
fn rfc5424(priority: Priority, bytes: &[u8]) -> Option<Message<'_>> {
    let mut fields = bytes.splitn(6, |b| *b == b' ');
    let (_time, _host) = (fields.next()?, fields.next()?);
    let (tag, pid, _id) = (fields.next()?, fields.next()?, fields.next()?);
    let rest = fields.next()?;
    let text = match rest.strip_prefix(b"-") {
        Some(text) => text,
        None => after_structured_data(rest)?,
    };
    let text = text.strip_prefix(b" ").unwrap_or(text);
    Some(Message {
        priority,
        tag: if tag == NIL { &[] } else { tag_of(tag) },
        pid: process(pid),
        text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
    })
}

/// Returns the bytes after the structured data `[id name="value"…]…`, which is left out.
fn after_structured_data(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.first() != Some(&b'[') {
        return None;
    }
    let (mut open, mut quoted, mut escaped) = (false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            _ if quoted => {}
            b'[' if !open => open = true,
            b']' if open => open = false,
            _ if !open => return bytes.get(at..),
            _ => {}
        }
    }
    (!open).then_some(&[])
}

#[cfg(test)]
mod tests;
