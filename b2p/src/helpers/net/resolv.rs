// SPDX-License-Identifier: Apache-2.0
//! resolv.conf(5): the name servers of all cards in one file, and the programs and containers that
//! have read the file and would not read it again.
//!
//! A container on a network with names asks aardvark-dns, which reads the file when it starts
//! and on SIGHUP (its `serve.rs`; from 1.17 on by itself). A container on podman's default
//! network has a copy that podman made when the container started. A copy that is still unchanged
//! is written again, in place, because the copy is a bind mount.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{info, warn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sys::error::Result;
use sys::files::{read_bounded, read_text, replace};

use crate::helpers::engine::conmon::Machine;

/// File with the pid of root's aardvark-dns. Between a user's one and the machine is pasta.
const AARDVARK: &str = "/run/containers/networks/aardvark-dns/aardvark.pid";
/// Path of aardvark-dns.
const AARDVARK_PROGRAM: &str = "/usr/lib/podman/aardvark-dns";
/// Directory with a directory for each of root's containers (storage.conf, runroot).
const CONTAINERS: &str = "/run/containers/storage/overlay-containers";
/// Largest copy that is read, in bytes; podman's are smaller.
const MAX_COPY_BYTES: u64 = 16 * 1024;

/// Number of servers that programs use (resolv.conf(5), `MAXNS`).
const MAX_SERVERS: usize = 3;

/// First line of the file.
const HEAD: &str = "# written by boot2podman's network service\n";

/// Returns true if the network service has written the file.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    read_text(path).is_ok_and(|text| text.starts_with(HEAD))
}

/// Returns the text of the file.
#[must_use]
pub fn text(servers: &[String], domains: &[String]) -> String {
    let mut out = String::from(HEAD);
    if !domains.is_empty() {
        out.push_str(&format!("search {}\n", domains.join(" ")));
    }
    let mut seen: Vec<&String> = Vec::new();
    for server in servers {
        if seen.len() < MAX_SERVERS && !seen.contains(&server) {
            seen.push(server);
            out.push_str(&format!("nameserver {server}\n"));
        }
    }
    out
}

/// Replaces the file in one step if its content changes, and updates aardvark-dns and the
/// copies of containers.
///
/// # Errors
/// The file cannot be written or renamed.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let before = read_text(path).unwrap_or_default();
    if before == text {
        return Ok(());
    }
    replace(path, text.as_bytes(), 0o644)?;
    reload_aardvark(Path::new(AARDVARK), Path::new(AARDVARK_PROGRAM));
    update_copies(Path::new(CONTAINERS), &before, text);
    Ok(())
}

/// Makes aardvark-dns read the file again, if the process in `pid_file` executes `program`.
fn reload_aardvark(pid_file: &Path, program: &Path) {
    let text = read_bounded(pid_file, 32).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else {
        return;
    };
    let machine = Machine::running(program);
    if !machine.is_some_and(|machine| machine.is_machines(Path::new("/proc"), pid)) {
        return; // aardvark-dns has ended, and another process has its number
    }
    match kill(Pid::from_raw(pid), Signal::SIGHUP) {
        Ok(()) => info!("network: aardvark-dns reads the name servers again"),
        Err(e) => warn!("network: aardvark-dns: {e}"),
    }
}

/// Updates the copies of running containers.
fn update_copies(containers: &Path, before: &str, after: &str) {
    let dirs = fs::read_dir(containers).into_iter().flatten().flatten();
    for file in dirs.map(|d| d.path().join("userdata/resolv.conf")) {
        match update_copy(&file, before, after) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => warn!("network: {}: {e}", file.display()),
            Ok(()) => {}
        }
    }
}

fn update_copy(file: &PathBuf, before: &str, after: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let mut open: File = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file)?;
    let mut text = String::new();
    Read::take(&mut open, MAX_COPY_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_COPY_BYTES {
        return Ok(()); // The container has written the file.
    }
    if let Some(new) = updated(&text, before, after) {
        io::Seek::rewind(&mut open)?;
        open.write_all(new.as_bytes())?;
        open.set_len(u64::try_from(new.len()).unwrap_or(0))?;
    }
    Ok(())
}

/// Returns the new text of a container's copy if its servers are those of `before`: all of them, or
/// the IPv4 ones, which podman writes for a container without IPv6. Its other lines stay, except
/// for the domains if these were the machine's.
fn updated(text: &str, before: &str, after: &str) -> Option<String> {
    let own = values(text, "nameserver");
    let all = [before, after].map(|text| values(text, "nameserver"));
    let ipv4 = all.clone().map(|mut servers| {
        servers.retain(|server| !server.contains(':'));
        servers
    });
    let [_, new] = [all, ipv4].into_iter().find(|[old, _]| *old == own)?;
    let same_domains = values(text, "search") == values(before, "search");
    let mut out = String::new();
    if same_domains {
        let lines = values(after, "search").into_iter();
        lines.for_each(|domains| out.push_str(&format!("search {domains}\n")));
    }
    let mut rest = text.lines().filter(|l| keyword(l) != "nameserver");
    for line in rest
        .by_ref()
        .filter(|l| !same_domains || keyword(l) != "search")
    {
        out.push_str(&format!("{line}\n"));
    }
    new.iter()
        .for_each(|server| out.push_str(&format!("nameserver {server}\n")));
    (out != text).then_some(out)
}

fn keyword(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Returns the value of each line with this keyword.
fn values<'a>(text: &'a str, wanted: &str) -> Vec<&'a str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| keyword(line) == wanted);
    lines
        .map(|line| line.get(wanted.len()..).unwrap_or_default().trim())
        .collect()
}

#[cfg(test)]
mod tests;
