// SPDX-License-Identifier: Apache-2.0
//! Parser of `b2p.rsyslog=` and Tiny Core's `rsyslog=`, the receiver of the machine's log.

use crate::diagnostic::Problem;
use crate::settings::{LogReceiver, Transport};
use crate::values::{number, server};

/// Default port, for TCP as well (RFC 5426, section 3.3).
const DEFAULT_PORT: u16 = 514;

const NOT_A_SERVER: Problem = Problem::invalid(
    "not the name or address of a server (an IPv6 address is in brackets: [fd00::1]:514)",
);

/// Reads `<server>[:<port>][,tcp]`.
pub(crate) fn receiver(text: &str) -> Result<LogReceiver, Problem> {
    let (address, transport) = match text.rsplit_once(',') {
        None => (text, Transport::Udp),
        Some((address, "udp")) => (address, Transport::Udp),
        Some((address, "tcp")) => (address, Transport::Tcp),
        Some(_) => return Err(Problem::invalid("only tcp or udp follows the comma")),
    };
    let (host, port) = host_and_port(address)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => number(port, u16::MAX)
            .filter(|port| *port > 0)
            .ok_or(Problem::invalid("the port is not 1 to 65535"))?,
    };
    Ok(LogReceiver {
        host: server(host).map_err(|_| NOT_A_SERVER)?,
        port,
        transport,
    })
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_and_port(address: &str) -> Result<(&str, Option<&str>), Problem> {
    let Some(rest) = address.strip_prefix('[') else {
        return match address.split_once(':') {
            Some((_, port)) if port.contains(':') => Err(NOT_A_SERVER),
            Some((host, port)) => Ok((host, Some(port))),
            None => Ok((address, None)),
        };
    };
    let (host, port) = rest.split_once(']').ok_or(NOT_A_SERVER)?;
    match (host.contains(':'), port.strip_prefix(':')) {
        (true, Some(port)) => Ok((host, Some(port))),
        (true, None) if port.is_empty() => Ok((host, None)),
        _ => Err(NOT_A_SERVER),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_form_of_a_receiver_is_parsed() {
        use Transport::{Tcp, Udp};
        for (text, host, port, transport) in [
            ("log.example.org", "log.example.org", 514, Udp),
            ("10.0.2.2", "10.0.2.2", 514, Udp),
            ("10.0.2.2,udp", "10.0.2.2", 514, Udp),
            ("box:6514,tcp", "box", 6514, Tcp),
            ("box,tcp", "box", 514, Tcp),
            ("[fd00::1]", "fd00::1", 514, Udp),
            ("[fd00::1]:1514,tcp", "fd00::1", 1514, Tcp),
        ] {
            let host = host.to_owned();
            let want = LogReceiver {
                host,
                port,
                transport,
            };
            assert_eq!(receiver(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn faulty_receivers_are_refused() {
        for text in [
            "",
            ",tcp",
            ":514",
            "box:",
            "box:0",
            "box:65536",
            "box:+1",
            "box,tls",
            "box,tcp,udp",
            "fd00::1",
            "[fd00::1",
            "[fd00::1]514",
            "[fd00::1]x:514",
            "[box]:514",
            "[]:514",
            "a b",
            "a\nb",
            "udp://box",
        ] {
            assert!(receiver(text).is_err(), "{text}");
        }
    }
}
