// SPDX-License-Identifier: Apache-2.0
//! Faults for which podman cannot open its store, found before a client asks.
//!
//! Files that are plainly not what podman expects are found by a look at them. podman itself is
//! asked once, some time after the boot, and only where it has a database; then again for as long
//! as it fails.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::tool;
use sys::error::{Doing, Error, Result};

/// First bytes of a database of SQLite (sqlite.org/fileformat2.html, section 1.3).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Magic number of a database of bbolt, in its first page (bbolt, db.go: `magic`).
const BOLT: [u8; 4] = 0xed0c_daed_u32.to_le_bytes();
/// Offset of that number.
const BOLT_OFFSET: usize = 16;
/// Time after the start before podman is asked: clients of the new machine come first.
const QUIET: Duration = Duration::from_secs(15);
/// Time between two questions while podman fails.
const AGAIN: Duration = Duration::from_secs(25);
/// Time limit of a question.
const LIMIT: Duration = Duration::from_secs(60);

/// podman's store, and what is known of it.
pub struct Engine {
    storage: PathBuf,
    /// Time of the next question to podman; `None` once it has succeeded.
    ask_at: Option<Instant>,
    /// Outcome of the last question.
    refusal: Option<String>,
}

impl Engine {
    /// The store in `storage`. A store in RAM is of this boot: nothing is asked about it.
    pub fn new(storage: &Path, on_disk: bool) -> Engine {
        Engine {
            storage: storage.to_owned(),
            ask_at: on_disk.then(|| Instant::now() + QUIET),
            refusal: None,
        }
    }

    /// Returns why podman cannot open the store, if that is known.
    pub fn fault(&mut self) -> Option<String> {
        if let Err(why) = look(&self.storage) {
            // Whether it is mended, podman says.
            self.ask_at = Some(Instant::now());
            return Some(format!("podman cannot open its store: {why}"));
        }
        let has_database = DATABASES
            .iter()
            .any(|(name, ..)| self.storage.join(name).exists());
        if self.ask_at.is_some_and(|at| at <= Instant::now()) && has_database {
            self.refusal = ask().err().map(|why| why.to_string());
            self.ask_at = self.refusal.is_some().then(|| Instant::now() + AGAIN);
        }
        let refusal = self.refusal.as_ref();
        refusal.map(|why| format!("podman cannot open its store: {why}"))
    }
}

/// Databases of podman: name, where a magic number is, the number, what it is the number of.
const DATABASES: &[(&str, usize, &[u8], &str)] = &[
    ("db.sql", 0, SQLITE, "SQLite"),
    ("libpod/bolt_state.db", BOLT_OFFSET, &BOLT, "BoltDB"),
];

/// Looks at the files that podman opens first.
fn look(storage: &Path) -> Result<()> {
    for (name, offset, magic, kind) in DATABASES {
        let path = storage.join(name);
        let Some(head) = head(&path)? else { continue };
        let found = head.get(*offset..).unwrap_or_default();
        if !head.is_empty() && !found.starts_with(magic) {
            let why = format!("it is no database of {kind}; restore it, or move it away");
            return Err(Error::invalid(why)).on(path);
        }
    }
    let lock = storage.join("storage.lock");
    head(&lock).map(drop)
}

/// Returns the first bytes of a file; `None` if there is none.
fn head(path: &Path) -> Result<Option<Vec<u8>>> {
    let Ok(metadata) = path.metadata() else {
        return Ok(None);
    };
    if !metadata.is_file() {
        return Err(Error::invalid("it is not a file; move it away")).on(path);
    }
    let mut head = Vec::new();
    let file = File::open(path).on(path)?;
    file.take(32).read_to_end(&mut head).on(path)?;
    Ok(Some(head))
}

/// Asks podman for its containers.
fn ask() -> Result<()> {
    let finished = tool::run("/usr/bin/podman", &["ps", "--all", "--quiet"], LIMIT)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    #[test]
    fn what_podman_cannot_open_is_named() {
        let temp = Temp::new();
        let storage = temp.dir();
        fs::create_dir_all(storage.join("libpod")).unwrap();
        look(storage).unwrap();
        let mut bolt = vec![0; 64];
        bolt[BOLT_OFFSET..BOLT_OFFSET + 4].copy_from_slice(&BOLT);
        let good: [(&str, &[u8]); 4] = [
            ("db.sql", b"SQLite format 3\0 and more"),
            ("db.sql", b""),
            ("libpod/bolt_state.db", &bolt),
            ("storage.lock", b""),
        ];
        for (name, bytes) in good {
            fs::write(storage.join(name), bytes).unwrap();
            look(storage).unwrap();
        }
        let bad: [(&str, &[u8], &str); 3] = [
            ("db.sql", b"noise", "db.sql: it is no database of SQLite"),
            ("db.sql", b"SQLite format 2\0", "no database of SQLite"),
            (
                "libpod/bolt_state.db",
                b"noise of some length",
                "no database of BoltDB",
            ),
        ];
        for (name, bytes, wanted) in bad {
            let path = storage.join(name);
            let before = fs::read(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            let said = why(look(storage));
            assert!(said.contains(wanted), "{said}");
            fs::write(&path, before).unwrap();
        }
        fs::remove_file(storage.join("storage.lock")).unwrap();
        fs::create_dir(storage.join("storage.lock")).unwrap();
        assert!(why(look(storage)).contains("storage.lock: it is not a file"));
    }
}
