//! resolv.conf(5): the name servers of all interfaces, in one file.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

/// Where /etc/resolv.conf points.
pub const PATH: &str = "/run/boot2podman/resolv.conf";

/// The file's text; at most three servers are used by anyone (resolv.conf(5)).
#[must_use]
pub fn text(servers: &[Ipv4Addr], domains: &[String]) -> String {
    let mut out = String::from("# written by boot2podman's network service\n");
    if !domains.is_empty() {
        out.push_str(&format!("search {}\n", domains.join(" ")));
    }
    let mut seen: Vec<Ipv4Addr> = Vec::new();
    for server in servers {
        if seen.len() < 3 && !seen.contains(server) {
            seen.push(*server);
            out.push_str(&format!("nameserver {server}\n"));
        }
    }
    out
}

/// Replaces the file in one step: a reader sees the old or the new.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_servers_each_once() {
        let a = |n| Ipv4Addr::new(1, 1, 1, n);
        let t = text(&[a(1), a(1), a(2), a(3), a(4)], &["lan".into()]);
        assert!(
            t.ends_with("search lan\nnameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\n")
        );
        assert!(!text(&[], &[]).contains("nameserver"));
    }
}
