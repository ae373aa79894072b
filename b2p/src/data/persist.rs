//! What outlives the boot besides containers: who the machine is, and what it has
//! for randomness. Each file is old or new after a power cut, never half.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use super::{Place, durable, keys};

/// The archive that came with the disk, where boot2docker has it as well.
pub const USERDATA: &str = "userdata.tar";

/// sshd's key and its public half: name, mode.
const HOST_KEYS: &[(&str, u32)] = &[
    ("ssh_host_ed25519_key", 0o600),
    ("ssh_host_ed25519_key.pub", 0o644),
];

/// Does all of it; what went wrong with what.
pub fn all(place: &Place) -> Vec<(&'static str, Result<(), String>)> {
    vec![
        ("machine-id", machine_id(place)),
        (
            "random seed",
            seed(
                &place.state().join("random-seed"),
                Path::new("/dev/urandom"),
            ),
        ),
        ("host key", host_key(place)),
        ("authorized keys", keys::merge(place)),
    ]
}

/// The disk's id becomes the machine's, or the other way round.
fn machine_id(place: &Place) -> Result<(), String> {
    let (kept, used) = (
        place.state().join("machine-id"),
        place.at("/etc/machine-id"),
    );
    let now = fs::read_to_string(&used).unwrap_or_default();
    match fs::read_to_string(&kept) {
        Ok(text) if id(&text) && text == now => Ok(()),
        Ok(text) if id(&text) => init::files::replace(&used, text.as_bytes(), 0o444),
        _ if id(&now) => durable::replace(&kept, now.as_bytes(), 0o444),
        _ => Ok(()),
    }
}

/// 32 hexadecimal digits and a newline (machine-id(5)).
fn id(text: &str) -> bool {
    let digits = text.strip_suffix('\n').unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Mixed in, never credited: a copied disk has a copied seed. A new one takes its
/// place before anything can read random numbers and lose the power (random(4)).
fn seed(path: &Path, random: &Path) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", random.display());
    if let Ok(old) = File::open(path) {
        let mut bytes = Vec::new();
        let _ = old.take(512).read_to_end(&mut bytes);
        let mut pool = File::options().write(true).open(random).map_err(say)?;
        pool.write_all(&bytes).map_err(say)?;
    }
    let mut fresh = [0; 512];
    File::open(random)
        .and_then(|mut f| f.read_exact(&mut fresh))
        .map_err(say)?;
    durable::replace(path, &fresh, 0o600)
}

/// The disk's host key becomes sshd's. Where there is none, PID 1 makes one there.
fn host_key(place: &Place) -> Result<(), String> {
    let (kept, used) = (place.state().join("ssh"), place.at("/etc/ssh"));
    let private = kept.join(HOST_KEYS[0].0);
    if fs::metadata(&private).map_or(0, |m| m.len()) == 0 {
        return Ok(());
    }
    for (name, mode) in HOST_KEYS {
        match fs::read(kept.join(name)) {
            Ok(text) => init::files::replace(&used.join(name), &text, *mode)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {} // ssh-keygen -y makes it
            Err(e) => return Err(format!("{name}: {e}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn place(name: &str) -> Place {
        let root = std::env::temp_dir().join(format!("b2p-persist-{name}-{}", std::process::id()));
        let place = Place { root };
        for dir in [place.state().join("ssh"), place.at("/etc/ssh"), place.run()] {
            fs::create_dir_all(dir).unwrap();
        }
        place
    }

    #[test]
    fn the_id_of_the_disk_wins_and_a_broken_one_does_not() {
        let place = place("id");
        let (kept, used) = (
            place.state().join("machine-id"),
            place.at("/etc/machine-id"),
        );
        let (a, b) = ("a".repeat(32) + "\n", "b".repeat(32) + "\n");
        fs::write(&used, &a).unwrap();
        machine_id(&place).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), a);
        fs::write(&used, &b).unwrap();
        machine_id(&place).unwrap();
        assert_eq!(fs::read_to_string(&used).unwrap(), a);
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, "half").unwrap();
        fs::remove_file(&used).unwrap();
        fs::write(&used, &b).unwrap();
        machine_id(&place).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), b);
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn a_seed_is_used_once() {
        let place = place("seed");
        let path = place.state().join("random-seed");
        seed(&path, Path::new("/dev/urandom")).unwrap();
        let first = fs::read(&path).unwrap();
        seed(&path, Path::new("/dev/urandom")).unwrap();
        let second = fs::read(&path).unwrap();
        assert!(first.len() == 512 && second.len() == 512 && first != second);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::remove_dir_all(&place.root).unwrap();
    }

    #[test]
    fn the_host_key_of_the_disk_is_used_with_its_mode() {
        let place = place("key");
        host_key(&place).unwrap();
        assert!(!place.at("/etc/ssh/ssh_host_ed25519_key").exists());
        fs::write(place.state().join("ssh/ssh_host_ed25519_key"), "secret").unwrap();
        host_key(&place).unwrap();
        let used = place.at("/etc/ssh/ssh_host_ed25519_key");
        assert_eq!(fs::read_to_string(&used).unwrap(), "secret");
        assert_eq!(
            fs::metadata(&used).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::remove_dir_all(&place.root).unwrap();
    }
}
