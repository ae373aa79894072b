//! sshd's host key: the disk's, where it has one, from `b2p data`; else a new one,
//! from `b2p hostkey`, which PID 1 runs between that and sshd. The disk keeps it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use sys::paths::HOST_KEY;

use super::report;
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::common::sshkey::{self, BEGINS, ENDS};

/// No key file is longer.
const LONGEST: u64 = 64 * 1024;
/// What the key says of itself.
const COMMENT: &str = "boot2podman";

/// The whole of it; the exit status.
pub fn main() -> i32 {
    let paths = Paths::default();
    if let Err(why) = make(&paths) {
        error!("hostkey: {why}");
        return 1;
    }
    if matches!(report::before(&paths), report::Before::Disk(_)) {
        keep(&paths).unwrap_or_else(|why| warn!("hostkey: not kept on the disk: {why}"));
    }
    0
}

fn used(paths: &Paths) -> PathBuf {
    paths.at(HOST_KEY)
}

fn kept(paths: &Paths) -> PathBuf {
    let name = Path::new(HOST_KEY).file_name().unwrap_or_default();
    paths.state().join("ssh").join(name)
}

fn public(private: &Path) -> PathBuf {
    private.with_extension("pub")
}

/// The private key in a file; `None` where there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let fail = |e: &dyn std::fmt::Display| Err(format!("{}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return fail(&e),
    };
    let mut bytes = Vec::new();
    if let Err(e) = file.take(LONGEST).read_to_end(&mut bytes) {
        return fail(&e);
    }
    match bytes.starts_with(BEGINS.as_bytes()) && bytes.ends_with(ENDS.as_bytes()) {
        true => Ok(Some(bytes)),
        false => fail(&"not a private key of OpenSSH"),
    }
}

/// The disk's key becomes sshd's. A file that is no key is put aside, not deleted,
/// and the machine gets another.
///
/// # Errors
/// What is wrong with it.
pub fn install(paths: &Paths) -> Result<(), String> {
    let kept = kept(paths);
    let key = read(&kept).inspect_err(|_| {
        let _ = fs::rename(&kept, kept.with_extension("broken"));
    })?;
    match key {
        Some(key) => put(&key, &kept, paths),
        None => Ok(()),
    }
}

/// Makes sshd use this key, whose public half is beside `path`.
fn put(key: &[u8], path: &Path, paths: &Paths) -> Result<(), String> {
    if let Ok(text) = fs::read(public(path)) {
        sys::files::replace(&public(&used(paths)), &text, 0o644)?;
    }
    Ok(sys::files::replace(&used(paths), key, 0o600)?)
}

/// Makes one where there is none yet. The private half is last: it counts.
fn make(paths: &Paths) -> Result<(), String> {
    let used = used(paths);
    if read(&used).is_ok_and(|key| key.is_some()) {
        return Ok(());
    }
    let pair = sshkey::make(COMMENT)?;
    sys::files::replace(&public(&used), pair.public.as_bytes(), 0o644)?;
    Ok(sys::files::replace(&used, pair.private.as_bytes(), 0o600)?)
}

/// The machine's key becomes the disk's, where that has none. The private half is
/// last: it counts.
///
/// # Errors
/// What could not be written; the machine has its key all the same.
pub fn keep(paths: &Paths) -> Result<(), String> {
    let (used, kept) = (used(paths), kept(paths));
    if kept.exists() {
        return Ok(());
    }
    let Ok(Some(key)) = read(&used) else {
        return Ok(()); // none yet: `b2p hostkey` comes
    };
    if let Ok(text) = fs::read(public(&used)) {
        atomic_file::replace(&public(&kept), &text, 0o644)?;
    }
    atomic_file::replace(&kept, &key, 0o600)?;
    info!("hostkey: the disk keeps it: {}", kept.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn paths(name: &str) -> Paths {
        let root = std::env::temp_dir().join(format!("b2p-hostkey-{name}-{}", std::process::id()));
        let paths = Paths::below(root);
        for dir in [paths.state().join("ssh"), paths.at("/etc/ssh")] {
            fs::create_dir_all(dir).unwrap();
        }
        paths
    }

    fn key(text: &str) -> Vec<u8> {
        format!("{BEGINS}{text}\n{ENDS}").into_bytes()
    }

    #[test]
    fn the_disks_key_is_used_with_its_mode() {
        let paths = paths("use");
        install(&paths).unwrap();
        assert!(!used(&paths).exists());
        fs::write(kept(&paths), key("secret")).unwrap();
        fs::write(public(&kept(&paths)), "public").unwrap();
        install(&paths).unwrap();
        assert_eq!(fs::read(used(&paths)).unwrap(), key("secret"));
        let mode = fs::metadata(used(&paths)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read(public(&used(&paths))).unwrap(), b"public");
        fs::remove_dir_all(paths.root()).unwrap();
    }

    #[test]
    fn the_machines_key_is_kept_where_the_disk_has_none() {
        let paths = paths("keep");
        keep(&paths).unwrap();
        assert!(!kept(&paths).exists(), "nothing to keep yet");
        fs::write(used(&paths), key("one")).unwrap();
        keep(&paths).unwrap();
        fs::write(used(&paths), key("two")).unwrap();
        keep(&paths).unwrap();
        assert_eq!(fs::read(kept(&paths)).unwrap(), key("one"));
        let mode = fs::metadata(kept(&paths)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(paths.root()).unwrap();
    }

    #[test]
    fn one_is_made_where_there_is_none_or_half() {
        let paths = paths("make");
        fs::write(used(&paths), &key("secret")[..50]).unwrap();
        make(&paths).unwrap();
        let made = read(&used(&paths)).unwrap().unwrap();
        for (path, wanted) in [(used(&paths), 0o600), (public(&used(&paths)), 0o644)] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, wanted);
        }
        let text = fs::read_to_string(public(&used(&paths))).unwrap();
        assert!(sshkey::fingerprint(&text).is_some() && text.ends_with(" boot2podman\n"));
        make(&paths).unwrap();
        assert_eq!(read(&used(&paths)).unwrap().unwrap(), made, "it stays");
        assert_eq!(fs::read_dir(paths.at("/etc/ssh")).unwrap().count(), 2);
        fs::remove_dir_all(paths.root()).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_said_and_no_key() {
        let paths = paths("full");
        // As good as a full disk, also for root.
        fs::create_dir(public(&used(&paths))).unwrap();
        let why = make(&paths).unwrap_err();
        assert!(why.contains("ssh_host_ed25519_key.pub: "), "{why}");
        assert!(!used(&paths).exists());
        fs::remove_dir_all(paths.root()).unwrap();
    }

    #[test]
    fn half_a_key_is_put_aside() {
        let paths = paths("half");
        fs::write(kept(&paths), &key("secret")[..50]).unwrap();
        assert!(install(&paths).unwrap_err().contains("not a private key"));
        assert!(!kept(&paths).exists() && !used(&paths).exists());
        assert!(kept(&paths).with_extension("broken").exists());
        fs::remove_dir_all(paths.root()).unwrap();
    }
}
