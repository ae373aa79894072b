// SPDX-License-Identifier: Apache-2.0
//! Addresses of services: `unix:/path`, `unix:@name`, `tcp:host:port`, `device:/path`, and the
//! path of a socket.

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use sys::error::{Doing, Error, Result};

/// Place where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Socket in the file system.
    Unix(String),
    /// Socket in the abstract namespace (unix(7)), without the leading NUL.
    Abstract(String),
    /// Host and port; a numeric IPv6 address has brackets.
    Tcp(String),
    /// Character device that carries a stream.
    Device(String),
}

impl Address {
    /// Parses an address. Options after a semicolon, such as `;mode=0666`, concern the server only.
    ///
    /// # Errors
    /// The text has no known form.
    pub fn parse(text: &str) -> Result<Address> {
        let address = text.split(';').next().unwrap_or_default();
        let owned = |rest: &str| (!rest.is_empty()).then(|| rest.to_owned());
        let parsed = match address.split_once(':') {
            Some(("unix", rest)) => match rest.strip_prefix('@') {
                Some(name) => owned(name).map(Address::Abstract),
                None => owned(rest).map(Address::Unix),
            },
            Some(("tcp", rest)) if rest.contains(':') => owned(rest).map(Address::Tcp),
            Some(("device", rest)) => owned(rest).map(Address::Device),
            _ if address.starts_with(['/', '.']) => owned(address).map(Address::Unix),
            _ => None,
        };
        parsed.ok_or_else(|| {
            Error::invalid(format!(
                "{text}: no address; right are unix:/path, unix:@name, tcp:host:port, device:/path"
            ))
        })
    }

    /// Connects to the service.
    ///
    /// # Errors
    /// The errno of connect(2) or open(2).
    pub fn connect(&self) -> Result<OwnedFd> {
        let (connected, place) = match self {
            Address::Unix(path) => (UnixStream::connect(path).map(OwnedFd::from), path),
            Address::Abstract(name) => {
                let address = SocketAddr::from_abstract_name(name);
                let stream = address.and_then(|address| UnixStream::connect_addr(&address));
                (stream.map(OwnedFd::from), name)
            }
            Address::Tcp(address) => (tcp(address).map(OwnedFd::from), address),
            Address::Device(path) => {
                let file = File::options().read(true).write(true).open(path);
                (file.map(OwnedFd::from), path)
            }
        };
        connected.on(place)
    }
}

/// Connects to `host:port`; a numeric IPv6 address has brackets.
fn tcp(address: &str) -> std::io::Result<TcpStream> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let port = port
        .parse::<u16>()
        .map_err(|_| std::io::ErrorKind::InvalidInput)?;
    TcpStream::connect((bare.unwrap_or(host), port))
}

/// Argument of a command: `[ADDRESS/]INTERFACE[.METHOD]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Address, if the argument has one.
    pub address: Option<String>,
    /// Text after the address.
    pub name: String,
}

impl Target {
    /// Splits the argument at its last slash. As in a URL, `?` and `#` begin parts that are
    /// ignored, and `%2F` is a slash of the address.
    #[must_use]
    pub fn parse(text: &str) -> Target {
        let text = text.split(['#', '?']).next().unwrap_or_default();
        match text.rsplit_once('/') {
            Some((address, name)) => Target {
                address: Some(decode(address)),
                name: decode(name),
            },
            None => Target {
                address: None,
                name: decode(text),
            },
        }
    }
}

/// Replaces `%XX` by the byte of that number; other uses of `%` are not changed.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_form_of_an_address() {
        let unix = |path: &str| Address::Unix(path.to_owned());
        for (text, address) in [
            ("unix:/run/podman/io.podman", unix("/run/podman/io.podman")),
            (
                "unix://run/podman/io.podman",
                unix("//run/podman/io.podman"),
            ),
            ("unix:/run/x;mode=0600", unix("/run/x")),
            ("unix:@name;mode=0600", Address::Abstract("name".to_owned())),
            ("tcp:127.0.0.1:80", Address::Tcp("127.0.0.1:80".to_owned())),
            ("tcp:[::1]:80", Address::Tcp("[::1]:80".to_owned())),
            ("device:/dev/hvc1", Address::Device("/dev/hvc1".to_owned())),
            ("/run/x", unix("/run/x")),
            ("./x", unix("./x")),
        ] {
            assert_eq!(Address::parse(text).unwrap(), address, "{text}");
        }
        for text in [
            "", "unix:", "unix:@", "tcp:host", "ssh:host", "x", ";", "unix:;a",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_slash_ends_the_address() {
        for (text, address, name) in [
            ("io.podman.Ps", None, "io.podman.Ps"),
            ("unix:/run/x/a.B.C", Some("unix:/run/x"), "a.B.C"),
            ("unix:@x/a.B", Some("unix:@x"), "a.B"),
            ("unix:/run/x/a.B#part", Some("unix:/run/x"), "a.B"),
            ("unix:/run/x/a.B?q=/r", Some("unix:/run/x"), "a.B"),
            (
                "unix:/run%2Fa%20b%/a.B%zz",
                Some("unix:/run/a b%"),
                "a.B%zz",
            ),
            ("unix:/run/x/", Some("unix:/run/x"), ""),
            ("", None, ""),
        ] {
            let target = Target::parse(text);
            assert_eq!(target.address.as_deref(), address, "{text}");
            assert_eq!(target.name, name, "{text}");
        }
    }
}
