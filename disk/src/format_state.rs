//! Where a disk stands between asking to be formatted and being the data disk.
//! See the table in [`crate::format`].

use std::io;

use crate::bytes::{Part, ReadAt, read_at};
use crate::journal::{self, Journal};
use crate::probe::probe;
use crate::signature::{Signature, SignatureKind};
use crate::userdata::{self, Userdata};
use crate::{LABELS, UNFINISHED, ext4, gpt, requests_format, uuid};

/// Where a disk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatState {
    /// It does not ask for anything.
    Unrelated,
    /// It asks, and nothing has been done: what is to survive, and what is on it
    /// besides, which must be nothing.
    Requested(Box<Userdata>, Vec<Signature>),
    /// A format was begun; nothing but it has written to the disk since.
    InProgress(Box<Journal>),
    /// The file system is made and complete; the traces are to be swept.
    Complete(Box<Journal>),
    /// It asks, and must not have what it asks for.
    Refused(String),
}

/// Looks at a whole disk. `sector` is the length of its logical sectors.
///
/// # Errors
/// What the system said.
pub fn format_state(source: &dyn ReadAt, sector: u32) -> io::Result<FormatState> {
    let first = read_at(source, 0, 512)?;
    if requests_format(&first) && !started(&first) {
        return asking(source, &first);
    }
    let table = gpt::read(source, sector)?;
    if requests_format(&first) {
        return match journal::named(source, &first)? {
            Some(journal) => under_way(source, journal, true, table.as_ref()),
            None => Ok(FormatState::Refused(
                "it asks, in the middle of a format, and the record of that is lost".into(),
            )),
        };
    }
    let Some(table) = table else {
        return Ok(FormatState::Unrelated);
    };
    let mut all = table.partitions().into_iter();
    let Some(part) = all.find(|p| p.name == gpt::NAME) else {
        return Ok(FormatState::Unrelated);
    };
    match journal::left(source, &table.disk, part.first)? {
        Some(journal) => under_way(source, journal, false, Some(&table)),
        None => Ok(FormatState::Unrelated),
    }
}

/// Whether the first sector is the one that formatting writes: the words where a
/// boot loader would be, and the mark of a table.
fn started(first: &[u8]) -> bool {
    !userdata::is_header(first) && first.ends_with(&[0x55, 0xaa])
}

fn asking(source: &dyn ReadAt, first: &[u8]) -> io::Result<FormatState> {
    // Some people write the words alone.
    let rest = first
        .get(crate::FORMAT_MAGIC[0].len()..)
        .unwrap_or_default();
    if rest.iter().all(|b| matches!(b, 0 | b'\n')) {
        return Ok(FormatState::Requested(Box::default(), probe(source)?));
    }
    match userdata::read(source) {
        Ok(data) => Ok(FormatState::Requested(Box::new(data), probe(source)?)),
        Err(userdata::Refused::Io(e)) => Err(e),
        Err(why) => Ok(FormatState::Refused(format!(
            "its userdata.tar is broken {why}"
        ))),
    }
}

/// There is a record of a format; is it true?
fn under_way(
    source: &dyn ReadAt,
    journal: Journal,
    asks: bool,
    table: Option<&gpt::Gpt>,
) -> io::Result<FormatState> {
    // The table is written after the partition's place has been wiped: from then
    // on, what is in it was made there.
    let table = table.filter(|t| t.disk == journal.disk);
    let part = table.and_then(|t| {
        t.partitions()
            .into_iter()
            .find(|p| p.first == journal.first)
    });
    let Some(part) = part else {
        return Ok(match asks {
            true => FormatState::InProgress(Box::new(journal)),
            false => FormatState::Unrelated, // another table, another use
        });
    };
    let inside = Part {
        of: source,
        first: part.first,
        len: part.len,
    };
    let found = probe(&inside)?;
    let own = uuid::known(&journal.fs);
    // The cut came between the two sectors of the superblock that has the label:
    // nobody but the format has mounted it yet, once, and nobody could.
    let sb = read_at(&inside, 1024, 1024)?;
    let torn = !ext4::sound(&sb) && ext4::mounts(&sb) <= 1;
    let made = |f: &Signature| f.uuid == own && f.label.as_deref() == Some(LABELS[0]);
    let half = |f: &Signature| {
        let ext = matches!(
            f.kind,
            SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4
        );
        ext && f.uuid == own && (torn || f.label.as_deref().is_none_or(|l| l == UNFINISHED))
    };
    Ok(match found.as_slice() {
        [one] if made(one) && !torn => FormatState::Complete(Box::new(journal)),
        _ if !asks => FormatState::Unrelated,
        all if all.iter().all(half) => FormatState::InProgress(Box::new(journal)),
        all => FormatState::Refused(format!(
            "a format of it was begun, and since then somebody made {} there",
            all.iter()
                .map(|f| f.kind.name())
                .collect::<Vec<_>>()
                .join(" and ")
        )),
    })
}

/// The sector that makes a blank disk ask: an archive of the words alone, as long
/// as zeros follow it.
#[must_use]
pub fn request_sector() -> Vec<u8> {
    let mut h = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| h[at..at + text.len()].copy_from_slice(text);
    put(0, crate::FORMAT_MAGIC[0].as_bytes());
    put(100, b"0000644\0");
    put(124, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = h.iter().map(|b| u32::from(*b)).sum();
    h[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    h
}
