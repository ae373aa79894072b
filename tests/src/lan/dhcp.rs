// SPDX-License-Identifier: Apache-2.0
//! A DHCP server that follows a policy and reports every received message.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{LIMIT, socket};

/// DHCPDISCOVER (RFC 2132, 9.6).
pub const DISCOVER: u8 = 1;
/// DHCPREQUEST.
pub const REQUEST: u8 = 3;
pub(crate) const OFFER: u8 = 2;
pub(crate) const ACK: u8 = 5;
const NAK: u8 = 6;

/// The server's decision on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// The request is granted.
    Yes,
    /// The request is refused.
    No,
    /// The server does not answer, not even a discovery.
    Nothing,
}

/// Behaviour of the server.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The decision.
    pub say: Say,
    /// Address that the server grants.
    pub address: [u8; 4],
    /// Seconds until renewal, until rebinding, and until expiry.
    pub times: [u32; 3],
    /// Further options: number and value.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Delay before an answer.
    pub delay: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            say: Say::Yes,
            address: [192, 0, 2, 50],
            times: [1800, 3150, 3600],
            options: vec![(3, vec![192, 0, 2, 1]), (6, vec![192, 0, 2, 53])],
            delay: Duration::ZERO,
        }
    }
}

/// A message that the server received.
#[derive(Clone, Debug)]
pub struct Call {
    /// Time of arrival.
    pub at: Instant,
    /// [`DISCOVER`] or [`REQUEST`].
    pub kind: u8,
    /// True if the message was sent to this server alone.
    pub unicast: bool,
    /// Address that the client has (`ciaddr`).
    pub have: Ipv4Addr,
    /// Address that the client requests (option 50).
    pub want: Option<Ipv4Addr>,
    /// Server whose offer the client accepts (option 54).
    pub server: Option<Ipv4Addr>,
    /// Host name of the client (option 12).
    pub name: Option<String>,
    /// Decision of the server, by the policy that held on arrival.
    pub said: Say,
}

/// The server on one card.
pub struct Server {
    calls: Receiver<Call>,
    policy: Arc<Mutex<Policy>>,
}

impl Server {
    /// Serves on this end of the card's pair.
    pub fn on(card: &str, own: [u8; 4], policy: Policy) -> Result<Server> {
        let (card, own) = (format!("to-{card}"), Ipv4Addr::from(own));
        let policy = Arc::new(Mutex::new(policy));
        let (tell, calls) = channel();
        let answers = Arc::new(socket::udp(&card, own, 67)?);
        let all = socket::udp(&card, Ipv4Addr::BROADCAST, 67)?;
        // Each socket receives only messages to its own address.
        for (socket, unicast) in [(answers.try_clone()?, true), (all, false)] {
            let (policy, answers, tell) = (policy.clone(), answers.clone(), tell.clone());
            thread::spawn(move || serve(&socket, unicast, own, &policy, &answers, &tell));
        }
        Ok(Server { calls, policy })
    }

    /// Changes the policy from now on.
    pub fn now(&self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the next message.
    pub fn next(&self) -> Result<Call> {
        self.calls
            .recv_timeout(LIMIT)
            .context("the client asks nothing")
    }

    /// Returns the next message that matches `like`; earlier ones are dropped.
    pub fn until(&self, like: impl Fn(&Call) -> bool) -> Result<Call> {
        loop {
            let call = self.next()?;
            if like(&call) {
                return Ok(call);
            }
        }
    }

    /// Returns all messages of the given time.
    pub fn during(&self, time: Duration) -> Result<Vec<Call>> {
        let end = Instant::now() + time;
        let mut all = Vec::new();
        loop {
            match self
                .calls
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(call) => all.push(call),
                Err(RecvTimeoutError::Timeout) => return Ok(all),
                Err(e) => bail!("{e}"),
            }
        }
    }
}

fn serve(
    socket: &UdpSocket,
    unicast: bool,
    own: Ipv4Addr,
    policy: &Mutex<Policy>,
    answers: &UdpSocket,
    tell: &Sender<Call>,
) {
    let mut bytes = [0; 1500];
    while let Ok((n, _)) = socket.recv_from(&mut bytes) {
        let message = &bytes[..n];
        let Some(mut call) = call(message, unicast) else {
            continue;
        };
        let policy = policy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        call.said = policy.say;
        let (kind, have) = (call.kind, call.have);
        if tell.send(call).is_err() {
            return; // the test is over
        }
        let kind = match (policy.say, kind) {
            (Say::Nothing, _) => continue,
            (_, DISCOVER) => OFFER,
            (Say::Yes, _) => ACK,
            (Say::No, _) => NAK,
        };
        thread::sleep(policy.delay);
        let to = if have.is_unspecified() || kind == NAK {
            Ipv4Addr::BROADCAST
        } else {
            have
        };
        let _ = answers.send_to(&answer(message, kind, own, &policy), (to, 68)); // a lost packet
    }
}

/// Parses a message (RFC 2131, figure 1); options start at byte 240.
pub(crate) fn call(m: &[u8], unicast: bool) -> Option<Call> {
    let options = m.get(240..)?;
    let address = |bytes: &[u8]| bytes.first_chunk::<4>().map(|c| Ipv4Addr::from(*c));
    let option = |kind| option(options, kind);
    Some(Call {
        at: Instant::now(),
        kind: *option(53)?.first()?,
        unicast,
        have: address(&m[12..])?,
        want: option(50).and_then(address),
        server: option(54).and_then(address),
        name: option(12).map(|n| String::from_utf8_lossy(n).into_owned()),
        said: Say::Nothing,
    })
}

fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [kind, length, rest @ ..] = options {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        match *kind {
            255 => return None,
            kind if kind == wanted => return Some(value),
            _ => options = rest,
        }
    }
    None
}

/// Returns the answer of kind `kind` to a message.
pub(crate) fn answer(question: &[u8], kind: u8, own: Ipv4Addr, policy: &Policy) -> Vec<u8> {
    let mut m = question[..240].to_vec();
    m[0] = 2; // BOOTREPLY
    let mut options = vec![(53, vec![kind]), (54, own.octets().to_vec())];
    if kind != NAK {
        m[16..20].copy_from_slice(&policy.address);
        options.push((1, vec![255, 255, 255, 0]));
        let times = [58, 59, 51].into_iter().zip(policy.times);
        options.extend(times.map(|(kind, s)| (kind, s.to_be_bytes().to_vec())));
        options.extend(policy.options.iter().cloned());
    }
    for (kind, value) in options {
        m.extend([kind, u8::try_from(value.len()).unwrap_or(0)]);
        m.extend(value);
    }
    m.push(255);
    m
}
