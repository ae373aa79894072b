// SPDX-License-Identifier: Apache-2.0
//! The host name, and the files that contain the name.

use std::path::Path;

use nix::unistd::sethostname;

use crate::error::{Doing, Result};
use crate::files::{Replace, read_bounded};
use crate::paths::PODMAN_MACHINE_MARKER;

/// Longest name that is read, in bytes.
const MAX_BYTES: u64 = 256;

/// Sets the host name; writes /etc/hosts and /etc/hostname if the name has changed. No other code writes these files.
///
/// # Errors
/// The kernel refuses the name, or a file cannot be written.
pub fn set(name: &str, replace: Replace<'_>) -> Result<()> {
    sethostname(name).doing(format!("host name {name}"))?;
    let is_in_podman_machine = Path::new(PODMAN_MACHINE_MARKER).exists();
    write_files(Path::new("/etc"), name, is_in_podman_machine, replace)
}

/// Writes hostname last: an /etc/hostname with the new name implies that both files are complete, also after a power
/// cut.
fn write_files(
    etc: &Path,
    name: &str,
    is_in_podman_machine: bool,
    replace: Replace<'_>,
) -> Result<()> {
    let file = etc.join("hostname");
    let hostname = format!("{name}\n");
    // If the name is unchanged, /etc/hosts stays as it is, because the user may have added lines.
    if read_bounded(&file, MAX_BYTES).is_ok_and(|present| present == hostname.as_bytes()) {
        return Ok(());
    }
    let mut hosts = hosts(name);
    if is_in_podman_machine {
        hosts += PODMAN_MACHINE_HOSTS;
    }
    replace(&etc.join("hosts"), hosts.as_bytes(), 0o644, None)?;
    replace(&file, hostname.as_bytes(), 0o644, None)
}

/// Names of the host of a `podman-machine`: QEMU's user network has the host's loopback
/// at 10.0.2.2, and catches podman's requests for ports at 10.0.2.100.
const PODMAN_MACHINE_HOSTS: &str = "10.0.2.2 host.containers.internal host.docker.internal\n\
    10.0.2.100 gateway.containers.internal\n";

/// Returns the text of a hosts(5) file in which the name resolves without any DNS. podman copies the file into
/// containers and adds lines to the copy.
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Error;
    use crate::files::replace_at_once;
    use std::fs;

    #[test]
    fn a_power_cut_between_the_files_leaves_one_more_attempt() {
        let name = format!("b2p-hostname-{}", std::process::id());
        let etc = std::env::temp_dir().join(name);
        fs::create_dir_all(&etc).unwrap();
        let count = std::cell::Cell::new(0);
        let cut = |path: &Path, bytes: &[u8], mode: u32, gid: Option<u32>| {
            count.set(count.get() + 1);
            match count.get() {
                1 => replace_at_once(path, bytes, mode, gid),
                _ => Err(Error::invalid("no power")),
            }
        };
        assert!(write_files(&etc, "box", false, &cut).is_err());
        write_files(&etc, "box", false, &replace_at_once).unwrap();
        for (file, text) in [("hostname", "box\n"), ("hosts", "127.0.1.1 box\n")] {
            assert!(fs::read_to_string(etc.join(file)).unwrap().ends_with(text));
        }
        // The second call writes nothing.
        write_files(&etc, "box", false, &cut).unwrap();
        fs::remove_dir_all(etc).unwrap();
    }

    #[test]
    fn a_qualified_name_adds_its_first_label() {
        assert!(hosts("box").contains("127.0.1.1 box\n"));
        assert!(hosts("box.example.org").contains("127.0.1.1 box.example.org box\n"));
    }
}
