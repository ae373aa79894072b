//! What the data disk says of the configuration, copied to where PID 1 reads it
//! ([`init::flags::KEPT`]): a disk may hang, and PID 1 must not.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use init::files;
use init::flags::{KEPT, LONGEST};
use init::table::HOOKS;

use super::{Place, profile};
use crate::hook;

/// What is copied: its name there, and where it is, the first that is.
const FILES: &[(&str, &[&str])] = &[
    ("config", &["config"]),
    // The second is where boot2docker and its clients had it.
    ("hostname", &["hostname", "etc/hostname"]),
];

/// Copies what is there.
///
/// # Errors
/// What could not be read, or is too long.
pub fn all(place: &Place) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, froms) in FILES {
        let read = froms.iter().map(|from| read(&place.state().join(from)));
        let Some(outcome) = read.filter_map(Result::transpose).next() else {
            continue;
        };
        let to = place.at(KEPT).join(name);
        let done = outcome.and_then(|bytes| files::replace(&to, &bytes, 0o600));
        wrong.extend(done.err());
    }
    wrong.extend(environment(place).err());
    wrong.extend(hooks(place).err());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("; ")),
    }
}

fn environment(place: &Place) -> Result<(), String> {
    let path = place.state().join("profile");
    if !path.is_file() {
        return Ok(());
    }
    let lines = profile::exports(&path, &place.run().join("profile"))?;
    files::replace(&place.at(KEPT).join("environment"), lines.as_bytes(), 0o600)
}

/// The names of those that are there.
fn hooks(place: &Place) -> Result<(), String> {
    let there = |name: &&&str| hook::file(&place.state(), name).is_file();
    let names: String = HOOKS
        .iter()
        .filter(there)
        .map(|n| format!("{n}\n"))
        .collect();
    match names.is_empty() {
        true => Ok(()),
        false => files::replace(&place.at(KEPT).join("hooks"), names.as_bytes(), 0o600),
    }
}

/// The whole file; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let say = |e: &dyn std::fmt::Display| Err(format!("{}: {e}", path.display()));
    // Or the open of a fifo would wait for who writes to it (fifo(7)).
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return say(&e),
    };
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return say(&"not a file");
    }
    let mut bytes = Vec::new();
    if let Err(e) = file.take(LONGEST + 1).read_to_end(&mut bytes) {
        return say(&e);
    }
    match bytes.len() as u64 > LONGEST {
        true => say(&"longer than 64 KiB; none of it is taken"),
        false => Ok(Some(bytes)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_is_there_is_handed_over_and_what_is_not_costs_nothing() {
        let root = std::env::temp_dir().join(format!("b2p-handover-{}", std::process::id()));
        let place = Place { root };
        let state = place.state();
        fs::create_dir_all(state.join("etc")).unwrap();
        all(&place).unwrap();
        assert!(!place.at(KEPT).exists());
        fs::write(state.join("etc/hostname"), "old\n").unwrap();
        fs::write(state.join("config"), "tz=UTC\n").unwrap();
        all(&place).unwrap();
        let kept = |name: &str| fs::read_to_string(place.at(KEPT).join(name)).unwrap();
        assert_eq!(
            (kept("config"), kept("hostname")),
            ("tz=UTC\n".into(), "old\n".into())
        );
        fs::remove_file(state.join("config")).unwrap();
        nix::unistd::mkfifo(&state.join("config"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(all(&place).unwrap_err().contains("not a file"));
        fs::remove_file(state.join("config")).unwrap();
        fs::write(state.join("hostname"), "new\n").unwrap();
        fs::write(state.join("config"), vec![b'#'; 64 * 1024 + 1]).unwrap();
        assert!(all(&place).unwrap_err().contains("longer"));
        assert_eq!(
            (kept("config"), kept("hostname")),
            ("tz=UTC\n".into(), "new\n".into())
        );
        fs::remove_dir_all(&place.root).unwrap();
    }
}
