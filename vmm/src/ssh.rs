// SPDX-License-Identifier: Apache-2.0
//! Keys for a guest, and a configuration of OpenSSH's client for the guest.

use crate::process;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A key pair in files.
#[derive(Clone, Debug)]
pub struct Key {
    /// Path of the private key.
    pub file: PathBuf,
    /// Public key, as one line.
    pub public: String,
}

impl Key {
    /// Returns the ed25519 key in `dir/ssh`, which is made if missing. Processes that call this at
    /// the same time all get the same key.
    pub fn in_dir(dir: &Path) -> Result<Self> {
        let home = dir.join("ssh");
        let file = home.join("id_ed25519");
        if !file.exists() {
            make(dir, &home)?;
        }
        let public = home.join("id_ed25519.pub");
        let public = fs::read_to_string(&public)
            .with_context(|| format!("cannot read {}", public.display()))?;
        Ok(Self {
            file,
            public: public.trim().to_owned(),
        })
    }
}

/// Makes the pair in a directory of another name and renames the directory: the first of several renames succeeds, and
/// no process sees half a pair.
fn make(dir: &Path, home: &Path) -> Result<()> {
    let draft = dir.join(format!(
        "ssh.{}.{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    fs::create_dir_all(&draft).with_context(|| format!("cannot make {}", draft.display()))?;
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "boot2podman", "-f"])
        .arg(draft.join("id_ed25519"));
    let out = process::output(keygen, b"", Duration::from_secs(60))?;
    ensure!(
        out.status.success(),
        "ssh-keygen: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    match fs::rename(&draft, home) {
        Err(_) if home.exists() => Ok(fs::remove_dir_all(&draft)?),
        other => other.with_context(|| format!("cannot make {}", home.display())),
    }
}

/// Returns an entry for ssh_config(5) by which `ssh NAME` reaches the guest on `port`.
///
/// A guest in RAM makes a new host key at each boot. The host key is therefore neither checked nor stored in the
/// known_hosts file of a person.
pub fn config(name: &str, port: u16, identity: &Path, known_hosts: &Path) -> String {
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\n  StrictHostKeyChecking no\n  LogLevel ERROR\n",
        quoted(identity),
        quoted(known_hosts)
    )
}

/// Quotes a path for ssh_config(5): spaces in double quotes, and `%` doubled.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// Removes a file that may not exist.
pub fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let dir = std::env::temp_dir().join(format!("b2p-key-{}", std::process::id()));
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let dir = dir.clone();
                std::thread::spawn(move || Key::in_dir(&dir).expect("a key").public)
            })
            .collect();
        let keys: Vec<String> = asked
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .collect();
        assert!(keys[0].starts_with("ssh-ed25519 ") && keys.iter().all(|k| *k == keys[0]));
        fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn the_entry_is_quoted() {
        let text = config("b2p", 2222, Path::new("/a b/key"), Path::new("/100%/hosts"));
        assert!(text.starts_with("Host b2p\n  HostName 127.0.0.1\n  Port 2222\n"));
        assert!(text.contains("IdentityFile \"/a b/key\"") && text.contains("\"/100%%/hosts\""));
    }
}
