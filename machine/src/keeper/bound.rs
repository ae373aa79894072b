// SPDX-License-Identifier: Apache-2.0
//! Check whether a socket of the guest is bound to a port: reads the socket tables of its kernel, by ssh.

use super::answer::Answer;
use super::tunnel::host_alias;
use crate::store::Machine;
use crate::store::record::Forward;
use anyhow::{Context, Result, ensure};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time that the guest has for its answer: ssh under emulation on a busy host takes seconds.
const LIMIT: Duration = Duration::from_secs(20);
/// Most bytes of an answer: a line has 150, and a guest some thousand sockets.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Returns true if something in the guest is bound to the port of a forward.
pub fn is_port_bound(machine: &Machine, port: &Forward) -> Result<bool> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(machine.file("ssh_config"));
    ssh.arg(host_alias(&machine.name)).arg("--");
    ssh.arg(format!("cat /proc/net/{0} /proc/net/{0}6", port.protocol));
    ssh.stdin(Stdio::null())
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::null());
    let mut child = vmm::process::spawn(ssh).context("ssh")?;
    let mut answer = Answer::new(ours, MAX_ANSWER_BYTES);
    let read = answer.read(Some(LIMIT), |_| false);
    let _ = child.kill();
    child.wait()?;
    let text = String::from_utf8_lossy(&answer.bytes);
    ensure!(
        read? && text.contains("local_address"),
        "the machine does not tell its ports"
    );
    Ok(is_bound(&text, port))
}

/// Finds a local port in the lines of /proc/net/tcp or udp: sockets that listen, or are not connected
/// (Documentation/networking/proc_net_tcp.rst).
fn is_bound(tables: &str, port: &Forward) -> bool {
    let state = if port.protocol == "udp" { "07" } else { "0A" };
    let local = format!(":{:04X}", port.guest);
    tables.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, own, _, st, ..] if own.ends_with(&local) && *st == state)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0F02000A:0016 0202000A:C0DE 01 00000000:00000000 02:00000000 00000000     0        0 2 1
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
 7: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 3 2
";

    #[test]
    fn sockets_that_hold_a_port() {
        for (protocol, guest, expected) in [
            ("tcp", 8080, true),
            ("tcp", 80, true),
            ("tcp", 22, false),
            ("tcp", 0xc0de, false),
            ("tcp", 53, false),
            ("udp", 53, true),
            ("udp", 8080, false),
        ] {
            let port = Forward {
                protocol: protocol.into(),
                address: "127.0.0.1".into(),
                port: 1,
                guest,
            };
            assert_eq!(is_bound(TABLES, &port), expected, "{protocol} {guest}");
        }
        assert!(!is_bound(
            "",
            &Forward {
                protocol: "tcp".into(),
                address: String::new(),
                port: 1,
                guest: 1
            }
        ));
    }
}
