//! `b2p key`: who may log in, while the machine runs. sshd reads the files anew for
//! everybody who comes, so that a key holds from the moment it stands there.

use std::fs;
use std::path::Path;

use crate::common::paths::Paths;
use crate::common::terminal::{print, print_error};
use crate::common::{atomic_file, audit, regular_file, sshkey, tool};
use crate::helpers::data::report::{EarlierRun, earlier_run};
use sys::paths::AUTHORIZED_KEYS;

/// Kept, where there is a data disk. sshd_config names it.
const KEPT: &str = "/var/lib/boot2podman/authorized_keys";
/// A file of keys that is longer gets no more.
const LONGEST: u64 = 1 << 20;
const KEYGEN: &str = "/usr/bin/ssh-keygen";

/// `b2p key add KEY` and `b2p key list`; the exit status.
pub fn main(words: &[String]) -> i32 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
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
        Err(why) => {
            print_error(&format!("b2p key: {why}"));
            1
        }
    }
}

fn add(text: &str) -> Result<String, String> {
    let key = sshkey::validate(text)?;
    let path = Path::new(KEPT);
    let old = regular_file::read(path, LONGEST)?.unwrap_or_default();
    let old = String::from_utf8(old).map_err(|e| format!("{KEPT}: {e}"))?;
    if let Some(new) = with(&old, &key) {
        // Public, and read by sshd as the user who comes.
        atomic_file::replace(path, new.as_bytes(), 0o644)?;
    }
    audit::record(&format!("key add {}", described(&key)));
    Ok(match earlier_run(&Paths::default()) {
        EarlierRun::Disk(_) => format!("may log in; kept in {KEPT}\n"),
        _ => "may log in until the machine ends: there is no data disk\n".to_owned(),
    })
}

/// Fingerprint and comment of a key: enough to find it in a file of keys.
fn described(key: &str) -> String {
    let comment = key.splitn(3, ' ').nth(2).unwrap_or_default();
    let fingerprint = sshkey::fingerprint(key).unwrap_or_default();
    format!("{fingerprint} {comment}").trim_end().to_owned()
}

/// The file with one more line; `None` where it is there already.
fn with(old: &str, key: &str) -> Option<String> {
    if old.lines().any(|line| line == key) {
        return None;
    }
    let end = if old.is_empty() || old.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Some(format!("{old}{end}{key}\n"))
}

/// What ssh-keygen says of each file there is.
fn list() -> Result<String, String> {
    let home = format!(
        "/home/{}/.ssh/authorized_keys",
        sys::config_sources::read().0.user
    );
    let mut out = String::new();
    for path in [AUTHORIZED_KEYS, KEPT, "/root/.ssh/authorized_keys", &home] {
        // As `ssh-keygen -lf` it fails at a file without any.
        if !fs::metadata(path).is_ok_and(|m| m.len() > 1) {
            continue;
        }
        let ended = tool::run(KEYGEN, &["-lf", path], std::time::Duration::from_secs(10))?;
        out.push_str(&format!("{path}\n"));
        let lines = ended.output.lines().map(|line| format!("  {line}\n"));
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
        let one = with("", A).unwrap();
        assert_eq!(one, format!("{A}\n"));
        assert_eq!(with(&one, A), None);
        assert_eq!(with("# mine", A).unwrap(), format!("# mine\n{A}\n"));
    }

    #[test]
    fn what_is_no_command_is_no_command() {
        for words in [&[][..], &["add"], &["remove"], &["list", "all"]] {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(main(&words), 2);
        }
    }
}
