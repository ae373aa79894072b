// SPDX-License-Identifier: Apache-2.0
//! The host key of sshd: that of the disk if it has one, taken by `b2p data`; else a new one,
//! made by `b2p hostkey`, which PID 1 runs between `b2p data` and sshd, and stored on the disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use sys::error::{Doing, Error, Result};
use sys::files::replace;
use sys::paths::HOST_KEY;

use super::report::{self, EarlierRun};
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::common::sshkey::{self, FIRST_LINE, LAST_LINE};

/// Longest key file that is read, in bytes.
const MAX_KEY_BYTES: u64 = 64 * 1024;
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
    paths.state().join("ssh").join(name)
}

fn public(private: &Path) -> PathBuf {
    private.with_extension("pub")
}

/// Reads a private key; `None` if there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).on(path),
    };
    let mut key = Vec::new();
    file.take(MAX_KEY_BYTES).read_to_end(&mut key).on(path)?;
    match key.starts_with(FIRST_LINE.as_bytes()) && key.ends_with(LAST_LINE.as_bytes()) {
        true => Ok(Some(key)),
        false => Err(Error::invalid("not a private key of OpenSSH")).on(path),
    }
}

/// Makes sshd use the disk's key, if there is one. A file that is no key is renamed to
/// `*.broken`, and the machine gets a new key.
///
/// # Errors
/// The file is no key, or sshd's key cannot be written.
pub fn install(paths: &Paths) -> Result<()> {
    let stored = stored(paths);
    let key = read(&stored).inspect_err(|_| {
        let _ = fs::rename(&stored, stored.with_extension("broken"));
    })?;
    match key {
        Some(key) => install_key(&key, &stored, paths),
        None => Ok(()),
    }
}

/// Makes sshd use a private key, whose public half is beside the file at `path`.
fn install_key(key: &[u8], path: &Path, paths: &Paths) -> Result<()> {
    if let Ok(text) = fs::read(public(path)) {
        replace(&public(&used(paths)), &text, 0o644)?;
    }
    replace(&used(paths), key, 0o600)
}

/// Makes a new key if sshd has none. The private half is written last, because it decides
/// whether there is a key.
fn make(paths: &Paths) -> Result<()> {
    let used = used(paths);
    if read(&used).is_ok_and(|key| key.is_some()) {
        return Ok(());
    }
    let pair = sshkey::generate(COMMENT)?;
    replace(&public(&used), pair.public.as_bytes(), 0o644)?;
    replace(&used, pair.private.as_bytes(), 0o600)
}

/// Stores sshd's key on the disk, if that has none. The private half is written last, because it
/// decides whether there is a key.
///
/// # Errors
/// The disk cannot be written; the machine has its key all the same.
pub fn store(paths: &Paths) -> Result<()> {
    let (used, stored) = (used(paths), stored(paths));
    if stored.exists() {
        return Ok(());
    }
    let Ok(Some(key)) = read(&used) else {
        return Ok(()); // `b2p hostkey` has not run yet.
    };
    if let Ok(text) = fs::read(public(&used)) {
        atomic_file::replace(&public(&stored), &text, 0o644)?;
    }
    atomic_file::replace(&stored, &key, 0o600)?;
    info!("hostkey: the disk keeps it: {}", stored.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::os::unix::fs::PermissionsExt;

    fn paths(temp: &Temp) -> Paths {
        let paths = Paths::below(temp.dir());
        for dir in [paths.state().join("ssh"), paths.at("/etc/ssh")] {
            fs::create_dir_all(dir).unwrap();
        }
        paths
    }

    fn key(text: &str) -> Vec<u8> {
        format!("{FIRST_LINE}{text}\n{LAST_LINE}").into_bytes()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_disks_key_is_used_with_its_mode() {
        let temp = Temp::new();
        let paths = paths(&temp);
        install(&paths).unwrap();
        assert!(!used(&paths).exists());
        fs::write(stored(&paths), key("secret")).unwrap();
        fs::write(public(&stored(&paths)), "public").unwrap();
        install(&paths).unwrap();
        assert_eq!(fs::read(used(&paths)).unwrap(), key("secret"));
        assert_eq!(mode(&used(&paths)), 0o600);
        assert_eq!(fs::read(public(&used(&paths))).unwrap(), b"public");
    }

    #[test]
    fn the_machines_key_is_kept_where_the_disk_has_none() {
        let temp = Temp::new();
        let paths = paths(&temp);
        store(&paths).unwrap();
        assert!(!stored(&paths).exists(), "nothing to store yet");
        for text in ["one", "two"] {
            fs::write(used(&paths), key(text)).unwrap();
            store(&paths).unwrap();
        }
        assert_eq!(fs::read(stored(&paths)).unwrap(), key("one"));
        assert_eq!(mode(&stored(&paths)), 0o600);
    }

    #[test]
    fn one_is_made_where_there_is_none_or_half() {
        let temp = Temp::new();
        let paths = paths(&temp);
        fs::write(used(&paths), &key("secret")[..50]).unwrap();
        make(&paths).unwrap();
        let made = read(&used(&paths)).unwrap().unwrap();
        assert_eq!(mode(&used(&paths)), 0o600);
        assert_eq!(mode(&public(&used(&paths))), 0o644);
        let text = fs::read_to_string(public(&used(&paths))).unwrap();
        assert!(sshkey::fingerprint(&text).is_some() && text.ends_with(" boot2podman\n"));
        make(&paths).unwrap();
        assert_eq!(read(&used(&paths)).unwrap().unwrap(), made, "it stays");
        assert_eq!(fs::read_dir(paths.at("/etc/ssh")).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_written_is_said_and_no_key() {
        let temp = Temp::new();
        let paths = paths(&temp);
        // A directory in the way fails as a full disk does, also for root.
        fs::create_dir(public(&used(&paths))).unwrap();
        let failed = why(make(&paths));
        assert!(failed.contains("ssh_host_ed25519_key.pub: "), "{failed}");
        assert!(!used(&paths).exists());
    }

    #[test]
    fn half_a_key_is_put_aside() {
        let temp = Temp::new();
        let paths = paths(&temp);
        fs::write(stored(&paths), &key("secret")[..50]).unwrap();
        assert!(why(install(&paths)).contains("not a private key"));
        assert!(!stored(&paths).exists() && !used(&paths).exists());
        assert!(stored(&paths).with_extension("broken").exists());
    }
}
