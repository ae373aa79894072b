//! Bytes at offsets: where they come from, and the numbers in them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something to read from at an offset, as pread(2) does.
pub trait ReadAt {
    /// Its length in bytes.
    fn size(&self) -> u64;
    /// Fills `into` from `at` on.
    ///
    /// # Errors
    /// What the system said; also when less is there.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let there = from.and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.as_slice().read(at, into)
    }
}

/// An open device or image of a known size.
#[derive(Debug)]
pub struct SizedFile {
    /// Opened for reading.
    pub file: File,
    /// In bytes; a device's is not in its metadata.
    pub size: u64,
}

impl ReadAt for SizedFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }
}

/// A part of a source, as a partition is of a disk.
pub struct Part<'a> {
    /// The whole.
    pub of: &'a dyn ReadAt,
    /// Where it begins.
    pub first: u64,
    /// How long it is.
    pub len: u64,
}

impl ReadAt for Part<'_> {
    fn size(&self) -> u64 {
        let rest = self.of.size().saturating_sub(self.first);
        self.len.min(rest)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let end = at.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.of.read(self.first + at, into)
    }
}

/// Up to `len` bytes from `at` on: fewer, or none, where the source ends. The
/// caller bounds `len`.
///
/// # Errors
/// What the system said.
pub fn read_at(source: &dyn ReadAt, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let rest = source.size().saturating_sub(at);
    let len = len.min(usize::try_from(rest).unwrap_or(usize::MAX));
    let mut bytes = vec![0; len];
    if len > 0 {
        source.read(at, &mut bytes)?;
    }
    Ok(bytes)
}

/// Whether every byte is zero; true of none.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// The `N` bytes at `at`; zeros where there are none.
#[must_use]
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let slice = at.checked_add(N).and_then(|end| bytes.get(at..end));
    slice.and_then(|s| s.try_into().ok()).unwrap_or([0; N])
}

/// Little-endian, as [`array`].
#[must_use]
pub fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// Little-endian, as [`array`].
#[must_use]
pub fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// Little-endian, as [`array`].
#[must_use]
pub fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Big-endian, as [`array`].
#[must_use]
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// Big-endian, as [`array`].
#[must_use]
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// Puts `value` at `at`, where there is room for all of it.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
}
