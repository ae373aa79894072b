// SPDX-License-Identifier: Apache-2.0
//! Audit trail: each action of a person with root rights leaves a line in the log, with the
//! facility AUTHPRIV, as sudo(8) and sshd(8) do.
//!
//! ```text
//! ann (uid 1000, sudo, pts/0): key add SHA256:HyzfGRXMa3JOAVDQCtWZaAu8V1VAYE8UXzTCLW/6bGg
//! ```

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::unistd::{Uid, getuid};
use sys::error::{Doing, Result};

/// Socket of syslog(3).
const DEV_LOG: &str = "/dev/log";
/// Kernel log, for lines that the socket does not take.
const KMSG: &str = "/dev/kmsg";
/// Name of the program in the log.
const PROGRAM: &str = "b2p";
/// Priority of the lines: AUTHPRIV (10) and info (6), which no console shows.
const PRIORITY: u8 = 10 << 3 | 6;
/// Longest line, in bytes, which fits into one record of the kernel log.
const MAX_LINE: usize = 800;

/// Logs that the person who runs this process did `action`. The function never waits, and writes the
/// line to the kernel log if /dev/log is missing or full.
pub fn record(action: &str) {
    let line = one_line(&format!("{}: {action}", actor()));
    if send(Path::new(DEV_LOG), &line).is_err() {
        let record = format!("{}\n", message(&line));
        let kmsg = OpenOptions::new().write(true).open(KMSG);
        let _ = kmsg.and_then(|mut kmsg| kmsg.write_all(record.as_bytes()));
    }
}

/// Returns a line as a message of RFC 3164 without a time, which its reader adds (section 4.3.2).
fn message(line: &str) -> String {
    format!("<{PRIORITY}>{PROGRAM}[{}]: {line}", std::process::id())
}

/// Sends `line` to the syslog socket at `path`.
fn send(path: &Path, line: &str) -> Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(message(line).as_bytes(), path).on(path)?;
    Ok(())
}

/// Names the person: user, number, `sudo` if sudo(8) gave the root rights, and terminal.
fn actor() -> String {
    let uid = getuid();
    let sudo = env::var("SUDO_USER").ok().zip(env::var("SUDO_UID").ok());
    let (user, uid, sudo) = match sudo.filter(|_| uid.is_root()) {
        Some((user, uid)) => (user, uid, ", sudo"),
        None => (user_name(uid), uid.to_string(), ""),
    };
    let terminal = terminal().map_or(String::new(), |name| format!(", {name}"));
    format!("{user} (uid {uid}{sudo}{terminal})")
}

/// Name of the user in /etc/passwd, or `?`.
fn user_name(uid: Uid) -> String {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let has_uid = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let line = passwd.lines().find(has_uid).unwrap_or("?");
    line.split(':').next().unwrap_or_default().to_owned()
}

/// Name of the terminal of standard input or standard error, without `/dev/`.
fn terminal() -> Option<String> {
    let stdio = [
        (0, io::stdin().is_terminal()),
        (2, io::stderr().is_terminal()),
    ];
    let (fd, _) = stdio.into_iter().find(|(_, is_terminal)| *is_terminal)?;
    let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let name = path.strip_prefix("/dev").ok()?;
    Some(name.to_string_lossy().into_owned())
}

/// Replaces control characters and cuts the text at [`MAX_LINE`].
fn one_line(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_LINE);
    text.get(..end)
        .unwrap_or(text)
        .replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::time::Duration;

    #[test]
    fn a_line_says_who_did_what() {
        let temp = Temp::new();
        let path = temp.path("log");
        let syslog = UnixDatagram::bind(&path).unwrap();
        syslog
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        send(&path, &one_line(&format!("{}: key\nadd", actor()))).unwrap();
        let mut buffer = [0; 1024];
        let length = syslog.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let (head, line) = text.split_once("]: ").unwrap();
        assert_eq!(head, format!("<86>b2p[{}", std::process::id()));
        let (who, what) = line.split_once("): ").unwrap();
        assert!(who.contains(" (uid ") && !who.starts_with(' '), "{text}");
        assert_eq!(what, "key?add");
    }

    #[test]
    fn a_missing_or_full_socket_does_not_block_the_sender() {
        let temp = Temp::new();
        let path = temp.path("log");
        assert!(send(&path, "nobody listens").is_err());
        let _full = UnixDatagram::bind(&path).unwrap();
        let sent = (0..100_000).take_while(|_| send(&path, "full").is_ok());
        assert!(sent.count() < 100_000);
        assert_eq!(one_line(&"é".repeat(MAX_LINE)).len(), MAX_LINE);
    }
}
