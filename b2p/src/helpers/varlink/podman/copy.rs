// SPDX-License-Identifier: Apache-2.0
//! Copies between files and sockets.

use std::io::{self, Read, Write};

/// Number of bytes that are copied at once.
const CHUNK: usize = 64 << 10;

/// Copies until the end of the source, and returns the number of bytes. std's own copy uses
/// copy_file_range(2) and splice(2), whose code is several kilobytes for each pair of types.
pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => {
                to.write_all(&buffer[..count])?;
                copied += count as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
