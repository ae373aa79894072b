// SPDX-License-Identifier: Apache-2.0
//! `b2p key`: SSH keys that may log in, changed while the machine runs. sshd reads the files for
//! each login, so that a change takes effect at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sys::error::{Doing, Error, Result};
use sys::paths::{ADDED_KEYS_IN_RAM, AUTHORIZED_KEYS};

use crate::common::paths::Paths;
use crate::common::terminal::{print, print_error};
use crate::common::{atomic_file, audit, sshkey, tool, user_text};
use crate::helpers::data::report::{EarlierRun, earlier_run};

/// File of added keys, on the data disk if there is one, named in sshd_config.
const ADDED_KEYS: &str = "/var/lib/boot2podman/authorized_keys";
/// Longest file of keys that a key is added to, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Program that prints the fingerprints.
const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";
/// Time that ssh-keygen may take.
const SSH_KEYGEN_LIMIT: Duration = Duration::from_secs(10);

/// Runs `b2p key add KEY` or `b2p key list` and returns the exit status.
pub fn main(args: &[String]) -> i32 {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["add", key @ ..] if !key.is_empty() => add(&key.join(" ")),
        ["list"] => list(),
        _ => {
            print_error("usage: b2p key add 'ssh-ed25519 AAAA… who' | b2p key list");
            return 2;
        }
    };
    match outcome {
        Ok(text) => {
            print(&text);
            0
        }
        Err(error) => {
            print_error(&format!("b2p key: {error}"));
            1
        }
    }
}

/// Adds a key and returns a line for the user.
fn add(text: &str) -> Result<String> {
    let key = sshkey::validate(text)?;
    let kept = add_to(Path::new(ADDED_KEYS), &key);
    if let Err(why) = &kept {
        // A state directory without room, or on a disk that has failed.
        add_to(Path::new(ADDED_KEYS_IN_RAM), &key).map_err(|_| why.clone())?;
    }
    audit::record(&format!("key add {}", describe(&key)));
    Ok(match (kept, earlier_run(&Paths::default())) {
        (Err(why), _) => format!("may log in until the machine ends: {why}\n"),
        (Ok(()), EarlierRun::Disk(_)) => format!("may log in; kept in {ADDED_KEYS}\n"),
        _ => "may log in until the machine ends: there is no data disk\n".to_owned(),
    })
}

/// Adds a key to a file that sshd reads.
fn add_to(path: &Path, key: &str) -> Result<()> {
    let bytes = user_text::read(path, MAX_FILE_BYTES)?.unwrap_or_default();
    let utf8 = String::from_utf8(bytes).map_err(|e| Error::invalid(e.to_string()));
    if let Some(text) = with_key(&utf8.on(path)?, key) {
        // sshd reads the file as the user that logs in; public keys are no secret.
        atomic_file::replace(path, text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Returns fingerprint and comment of a key, by which a person finds the key in a file.
fn describe(key: &str) -> String {
    let comment = key.splitn(3, ' ').nth(2).unwrap_or_default();
    let fingerprint = sshkey::fingerprint(key).unwrap_or_default();
    format!("{fingerprint} {comment}").trim_end().to_owned()
}

/// Returns the text of the file with one more line, or `None` if the line is there already.
fn with_key(text: &str, key: &str) -> Option<String> {
    if text.lines().any(|line| line == key) {
        return None;
    }
    let is_complete = text.is_empty() || text.ends_with('\n');
    let line_end = if is_complete { "" } else { "\n" };
    Some(format!("{text}{line_end}{key}\n"))
}

/// Returns the output of ssh-keygen for each file of keys.
fn list() -> Result<String> {
    let user = sys::config_sources::read().0.user;
    let home = format!("/home/{user}/.ssh/authorized_keys");
    let mut out = String::new();
    for path in [
        AUTHORIZED_KEYS,
        ADDED_KEYS,
        ADDED_KEYS_IN_RAM,
        "/root/.ssh/authorized_keys",
        &home,
    ] {
        // `ssh-keygen -lf` fails for a file without keys.
        if !fs::metadata(path).is_ok_and(|m| m.len() > 1) {
            continue;
        }
        let finished = tool::run(SSH_KEYGEN, &["-lf", path], SSH_KEYGEN_LIMIT)?;
        out.push_str(&format!("{path}\n"));
        let lines = finished.output.lines().map(|line| format!("  {line}\n"));
        out.extend(lines);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a b";

    #[test]
    fn a_key_is_added_once() {
        let one = with_key("", A).unwrap();
        assert_eq!(one, format!("{A}\n"));
        assert_eq!(with_key(&one, A), None);
        assert_eq!(with_key("# mine", A).unwrap(), format!("# mine\n{A}\n"));
    }

    #[test]
    fn wrong_arguments_of_b2p_key_exit_with_2() {
        for words in [&[][..], &["add"], &["remove"], &["list", "all"]] {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(main(&words), 2);
        }
    }
}
