// SPDX-License-Identifier: Apache-2.0
//! Faults for which podman cannot open its store, found before a client asks.
//!
//! A check of the files finds those that podman clearly cannot use. podman itself is asked some time after the
//! boot, and only if there is a database; then again as long as podman fails, and when another program than SQLite
//! has written to the database.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::database::Database;
use super::files::open;
use super::lists::Lists;
use crate::common::tool;
use sys::error::{Doing, Error, Result};

/// First bytes of a database of SQLite (sqlite.org/fileformat2.html, section 1.3).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Magic number of a database of bbolt, in its first page (bbolt, db.go: `magic`).
const BOLT: [u8; 4] = 0xed0c_daed_u32.to_le_bytes();
/// Offset of that number.
const BOLT_OFFSET: usize = 16;
/// Time after the start before podman is asked: clients of the new machine are served first.
const QUIET: Duration = Duration::from_secs(15);
/// Time between two questions while podman fails.
const AGAIN: Duration = Duration::from_secs(25);
/// Time limit of a question.
const TIMEOUT: Duration = Duration::from_secs(60);

/// podman's stores, and the faults of each.
pub struct Engine {
    /// Store of root's containers.
    root: PathBuf,
    /// Directory with the store of each user; podman is asked at the boot if there are containers
    /// (`engine::start`).
    users: PathBuf,
    /// Time of the next question to podman; `None` once podman has succeeded.
    ask_at: Option<Instant>,
    /// Database of root's podman; `None` in RAM.
    database: Option<Database>,
    /// Lists of all stores.
    lists: Lists,
    /// Outcome of the last question.
    refusal: Option<String>,
    /// Asks podman ([`ask`]).
    ask: fn() -> Result<()>,
}

impl Engine {
    /// The stores in the directory `containers`. A store in RAM is of this boot, and needs no
    /// question.
    pub fn new(containers: &Path, on_disk: bool) -> Engine {
        Engine {
            root: containers.join("storage"),
            users: containers.join("user"),
            ask_at: on_disk.then(|| Instant::now() + QUIET),
            database: on_disk.then(Database::default),
            lists: Lists::default(),
            refusal: None,
            ask,
        }
    }

    /// Returns why podman cannot open root's store, or a user's, if that is known.
    pub fn fault(&mut self) -> Option<String> {
        let of_root = self.fault_of_root();
        let of_root = of_root.map(|why| format!("podman cannot open its store: {why}"));
        let of_user = self.of_users().err();
        let of_user = of_user.map(|why| format!("podman cannot open a user's store: {why}"));
        let all: Vec<String> = of_root.into_iter().chain(of_user).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Returns the reason why podman cannot open root's store. The files are checked, and podman is asked, with
    /// any stores of users.
    fn fault_of_root(&mut self) -> Option<String> {
        if let Err(why) = look(&self.root, &mut self.lists) {
            // podman decides if the fault is repaired.
            self.ask_at = Some(Instant::now());
            return Some(why.to_string());
        }
        let has_database = DATABASES
            .iter()
            .any(|(name, ..)| self.root.join(name).exists());
        let database = self.database.as_mut();
        if database
            .is_some_and(|database| database.is_written_by_another(&self.root.join(DATABASES[0].0)))
        {
            self.ask_at = Some(Instant::now());
        }
        if self.ask_at.is_some_and(|at| at <= Instant::now()) && has_database {
            self.refusal = (self.ask)().err().map(|why| why.to_string());
            self.ask_at = self.refusal.is_some().then(|| Instant::now() + AGAIN);
        }
        self.refusal.clone()
    }

    /// Returns the first fault of a user's store.
    fn of_users(&mut self) -> Result<()> {
        let mut stores = fs::read_dir(&self.users).into_iter().flatten().flatten();
        stores.try_for_each(|store| look(&store.path(), &mut self.lists))
    }
}

/// Databases of podman: name, offset of a magic number, the number, and its format.
const DATABASES: &[(&str, usize, &[u8], &str)] = &[
    ("db.sql", 0, SQLITE, "SQLite"),
    ("libpod/bolt_state.db", BOLT_OFFSET, &BOLT, "BoltDB"),
];

/// Checks the files that podman opens first.
fn look(storage: &Path, lists: &mut Lists) -> Result<()> {
    let Ok(found) = statvfs(storage) else {
        return Ok(()); // podman makes the store
    };
    if !storage.is_dir() {
        return Err(Error::invalid("it is not a directory; move it away")).on(storage);
    }
    if found.flags().contains(FsFlags::ST_RDONLY) {
        return Err(Error::invalid("the file system is read-only")).on(storage);
    }
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
    head(&lock)?;
    lists.check(storage)
}

/// Returns the first bytes of a file; `None` if there is none.
fn head(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut head = Vec::new();
    file.take(32).read_to_end(&mut head).on(path)?;
    Ok(Some(head))
}

/// Asks podman for its containers. A store that podman opens against its configuration, such as
/// with the driver that its database names, is an error in podman's log alone.
fn ask() -> Result<()> {
    let finished = tool::run(
        sys::paths::PODMAN_PROGRAM,
        &["ps", "--all", "--quiet"],
        TIMEOUT,
    )?;
    match finished.code {
        Some(0) => complaint(&finished.output).map_or(Ok(()), |why| Err(Error::invalid(why))),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

/// Returns the first error in podman's log: `time="…" level=error msg="…"`.
fn complaint(output: &str) -> Option<String> {
    let mut lines = output.lines();
    let rest = lines
        .find_map(|line| line.split_once(" level=error msg="))?
        .1;
    Some(rest.trim_matches('"').replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn stores_that_podman_cannot_open_are_named() {
        let temp = Temp::new();
        let storage = temp.dir();
        fs::create_dir_all(storage.join("libpod")).unwrap();
        look(storage, &mut Lists::default()).unwrap();
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
            look(storage, &mut Lists::default()).unwrap();
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
            let said = why(look(storage, &mut Lists::default()));
            assert!(said.contains(wanted), "{said}");
            fs::write(&path, before).unwrap();
        }
        fs::remove_file(storage.join("storage.lock")).unwrap();
        fs::create_dir(storage.join("storage.lock")).unwrap();
        assert!(
            why(look(storage, &mut Lists::default()))
                .contains("storage.lock: not a file: a directory")
        );
        // A link of a user in this place leads to no device and off no disk.
        let lock = storage.join("storage.lock");
        fs::remove_dir(&lock).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &lock).unwrap();
        let _ = std::os::unix::fs::chown(storage, Some(1000), None);
        let said = why(look(storage, &mut Lists::default()));
        assert!(
            said.contains("storage.lock: a symbolic link that leads off its disk"),
            "{said}"
        );
    }

    #[test]
    fn podman_is_asked_about_roots_store_whatever_a_user_has() {
        let temp = Temp::new();
        let mut engine = Engine::new(temp.dir(), true);
        (engine.ask_at, engine.ask) = (Some(Instant::now()), || Err(Error::invalid("no lock")));
        for (name, text) in [
            ("storage/db.sql", "SQLite format 3\0"),
            ("user/1000/db.sql", "noise"),
        ] {
            fs::create_dir_all(temp.path(name).parent().unwrap()).unwrap();
            fs::write(temp.path(name), text).unwrap();
        }
        let said = engine.fault().unwrap();
        let start = "podman cannot open its store: no lock; podman cannot open a user's store: ";
        assert!(said.starts_with(start), "{said}");
    }

    #[test]
    fn stores_of_users_and_places_of_no_use_are_named() {
        let temp = Temp::new();
        let mut engine = Engine::new(temp.dir(), false);
        assert_eq!(engine.fault(), None);
        fs::create_dir_all(temp.path("user/1000")).unwrap();
        fs::create_dir_all(temp.path("storage")).unwrap();
        assert_eq!(engine.fault(), None);
        fs::write(temp.path("user/1000/db.sql"), "noise").unwrap();
        let said = engine.fault().unwrap();
        let start = "podman cannot open a user's store: ";
        assert!(said.starts_with(start) && said.contains("user/1000/db.sql"));
        fs::remove_dir(temp.path("storage")).unwrap();
        fs::write(temp.path("storage"), "").unwrap();
        assert!(engine.fault().unwrap().contains("storage: it is not a dir"));
    }

    #[test]
    fn errors_in_podmans_log_are_found() {
        let wrong = r#"time="2026-11-28T10:00:00Z" level=error msg="User-selected graph driver \"overlay\" overwritten by graph driver \"vfs\" from database"
0123456789ab"#;
        let said = complaint(wrong).unwrap();
        assert!(
            said.starts_with("User-selected graph driver \"overlay\" over"),
            "{said}"
        );
        assert!(said.ends_with("from database"));
        let warning = r#"time="…" level=warning msg="…""#;
        assert_eq!(
            (complaint(""), complaint("0123\n"), complaint(warning)),
            (None, None, None)
        );
    }
}
