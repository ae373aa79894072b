// SPDX-License-Identifier: Apache-2.0
//! A client of the simple network time protocol (RFC 4330, RFC 5905): one request, one answer, and
//! the decision about the use of the answer.

use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use super::clocks;
use super::drift::Ms;
use sys::error::{Doing, Error, Result};

/// Port of NTP.
pub const PORT: u16 = 123;
/// Length of a packet without extensions, in bytes.
const LENGTH: usize = 48;
/// Longest time for an answer; no answer can be wrong by more than half of this time.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest distance of a server from its source, in seconds (RFC 5905, `MAXDISP`).
const MAX_ROOT_DISTANCE: u64 = 16;
/// Number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// Seconds between 1900, where NTP begins, and 1970.
const TO_1970: i64 = 2_208_988_800;
/// Earliest time that an answer can mean, in seconds since 1970: 2026-01-01, when this code was
/// written. NTP counts 2^32 seconds and then begins again, in 2036 for the first time.
pub const ERA_START: i64 = 1_767_225_600;

/// Asks a server; returns by how much the system clock is behind its clock.
///
/// # Errors
/// The name has no address, or the error of the last address.
pub fn query(server: &str, port: u16) -> Result<Ms> {
    let addresses = (server, port).to_socket_addrs();
    let addresses = addresses.doing(server.to_owned())?;
    let no_address = Err(Error::invalid("no address of this name"));
    let mut result = no_address.doing(server.to_owned());
    for address in addresses.take(MAX_ADDRESSES) {
        result = exchange(address).doing(address.to_string());
        if result.is_ok() {
            break;
        }
    }
    result
}

fn exchange(server: SocketAddr) -> Result<Ms> {
    let no_answer = || Error::invalid("no answer");
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?; // the kernel drops packets of others
    let cookie = cookie()?;
    let (start, sent) = (Instant::now(), clocks::realtime());
    socket.send(&request(cookie))?;
    let mut bytes = [0; 512];
    loop {
        let rest = TIMEOUT.checked_sub(start.elapsed());
        let rest = rest.filter(|d| !d.is_zero()).ok_or_else(no_answer)?;
        socket.set_read_timeout(Some(rest))?;
        let length = match socket.recv(&mut bytes) {
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(no_answer()),
            Err(e) => return Err(e.into()),
        };
        let took = Ms::try_from(start.elapsed().as_millis()).unwrap_or(Ms::MAX);
        let packet = bytes.get(..length).unwrap_or(&[]);
        match offset(packet, cookie, sent, sent.saturating_add(took)) {
            Err(Rejection::Unrelated) => {} // late, or a guess of an attacker
            Err(Rejection::Unusable(why)) => return Err(Error::invalid(why)),
            Ok(offset) => return Ok(offset),
        }
    }
}

/// Reason why a packet is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The packet does not answer this request.
    Unrelated,
    /// The answer has no usable time; the text gives the reason.
    Unusable(Cow<'static, str>),
}

/// Returns a request. The field for the time of sending has a number that cannot be guessed: the
/// server returns the number, and learns nothing of the machine's clock.
fn request(cookie: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = 4 << 3 | 3; // version 4, a client
    packet[40..].copy_from_slice(&cookie);
    packet
}

/// Returns by how much the system clock is behind, from an answer to the request with
/// `cookie` that was sent at `sent` and was answered at `arrived`.
///
/// # Errors
/// The packet is not used.
pub fn offset(packet: &[u8], cookie: [u8; 8], sent: Ms, arrived: Ms) -> Result<Ms, Rejection> {
    let unusable = |why: &'static str| Rejection::Unusable(Cow::Borrowed(why));
    let head = packet.first_chunk::<LENGTH>().ok_or(Rejection::Unrelated)?;
    let field = |at: usize| head.get(at..at + 8).and_then(|b| b.first_chunk::<8>());
    if head[0] & 7 != 4 || field(24) != Some(&cookie) {
        return Err(Rejection::Unrelated);
    }
    match (head[0] >> 6, head[1]) {
        (_, 0) => {
            let code = head.get(12..16).unwrap_or_default().escape_ascii();
            let why = format!("the server refuses ({code})");
            return Err(Rejection::Unusable(Cow::Owned(why)));
        }
        (3, _) => return Err(unusable("the clock of the server is not set")),
        (_, 1..=15) => {}
        (_, _) => return Err(unusable("the clock of the server is not set")),
    }
    // RFC 5905, section 7.3 and A.5.1.1 (`MAXDISP`): half of the delay to the root, and the largest
    // error there.
    let seconds = |at: usize| {
        head.get(at..at + 4)
            .and_then(|b| b.first_chunk::<4>().copied())
    };
    let short = |at: usize| seconds(at).map_or(0, |b| u64::from(u32::from_be_bytes(b)));
    if short(4) / 2 + short(8) >= MAX_ROOT_DISTANCE << 16 {
        return Err(unusable("the server is too far from its source"));
    }
    let (Some(received), Some(answered)) = (field(32).and_then(time), field(40).and_then(time))
    else {
        return Err(unusable("the answer has no time"));
    };
    // RFC 4330, section 5.
    let there = received.saturating_sub(sent);
    let back = answered.saturating_sub(arrived);
    if answered < received || arrived < sent {
        return Err(unusable("the times of the answer go backwards"));
    }
    Ok(there.saturating_add(back) / 2)
}

/// Converts an NTP timestamp to milliseconds since 1970; zero is `None`.
fn time(bytes: &[u8; 8]) -> Option<Ms> {
    let stamp = u64::from_be_bytes(*bytes);
    if stamp == 0 {
        return None;
    }
    let seconds = i64::try_from(stamp >> 32).ok()? - TO_1970;
    // In the era that begins at ERA_START.
    let seconds = ERA_START + (seconds - ERA_START).rem_euclid(1 << 32);
    let fraction = i64::try_from(((stamp & 0xffff_ffff) * 1000) >> 32).ok()?;
    Some(seconds * 1000 + fraction)
}

fn cookie() -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
