// SPDX-License-Identifier: Apache-2.0
//! The host name, and the files that name it.

use std::path::Path;

use nix::unistd::sethostname;

use crate::error::{Doing, Result};
use crate::files::replace;

/// Sets the host name and writes /etc/hostname and /etc/hosts. No other code does.
///
/// # Errors
/// The kernel refuses the name, or a file cannot be written.
pub fn set(name: &str) -> Result<()> {
    sethostname(name).doing(format!("host name {name}"))?;
    let hostname = format!("{name}\n");
    replace(Path::new("/etc/hostname"), hostname.as_bytes(), 0o644)?;
    replace(Path::new("/etc/hosts"), hosts(name).as_bytes(), 0o644)
}

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
