#![allow(clippy::unwrap_used)]
use super::*;
use crate::bytes::{ReadAt, put};
use crate::format_state::{FormatState, format_state, request_sector};
use crate::probe;
use crate::userdata::tests::{entry, machine};
use std::collections::BTreeMap;
use std::io;

type Sector = [u8; 512];

/// A disk that holds back what is not flushed, and loses its power after so many
/// writes: of what it held back, any part may have come to rest.
#[derive(Clone)]
struct Fake {
    size: u64,
    durable: BTreeMap<u64, Sector>,
    pending: Vec<(u64, Sector)>,
    left: usize,
    done: usize,
    part: u64,
}

impl Fake {
    fn new(size: u64, front: &[u8]) -> Fake {
        let mut fake = Fake {
            size,
            durable: BTreeMap::new(),
            pending: Vec::new(),
            left: usize::MAX,
            done: 0,
            part: 0,
        };
        fake.write(0, front).unwrap();
        fake.flush().unwrap();
        fake
    }

    /// What is there after the cut: of each sector's writes, as many as `luck` says.
    fn cut(mut self, luck: &mut Luck) -> Fake {
        let mut kept = BTreeMap::<u64, bool>::new();
        for (at, sector) in std::mem::take(&mut self.pending) {
            // Once a write to a sector is lost, so are the later ones.
            if *kept
                .entry(at)
                .and_modify(|k| *k &= luck.coin())
                .or_insert_with(|| luck.coin())
            {
                self.durable.insert(at, sector);
            }
        }
        Fake {
            left: usize::MAX,
            done: 0,
            ..self
        }
    }

    fn sector(&self, at: u64) -> Sector {
        let now = self.pending.iter().rev().find(|(a, _)| *a == at);
        now.map_or_else(
            || self.durable.get(&at).copied().unwrap_or([0; 512]),
            |(_, s)| *s,
        )
    }
}

impl ReadAt for Fake {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        if at + into.len() as u64 > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < into.len() {
            let here = at + done as u64;
            let skip = (here % 512) as usize;
            let n = (512 - skip).min(into.len() - done);
            into[done..done + n].copy_from_slice(&self.sector(here / 512)[skip..skip + n]);
            done += n;
        }
        Ok(())
    }
}

impl FormatTarget for Fake {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        assert!(at.is_multiple_of(512) && at + bytes.len() as u64 <= self.size);
        if self.left == 0 {
            return Err("cut".into());
        }
        (self.left, self.done) = (self.left - 1, self.done + 1);
        for (n, chunk) in bytes.chunks(512).enumerate() {
            let mut sector = [0; 512];
            put(&mut sector, 0, chunk);
            let blank = |f: &Fake, at| {
                !f.durable.contains_key(&at) && !f.pending.iter().any(|(a, _)| *a == at)
            };
            if sector == [0; 512] && blank(self, at / 512 + n as u64) {
                continue; // zeros are there already
            }
            self.pending.push((at / 512 + n as u64, sector));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.durable.extend(self.pending.drain(..));
        self.durable.retain(|_, s| *s != [0; 512]);
        Ok(())
    }

    fn divided(&mut self, first: u64, _: u64) -> Result<(), String> {
        self.part = first;
        Ok(())
    }

    fn make(&mut self, uuid: &str, label: &str) -> Result<(), String> {
        self.write(self.part + 1024, &[0; 1024])?;
        self.flush()?;
        self.write(self.part + (4 << 20), b"inodes of nothing")?;
        self.superblock(Some(uuid), label)
    }

    fn fill(&mut self, tar: &[u8]) -> Result<(), String> {
        self.write(self.part + TAR, tar)?;
        self.flush()
    }

    fn label(&mut self, label: &str) -> Result<(), String> {
        self.superblock(None, label)
    }

    fn say(&mut self, _: &str) {}
}

/// Where the fake file system has userdata.tar.
const TAR: u64 = 6 << 20;
/// And what somebody has stored since.
const USED: u64 = 5 << 20;

impl Fake {
    fn superblock(&mut self, uuid: Option<&str>, label: &str) -> Result<(), String> {
        let mut sb = self.sector((self.part + 1024) / 512);
        put(&mut sb, 0x38, &[0x53, 0xef]);
        put(&mut sb, 0x60, &[0x42, 2]);
        if let Some(uuid) = uuid {
            let hex: String = uuid.chars().filter(|c| *c != '-').collect();
            let bytes = (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap());
            put(&mut sb, 0x68, &bytes.collect::<Vec<_>>());
        }
        put(&mut sb, 0x78, &[0; 16]);
        put(&mut sb, 0x78, label.as_bytes());
        self.write(self.part + 1024, &sb)?;
        self.flush()
    }
}

/// Coins from a seed (xorshift).
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        for shift in [13, -7i32, 17] {
            self.0 ^= if shift > 0 {
                self.0 << shift
            } else {
                self.0 >> -shift
            };
        }
        self.0
    }

    fn coin(&mut self) -> bool {
        match self.0 {
            0 => false,       // nothing of it
            u64::MAX => true, // all of it
            _ => self.next() & 1 == 1,
        }
    }
}

/// One boot's worth of what PID 1's helper does; whether there was something.
fn boot(disk: &mut Fake, random: u8) -> Result<bool, String> {
    let size = disk.size;
    match format_state(disk, 512).unwrap() {
        FormatState::Unrelated => Ok(false),
        FormatState::Requested(data, found) => {
            assert!(found.is_empty(), "{found:?}");
            let journal = Journal::new(
                data.raw,
                512,
                [[random; 16], [random + 1; 16], [random + 2; 16]],
            );
            format(size, &journal, true, disk).map(|()| true)
        }
        FormatState::InProgress(journal) => format(size, &journal, false, disk).map(|()| true),
        FormatState::Complete(journal) => sweep(size, &journal, disk).map(|()| true),
        FormatState::Refused(why) => panic!("refused: {why}"),
    }
}

/// The disk is what it is to be, with this archive in it.
fn complete(disk: &Fake, tar: &[u8]) {
    assert_eq!(format_state(disk, 512).unwrap(), FormatState::Unrelated);
    let parts = crate::partition_table::partitions(disk, 512).unwrap();
    assert_eq!(parts.len(), 1);
    let inside = crate::bytes::Part {
        of: disk,
        first: parts[0].first,
        len: parts[0].len,
    };
    let found = probe::probe(&inside).unwrap();
    assert_eq!(found[0].label.as_deref(), Some(LABELS[0]), "{found:?}");
    assert_eq!(crate::bytes::read_at(&inside, TAR, tar.len()).unwrap(), tar);
    let first = disk.sector(0);
    assert!(!crate::requests_format(&first));
    assert_eq!(
        crate::journal::left(disk, &[1; 16], parts[0].first).unwrap(),
        None
    );
}

fn archives() -> Vec<Vec<u8>> {
    let mut long = machine(&[b'k'; 743]);
    long.truncate(long.len() - 1024);
    for _ in 0..2 {
        long.extend(entry("x", b'0', &vec![b'x'; 530_000]));
    }
    long.extend([0; 1024]);
    let mut words = crate::FORMAT_MAGIC[1].as_bytes().to_vec();
    words.push(b'\n');
    vec![machine(&[b'k'; 743]), long, request_sector(), words]
}

/// What userdata.tar must be for what was at the front.
fn expected(front: &[u8]) -> Vec<u8> {
    match front.len() {
        30 => Vec::new(),
        512 => [front, &[0; 1024]].concat(),
        _ => front.to_vec(),
    }
}

/// After every single write, with none, all, and some of what was not flushed; and
/// then again in the middle of making it good.
#[test]
fn no_cut_loses_the_archive_or_is_taken_for_data() {
    for front in archives() {
        let (start, tar) = (Fake::new(64 * MIB, &front), expected(&front));
        let mut whole = start.clone();
        assert!(boot(&mut whole, 1).unwrap());
        complete(&whole, &tar);
        let step = if tar.len() > 100_000 { 9 } else { 1 };
        for at in (0..whole.done - start.done).step_by(step) {
            for seed in [0, u64::MAX, 0x9e37_79b9 + at as u64] {
                let mut luck = Luck(seed);
                let mut disk = Fake {
                    left: at,
                    done: 0,
                    ..start.clone()
                };
                assert!(boot(&mut disk, 1).is_err());
                let mut disk = disk.cut(&mut luck);
                // The second cut, anywhere.
                disk.left = Luck(at as u64 + 77).next() as usize % 140;
                if boot(&mut disk, 20).is_err() {
                    disk = disk.cut(&mut luck);
                }
                disk.left = usize::MAX;
                for _ in 0..3 {
                    boot(&mut disk, 40).unwrap();
                }
                complete(&disk, &tar);
            }
        }
    }
}

/// A disk that forgets the last flushes: words and record are back, and somebody
/// has used the file system. Nothing inside of it is touched.
#[test]
fn what_was_used_is_not_made_again() {
    let front = machine(b"key");
    let start = Fake::new(64 * MIB, &front);
    let mut disk = start.clone();
    boot(&mut disk, 1).unwrap();
    let journal = Journal::new(front.clone(), 512, [[1; 16], [2; 16], [3; 16]]);
    let old = [
        (0, gpt::protective(disk.size, 512, &journal.boot())),
        (journal.at, journal.record()),
    ];
    disk.write(journal.first + USED, b"precious").unwrap();
    disk.flush().unwrap();
    for back in [&old[..], &old[1..]] {
        let mut disk = disk.clone();
        for (at, bytes) in back {
            disk.write(*at, bytes).unwrap();
        }
        disk.flush().unwrap();
        assert!(matches!(
            format_state(&disk, 512).unwrap(),
            FormatState::Complete(_)
        ));
        boot(&mut disk, 50).unwrap();
        complete(&disk, &front);
        assert_eq!(&disk.sector((journal.first + USED) / 512)[..8], b"precious");
    }
    // And somebody else's file system in that place is nobody's to make again.
    disk.superblock(Some("00000000-0000-4000-8000-00000000beef"), "mine")
        .unwrap();
    for (at, bytes) in &old {
        disk.write(*at, bytes).unwrap();
    }
    disk.flush().unwrap();
    assert!(matches!(
        format_state(&disk, 512).unwrap(),
        FormatState::Refused(_)
    ));
}

/// Of the superblock that has the label, one sector is on the disk and one is not.
#[test]
fn a_label_that_was_torn_is_made_again() {
    let (mut disk, tar) = (Fake::new(64 * MIB, &machine(b"key")), machine(b"key"));
    boot(&mut disk, 1).unwrap();
    let journal = Journal::new(tar, 512, [[1; 16], [2; 16], [3; 16]]);
    let front = gpt::protective(disk.size, 512, &journal.boot());
    disk.write(0, &front).unwrap();
    disk.write(journal.at, &journal.record()).unwrap();
    let mut first = disk.sector(journal.first / 512 + 2);
    put(&mut first, 0x64, &0x400u32.to_le_bytes());
    for (mounts, half) in [(1, true), (2, false)] {
        put(&mut first, 0x34, &[mounts]);
        disk.write(journal.first + 1024, &first).unwrap();
        let now = format_state(&disk, 512).unwrap();
        assert_eq!(matches!(now, FormatState::InProgress(_)), half, "{now:?}");
    }
}

#[test]
fn the_newer_archive_counts() {
    // A format was cut, and then the disk was given new words and a new archive.
    let mut disk = Fake::new(64 * MIB, &machine(&vec![b'o'; 300_000]));
    disk.left = 40;
    boot(&mut disk, 1).unwrap_err();
    let mut disk = disk.cut(&mut Luck(u64::MAX));
    let newer = machine(b"new key");
    disk.write(0, &newer).unwrap();
    disk.flush().unwrap();
    for at in (0..150).step_by(3) {
        let mut disk = Fake {
            left: at,
            ..disk.clone()
        };
        let _ = boot(&mut disk, 9);
        let mut disk = disk.cut(&mut Luck(at as u64));
        for _ in 0..2 {
            boot(&mut disk, 30).unwrap();
        }
        complete(&disk, &newer);
    }
}

#[test]
fn what_asks_and_must_not_have_it() {
    let known = |fake: &Fake| match format_state(fake, 512).unwrap() {
        FormatState::Requested(_, found) => found.len(),
        other => panic!("{other:?}"),
    };
    let mut disk = Fake::new(64 * MIB, &machine(b"k"));
    assert_eq!(known(&disk), 0);
    let mut block = [0; 512];
    put(&mut block, 64, b"_BHRfS_M");
    disk.write(65536, &block).unwrap();
    assert_eq!(known(&disk), 1);

    let mut torn = machine(b"k");
    torn[1600] ^= 1;
    torn[1024] ^= 1;
    let disk = Fake::new(64 * MIB, &torn);
    let now = format!("{:?}", format_state(&disk, 512).unwrap());
    assert!(now.contains("Refused") && now.contains("broken at byte"));

    let mut lost = Fake::new(64 * MIB, &machine(b"k"));
    let journal = Journal::new(Vec::new(), 512, [[1; 16]; 3]);
    let front = gpt::protective(lost.size, 512, &journal.boot());
    lost.write(0, &front).unwrap();
    let now = format_state(&lost, 512).unwrap();
    assert!(matches!(now, FormatState::Refused(_)), "{now:?}");
}

#[test]
fn a_disk_too_small_is_left_as_it_is() {
    let mut disk = Fake::new(30 * MIB, &machine(b"k"));
    let before = disk.durable.clone();
    assert!(boot(&mut disk, 1).is_err_and(|e| e.contains("too few")));
    assert!(disk.durable == before && disk.pending.is_empty());
}
