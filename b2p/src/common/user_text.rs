// SPDX-License-Identifier: Apache-2.0
//! Reads text files that the user of the machine wrote, perhaps on Windows: removes a byte order mark of
//! UTF-8 and turns CRLF into LF.

use std::borrow::Cow;
use std::path::Path;

use sys::error::{Doing, Error, Result};
use sys::files::read_whole;

/// UTF-8's byte order mark, which Notepad writes in front.
pub const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
/// Byte order marks of UTF-16, which Notepad calls "Unicode", and of PowerShell's `>`.
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// Number of leading bytes that are examined for UTF-16 without a byte order mark.
const HEAD_BYTES: usize = 64;

/// Reads the whole file at `path` and normalizes the text ([`normalize`]); `None` if there is no such file.
///
/// # Errors
/// The file cannot be read, is longer than `max_bytes`, is not a regular one, or is UTF-16.
pub fn read(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = read_whole(path, max_bytes)? else {
        return Ok(None);
    };
    let text = normalize(&bytes).on(path)?;
    Ok(Some(text.into_owned()))
}

/// Removes a byte order mark of UTF-8, and the CR of each CRLF.
///
/// # Errors
/// The text is UTF-16.
pub fn normalize(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if is_utf16(bytes) {
        return Err(Error::invalid("UTF-16; save it as UTF-8"));
    }
    let text = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    if !text.windows(2).any(|pair| pair == b"\r\n") {
        return Ok(Cow::Borrowed(text));
    }
    let after = text.iter().skip(1).map(Some).chain([None]);
    let pairs = text.iter().zip(after);
    let kept = pairs.filter(|pair| *pair != (&b'\r', Some(&b'\n')));
    Ok(Cow::Owned(kept.map(|(byte, _)| *byte).collect()))
}

/// Returns true if the text begins with a byte order mark of UTF-16, or if in each of its first 16-bit
/// units the same byte, the high or the low one, is zero and the other is not.
fn is_utf16(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or_default();
    let zero_at = |side: usize| {
        let (pairs, _) = head.as_chunks::<2>();
        let is_letter = |pair: &[u8; 2]| {
            let (zero, letter) = (pair.get(side), pair.get(1 - side));
            zero == Some(&0) && letter.is_some_and(|b| *b != 0)
        };
        head.len() >= 4 && pairs.iter().all(is_letter)
    };
    UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark)) || zero_at(0) || zero_at(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn marks_and_line_ends_of_windows_are_taken_away() {
        for (bytes, text) in [
            (b"".as_slice(), b"".as_slice()),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb\xbfa=b\r\n", b"a=b\n"),
            (b"#!/bin/sh\r\nx\r\n\r\n", b"#!/bin/sh\nx\n\n"),
            (b"a\nb\r\nc", b"a\nb\nc"),
            // A \r that ends no line is the user's, and so is one mark within the text.
            (b"a\rb\r", b"a\rb\r"),
            (b"a\r\r\n", b"a\r\n"),
            (b"a\xef\xbb\xbf", b"a\xef\xbb\xbf"),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"a\0", b"a\0"),
        ] {
            assert_eq!(&*normalize(bytes).unwrap(), text, "{bytes:?}");
        }
    }

    #[test]
    fn utf_16_is_named() {
        for bytes in [
            b"\xff\xfea\0".as_slice(),
            b"\xff\xfe",
            b"\xfe\xff\0a",
            b"a\0=\0b\0",
            b"\0a\0=\0b\0c\0\n",
        ] {
            let why = normalize(bytes).unwrap_err().to_string();
            assert_eq!(why, "UTF-16; save it as UTF-8", "{bytes:?}");
        }
        for bytes in [[0; 64].as_slice(), b"a\0bc", b"\0\0a\0"] {
            assert!(normalize(bytes).is_ok(), "{bytes:?}");
        }
    }
}
