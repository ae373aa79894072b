// SPDX-License-Identifier: Apache-2.0
//! The host key of sshd: the key of the disk if there is one, taken by `b2p data`; else a new one,
//! made by `b2p hostkey`, which PID 1 runs between `b2p data` and sshd, and stored on the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use log::{error, info, warn};
use sys::error::{Doing, Error, Result};
use sys::files::{read_whole, replace};
use sys::paths::HOST_KEY;

use super::report::{self, EarlierRun};
use crate::common::paths::Paths;
use crate::common::private_key::{self, Verdict};
use crate::common::{atomic_file, sshkey, tool, user_text};

/// Longest key file that is read, in bytes.
const MAX_KEY_BYTES: u64 = 64 * 1024;
/// Limit for one run of ssh-keygen, which takes half a second on a slow machine.
const KEYGEN_LIMIT: Duration = Duration::from_secs(10);
/// Exit statuses of ssh-keygen for a refused key. Others are those of the linker, and of a program
/// that a signal ended.
const KEYGEN_REFUSES: [i32; 2] = [1, 255];
/// Types of keys that sshd may have without another program.
const TYPES: [&str; 5] = [
    "ssh-ed25519 ",
    "ssh-rsa ",
    "ecdsa-sha2-nistp256 ",
    "ecdsa-sha2-nistp384 ",
    "ecdsa-sha2-nistp521 ",
];
/// Comment in a new key.
const COMMENT: &str = "boot2podman";

/// `b2p hostkey`; returns the exit status.
pub fn main() -> i32 {
    let paths = Paths::default();
    if let Err(why) = make(&paths) {
        error!("hostkey: {why}");
        return 1;
    }
    if matches!(report::earlier_run(&paths), EarlierRun::Disk(_)) {
        store(&paths).unwrap_or_else(|why| warn!("hostkey: not kept on the disk: {why}"));
    }
    0
}

/// Private key that sshd uses.
fn used(paths: &Paths) -> PathBuf {
    paths.at(HOST_KEY)
}

/// Private key on the disk.
fn stored(paths: &Paths) -> PathBuf {
    let name = Path::new(HOST_KEY).file_name().unwrap_or_default();
    paths.state_dir().join("ssh").join(name)
}

fn public(private: &Path) -> PathBuf {
    private.with_extension("pub")
}

/// A key that sshd can use.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// Text of the private key.
    private: Vec<u8>,
    /// Text of the `.pub` file.
    public: String,
}

/// Reason why a file gives no key.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    why: Error,
    /// True if sshd could not use the content of the file. False for an unknown result: the disk failed,
    /// or memory, time or a program was missing, and another boot may find a good key.
    is_judged: bool,
}

impl From<Error> for Refusal {
    /// A system call that fails is no fact about the key.
    fn from(why: Error) -> Refusal {
        let is_judged = why.errno().is_none();
        Refusal { why, is_judged }
    }
}

/// Judges a private key of a type that is not made here: returns its public half.
type Judge = fn(&[u8]) -> Result<String, Refusal>;

/// Reads and judges a private key; `None` if there is no file.
fn read(path: &Path, judge: Judge) -> Result<Option<Key>, Refusal> {
    let Some(bytes) = read_whole(path, MAX_KEY_BYTES)? else {
        return Ok(None);
    };
    let judged = || -> Result<Option<Key>, Refusal> {
        let mut private = user_text::normalize(&bytes)?.into_owned();
        // OpenSSH does not find a last line without its end.
        if !private.ends_with(b"\n") {
            private.push(b'\n');
        }
        let public = match private_key::judge(&private)? {
            Verdict::Whole(public) => public,
            Verdict::Unknown => judge(&private)?,
        };
        Ok(Some(Key { private, public }))
    };
    judged().or_else(|Refusal { why, is_judged }| {
        let why = Err(why).on(path);
        why.map_err(|why| Refusal { why, is_judged })
    })
}

/// Lets ssh-keygen load the key, sign with it, and verify the signature: a key of which only the
/// secret part is damaged loads, and no client accepts its signatures.
fn ask_ssh_keygen(private: &[u8]) -> Result<String, Refusal> {
    judged_by_ssh_keygen(private, &Path::new(sys::paths::RUNTIME_DIR).join("hostkey"))
}

fn judged_by_ssh_keygen(private: &[u8], dir: &Path) -> Result<String, Refusal> {
    let (key, signature) = (dir.join("key"), dir.join("key.sig"));
    let asked = || {
        replace(&key, private, 0o600)?;
        let name = key.display().to_string();
        let public = keygen(&["-y", "-P", "", "-f", &name], None)?;
        if !TYPES.iter().any(|kind| public.starts_with(kind)) {
            return Err(Error::invalid("sshd cannot use a key of this type").into());
        }
        // The text that is signed may be any: the key itself.
        let text = keygen(&["-q", "-Y", "sign", "-n", "file", "-f", &name], Some(&key))?;
        replace(&signature, text.as_bytes(), 0o600)?;
        let signature = signature.display().to_string();
        let verify = [
            "-q",
            "-Y",
            "check-novalidate",
            "-n",
            "file",
            "-s",
            &signature,
        ];
        keygen(&verify, Some(&key)).map_err(|refusal| match refusal.is_judged {
            true => Error::invalid("its signatures are wrong").into(),
            false => refusal,
        })?;
        Ok(public)
    };
    let outcome = asked();
    let _ = fs::remove_dir_all(dir);
    outcome
}

/// Runs ssh-keygen and returns its output.
fn keygen(args: &[&str], stdin: Option<&Path>) -> Result<String, Refusal> {
    let mut command = Command::new("/usr/bin/ssh-keygen");
    command.args(args).env_clear();
    keygen_output(&mut command, stdin, KEYGEN_LIMIT)
}

fn keygen_output(
    command: &mut Command,
    stdin: Option<&Path>,
    limit: Duration,
) -> Result<String, Refusal> {
    let input = stdin.map(File::open).transpose().map_err(Error::from)?;
    // One that does not start, or end in time, judges nothing.
    let finished = tool::run_with_input(command, input, limit).map_err(|why| Refusal {
        why,
        is_judged: false,
    })?;
    let why = finished.last_lines.replace("\r", "");
    match finished.code {
        Some(0) => Ok(finished.output),
        code => Err(Refusal {
            why: Error::invalid(format!("ssh-keygen: {why}")),
            is_judged: code.is_some_and(|code| KEYGEN_REFUSES.contains(&code)),
        }),
    }
}

/// Makes sshd use the disk's key, if there is one. A file that sshd could not use is renamed, and
/// the machine gets a new key, which the disk then keeps. A key that could not be judged stays, and
/// this boot has another one, in RAM.
///
/// # Errors
/// The key cannot be used, its public half was another's, or sshd's key cannot be written.
pub fn install(paths: &Paths) -> Result<()> {
    install_judged(paths, ask_ssh_keygen)
}

fn install_judged(paths: &Paths, judge: Judge) -> Result<()> {
    let stored = stored(paths);
    let key = match read(&stored, judge) {
        Ok(Some(key)) => key,
        Ok(None) => return Ok(()),
        Err(Refusal { why, is_judged }) if !is_judged => {
            return Err(why).doing("it stays as it is, and this boot has another one");
        }
        Err(Refusal { why, .. }) => {
            // A remaining public half would be mistaken for that of the next key.
            let _ = put_aside(&public(&stored));
            let aside = put_aside(&stored)?;
            return Err(why).doing(format!("put aside as {}, and replaced", aside.display()));
        }
    };
    let used = used(paths);
    replace(&public(&used), key.public.as_bytes(), 0o644)?;
    replace(&used, &key.private, 0o600)?;
    check_public(&public(&stored), &key)
}

/// Replaces the file of the public half if the file has another key, or cannot be read.
fn check_public(path: &Path, key: &Key) -> Result<()> {
    let why = match read_whole(path, MAX_KEY_BYTES) {
        Ok(None) => return Ok(()),
        Ok(Some(text)) if is_same_key(&String::from_utf8_lossy(&text), &key.public) => {
            return Ok(());
        }
        Ok(Some(_)) => Err(Error::invalid("not the public half of the host key")).on(path),
        Err(why) if why.errno().is_some() => return Err(why),
        Err(why) => Err(why),
    };
    let aside = put_aside(path)?;
    atomic_file::replace(path, key.public.as_bytes(), 0o644)?;
    why.doing(format!("put aside as {}, and replaced", aside.display()))
}

/// Returns true if both lines have the same type and key.
fn is_same_key(a: &str, b: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.trim_start_matches('\u{feff}').split_ascii_whitespace();
        words.take(2).map(str::to_owned).collect()
    };
    words(a) == words(b)
}

/// Renames any kind of file at `path` to the first free name, and returns the name.
fn put_aside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (0..).map(|n| match n {
        0 => format!("{name}.broken"),
        n => format!("{name}.broken.{n}"),
    });
    let mut free = names
        .map(|name| path.with_file_name(name))
        .filter(|aside| aside.symlink_metadata().is_err());
    let aside = free.next().unwrap_or_default();
    fs::rename(path, &aside).on(path)?;
    Ok(aside)
}

/// Makes a new key if sshd has none. The private half, whose presence means that there is a key, is
/// written last.
fn make(paths: &Paths) -> Result<()> {
    let used = used(paths);
    match read(&used, ask_ssh_keygen) {
        Ok(Some(_)) => return Ok(()),
        Err(Refusal { why, is_judged }) if !is_judged => {
            warn!("hostkey: it is used, and was not judged: {why}");
            return Ok(());
        }
        Ok(None) | Err(_) => {}
    }
    let pair = sshkey::generate(COMMENT)?;
    replace(&public(&used), pair.public.as_bytes(), 0o644)?;
    replace(&used, pair.private.as_bytes(), 0o600)
}

/// Stores sshd's key on the disk, if the disk has none. The private half, whose presence means that
/// there is a key, is written last.
///
/// # Errors
/// The disk cannot be written; the machine still has its key.
pub fn store(paths: &Paths) -> Result<()> {
    let (used, stored) = (used(paths), stored(paths));
    match stored.symlink_metadata() {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // A disk that cannot be read may have a key.
        Err(e) => return Err(e).on(stored),
    }
    let Ok(Some(key)) = read_whole(&used, MAX_KEY_BYTES) else {
        return Ok(()); // `b2p hostkey` has not run yet.
    };
    if let Ok(Some(text)) = read_whole(&public(&used), MAX_KEY_BYTES) {
        atomic_file::replace(&public(&stored), &text, 0o644)?;
    }
    atomic_file::replace(&stored, &key, 0o600)?;
    info!("hostkey: the disk keeps it: {}", stored.display());
    Ok(())
}

#[cfg(test)]
mod tests;
