// SPDX-License-Identifier: Apache-2.0
use super::*;
use std::cell::RefCell;
use std::rc::Rc;

use crate::common::log::format::{Line, parse};
use crate::common::log::record::Priority;
use proptest::prelude::*;

/// A disk in memory that fails on demand.
#[derive(Debug, Default)]
struct Model {
    /// Content of the files, the newest last.
    files: Vec<Vec<u8>>,
    max_files: usize,
    /// Bytes that the disk still takes.
    room: usize,
    broken: bool,
    rotates: bool,
    appends: usize,
    synced: bool,
}

#[derive(Clone, Debug)]
struct Fake(Rc<RefCell<Model>>);

impl Fake {
    fn new(max_files: usize) -> Fake {
        Fake(Rc::new(RefCell::new(Model {
            files: vec![Vec::new()],
            max_files,
            room: usize::MAX,
            rotates: true,
            ..Model::default()
        })))
    }

    fn set(&self, change: impl FnOnce(&mut Model)) {
        change(&mut self.0.borrow_mut());
    }

    fn text(&self) -> String {
        let bytes = self.0.borrow().files.concat();
        String::from_utf8(bytes).expect("ASCII")
    }

    fn sum(&self) -> usize {
        self.0.borrow().files.iter().map(Vec::len).sum()
    }
}

impl Disk for Fake {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut model = self.0.borrow_mut();
        model.appends += 1;
        let count = bytes.len().min(model.room);
        if model.broken {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if count == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        model.room -= count;
        model.synced = false;
        let file = model.files.last_mut().expect("one at least");
        file.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        if !model.rotates {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        model.files.push(Vec::new());
        if model.files.len() > model.max_files {
            model.files.remove(0);
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.borrow_mut().synced = true;
        Ok(())
    }
}

const BOUNDS: Bounds = Bounds {
    size: 2_000,
    files: 3,
};

fn boot() -> Boot {
    Boot {
        id: "this-boot".into(),
        release: "6.12.1".into(),
    }
}

fn journal(disk: &Fake, bounds: Bounds) -> Journal<Fake> {
    Journal::new(disk.clone(), 0, bounds, boot(), 0)
}

fn take(journal: &mut Journal<Fake>, seq: u64, level: u8, now: u64) {
    let text = format!("x: r{seq}");
    let record = Record {
        priority: Priority::of(1, level),
        seq,
        us: 1000 * seq,
        text: text.as_bytes(),
    };
    journal.take(&record, 0, now);
}

/// Reads every line and returns the number after the last record. Panics if a line is not
/// one, if a file does not begin with the mark of the boot, or if a record is missing that
/// no mark counts.
fn check(files: &[Vec<u8>]) -> u64 {
    // The last number of a file that was removed is not known.
    let mut next = (files.len() < 3).then_some(0);
    for (number, file) in files.iter().enumerate() {
        let mut lines: Vec<&[u8]> = file.split(|b| *b == b'\n').collect();
        let torn = lines.pop().unwrap_or_default();
        let newest = number + 1 == files.len();
        assert!(torn.is_empty() || newest, "a torn line in an older file");
        let first = lines.first().map(|line| parse(line));
        assert!(matches!(first, None | Some(Line::Boot(b"this-boot"))));
        for line in lines {
            let shown = String::from_utf8_lossy(line);
            match parse(line) {
                Line::Boot(id) => assert_eq!(id, b"this-boot"),
                Line::Lost(count) => next = next.map(|n| n + count),
                Line::Record { seq, text, .. } => {
                    let seq = seq.expect("a number");
                    assert_eq!(text, format!("x: r{seq}").as_bytes(), "{shown}");
                    assert!(next.is_none_or(|n| n == seq), "{next:?}: {shown}");
                    next = Some(seq + 1);
                }
                Line::Other => panic!("{shown}"),
            }
        }
    }
    next.unwrap_or(0)
}

#[test]
fn lines_wait_two_seconds_unless_they_are_urgent() {
    let disk = Fake::new(3);
    let mut journal = journal(&disk, BOUNDS);
    assert_eq!(journal.deadline(), None, "idle: nothing wakes it");
    take(&mut journal, 0, 6, 100);
    take(&mut journal, 1, 6, 900);
    assert_eq!(journal.deadline(), Some(2_100));
    assert_eq!(journal.tick(2_099), None);
    assert_eq!(disk.text(), "");
    journal.tick(2_100);
    assert_eq!((disk.text().lines().count(), journal.deadline()), (3, None));
    assert!(disk.text().starts_with(
        "--- boot this-boot kernel 6.12.1 ---\n1970-01-01T00:00:00.000000Z 0 user.info x: r0\n"
    ));
    take(&mut journal, 2, 3, 5_000);
    assert_eq!(journal.deadline(), Some(5_000));
    journal.tick(5_000);
    assert!(disk.text().ends_with(" user.err x: r2\n"));
    assert_eq!(disk.0.borrow().appends, 2);
}

#[test]
fn records_that_the_ring_overwrote_are_counted() {
    let disk = Fake::new(3);
    let mut journal = journal(&disk, BOUNDS);
    take(&mut journal, 5, 6, 0);
    take(&mut journal, 6, 6, 0);
    take(&mut journal, 9, 6, 0);
    assert!(journal.close(0).is_ok());
    let text = disk.text();
    let lost = "records lost: overwritten before they were read ---";
    let marks: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("---"))
        .skip(1)
        .collect();
    assert_eq!(marks, [format!("--- 5 {lost}"), format!("--- 2 {lost}")]);
    assert_eq!(check(&disk.0.borrow().files), 10);
    assert!(disk.0.borrow().synced);
}

#[test]
fn a_restarted_log_files_service_continues_the_boot() {
    let disk = Fake::new(3);
    let mut first = journal(&disk, BOUNDS);
    (0..4).for_each(|n| take(&mut first, n, 6, 0));
    assert!(first.close(0).is_ok());
    let end = check(&disk.0.borrow().files);
    let mut second = Journal::new(disk.clone(), disk.sum() as u64, BOUNDS, boot(), end);
    (0..7).for_each(|n| take(&mut second, n, 6, 0));
    assert!(second.close(0).is_ok());
    assert_eq!(check(&disk.0.borrow().files), 7);
    assert_eq!(disk.text().lines().count(), 9, "seven records, two marks");
    // The next boot begins at 0.
    let next = Boot {
        id: "next".into(),
        release: "6.13".into(),
    };
    let mut third = Journal::new(disk.clone(), disk.sum() as u64, BOUNDS, next, 0);
    take(&mut third, 0, 6, 0);
    assert!(third.close(0).is_ok());
    let text = disk.text();
    assert_eq!(text.lines().nth(9), Some("--- boot next kernel 6.13 ---"));
    assert!(text.ends_with("x: r0\n"));
}

#[test]
fn a_full_disk_costs_lines_and_is_warned_about_rarely() {
    let disk = Fake::new(3);
    let mut journal = journal(
        &disk,
        Bounds {
            size: 1 << 20,
            files: 3,
        },
    );
    disk.set(|m| m.room = 100);
    let (mut seq, mut warnings) = (0, Vec::new());
    for now in (0..3_600_000).step_by(1_000) {
        for _ in 0..10 {
            take(&mut journal, seq, 6, now);
            seq += 1;
        }
        warnings.extend(journal.tick(now).map(|text| (now, text)));
        assert!(journal.deadline().is_none_or(|d| d > now), "no spinning");
    }
    let times: Vec<u64> = warnings.iter().map(|(now, _)| *now / 600_000).collect();
    assert_eq!(times, [0, 1, 2, 3, 4, 5]);
    assert!(warnings[0].1.contains("No space left"), "{}", warnings[0].1);
    assert!(disk.0.borrow().appends < 80, "it is not asked all the time");
    disk.set(|m| m.room = usize::MAX);
    take(&mut journal, seq, 6, 3_700_000);
    journal.tick(3_703_000);
    take(&mut journal, seq + 1, 6, 3_704_000);
    assert!(journal.close(3_704_000).is_ok());
    let text = disk.text();
    let said = text
        .lines()
        .filter(|l| l.contains("records lost: No space left on device"))
        .count();
    assert_eq!(said, 1);
    assert_eq!(
        check(&disk.0.borrow().files),
        seq + 2,
        "every record is a line, or counted"
    );
}

#[test]
fn the_warning_about_a_full_disk_causes_no_second_warning() {
    let disk = Fake::new(3);
    let mut journal = journal(
        &disk,
        Bounds {
            size: 1 << 20,
            files: 3,
        },
    );
    disk.set(|m| m.broken = true);
    let mut seq = 0;
    while journal.tick(seq).is_none() {
        take(&mut journal, seq, 6, seq);
        seq += 1;
    }
    let warning = Record {
        priority: Priority::of(1, 4),
        seq,
        us: 0,
        text: b"boot2podman: log-files: the log on disk loses lines",
    };
    // An hour later, only that warning was refused, which gives no second warning; another
    // record that is refused does.
    journal.refused = 0;
    journal.take(&warning, 0, seq);
    assert_eq!(journal.tick(3_600_000), None);
    take(&mut journal, seq + 1, 6, 3_600_000);
    assert!(journal.tick(3_600_000).is_some());
    assert!(
        journal.close(3_600_001).is_err(),
        "the end is not on the disk, and that is said"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Take { skip: u64, level: u8 },
    Again,
    Wait(u64),
    Room(usize),
    Broken(bool),
    Rotates(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (prop_oneof![9 => Just(0u64), 1 => 1..5u64], 0..8u8).prop_map(|(skip, level)| Op::Take { skip, level }),
        1 => Just(Op::Again),
        4 => (0..4_000u64).prop_map(Op::Wait),
        1 => prop_oneof![0..300usize, Just(usize::MAX)].prop_map(Op::Room),
        1 => any::<bool>().prop_map(Op::Broken),
        1 => any::<bool>().prop_map(Op::Rotates),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any sequence of events keeps the bound on size, tears no line but the last of the newest
    /// file, and counts every record that is missing.
    #[test]
    fn any_sequence_of_operations_keeps_the_records_in_order(ops in prop::collection::vec(op(), 0..300), size in 400u64..3_000) {
        let disk = Fake::new(3);
        let bounds = Bounds { size, files: 3 };
        let mut journal = journal(&disk, bounds);
        let (mut seq, mut now) = (0, 0);
        for op in ops {
            match op {
                Op::Take { skip, level } => {
                    seq += skip;
                    take(&mut journal, seq, level, now);
                    seq += 1;
                }
                Op::Again => take(&mut journal, seq.saturating_sub(1), 6, now),
                Op::Wait(ms) => now += ms,
                Op::Room(bytes) => disk.set(|m| m.room = bytes),
                Op::Broken(is) => disk.set(|m| m.broken = is),
                Op::Rotates(does) => disk.set(|m| m.rotates = does),
            }
            journal.tick(now);
            prop_assert!(journal.deadline().is_none_or(|d| d > now), "no spinning");
            prop_assert!(journal.buffer.len() <= MAX_BUFFER);
            prop_assert!(disk.sum() as u64 <= size * 3);
            check(&disk.0.borrow().files);
        }
        disk.set(|m| (m.room, m.broken, m.rotates) = (usize::MAX, false, true));
        now += 100_000;
        take(&mut journal, seq, 6, now);
        prop_assert!(journal.close(now).is_ok());
        prop_assert!(disk.sum() as u64 <= size * 3);
        prop_assert_eq!(check(&disk.0.borrow().files), seq + 1);
    }
}
