// SPDX-License-Identifier: Apache-2.0
//! Boots that the log has: those of the files, and the one that runs.

use std::io;
use std::path::Path;

use super::options::Choice;
use crate::common::log::format::{self, Line};
use crate::common::log::log_time;

/// The current boot and its clock.
#[derive(Clone, Debug)]
pub struct Here {
    /// Content of /proc/sys/kernel/random/boot_id.
    pub boot: String,
    /// Difference of the kernel's microseconds to those since 1970
    /// ([`offset`](crate::common::log::log_time::realtime_offset_us)).
    pub offset: i64,
}

/// A boot, with the times of its first and last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Content of /proc/sys/kernel/random/boot_id.
    pub id: Vec<u8>,
    /// Microseconds since 1970 of the first and the last record.
    pub times: Option<(i64, i64)>,
}

/// Returns the number of a boot without hyphens, as journald has it.
#[must_use]
pub fn plain_id(id: &[u8]) -> String {
    String::from_utf8_lossy(id).replace('-', "")
}

/// Returns all boots, the oldest first and the one that runs last.
pub fn all(dir: &Path, here: &Here, now: i64) -> Vec<Entry> {
    let mut boots: Vec<Entry> = Vec::new();
    for path in format::oldest_first(dir) {
        // A file that cannot be read is passed over.
        let _ = format::lines(&path, |text| {
            match format::parse(text) {
                Line::Boot(id) if boots.last().is_none_or(|last| last.id != id) => {
                    let (id, times) = (id.to_owned(), None);
                    boots.push(Entry { id, times });
                }
                Line::Record { us, .. } => {
                    if let Some(last) = boots.last_mut() {
                        let first = last.times.map_or(us, |(first, _)| first);
                        last.times = Some((first, us));
                    }
                }
                _ => {}
            }
            true
        });
    }
    boots.retain(|boot| boot.id != here.boot.as_bytes());
    boots.push(Entry {
        id: here.boot.clone().into_bytes(),
        times: Some((here.offset, now)),
    });
    boots
}

/// Returns the boot that is chosen, unless that is the one that runs, or all are shown.
///
/// # Errors
/// The log has no such boot.
pub fn chosen(choice: &Choice, dir: &Path, here: &Here) -> io::Result<Option<Vec<u8>>> {
    let boots = || all(dir, here, here.offset);
    let found = match choice {
        Choice::This | Choice::All => return Ok(None),
        Choice::Earlier(n) => {
            let boots = boots();
            let at = boots.len().checked_sub(n.saturating_add(1));
            at.and_then(|at| boots.get(at).cloned())
        }
        Choice::Nth(n) => n.checked_sub(1).and_then(|at| boots().get(at).cloned()),
        Choice::Id(id) => boots().into_iter().find(|boot| plain_id(&boot.id) == *id),
    };
    match found {
        Some(boot) => Ok(Some(boot.id).filter(|id| id != here.boot.as_bytes())),
        None => Err(io::Error::other(
            "the log on disk has no such boot; the flag syslog keeps one",
        )),
    }
}

/// Returns the table of `journalctl --list-boots`.
#[must_use]
pub fn table(boots: &[Entry]) -> String {
    let time = |us: Option<i64>| us.map_or_else(String::new, log_time::format_systemd);
    let width = boots
        .iter()
        .filter_map(|boot| Some(time(Some(boot.times?.0)).len()));
    let width = width.max().unwrap_or(0).max("FIRST ENTRY".len());
    let mut out = format!(
        "IDX {:<32} {:<width$} LAST ENTRY\n",
        "BOOT ID", "FIRST ENTRY"
    );
    for (at, boot) in boots.iter().enumerate() {
        let before = boots.len() - 1 - at;
        let number = if before == 0 {
            "0".to_owned()
        } else {
            format!("-{before}")
        };
        let first = time(boot.times.map(|(first, _)| first));
        let last = time(boot.times.map(|(_, last)| last));
        let id = plain_id(&boot.id);
        out.push_str(&format!("{number:>3} {id:<32} {first:<width$} {last}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    const ONE: &str = "00000000-0000-0000-0000-000000000001";
    const NOW: &str = "00000000-0000-0000-0000-00000000000a";

    #[test]
    fn boots_by_their_distance_their_number_and_their_id() {
        let temp = Temp::new();
        let record = "2026-11-23T20:30:38.000000Z 0 daemon.info a: x\n";
        let log = format!(
            "--- boot {ONE} kernel 6 ---\n{record}--- boot two kernel 6 ---\n--- boot {NOW} kernel 6 ---\n"
        );
        std::fs::write(temp.path("log"), log).unwrap();
        let here = Here {
            boot: NOW.to_owned(),
            offset: 1_795_465_838_000_000,
        };
        let chosen = |choice| {
            let id = chosen(&choice, temp.dir(), &here);
            id.map(|id| id.map(|id| plain_id(&id)))
                .map_err(|why| why.to_string())
        };
        let one = Ok(Some(ONE.replace('-', "")));
        for (choice, right) in [
            (Choice::This, Ok(None)),
            (Choice::All, Ok(None)),
            (Choice::Earlier(1), Ok(Some("two".to_owned()))),
            (Choice::Earlier(2), one.clone()),
            (Choice::Nth(1), one.clone()),
            (Choice::Nth(3), Ok(None)),
            (Choice::Id(ONE.replace('-', "")), one),
            (Choice::Id(NOW.replace('-', "")), Ok(None)),
        ] {
            assert_eq!(chosen(choice.clone()), right, "{choice:?}");
        }
        for none in [
            Choice::Earlier(3),
            Choice::Nth(4),
            Choice::Nth(0),
            Choice::Id("f".repeat(32)),
        ] {
            assert!(chosen(none.clone()).is_err(), "{none:?}");
        }
        let text = table(&all(temp.dir(), &here, here.offset));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("IDX BOOT ID"), "{text}");
        assert!(
            lines[1].starts_with(" -2 00000000000000000000000000000001 Mon 2026-11-23"),
            "{text}"
        );
        assert!(
            lines[3].starts_with("  0 0000000000000000000000000000000a Mon 2026-11-23"),
            "{text}"
        );
    }
}
