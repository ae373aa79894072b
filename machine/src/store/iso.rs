// SPDX-License-Identifier: Apache-2.0
//! Files on a disc image by ISO 9660 (ECMA-119), as far as `make iso` uses it.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Seek, SeekFrom};

/// Bytes of a sector (6.1.2).
const SECTOR: u64 = 2048;
/// Sector of the first volume descriptor (6.2.1).
const DESCRIPTOR: u64 = 16;
/// Offset of the root directory's record in a descriptor (8.4.18).
const ROOT: usize = 156;
/// Longest directory that is read, in bytes.
const MAX_DIRECTORY_BYTES: u64 = 1 << 20;
/// Flag of a record that is a directory (9.1.6).
const DIRECTORY: u8 = 0x02;
/// Flag of a record that is a part of a file, and not the last one (9.1.6).
const PARTS: u8 = 0x80;

/// Extent of a file or of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    flags: u8,
}

/// Returns true for a disc image.
pub fn is(file: &mut (impl Read + Seek)) -> bool {
    descriptor(file).is_ok()
}

fn descriptor(file: &mut (impl Read + Seek)) -> Result<Vec<u8>> {
    let sector = read_at(file, DESCRIPTOR * SECTOR, SECTOR)?;
    ensure!(sector.get(..6) == Some(b"\x01CD001"), "no disc image");
    Ok(sector)
}

/// Finds a file by its path without a slash at its start. Names are compared without case.
pub fn find(file: &mut (impl Read + Seek), path: &str) -> Result<Extent> {
    let sector = descriptor(file)?;
    let root = sector.get(ROOT..).unwrap_or_default();
    let (mut at, _) = record(root).context("the disc image has no root directory")?;
    for name in path.split('/') {
        ensure!(
            at.flags & DIRECTORY != 0 && at.len <= MAX_DIRECTORY_BYTES,
            "{path}: no such file on the disc image"
        );
        let directory = read_at(file, at.offset, at.len)?;
        let found = records(&directory).find(|(_, other)| is_same_name(other, name));
        at = found
            .with_context(|| format!("{path}: no such file on the disc image"))?
            .0;
    }
    ensure!(at.flags & DIRECTORY == 0, "{path}: a directory");
    if at.flags & PARTS != 0 {
        bail!("{path}: a file in several parts");
    }
    Ok(at)
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, len: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the records of a directory. None crosses a sector, whose rest is zero (6.8.1.1).
fn records(directory: &[u8]) -> impl Iterator<Item = (Extent, &[u8])> {
    directory.chunks(SECTOR as usize).flat_map(|sector| {
        let mut rest = sector;
        std::iter::from_fn(move || {
            let found = record(rest)?;
            rest = rest.get(usize::from(*rest.first()?)..).unwrap_or_default();
            Some(found)
        })
    })
}

/// Returns the extent and the name of a record (9.1).
fn record(bytes: &[u8]) -> Option<(Extent, &[u8])> {
    let len = usize::from(*bytes.first()?);
    let bytes = bytes.get(..len).filter(|bytes| !bytes.is_empty())?;
    let number = |at: usize| {
        Some(u64::from(u32::from_le_bytes(
            bytes.get(at..at + 4)?.try_into().ok()?,
        )))
    };
    let extent = Extent {
        offset: number(2)? * SECTOR,
        len: number(10)?,
        flags: *bytes.get(25)?,
    };
    let name = usize::from(*bytes.get(32)?);
    Some((extent, bytes.get(33..33 + name)?))
}

/// Compares a name of ISO 9660, which has a version and may end with a dot (7.5.1).
fn is_same_name(name: &[u8], wanted: &str) -> bool {
    let end = name
        .iter()
        .position(|&byte| byte == b';')
        .unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    name.strip_suffix(b".")
        .unwrap_or(name)
        .eq_ignore_ascii_case(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn entry(sector: u32, len: u32, flags: u8, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 33];
        bytes[2..6].copy_from_slice(&sector.to_le_bytes());
        bytes[10..14].copy_from_slice(&len.to_le_bytes());
        bytes[25] = flags;
        bytes[32] = u8::try_from(name.len()).expect("short");
        bytes.extend_from_slice(name);
        bytes[0] = u8::try_from(bytes.len()).expect("short");
        bytes
    }

    fn disc() -> Vec<u8> {
        let mut disc = vec![0; 22 * 2048];
        let mut put = |at: usize, bytes: &[u8]| disc[at..at + bytes.len()].copy_from_slice(bytes);
        put(16 * 2048, b"\x01CD001");
        put(16 * 2048 + ROOT, &entry(18, 2048, DIRECTORY, b"\0"));
        let root = [
            entry(18, 2048, DIRECTORY, b"\0"),
            entry(19, 4096, DIRECTORY, b"BOOT"),
        ]
        .concat();
        put(18 * 2048, &root);
        put(19 * 2048, &entry(21, 5, 0, b"VMLINUZ.;1"));
        put(
            20 * 2048,
            &[
                entry(21, 4, 0, b"initrd.img"),
                entry(21, 4, PARTS, b"large"),
            ]
            .concat(),
        );
        put(21 * 2048, b"bytes");
        disc
    }

    #[test]
    fn files_are_found() {
        let mut disc = Cursor::new(disc());
        assert!(is(&mut disc));
        let extent = |offset, len| Extent {
            offset,
            len,
            flags: 0,
        };
        assert_eq!(
            find(&mut disc, "boot/vmlinuz").expect("there"),
            extent(21 * 2048, 5)
        );
        assert_eq!(
            find(&mut disc, "boot/initrd.img").expect("in the second sector"),
            extent(21 * 2048, 4)
        );
        for path in [
            "boot",
            "boot/none",
            "boot/vmlinuz/x",
            "boot/large",
            "",
            "none/x",
        ] {
            assert!(find(&mut disc, path).is_err(), "{path}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        let whole = disc();
        for len in (0..whole.len()).step_by(97) {
            let _ = find(&mut Cursor::new(&whole[..len]), "boot/vmlinuz");
        }
        for at in 16 * 2048..whole.len() {
            let mut disc = whole.clone();
            disc[at] ^= 0xff;
            let _ = find(&mut Cursor::new(disc), "boot/vmlinuz");
        }
        assert!(!is(&mut Cursor::new(vec![0; 40960])));
    }
}
