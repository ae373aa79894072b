// SPDX-License-Identifier: Apache-2.0
//! Scripts that were saved on Windows: the kernel takes the carriage return at the end of a `#!` line as a part
//! of the interpreter's name, and does not see the `#!` behind a byte order mark (fs/binfmt_script.c).

/// Number of leading bytes of a program that [`was_saved_on_windows`] examines: those that the kernel reads (execve(2),
/// `BINPRM_BUF_SIZE`).
pub const HEAD_BYTES: usize = 256;
/// Fault of such a script, and the form that is right.
pub const SAVED_ON_WINDOWS: &str = "Windows line ends, or a byte order mark; save it with the line ends of Unix and without a mark";
/// Byte order marks of UTF-8 and of UTF-16.
const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Returns true if a program that begins with `head` begins with a byte order mark, or is a script of which a
/// line ends as on Windows. Neither allocates nor panics.
#[must_use]
pub fn was_saved_on_windows(head: &[u8]) -> bool {
    let is_script = head.starts_with(b"#!");
    let has_crlf = || head.windows(2).any(|pair| pair == b"\r\n");
    MARKS.iter().any(|mark| head.starts_with(mark)) || is_script && has_crlf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_windows_are_known() {
        for head in [
            b"#!/bin/sh\r\necho\r\n".as_slice(),
            b"#!/usr/bin/env bash\r\n",
            b"#!/bin/sh\necho\r\n",
            b"\xef\xbb\xbf#!/bin/sh\n",
            b"\xff\xfe#\0!\0",
        ] {
            assert!(was_saved_on_windows(head), "{head:?}");
        }
        for head in [
            b"".as_slice(),
            b"#!/bin/sh\necho\n",
            b"#!/bin/sh\necho '\r'\n",
            b"\x7fELF\r\n",
        ] {
            assert!(!was_saved_on_windows(head), "{head:?}");
        }
    }
}
