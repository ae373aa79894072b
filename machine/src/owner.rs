// SPDX-License-Identifier: Apache-2.0
//! Owners of the host's ports, by the tables of the kernel
//! (Documentation/networking/proc_net_tcp.rst, proc(5)). Only Linux has these tables.

use nix::unistd::{Uid, User};
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// Beginning of the name that QEMU gets for a machine (`-name`).
const MACHINE: &str = "podman-machine-";

/// Owner of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// QEMU of a machine, by the machine's name and QEMU's pid.
    Machine(String, u32),
    /// Another process, by its name and pid.
    Process(String, u32),
    /// A process that this user may not examine, by the name or number of its user.
    Hidden(String),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(name, pid) => write!(f, "machine \"{name}\" (pid {pid}) has it"),
            Self::Process(name, pid) => write!(f, "{name} (pid {pid}) has it"),
            Self::Hidden(user) => write!(f, "a process of {user} has it"),
        }
    }
}

/// Finds the owner of a port of this host; `protocol` is `tcp` or `udp`.
#[must_use]
pub fn of(protocol: &str, address: Ipv4Addr, port: u16) -> Option<Owner> {
    let tables = [protocol.to_owned(), format!("{protocol}6")]
        .map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let (inode, uid) = tables
        .iter()
        .flat_map(|table| table.lines())
        .find_map(|line| socket(line, protocol, address, port))?;
    let user = || {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        known.map_or_else(|| format!("uid {uid}"), |user| user.name)
    };
    Some(process(inode).unwrap_or_else(|| Owner::Hidden(user())))
}

/// Returns inode and uid of the socket of a line if it is bound to the port in a way that keeps others from it.
fn socket(line: &str, protocol: &str, address: Ipv4Addr, port: u16) -> Option<(u64, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, uid, _, inode, ..] = words.as_slice() else {
        return None;
    };
    let (own, number) = local.split_once(':')?;
    let is_port = u16::from_str_radix(number, 16) == Ok(port);
    let own = local_address(own)?;
    let meets = own == address || own.is_unspecified() || address.is_unspecified();
    let listens = protocol == "udp" || *state == "0A";
    let found = (inode.parse().ok()?, uid.parse().ok()?);
    (is_port && meets && listens).then_some(found)
}

/// Parses an address: words of 32 bits in the host's byte order. A socket of IPv6 blocks a port of IPv4 only if its
/// address is `::` or an IPv4-mapped one (ipv6(7)); other addresses of IPv6 give `None`.
fn local_address(hex: &str) -> Option<Ipv4Addr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok();
    let v4 = |word: u32| Ipv4Addr::from(word.to_ne_bytes());
    if hex.len() == 8 {
        return word(0).map(v4);
    }
    let [a, b, c, d] = [word(0)?, word(8)?, word(16)?, word(24)?];
    let is_mapped = c == 0 && d == 0 || c.to_ne_bytes() == [0, 0, 255, 255];
    (a == 0 && b == 0 && is_mapped).then(|| v4(d))
}

/// Finds the process that has a socket open.
fn process(inode: u64) -> Option<Owner> {
    let link = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if has_open(&entry.path(), &link) {
            return Some(described(&entry.path(), pid));
        }
    }
    None
}

fn has_open(process: &Path, link: &str) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten();
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
}

fn described(process: &Path, pid: u32) -> Owner {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    if let Some(name) = machine(&String::from_utf8_lossy(&words)) {
        return Owner::Machine(name, pid);
    }
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Owner::Process(vmm::without_controls(name.trim_end()), pid)
}

/// Returns the name of the machine of a QEMU with these arguments, which end with a NUL each.
fn machine(arguments: &str) -> Option<String> {
    let mut words = arguments.split('\0');
    words.find(|word| *word == "-name")?;
    let (name, _) = words.next()?.strip_prefix(MACHINE)?.split_once(',')?;
    Some(vmm::without_controls(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[cfg(target_endian = "little")]
    #[test]
    fn sockets_that_keep_others_from_a_port() {
        let any6 = "00000000000000000000000000000000";
        let mapped = "0000000000000000FFFF00000100007F";
        let rows = [
            ("0100007F:1F90", "0A", "tcp", "127.0.0.1", true),
            ("00000000:1F90", "0A", "tcp", "127.0.0.1", true),
            ("0100007F:1F90", "0A", "tcp", "0.0.0.0", true),
            ("0100007F:1F90", "0A", "tcp", "127.0.0.2", false),
            ("0100007F:1F91", "0A", "tcp", "127.0.0.1", false),
            ("0100007F:1F90", "01", "tcp", "127.0.0.1", false),
            ("0100007F:1F90", "07", "udp", "127.0.0.1", true),
            (&format!("{any6}:1F90"), "0A", "tcp", "127.0.0.1", true),
            (&format!("{mapped}:1F90"), "0A", "tcp", "127.0.0.1", true),
            (
                "B80D0120000000000000000001000000:1F90",
                "0A",
                "tcp",
                "127.0.0.1",
                false,
            ),
            ("x:1F90", "0A", "tcp", "127.0.0.1", false),
        ];
        for (local, state, protocol, address, expected) in rows {
            let line = format!("0: {local} 0:0 {state} 0:0 0:0 0 1000 0 77 1 x");
            let address = address.parse().expect("an address");
            let found = socket(&line, protocol, address, 8080);
            assert_eq!(found, expected.then_some((77, 1000)), "{line} {address}");
        }
        let head = "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode";
        assert_eq!(socket(head, "tcp", Ipv4Addr::LOCALHOST, 8080), None);
    }

    #[test]
    fn the_machine_of_a_qemu_is_read_from_its_arguments() {
        let words = "qemu\0-name\0podman-machine-web.1,process=pm-web.1\0-m\0";
        assert_eq!(machine(words).as_deref(), Some("web.1"));
        for other in ["qemu\0-name\0guest=x,process=y\0", "qemu\0-name\0", "", "x"] {
            assert_eq!(machine(other), None, "{other:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_owner_of_a_port_is_this_process() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
        let udp = UdpSocket::bind("0.0.0.0:0").expect("bound");
        for (protocol, port) in [
            ("tcp", tcp.local_addr().expect("address").port()),
            ("udp", udp.local_addr().expect("address").port()),
        ] {
            match of(protocol, Ipv4Addr::LOCALHOST, port) {
                Some(Owner::Process(_, pid)) => assert_eq!(pid, std::process::id(), "{protocol}"),
                other => panic!("{protocol}: {other:?}"),
            }
        }
    }
}
