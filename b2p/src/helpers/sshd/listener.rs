// SPDX-License-Identifier: Apache-2.0
//! The sockets that listen for ssh.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use sys::error::{Doing, Error, Result};
use sys::files::read_whole;
use sys::ssh_ports;

use super::session::SSHD;

/// The configuration in the image, which has no address and no port.
const IMAGE_CONFIG: &str = include_str!("../../../../initramfs/files/etc/ssh/sshd_config");
const CONFIG: &str = "/etc/ssh/sshd_config";
/// Maximum size of the configuration in bytes: a user may have written the file.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Opens the sockets, logs their addresses, and writes their ports to the file that other programs read.
///
/// # Errors
/// sshd refuses the configuration, or a socket cannot be opened; a machine without IPv6 is no error.
pub fn open() -> Result<Vec<TcpListener>> {
    let listeners = listen_on(&addresses()?)?;
    let mut ports = Vec::new();
    for listener in &listeners {
        // OpenSSH logs the same line.
        let address = listener.local_addr()?;
        ports.push(address.port());
        println!(
            "Server listening on {} port {}.",
            address.ip(),
            address.port()
        );
    }
    // Without the file, other programs assume the usual port.
    ssh_ports::write(&ports).unwrap_or_else(|why| eprintln!("ports: {why}"));
    Ok(listeners)
}

/// Returns the addresses to listen on. If the configuration differs from that of the image, `sshd -T` checks it and
/// gives the addresses; the addresses of the image's configuration are known.
fn addresses() -> Result<Vec<SocketAddr>> {
    let config = read_whole(Path::new(CONFIG), MAX_CONFIG_BYTES)?;
    if config.as_deref() != Some(IMAGE_CONFIG.as_bytes()) {
        return configured_addresses();
    }
    let every = [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    Ok(every
        .map(|ip| SocketAddr::new(ip, ssh_ports::DEFAULT))
        .to_vec())
}

fn listen_on(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        match listening(*address) {
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if address.is_ipv6() => {}
            opened => listeners.push(opened.doing(format!("listen on {address}"))?),
        }
    }
    Ok(listeners)
}

/// Asks sshd for the addresses in its configuration (`sshd -T`).
fn configured_addresses() -> Result<Vec<SocketAddr>> {
    let output = Command::new(SSHD).args(["-T", "-e"]).output().on(SSHD)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let addresses = listen_addresses(&text);
    if output.status.success() && !addresses.is_empty() {
        return Ok(addresses);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let why = stderr
        .lines()
        .next_back()
        .unwrap_or("no address to listen on");
    Err(Error::invalid(why.to_owned())).on(CONFIG)
}

/// Returns the addresses in the output of `sshd -T`.
fn listen_addresses(text: &str) -> Vec<SocketAddr> {
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("listenaddress "));
    values.filter_map(|value| value.parse().ok()).collect()
}

fn listening(address: SocketAddr) -> nix::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    // The kernel bounds the queue by net.core.somaxconn.
    listen(&fd, Backlog::MAXALLOWABLE)?;
    Ok(TcpListener::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sshd() {
        let text = "port 22\nlistenaddress 0.0.0.0:22\nlistenaddress [::]:2222\nusedns no\n";
        let want = ["0.0.0.0:22", "[::]:2222"].map(|a| a.parse().ok());
        let found = listen_addresses(text).into_iter().map(Some);
        assert!(found.eq(want), "{text}");
        assert!(listen_addresses("").is_empty());
    }

    #[test]
    fn the_configuration_of_the_image_has_the_usual_port() {
        for word in ["Port", "ListenAddress", "AddressFamily"] {
            let has = IMAGE_CONFIG.lines().any(|line| line.starts_with(word));
            assert!(!has, "{word}");
        }
        let grace = format!(
            "LoginGraceTime {}\n",
            super::super::admission::LOGIN_GRACE / 1000
        );
        assert!(IMAGE_CONFIG.contains(&grace));
    }
}
