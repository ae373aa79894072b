// SPDX-License-Identifier: Apache-2.0
//! Published ports: the requests that podman sends on a machine, and the forwards for them.
//!
//! podman sends `POST /services/forwarder/expose` with `{"local": "127.0.0.1:8099", "remote":
//! ":80", "protocol": "tcp"}` and waits for the answer; `unexpose` has no `remote`. The text of a
//! failure reaches the user of `podman run`.

use crate::owner::{self, Owner};
use crate::store::config::MachineConfig;
use crate::store::record::Forward;
use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Beginning of a degraded line about a port.
pub const PORTS: &str = "ports: ";
/// Most ports that a machine may publish.
pub const MAX_FORWARDS: usize = 1000;

/// Parses a request; `default` is the address of a port that is published without one.
pub fn parse(request: &Value, default: &str) -> Result<Forward> {
    let local = request["local"].as_str().unwrap_or_default();
    let protocol = match request["protocol"].as_str().unwrap_or_default() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        other => bail!("protocol {other}: only tcp and udp ports can be published"),
    };
    let (host, port) = local
        .rsplit_once(':')
        .ok_or_else(|| anyhow!("{local}: no port"))?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
    let port =
        number(port).ok_or_else(|| anyhow!("{local}: the port is a number from 1 to 65535"))?;
    let guest = match request["remote"]
        .as_str()
        .and_then(|remote| remote.rsplit_once(':'))
    {
        Some((_, guest)) => number(guest).ok_or_else(|| anyhow!("remote: no port"))?,
        None => port,
    };
    let host = if host.is_empty() { default } else { host };
    let address: Ipv4Addr = host.parse().map_err(|_| {
        anyhow!("{host}: ports are forwarded from IPv4 addresses only; use -p 127.0.0.1:{port}:…")
    })?;
    Ok(Forward {
        protocol: protocol.to_owned(),
        address: address.to_string(),
        port,
        guest,
    })
}

/// Returns the port that the guest gets for its request. Any process of a container can ask for one, so that a port is open
/// to other hosts by the user's word alone: all addresses are that of `publish-on`, and another one is refused.
pub fn of_guest(forward: Forward, config: &MachineConfig) -> Result<Forward> {
    let (asked, own) = (address(&forward.address)?, address(&config.publish_on)?);
    if asked.is_unspecified() {
        let address = own.to_string();
        return Ok(Forward { address, ..forward });
    }
    if asked.is_loopback() || asked == own || own.is_unspecified() {
        return Ok(forward);
    }
    let Forward { protocol, port, .. } = &forward;
    bail!(
        "listen {protocol} {asked}:{port}: this machine publishes on {own} and loopback alone: \
         on the host, `podman-machine set {} publish-on={asked}` allows it from the next start on",
        config.name
    )
}

fn address(text: &str) -> Result<Ipv4Addr> {
    text.parse().map_err(|_| anyhow!("{text}: no IPv4 address"))
}

impl Forward {
    /// Returns true for the same port of the host.
    #[must_use]
    pub fn same_port(&self, other: &Self) -> bool {
        (&self.protocol, &self.address, self.port) == (&other.protocol, &other.address, other.port)
    }

    /// Returns why a driver that gives no reason could not listen on this port: tries to bind the port in this process,
    /// and returns the error of that, or `other` if it succeeds.
    #[must_use]
    pub fn reason(&self, other: &str) -> String {
        let at = (self.address.as_str(), self.port);
        let tried = match self.protocol.as_str() {
            "udp" => UdpSocket::bind(at).map(|_| ()),
            _ => TcpListener::bind(at).map(|_| ()),
        };
        let what = format!("listen {} {}:{}", self.protocol, self.address, self.port);
        match tried {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                format!("{what}: bind: address already in use on the host")
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => format!(
                "{what}: bind: permission denied on the host: as root, \
                 `sysctl net.ipv4.ip_unprivileged_port_start={}` allows it",
                self.port
            ),
            Err(error) => format!("{what}: bind: {error}"),
            Ok(()) => format!("{what}: {other}"),
        }
    }
}

impl Forward {
    /// Returns the owner of this port on the host, where it is taken.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        let address = self.address.parse().ok()?;
        owner::of(&self.protocol, address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_of_podman() {
        let table = [
            (
                json!({"local": "127.0.0.1:8099", "remote": ":80", "protocol": "tcp"}),
                "tcp:127.0.0.1:8099-:80",
            ),
            (
                json!({"local": ":8099", "remote": ":8099", "protocol": "udp"}),
                "udp:127.0.0.1:8099-:8099",
            ),
            (
                json!({"local": "0.0.0.0:53", "protocol": "udp"}),
                "udp:0.0.0.0:53-:53",
            ),
            (json!({"local": ":80"}), "tcp:127.0.0.1:80-:80"),
        ];
        for (request, expected) in table {
            let forward = parse(&request, "127.0.0.1").expect("right");
            let Forward {
                protocol,
                address,
                port,
                guest,
            } = forward;
            assert_eq!(format!("{protocol}:{address}:{port}-:{guest}"), expected);
        }
        for wrong in [
            json!({}),
            json!({"local": "8099"}),
            json!({"local": ":0"}),
            json!({"local": ":65536"}),
            json!({"local": ":x"}),
            json!({"local": "[::1]:80"}),
            json!({"local": "a b:80"}),
            json!({"local": "127.0.0.1:80\nquit"}),
            json!({"local": ":80", "protocol": "sctp"}),
            json!({"local": ":80", "remote": ":80 x"}),
            json!([]),
        ] {
            assert!(parse(&wrong, "127.0.0.1").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_guest_opens_nothing_to_other_hosts() {
        let got = |asked: &str, own: &str| {
            let mut config = MachineConfig::new("box");
            own.clone_into(&mut config.publish_on);
            let request = json!({"local": format!("{asked}:80")});
            let forward = parse(&request, own).expect("right");
            of_guest(forward, &config).map(|forward| forward.address)
        };
        for (asked, own, expected) in [
            ("", "127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
            ("192.0.2.1", "0.0.0.0", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("127.0.0.1", "192.0.2.1", "127.0.0.1"),
        ] {
            assert_eq!(got(asked, own).expect(asked), expected, "{asked} {own}");
        }
        let error = got("192.0.2.1", "127.0.0.1").expect_err("refused");
        assert!(
            error.to_string().contains("set box publish-on=192.0.2.1"),
            "{error}"
        );
        assert!(got("192.0.2.1", "192.0.2.2").is_err());
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = taken.local_addr().expect("address").port();
        let request = json!({"local": format!(":{port}")});
        let forward = parse(&request, "127.0.0.1").expect("right");
        assert_eq!(
            forward.reason(""),
            format!("listen tcp 127.0.0.1:{port}: bind: address already in use on the host")
        );
    }
}
