// SPDX-License-Identifier: Apache-2.0
//! A time server (RFC 4330) that serves this machine's time.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Seconds between 1900 and 1970.
const TO_1970: u64 = 2_208_988_800;

/// Serves at 127.0.0.1 until the test ends.
pub fn serve() -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 123)).context("127.0.0.1:123")?;
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut bytes) {
            if let Some(question) = bytes[..n].first_chunk() {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let reply = answer(question, now.unwrap_or_default());
                let _ = socket.send_to(&reply, from); // a lost packet
            }
        }
    });
    Ok(())
}

/// Returns the answer of a server whose clock shows `now`, the time since 1970.
pub(crate) fn answer(question: &[u8; 48], now: Duration) -> [u8; 48] {
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let time = ((now.as_secs() + TO_1970) << 32 | fraction).to_be_bytes();
    let mut m = [0; 48];
    m[0] = 4 << 3 | 4; // version 4, a server
    m[1] = 2; // stratum
    m[24..32].copy_from_slice(&question[40..48]);
    m[32..40].copy_from_slice(&time);
    m[40..48].copy_from_slice(&time);
    m
}
