// SPDX-License-Identifier: Apache-2.0
//! The host name, and the files that name it.

use std::path::Path;

use nix::unistd::sethostname;

use crate::error::{Doing, Result};
use crate::files::{read_bounded, replace};
use crate::paths::IN_MACHINE;

/// Longest name that is read, in bytes.
const MAX_BYTES: u64 = 256;

/// Sets the host name and writes /etc/hostname and /etc/hosts if that is a new one. No other code
/// does.
///
/// # Errors
/// The kernel refuses the name, or a file cannot be written.
pub fn set(name: &str) -> Result<()> {
    sethostname(name).doing(format!("host name {name}"))?;
    let hostname = format!("{name}\n");
    // The data disk may keep /etc, and the owner's lines in /etc/hosts.
    if read_bounded(Path::new("/etc/hostname"), MAX_BYTES).is_ok_and(|is| is == hostname.as_bytes())
    {
        return Ok(());
    }
    replace(Path::new("/etc/hostname"), hostname.as_bytes(), 0o644)?;
    let mut hosts = hosts(name);
    if Path::new(IN_MACHINE).exists() {
        hosts += MACHINE_HOSTS;
    }
    replace(Path::new("/etc/hosts"), hosts.as_bytes(), 0o644)
}

/// Names of the host in a machine of podman-machine: QEMU's user network has the host's loopback
/// at 10.0.2.2, and catches podman's requests for ports at 10.0.2.100.
const MACHINE_HOSTS: &str = "10.0.2.2 host.containers.internal host.docker.internal\n\
    10.0.2.100 gateway.containers.internal\n";

/// Returns a hosts(5) in which the name resolves without any DNS. podman copies the file into
/// containers and adds to it.
fn hosts(name: &str) -> String {
    let short = name.split('.').next().unwrap_or(name);
    let names = if short == name {
        name.to_owned()
    } else {
        format!("{name} {short}")
    };
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {names}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_given_too() {
        assert!(hosts("box").contains("127.0.1.1 box\n"));
        assert!(hosts("box.example.org").contains("127.0.1.1 box.example.org box\n"));
    }
}
