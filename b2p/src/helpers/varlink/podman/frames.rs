// SPDX-License-Identifier: Apache-2.0
//! Frames of the streams of a container: the number of the stream, three zeros, four bytes with the length,
//! the most significant one first, and that number of bytes.

use std::io::{self, Read, Write};

use super::copy::copy;

/// Number of bytes before those of a frame.
pub const HEADER: usize = 8;

/// Reads the header of a frame; returns false at the end of the stream.
///
/// # Errors
/// The errno of read(2); the stream ends within a header.
pub fn starts(source: &mut impl Read, header: &mut [u8; HEADER]) -> io::Result<bool> {
    match source.read(&mut header[..1])? {
        0 => Ok(false),
        _ => source.read_exact(&mut header[1..]).map(|()| true),
    }
}

/// Returns the number of bytes that follow a header.
#[must_use]
pub fn length(header: [u8; HEADER]) -> u64 {
    u32::from_be_bytes([header[4], header[5], header[6], header[7]]).into()
}

/// Calls `each` with the number of each frame's stream and its bytes. Bytes that `each` leaves unread are
/// skipped.
///
/// # Errors
/// Errors of `each`; the errno of read(2); the stream ends within a frame.
pub fn each(
    mut input: impl Read,
    mut each: impl FnMut(u8, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let mut header = [0; HEADER];
    while starts(&mut input, &mut header)? {
        let mut payload = (&mut input).take(length(header));
        each(header[0], &mut payload)?;
        copy(&mut payload, &mut io::sink())?;
        if payload.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Writes a frame.
///
/// # Errors
/// The errno of write(2).
pub fn write(output: &mut dyn Write, to: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let header = [to, 0, 0, 0, length[0], length[1], length[2], length[3]];
    output.write_all(&[&header[..], bytes].concat())
}
