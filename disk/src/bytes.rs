// SPDX-License-Identifier: Apache-2.0
//! Bytes at offsets: their source, and the numbers in them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Source of bytes at offsets, as for pread(2).
pub trait ReadAt {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// The source cannot be read, or ends too early.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let rest = start.and_then(|start| self.get(start..));
        let bytes = rest.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_at(offset, buffer)
    }
}

/// Open device or image of a known size.
#[derive(Debug)]
pub struct SizedFile {
    /// File that is open for reading.
    pub file: File,
    /// Size in bytes. The size of a device is not in its metadata.
    pub size: u64,
}

impl ReadAt for SizedFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Range of a source, as a partition is of a disk.
pub struct Range<'a> {
    /// Source of the bytes.
    pub source: &'a dyn ReadAt,
    /// Offset of the range in bytes.
    pub offset: u64,
    /// Length of the range in bytes.
    pub len: u64,
}

impl ReadAt for Range<'_> {
    fn size(&self) -> u64 {
        let rest = self.source.size().saturating_sub(self.offset);
        self.len.min(rest)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_exact_at(self.offset + offset, buffer)
    }
}

/// Reads up to `len` bytes at `offset`: fewer if the source ends before. The caller bounds `len`.
///
/// # Errors
/// The source cannot be read.
pub fn read_at(source: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let rest = source.size().saturating_sub(offset);
    let len = len.min(usize::try_from(rest).unwrap_or(usize::MAX));
    let mut bytes = vec![0; len];
    if len > 0 {
        source.read_exact_at(offset, &mut bytes)?;
    }
    Ok(bytes)
}

/// Returns true if every byte is zero, or there is none.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// Returns the `N` bytes at offset `at`; zeros if `bytes` ends before the last one.
#[must_use]
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let slice = at.checked_add(N).and_then(|end| bytes.get(at..end));
    slice.and_then(|s| s.try_into().ok()).unwrap_or([0; N])
}

/// Returns the little-endian number at offset `at`, as [`array`] does.
#[must_use]
pub fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// Returns the little-endian number at offset `at`, as [`array`] does.
#[must_use]
pub fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// Returns the little-endian number at offset `at`, as [`array`] does.
#[must_use]
pub fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Returns the big-endian number at offset `at`, as [`array`] does.
#[must_use]
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

/// Returns the big-endian number at offset `at`, as [`array`] does.
#[must_use]
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

/// Writes `value` at offset `at` if the whole value fits.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..at.saturating_add(value.len())) {
        to.copy_from_slice(value);
    }
}
