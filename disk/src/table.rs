//! Partition tables as they are read: GPT by [`crate::gpt`], MBR here. Nothing
//! is believed that does not fit the disk.

use std::io;

use crate::bytes::{Source, le16, le32, some};
use crate::gpt;
use crate::uuid::{hex, text};

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins, in bytes.
    pub first: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// PARTUUID as the kernel and blkid(8) write it.
    pub uuid: String,
    /// Its name; MBR has none.
    pub name: String,
}

/// The partitions of a disk; empty where there is no table that can be believed.
/// An extended partition's logical ones are not followed: the kernel knows them.
///
/// # Errors
/// What the system said.
pub fn partitions(source: &dyn Source, sector: u32) -> io::Result<Vec<Partition>> {
    if let Some(gpt) = gpt::read(source, sector)? {
        return Ok(gpt.partitions());
    }
    let first = some(source, 0, 512)?;
    if !is_mbr(&first) || entries(&first).any(|e| e.kind == PROTECTIVE) {
        return Ok(Vec::new());
    }
    let mut disk = [0; 4];
    disk.copy_from_slice(&first[440..444]);
    disk.reverse();
    let unit = u64::from(sector);
    let one = |(number, e): (u32, Entry)| Partition {
        number,
        first: u64::from(e.first) * unit,
        len: u64::from(e.len) * unit,
        uuid: format!("{}-{number:02x}", hex(&disk)),
        name: String::new(),
    };
    let fits = |p: &Partition| p.first.saturating_add(p.len) <= source.size();
    let all = (1..)
        .zip(entries(&first))
        .filter(|(_, e)| e.kind != 0 && e.len > 0);
    Ok(all.map(one).filter(fits).collect())
}

/// The type of the one entry that keeps old programs away from a GPT.
pub(crate) const PROTECTIVE: u8 = 0xee;

struct Entry {
    active: u8,
    kind: u8,
    first: u32,
    len: u32,
}

fn entries(sector: &[u8]) -> impl Iterator<Item = Entry> {
    let at = |n: usize| sector.get(446 + 16 * n..462 + 16 * n).unwrap_or(&[0; 16]);
    (0..4).map(move |n| Entry {
        active: at(n)[0],
        kind: at(n)[4],
        first: le32(at(n), 8),
        len: le32(at(n), 12),
    })
}

/// Whether a first sector holds a table: its mark, flags that are flags, and one
/// entry at least that is somewhere. Many boot sectors have the mark alone.
#[must_use]
pub fn is_mbr(sector: &[u8]) -> bool {
    le16(sector, 510) == 0xaa55
        && entries(sector).all(|e| e.active & 0x7f == 0)
        && entries(sector).any(|e| e.kind != 0 && e.first > 0 && e.len > 0)
}

/// The PARTUUID of a GPT entry.
pub(crate) fn partuuid(bytes: &crate::uuid::Uuid) -> String {
    text(&crate::uuid::swapped(bytes))
}
