// SPDX-License-Identifier: Apache-2.0
//! Files by URL.

use super::hash::sha256;
use super::space;
use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Fetches a file that has this sum.
pub fn fetch_checked(url: &str, to: &Path, expected: &str) -> Result<()> {
    fetch(url, to)?;
    let sum = sha256(to)?;
    if sum != expected {
        let text = format!(
            "Error: {} has the SHA-256 {sum}, not {expected}: the image is refused",
            without_user(url)
        );
        return Err(Fault::with_status(text, PRE_CREATE).into());
    }
    Ok(())
}

/// Limits of a download. The checksum protects the content; these limits protect the time and the disk against a server
/// that stops sending, or never ends.
struct Limits {
    bytes: u64,
    /// Seconds without a byte.
    stall: u32,
}

/// Images have some hundred megabytes.
const LIMITS: Limits = Limits {
    bytes: 4 << 30,
    stall: 60,
};

/// Fetches a URL with curl(1), which knows proxies and certificates.
pub fn fetch(url: &str, to: &Path) -> Result<()> {
    fetch_within(url, to, &LIMITS)
}

/// Returns the command that writes a URL to its standard output.
fn curl(limits: &Limits) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--show-error"]);
    curl.args(["--connect-timeout", "30", "--speed-limit", "1"]);
    curl.args(["--speed-time", &limits.stall.to_string()]);
    curl.args(["--max-filesize", &limits.bytes.to_string()]);
    // On a terminal, curl draws its progress bar on standard error, and writes its error there as well.
    let (progress, errors) = match io::stderr().is_terminal() {
        true => ("--progress-bar", Stdio::inherit()),
        false => ("--silent", Stdio::piped()),
    };
    curl.arg(progress);
    curl.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors);
    curl
}

fn fetch_within(url: &str, to: &Path, limits: &Limits) -> Result<()> {
    let head = to.with_extension("head");
    let mut child = curl(limits)
        .args([OsStr::new("--dump-header"), head.as_os_str()])
        .args(["--", url])
        .spawn()
        .context("curl, which fetches images")?;
    let from = child.stdout.take().context("no output")?;
    let mut file = File::create(to).with_context(|| to.display().to_string())?;
    let mut from = BufReader::new(from.take(limits.bytes + 1));
    let room = begun(&mut from, &head, to);
    let copied = match &room {
        Ok(()) => io::copy(&mut from, &mut file),
        Err(_) => Ok(0),
    };
    if room.is_err() || !matches!(copied, Ok(len) if len <= limits.bytes) {
        child.kill()?;
    }
    let _ = fs::remove_file(&head);
    let output = child.wait_with_output()?;
    room?;
    let copied = copied.with_context(|| format!("write {}", to.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let why = match (copied > limits.bytes, output.status.success(), said.trim()) {
        (true, ..) => format!("it has more than {} bytes", limits.bytes),
        (false, true, _) => return Ok(()),
        (false, false, "") => format!("curl: {}", output.status),
        (false, false, said) => said.replace('\n', "; "),
    };
    let text = format!("Error: cannot fetch {}: {why}", without_user(url));
    Err(Fault::with_status(text, PRE_CREATE).into())
}

/// Waits for the first byte, and refuses a file that the disk has no room for. The server's last head, behind its
/// redirections, tells the length if it knows it.
fn begun(from: &mut impl BufRead, head: &Path, to: &Path) -> Result<(), Fault> {
    // An error shows in the copy.
    let _ = from.fill_buf();
    let heads = fs::read_to_string(head).unwrap_or_default();
    let dir = to.parent().unwrap_or(to);
    space::check("the image", dir, content_length(&heads))
}

/// Returns the last length in the heads of answers; 0 without one.
fn content_length(heads: &str) -> u64 {
    let fields = heads.lines().rev().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths
        .next()
        .and_then(|(_, length)| length.trim().parse().ok())
        .unwrap_or(0)
}

/// Returns a URL for people, without a name and password before its host (RFC 3986, 3.2.1).
pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    /// Fetches from a server that answers with a head, and then sends the body without end, or nothing for an empty one.
    fn fetched(body: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("http://{}/x", listener.local_addr().expect("address"));
        let server = thread::spawn(move || {
            let mut client = listener.accept().expect("a client").0;
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            match body {
                [] => drop(client.read_to_end(&mut Vec::new())),
                body => while client.write_all(body).is_ok() {},
            }
        });
        let dir = tempfile::tempdir().expect("a directory");
        let limits = Limits {
            bytes: 100_000,
            stall: 1,
        };
        let error = fetch_within(&url, &dir.path().join("f"), &limits).expect_err("refused");
        server.join().expect("no panic");
        error.to_string()
    }

    #[test]
    fn a_server_has_limits() {
        let error = fetched(b"0123456789");
        // A curl of 8.4 and later ends by itself.
        assert!(
            error.contains("100000 bytes") || error.contains("(63)"),
            "{error}"
        );
        let error = fetched(b"");
        assert!(error.contains("(28)"), "{error}");
    }

    #[test]
    fn a_server_tells_lengths() {
        for (heads, expected) in [
            (
                "HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nHTTP/2 200\r\ncontent-length: 70\r\n\r\n",
                70,
            ),
            ("Content-Length: 9\r\nAccept-ranges: bytes\r\n", 9),
            ("HTTP/1.1 200 OK\r\n\r\n", 0),
            ("content-length: x", 0),
            ("", 0),
        ] {
            assert_eq!(content_length(heads), expected, "{heads}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("https://u:p@w@host/a@b", "https://host/a@b"),
            ("https://host:1/a", "https://host:1/a"),
            ("http://u@host?q=a@b", "http://host?q=a@b"),
            ("file:///a@b", "file:///a@b"),
            ("box", "box"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }
}
