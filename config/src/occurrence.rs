// SPDX-License-Identifier: Apache-2.0
//! One occurrence of a flag in a source.

use crate::diagnostic::{Problem, Source, quoted};
use crate::flag::Flag;
use crate::flags::FLAGS;
use crate::sshkey;

/// Occurrence of a flag in a source.
pub(crate) struct Occurrence<'a> {
    pub flag: &'static Flag,
    pub source: Source,
    /// Name in the text of the source.
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
    /// Line number from 1 in a value of several lines; 0 for other values.
    pub line: usize,
}

impl Occurrence<'_> {
    /// Returns the value as text; `on` if the flag has none and needs none.
    pub fn text(&self) -> Result<&str, Problem> {
        let value = match self.value {
            None if self.flag.value_optional => b"on",
            None | Some(b"") => return Err(Problem::MissingValue),
            Some(value) => value,
        };
        str::from_utf8(value).map_err(|_| Problem::invalid("not UTF-8"))
    }

    /// Returns the flag for diagnostics: printable, and without anything that may be secret.
    pub fn quoted(&self) -> String {
        let mut flag = full_name(self.source, self.name);
        let Some(value) = self.value else {
            return flag;
        };
        if !self.flag.secret {
            flag.push('=');
            flag.push_str(&quoted(&without_password(value)));
        } else if let Some(key_type) = str::from_utf8(value).ok().and_then(sshkey::type_to_quote) {
            flag.push_str("=\"");
            flag.push_str(key_type);
            flag.push_str(" ...\"");
        }
        flag
    }
}

/// Returns a flag's name in the form of its source.
pub(crate) fn full_name(source: Source, name: &[u8]) -> String {
    let name = quoted(name);
    match source {
        Source::FwCfg => ["opt/org.boot2podman/", &name].concat(),
        Source::Smbios => ["boot2podman:", &name].concat(),
        Source::CommandLine | Source::Disk | Source::Document => name,
    }
}

/// Returns the flag of this name, with or without its `b2p.`.
pub(crate) fn find_flag(name: &[u8]) -> Option<&'static Flag> {
    let short = name.strip_prefix(b"b2p.").unwrap_or(name);
    let mut flags = FLAGS.iter();
    flags.find(|flag| is_same_name(short, flag.short_name()))
}

/// Returns true if the kernel takes both names for the same: `-` and `_` are equal in names of
/// parameters (kernel/params.c, `parameq()`).
pub(crate) fn is_same_name(written: &[u8], name: &str) -> bool {
    let normal = |byte: u8| if byte == b'-' { b'_' } else { byte };
    let mut pairs = written.iter().zip(name.bytes());
    written.len() == name.len() && pairs.all(|(a, b)| normal(*a) == b)
}

/// Splits a text at its first `=` into name and value.
pub(crate) fn split_pair(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let equals = text.iter().position(|byte| *byte == b'=');
    let end = equals.unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (name, rest.get(1..))
}

/// Removes the double quotes around a text.
pub(crate) fn unquote(text: &[u8]) -> &[u8] {
    let inner = text.strip_prefix(b"\"");
    let inner = inner.and_then(|text| text.strip_suffix(b"\""));
    inner.unwrap_or(text)
}

/// Returns true for text in UTF-16, as PowerShell's `>` writes it: a byte order mark, or a NUL between letters.
pub(crate) fn is_utf16(text: &[u8]) -> bool {
    let is_marked = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
    is_marked || trim(text).contains(&0)
}

/// Removes white space and NULs from both ends, and UTF-8's byte order mark, which Notepad writes.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = text.iter().position(|byte| !is_blank(byte));
    let start = start.unwrap_or(text.len());
    let last = text.iter().rposition(|byte| !is_blank(byte));
    let end = last.map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// Replaces user and password in a URL, as in `http://me:secret@host`, by `...`.
fn without_password(value: &[u8]) -> Vec<u8> {
    let scheme_end = value.windows(3).position(|three| three == b"://");
    let start = scheme_end.map_or(0, |at| at + 3);
    let (scheme, rest) = value.split_at_checked(start).unwrap_or((&[], value));
    match rest.iter().rposition(|byte| *byte == b'@') {
        Some(at) if start > 0 => [scheme, b"...", rest.get(at..).unwrap_or_default()].concat(),
        _ => value.to_vec(),
    }
}
