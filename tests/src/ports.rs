// SPDX-License-Identifier: Apache-2.0
//! Ports of the host that a program binds some time after the test has named them.

use anyhow::{Context, Result};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Lowest port that is named.
const FIRST: u16 = 16_000;
/// Number of ports: below those that the kernel gives to sockets without a port (ip-sysctl.rst,
/// `ip_local_port_range`, 32768 by default), of which another test may get any at any moment.
const COUNT: u32 = 16_000;
/// Number of ports from one process's first to the next one's.
const OF_A_PROCESS: u32 = 32;

/// Returns a port of 127.0.0.1 that is free for TCP and UDP, another one for each call.
///
/// # Errors
/// No port is free.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_this_process = std::process::id().wrapping_mul(OF_A_PROCESS);
    (0..COUNT)
        .map(|_| {
            let n = of_this_process.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into());
            FIRST + (n % COUNT) as u16
        })
        .find(|port| is_free(*port))
        .context("no port is free")
}

fn is_free(port: u16) -> bool {
    let at = ("127.0.0.1", port);
    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_returns_distinct_unused_ports() {
        let (first, second) = (free().expect("a port"), free().expect("a port"));
        assert!(first != second && first < 32_768 && second < 32_768);
        let _tcp = TcpListener::bind(("127.0.0.1", first)).expect("free");
        let _udp = UdpSocket::bind(("127.0.0.1", second)).expect("free");
        assert!(!is_free(first) && !is_free(second));
    }
}
