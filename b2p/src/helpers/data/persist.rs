//! What outlives the boot besides containers: who the machine is, and what it has
//! for randomness. Each file is old or new after a power cut, never half.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use super::{Time, export_config, hostkey, keys, owner};
use crate::common::atomic_file;
use crate::common::paths::Paths;

/// The archive that came with the disk.
pub const USERDATA: &str = "userdata.tar";

/// Does all of it; what went wrong with what.
pub fn all(paths: &Paths, time: Time) -> Vec<(&'static str, Result<(), String>)> {
    vec![
        ("machine-id", machine_id(paths, time)),
        (
            "random seed",
            seed(
                &paths.state().join("random-seed"),
                Path::new("/dev/urandom"),
            ),
        ),
        ("host key", host_key(paths, time)),
        ("certificates", owner::certificates(paths)),
        ("registries", owner::registries(paths)),
        ("configuration", configuration(paths, time)),
        ("authorized keys", keys::merge(paths)),
    ]
}

/// The disk's id becomes the machine's, or the other way round. A machine that runs
/// has told its own already.
fn machine_id(paths: &Paths, time: Time) -> Result<(), String> {
    let (kept, used) = (
        paths.state().join("machine-id"),
        paths.at("/etc/machine-id"),
    );
    let now = fs::read_to_string(&used).unwrap_or_default();
    match fs::read_to_string(&kept) {
        Ok(text) if id(&text) && (text == now || time == Time::Running) => Ok(()),
        Ok(text) if id(&text) => Ok(sys::files::replace(&used, text.as_bytes(), 0o444)?),
        _ if id(&now) => Ok(atomic_file::replace(&kept, now.as_bytes(), 0o444)?),
        _ => Ok(()),
    }
}

/// The disk's becomes the machine's, unless sshd runs with another.
fn host_key(paths: &Paths, time: Time) -> Result<(), String> {
    match time {
        Time::Boot => hostkey::install(paths)?,
        Time::Running => {}
    }
    hostkey::keep(paths)
}

/// What the disk says of the machine holds from the boot on: one that comes later has
/// its turn with the next.
fn configuration(paths: &Paths, time: Time) -> Result<(), String> {
    match time {
        Time::Boot => export_config::all(paths),
        Time::Running => Ok(()),
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
    Ok(atomic_file::replace(path, &fresh, 0o600)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn paths(name: &str) -> Paths {
        let root = std::env::temp_dir().join(format!("b2p-persist-{name}-{}", std::process::id()));
        let paths = Paths::below(root);
        for dir in [
            paths.state().join("ssh"),
            paths.at("/etc/ssh"),
            paths.runtime(),
        ] {
            fs::create_dir_all(dir).unwrap();
        }
        paths
    }

    #[test]
    fn the_id_of_the_disk_wins_and_a_broken_one_does_not() {
        let paths = paths("id");
        let (kept, used) = (
            paths.state().join("machine-id"),
            paths.at("/etc/machine-id"),
        );
        let (a, b) = ("a".repeat(32) + "\n", "b".repeat(32) + "\n");
        fs::write(&used, &a).unwrap();
        machine_id(&paths, Time::Boot).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), a);
        fs::write(&used, &b).unwrap();
        machine_id(&paths, Time::Running).unwrap();
        assert_eq!(fs::read_to_string(&used).unwrap(), b, "it runs");
        machine_id(&paths, Time::Boot).unwrap();
        assert_eq!(fs::read_to_string(&used).unwrap(), a);
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, "half").unwrap();
        fs::remove_file(&used).unwrap();
        fs::write(&used, &b).unwrap();
        machine_id(&paths, Time::Boot).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), b);
        fs::remove_dir_all(paths.root()).unwrap();
    }

    #[test]
    fn a_seed_is_used_once() {
        let paths = paths("seed");
        let path = paths.state().join("random-seed");
        seed(&path, Path::new("/dev/urandom")).unwrap();
        let first = fs::read(&path).unwrap();
        seed(&path, Path::new("/dev/urandom")).unwrap();
        let second = fs::read(&path).unwrap();
        assert!(first.len() == 512 && second.len() == 512 && first != second);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::remove_dir_all(paths.root()).unwrap();
    }
}
