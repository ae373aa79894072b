//! sshd's host key: the disk's, where it has one, from `b2p data`; else a new one,
//! from `b2p hostkey`, which PID 1 runs between that and sshd. The disk keeps it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use log::{error, info, warn};
use sys::paths::HOST_KEY;

use super::{Place, atomic_file, report};
use crate::common::sshkey::{self, BEGINS, ENDS};

/// No key file is longer.
const LONGEST: u64 = 64 * 1024;
/// What the key says of itself.
const COMMENT: &str = "boot2podman";

/// The whole of it; the exit status.
pub fn main() -> i32 {
    let place = Place::real();
    if let Err(why) = make(&place) {
        error!("hostkey: {why}");
        return 1;
    }
    if matches!(report::before(&place), report::Before::Disk(_)) {
        keep(&place).unwrap_or_else(|why| warn!("hostkey: not kept on the disk: {why}"));
    }
    0
}

fn used(place: &Place) -> PathBuf {
    place.at(HOST_KEY)
}

fn kept(place: &Place) -> PathBuf {
    let name = Path::new(HOST_KEY).file_name().unwrap_or_default();
    place.state().join("ssh").join(name)
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
pub fn install(place: &Place) -> Result<(), String> {
    let kept = kept(place);
    let key = read(&kept).inspect_err(|_| {
        let _ = fs::rename(&kept, kept.with_extension("broken"));
    })?;
    match key {
        Some(key) => put(&key, &kept, place),
        None => Ok(()),
    }
}

/// Makes sshd use this key, whose public half is beside `path`.
fn put(key: &[u8], path: &Path, place: &Place) -> Result<(), String> {
    if let Ok(text) = fs::read(public(path)) {
        sys::files::replace(&public(&used(place)), &text, 0o644)?;
    }
    sys::files::replace(&used(place), key, 0o600)
}

/// Makes one where there is none yet. The private half is last: it counts.
fn make(place: &Place) -> Result<(), String> {
    let used = used(place);
    if read(&used).is_ok_and(|key| key.is_some()) {
        return Ok(());
    }
    let pair = sshkey::make(COMMENT)?;
    sys::files::replace(&public(&used), pair.public.as_bytes(), 0o644)?;
    sys::files::replace(&used, pair.private.as_bytes(), 0o600)
}

/// The machine's key becomes the disk's, where that has none. The private half is
/// last: it counts.
///
/// # Errors
/// What could not be written; the machine has its key all the same.
pub fn keep(place: &Place) -> Result<(), String> {
    let (used, kept) = (used(place), kept(place));
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

    fn place(name: &str) -> Place {
        let root = std::env::temp_dir().join(format!("b2p-hostkey-{name}-{}", std::process::id()));
        let place = Place { root };
        for dir in [place.state().join("ssh"), place.at("/etc/ssh")] {
            fs::create_dir_all(dir).unwrap();
        }
        place
    }

    fn key(text: &str) -> Vec<u8> {
        format!("{BEGINS}{text}\n{ENDS}").into_bytes()
    }

    #[test]
    fn the_disks_key_is_used_with_its_mode() {
        let place = place("use");
        install(&place).unwrap();
        assert!(!used(&place).exists());
        fs::write(kept(&place), key("secret")).unwrap();
        fs::write(public(&kept(&place)), "public").unwrap();
        install(&place).unwrap();
        assert_eq!(fs::read(used(&place)).unwrap(), key("secret"));
        let mode = fs::metadata(used(&place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read(public(&used(&place))).unwrap(), b"public");
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn the_machines_key_is_kept_where_the_disk_has_none() {
        let place = place("keep");
        keep(&place).unwrap();
        assert!(!kept(&place).exists(), "nothing to keep yet");
        fs::write(used(&place), key("one")).unwrap();
        keep(&place).unwrap();
        fs::write(used(&place), key("two")).unwrap();
        keep(&place).unwrap();
        assert_eq!(fs::read(kept(&place)).unwrap(), key("one"));
        let mode = fs::metadata(kept(&place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn one_is_made_where_there_is_none_or_half() {
        let place = place("make");
        fs::write(used(&place), &key("secret")[..50]).unwrap();
        make(&place).unwrap();
        let made = read(&used(&place)).unwrap().unwrap();
        for (path, wanted) in [(used(&place), 0o600), (public(&used(&place)), 0o644)] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, wanted);
        }
        let text = fs::read_to_string(public(&used(&place))).unwrap();
        assert!(sshkey::fingerprint(&text).is_some() && text.ends_with(" boot2podman\n"));
        make(&place).unwrap();
        assert_eq!(read(&used(&place)).unwrap().unwrap(), made, "it stays");
        assert_eq!(fs::read_dir(place.at("/etc/ssh")).unwrap().count(), 2);
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_said_and_no_key() {
        let place = place("full");
        // As good as a full disk, also for root.
        fs::create_dir(public(&used(&place))).unwrap();
        let why = make(&place).unwrap_err();
        assert!(why.contains("ssh_host_ed25519_key.pub: "), "{why}");
        assert!(!used(&place).exists());
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn half_a_key_is_put_aside() {
        let place = place("half");
        fs::write(kept(&place), &key("secret")[..50]).unwrap();
        assert!(install(&place).unwrap_err().contains("not a private key"));
        assert!(!kept(&place).exists() && !used(&place).exists());
        assert!(kept(&place).with_extension("broken").exists());
        fs::remove_dir_all(&place.root).unwrap();
    }
}
