// SPDX-License-Identifier: Apache-2.0
//! A name server with one answer to every question (RFC 1035).

use std::net::UdpSocket;
use std::thread;

use anyhow::{Context, Result};

/// Address that every name has.
pub const ANSWER: [u8; 4] = [192, 0, 2, 77];

/// Serves at 127.0.0.1 until the test ends.
pub fn serve() -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 53)).context("127.0.0.1:53")?;
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = answer(&bytes[..n]) {
                let _ = socket.send_to(&answer, from); // a lost packet
            }
        }
    });
    Ok(())
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    while *query.get(at)? > 0 {
        at += usize::from(query[at]) + 1;
    }
    let kind = query.get(at + 1..at + 3)?;
    let mut m = query.get(..at + 5)?.to_vec();
    let found = kind == [0, 1]; // A; else there is none of that kind
    m[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    if found {
        m.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]); // the name above; no time to live
        m.extend(ANSWER);
    }
    Some(m)
}
