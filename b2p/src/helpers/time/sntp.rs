//! A client of the simple network time protocol (RFC 4330, RFC 5905): one question,
//! one answer, and whether to believe it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use super::clocks;
use super::drift::Ms;

/// The port of NTP.
pub const PORT: u16 = 123;
/// Of a packet without extensions.
const LENGTH: usize = 48;
/// How long an answer may take; and so no answer is further off than half of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many addresses of one name are tried.
const ADDRESSES: usize = 4;
/// Seconds between 1900, where NTP begins, and 1970.
const TO_1970: i64 = 2_208_988_800;
/// NTP counts 2^32 seconds and begins again (in 2036): a time is the first that
/// is not before 2026-01-01, when this was written.
const EPOCH: i64 = 1_767_225_600;

/// By how much the system clock is behind the server's.
///
/// # Errors
/// Why no address of the server gave an answer that can be believed.
pub fn ask(server: &str, port: u16) -> Result<Ms, String> {
    let found = (server, port).to_socket_addrs();
    let addresses = found.map_err(|e| format!("{server}: {e}"))?;
    let mut why = format!("{server}: it has no address");
    for address in addresses.take(ADDRESSES) {
        match exchange(address) {
            Ok(offset) => return Ok(offset),
            Err(e) => why = format!("{address}: {e}"),
        }
    }
    Err(why)
}

fn exchange(server: SocketAddr) -> Result<Ms, String> {
    let say = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock => "no answer".to_owned(),
        _ => e.to_string(),
    };
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).map_err(say)?;
    socket.connect(server).map_err(say)?; // only its answers are heard
    let cookie = cookie().map_err(say)?;
    let (start, sent) = (Instant::now(), clocks::real());
    socket.send(&request(cookie)).map_err(say)?;
    let mut bytes = [0; 512];
    loop {
        let left = PATIENCE
            .checked_sub(start.elapsed())
            .filter(|d| !d.is_zero());
        socket
            .set_read_timeout(Some(left.ok_or("no answer")?))
            .map_err(say)?;
        let n = socket.recv(&mut bytes).map_err(say)?;
        let took = Ms::try_from(start.elapsed().as_millis()).unwrap_or(Ms::MAX);
        match offset(
            bytes.get(..n).unwrap_or(&[]),
            cookie,
            sent,
            sent.saturating_add(took),
        ) {
            Err(Refusal::NotOurs) => {} // late, or somebody's who guesses
            Err(Refusal::Because(why)) => return Err(why),
            Ok(offset) => return Ok(offset),
        }
    }
}

/// Why an answer does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not answer this question.
    NotOurs,
    /// It does, and is of no use.
    Because(String),
}

/// The question. Where the time of sending belongs stands a number that nobody
/// can guess: the server gives it back, and learns nothing of our clock.
fn request(cookie: [u8; 8]) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = 4 << 3 | 3; // version 4, a client
    packet[40..].copy_from_slice(&cookie);
    packet
}

/// How far we are behind, from an answer to `cookie` that was asked for at `sent`
/// and came at `came`.
///
/// # Errors
/// Why it does not count.
pub fn offset(packet: &[u8], cookie: [u8; 8], sent: Ms, came: Ms) -> Result<Ms, Refusal> {
    let because = |why: &str| Refusal::Because(why.to_owned());
    let head = packet.first_chunk::<LENGTH>().ok_or(Refusal::NotOurs)?;
    let field = |at: usize| head.get(at..at + 8).and_then(|b| b.first_chunk::<8>());
    if head[0] & 7 != 4 || field(24) != Some(&cookie) {
        return Err(Refusal::NotOurs);
    }
    match (head[0] >> 6, head[1]) {
        (_, 0) => {
            let code = head.get(12..16).unwrap_or_default().escape_ascii();
            return Err(because(&format!("it refuses ({code})")));
        }
        (3, _) => return Err(because("its own clock is not set")),
        (_, 1..=15) => {}
        (_, _) => return Err(because("its own clock is not set")),
    }
    let (Some(received), Some(answered)) = (field(32).and_then(time), field(40).and_then(time))
    else {
        return Err(because("its answer says no time"));
    };
    // RFC 4330, section 5.
    let there = received.saturating_sub(sent);
    let back = answered.saturating_sub(came);
    if answered < received || came < sent {
        return Err(because("its times go backwards"));
    }
    Ok(there.saturating_add(back) / 2)
}

/// Milliseconds since 1970 of an NTP timestamp; zero is none.
fn time(bytes: &[u8; 8]) -> Option<Ms> {
    let all = u64::from_be_bytes(*bytes);
    if all == 0 {
        return None;
    }
    let seconds = i64::try_from(all >> 32).ok()? - TO_1970;
    // The era in which it is not before EPOCH.
    let seconds = EPOCH + (seconds - EPOCH).rem_euclid(1 << 32);
    let fraction = i64::try_from(((all & 0xffff_ffff) * 1000) >> 32).ok()?;
    Some(seconds * 1000 + fraction)
}

fn cookie() -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
