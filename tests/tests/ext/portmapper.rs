// SPDX-License-Identifier: Apache-2.0
//! Portmapper that agrees to every registration: a server of NFS 3 does not start without one (RFC 1833), and the
//! tests' clients name its ports.

use anyhow::Result;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::{fs, thread};

/// Mark of the last fragment of a message (RFC 5531, section 11).
const LAST: u32 = 1 << 31;
/// Longest call that a server makes.
const MAX_CALL: u32 = 4096;
/// Words of a reply behind its number: `REPLY`, `MSG_ACCEPTED`, no verifier, `SUCCESS`, and true as the result
/// of `RPCBPROC_SET` and `RPCBPROC_UNSET` (RFC 5531, section 9).
const AGREES: [u32; 6] = [1, 0, 0, 0, 0, 1];

/// Answers on the socket `rpcbind.sock` in a directory until the test ends.
pub fn start(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let listener = UnixListener::bind(dir.join("rpcbind.sock"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drop(answer(stream)));
        }
    });
    Ok(())
}

fn answer(mut stream: UnixStream) -> std::io::Result<()> {
    loop {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark)?;
        let len = u32::from_be_bytes(mark) & !LAST;
        if !(4..=MAX_CALL).contains(&len) {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut call = vec![0; len as usize];
        stream.read_exact(&mut call)?;
        let number = call.get(..4).unwrap_or_default();
        let words = AGREES.map(u32::to_be_bytes).concat();
        let reply = [number, &words].concat();
        let mark = (LAST | 28).to_be_bytes();
        stream.write_all(&[&mark[..], &reply].concat())?;
    }
}
