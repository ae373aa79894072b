//! resolv.conf(5): the name servers of all interfaces, in one file; and those who have
//! read it and would not look again.
//!
//! A container on a network with names asks aardvark-dns, which reads the file when it
//! starts and on SIGHUP (its `serve.rs`; from 1.17 on by itself). One on podman's default
//! network has a copy that podman made when the container started: where that is still
//! what podman wrote, it is written again, in place, because it is a bind mount.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{info, warn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sys::files::read_bounded;

/// Where aardvark-dns says which process it is; root's. A user's has pasta between it
/// and the machine.
const AARDVARK: &str = "/run/containers/networks/aardvark-dns/aardvark.pid";
/// What root's containers have of their own, each in a directory (storage.conf, runroot).
const CONTAINERS: &str = "/run/containers/storage/overlay-containers";
/// A longer file is not podman's.
const LONGEST: u64 = 16 * 1024;

/// The file's text; at most three servers are used by anyone (resolv.conf(5)).
#[must_use]
pub fn text(servers: &[String], domains: &[String]) -> String {
    let mut out = String::from("# written by boot2podman's network service\n");
    if !domains.is_empty() {
        out.push_str(&format!("search {}\n", domains.join(" ")));
    }
    let mut seen: Vec<&String> = Vec::new();
    for server in servers {
        if seen.len() < 3 && !seen.contains(&server) {
            seen.push(server);
            out.push_str(&format!("nameserver {server}\n"));
        }
    }
    out
}

/// Replaces the file in one step: a reader sees the old or the new; and tells those
/// who have read it, if it is another one.
///
/// # Errors
/// What the system said.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let before = fs::read_to_string(path).unwrap_or_default();
    if before == text {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)?;
    wake(Path::new(AARDVARK));
    copies(Path::new(CONTAINERS), &before, text);
    Ok(())
}

/// Makes aardvark-dns read the file again, if it runs.
fn wake(file: &Path) {
    let text = read_bounded(file, 32).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else {
        return;
    };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if name.trim() != "aardvark-dns" {
        return; // it has ended, and the number is somebody else's
    }
    match kill(Pid::from_raw(pid), Signal::SIGHUP) {
        Ok(()) => info!("network: aardvark-dns reads the name servers again"),
        Err(e) => warn!("network: aardvark-dns: {e}"),
    }
}

/// Brings the copies of running containers up to date.
fn copies(containers: &Path, before: &str, after: &str) {
    let dirs = fs::read_dir(containers).into_iter().flatten().flatten();
    for file in dirs.map(|d| d.path().join("userdata/resolv.conf")) {
        match copy(&file, before, after) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => warn!("network: {}: {e}", file.display()),
            Ok(()) => {}
        }
    }
}

fn copy(file: &PathBuf, before: &str, after: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let mut open: File = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file)?;
    let mut text = String::new();
    Read::take(&mut open, LONGEST).read_to_string(&mut text)?;
    if let Some(new) = copied(&text, before, after) {
        io::Seek::rewind(&mut open)?;
        open.write_all(new.as_bytes())?;
        open.set_len(u64::try_from(new.len()).unwrap_or(0))?;
    }
    Ok(())
}

/// What a container's `text` becomes, if its servers are those of `before`: all of them,
/// or the IPv4 ones, as podman has it for a container without IPv6. Its other lines stay,
/// but for the domains, if these were the machine's.
fn copied(text: &str, before: &str, after: &str) -> Option<String> {
    let v4 = |list: Vec<&str>| -> Vec<String> {
        let all = list.into_iter().filter(|s| !s.contains(':'));
        all.map(str::to_owned).collect()
    };
    let all = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let own = all(values(text, "nameserver"));
    let new = if own == all(values(before, "nameserver")) {
        all(values(after, "nameserver"))
    } else if own == v4(values(before, "nameserver")) {
        v4(values(after, "nameserver"))
    } else {
        return None;
    };
    let searches = values(text, "search") == values(before, "search");
    let mut out = String::new();
    if searches {
        let lines = values(after, "search").into_iter();
        lines.for_each(|domains| out.push_str(&format!("search {domains}\n")));
    }
    let mut rest = text.lines().filter(|l| word(l) != "nameserver");
    for line in rest.by_ref().filter(|l| !searches || word(l) != "search") {
        out.push_str(&format!("{line}\n"));
    }
    new.iter()
        .for_each(|server| out.push_str(&format!("nameserver {server}\n")));
    (out != text).then_some(out)
}

fn word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// What follows this word, on each line that begins with it.
fn values<'a>(text: &'a str, wanted: &str) -> Vec<&'a str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| word(line) == wanted);
    lines
        .map(|line| line.get(wanted.len()..).unwrap_or_default().trim())
        .collect()
}

#[cfg(test)]
mod tests;
