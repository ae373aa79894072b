// SPDX-License-Identifier: Apache-2.0
//! Archive after the format magic: read whole or refused whole (POSIX.1-2017 pax, "ustar
//! Interchange Format"; GNU tar's long names).

use std::{error, fmt, io};

use crate::bytes::{ReadAt, is_zero, read_at};
use crate::requests_format;

/// Maximum length of an archive in bytes, including headers.
pub const MAX_ARCHIVE_BYTES: usize = 16 << 20;
/// Maximum length of a file in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Maximum number of entries.
pub const MAX_ENTRIES: usize = 1000;
/// Maximum length of a path in bytes.
const MAX_PATH_BYTES: usize = 1024;

const BLOCK: usize = 512;

/// Valid archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userdata {
    /// Unchanged bytes of the archive, to be stored as userdata.tar.
    pub raw: Vec<u8>,
    /// Files. Directories are created as needed.
    pub files: Vec<File>,
}

/// File in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative path without `.` and `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl Userdata {
    /// Returns the contents of the last file with this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        let file = self.files.iter().rfind(|file| file.path == path)?;
        Some(&file.bytes)
    }
}

/// Reason why an archive is refused.
#[derive(Debug)]
pub enum ArchiveError {
    /// Device cannot be read.
    Io(io::Error),
    /// Archive has a defect in the entry at this offset.
    Broken(usize, Defect),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::Io(e) => e.fmt(f),
            ArchiveError::Broken(offset, defect) => write!(f, "at byte {offset}: {defect}"),
        }
    }
}

impl error::Error for ArchiveError {}

impl From<io::Error> for ArchiveError {
    fn from(e: io::Error) -> ArchiveError {
        ArchiveError::Io(e)
    }
}

/// Defect of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts below describe the variants")]
pub enum Defect {
    Empty,
    TooManyEntries,
    NoFormatMagic,
    ArchiveTooLong,
    Truncated,
    Checksum,
    Size,
    Mode,
    FileTooLong,
    Link,
    DeviceNode,
    UnknownType,
    PaxRecord,
    PaxSize,
    SparseFile,
    NameNotUtf8,
    BadName,
    AbsolutePath,
    ParentPath,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Defect::Empty => "empty",
            Defect::TooManyEntries => "more than 1000 entries",
            Defect::NoFormatMagic => "does not begin with the words that ask for it",
            Defect::ArchiveTooLong => "longer than 16 MiB",
            Defect::Truncated => "cut off",
            Defect::Checksum => "a header's checksum is wrong",
            Defect::Size => "a size that is no octal number",
            Defect::Mode => "a mode that is no octal number",
            Defect::FileTooLong => "a file longer than 1 MiB",
            Defect::Link => "a link",
            Defect::DeviceNode => "a device",
            Defect::UnknownType => "an entry of a type that is not supported",
            Defect::PaxRecord => "a malformed pax record",
            Defect::PaxSize => "a malformed pax size",
            Defect::SparseFile => "a sparse file",
            Defect::NameNotUtf8 => "a name that is not UTF-8",
            Defect::BadName => "a name that is too long, or has control characters",
            Defect::AbsolutePath => "an absolute path",
            Defect::ParentPath => "a path with `..`",
        })
    }
}

/// Returns true if a first sector is the header of an archive whose first name is the format
/// magic.
#[must_use]
pub fn is_header(sector: &[u8]) -> bool {
    requests_format(sector) && sector.len() >= BLOCK && has_valid_checksum(sector)
}

/// Reads the archive at the beginning of `source`.
///
/// # Errors
/// The source cannot be read, or the archive has a defect; no part of the archive is used then.
pub fn read(source: &dyn ReadAt) -> Result<Userdata, ArchiveError> {
    let mut reader = Reader {
        source,
        raw: Vec::new(),
        overrides: Overrides::default(),
    };
    let mut files = Vec::new();
    for index in 0.. {
        let offset = reader.raw.len();
        let broken = |defect| Err(ArchiveError::Broken(offset, defect));
        let header = reader.take(BLOCK)?;
        if is_zero(&header) {
            reader.finish()?;
            if index == 0 {
                return broken(Defect::Empty);
            }
            break;
        }
        if index == MAX_ENTRIES {
            return broken(Defect::TooManyEntries);
        }
        if index == 0 && !requests_format(&header) {
            return broken(Defect::NoFormatMagic);
        }
        // The first entry is the request itself.
        if let Some(file) = reader.entry(&header, offset)?
            && index > 0
        {
            files.push(file);
        }
    }
    Ok(Userdata {
        raw: reader.raw,
        files,
    })
}

/// Path and size that an extended header gives to the next entry.
#[derive(Default)]
struct Overrides {
    path: Option<Vec<u8>>,
    size: Option<usize>,
}

struct Reader<'a> {
    source: &'a dyn ReadAt,
    /// Bytes that were read.
    raw: Vec<u8>,
    overrides: Overrides,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Result<Vec<u8>, ArchiveError> {
        let offset = self.raw.len();
        if offset + len > MAX_ARCHIVE_BYTES {
            return Err(ArchiveError::Broken(offset, Defect::ArchiveTooLong));
        }
        let bytes = read_at(self.source, offset as u64, len)?;
        if bytes.len() < len {
            return Err(ArchiveError::Broken(offset, Defect::Truncated));
        }
        self.raw.extend_from_slice(&bytes);
        Ok(bytes)
    }

    /// Completes the two blocks of zeros at the end. Some programs write only one, and other data
    /// follows; the copy is a valid archive in either case.
    fn finish(&mut self) -> Result<(), ArchiveError> {
        let second = read_at(self.source, self.raw.len() as u64, BLOCK)?;
        let fits = self.raw.len() + BLOCK <= MAX_ARCHIVE_BYTES;
        if second.len() == BLOCK && is_zero(&second) && fits {
            self.raw.extend_from_slice(&second);
        } else {
            self.raw.extend_from_slice(&[0; BLOCK]);
        }
        Ok(())
    }

    /// Reads one entry with its contents; `None` for an entry that is no file.
    fn entry(&mut self, header: &[u8], offset: usize) -> Result<Option<File>, ArchiveError> {
        let broken = |defect| ArchiveError::Broken(offset, defect);
        if !has_valid_checksum(header) {
            return Err(broken(Defect::Checksum));
        }
        let size = octal(&header[124..136]).ok_or(broken(Defect::Size))?;
        let mode = octal(&header[100..108]).ok_or(broken(Defect::Mode))?;
        let typeflag = header[156];
        let overrides = match typeflag {
            b'L' | b'x' => Overrides::default(),
            _ => std::mem::take(&mut self.overrides),
        };
        let size = overrides.size.unwrap_or(size);
        if size > MAX_FILE_BYTES {
            return Err(broken(Defect::FileTooLong));
        }
        let mut bytes = self.take(size.next_multiple_of(BLOCK))?;
        bytes.truncate(size);
        let name = || overrides.path.unwrap_or_else(|| name(header));
        match typeflag {
            b'0' | 0 | b'7' => {
                let path = path(&name()).map_err(broken)?;
                let mode = mode as u32 & 0o777;
                return Ok(Some(File { path, mode, bytes }));
            }
            b'5' => drop(path(&name()).map_err(broken)?),
            b'L' => self.overrides.path = Some(until_zero(&bytes).to_vec()),
            b'x' => self.pax(&bytes).map_err(broken)?,
            b'g' if has_only_comments(&bytes) => {}
            b'1' | b'2' => return Err(broken(Defect::Link)),
            b'3' | b'4' | b'6' => return Err(broken(Defect::DeviceNode)),
            _ => return Err(broken(Defect::UnknownType)),
        }
        Ok(None)
    }

    /// Applies the records of a pax header to the next entry. Times and owners are ignored.
    fn pax(&mut self, records: &[u8]) -> Result<(), Defect> {
        for pair in pairs(records) {
            let (key, value) = pair.ok_or(Defect::PaxRecord)?;
            match key {
                b"path" => self.overrides.path = Some(value.to_vec()),
                b"size" => self.overrides.size = Some(decimal(value).ok_or(Defect::PaxSize)?),
                _ if key.starts_with(b"GNU.sparse") => return Err(Defect::SparseFile),
                _ => {}
            }
        }
        Ok(())
    }
}

fn has_only_comments(records: &[u8]) -> bool {
    pairs(records).all(|pair| pair.is_some_and(|(key, _)| key == b"comment"))
}

/// Returns the pairs of `LENGTH KEY=VALUE\n` records. A malformed record is `None` and the last.
fn pairs(records: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = records;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = record(rest);
        rest = parsed.map_or(&[], |(_, after)| after);
        Some(parsed.map(|(pair, _)| pair))
    })
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn record(rest: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let space = rest.iter().position(|b| *b == b' ')?;
    let len = decimal(rest.get(..space)?)?;
    let body = rest.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((
        (body.get(..equals)?, body.get(equals + 1..)?),
        rest.get(len..)?,
    ))
}

/// Parses one to nine decimal digits. The length is checked before the sum is made: a record whose
/// digits do not fit into a `usize` must not overflow it.
fn decimal(digits: &[u8]) -> Option<usize> {
    let valid = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let digits = valid.then_some(digits)?;
    Some(digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0')))
}

/// Parses octal digits with spaces or NULs around them; an empty field is zero. The binary form of
/// GNU tar is not supported: its numbers exceed every limit here.
fn octal(field: &[u8]) -> Option<usize> {
    let digits = until_zero(field).trim_ascii();
    let valid = digits.len() <= 11 && digits.iter().all(|d| (b'0'..=b'7').contains(d));
    let digits = valid.then_some(digits)?;
    let value = digits.iter().fold(0u64, |n, d| n * 8 + u64::from(d - b'0'));
    value.try_into().ok()
}

/// Returns true if the checksum of a header is right: the sum of its bytes, with its own field as
/// spaces. Old programs take the bytes as signed.
fn has_valid_checksum(header: &[u8]) -> bool {
    let Some(header) = header.get(..BLOCK) else {
        return false;
    };
    let own_field = 148..156;
    let byte = |(n, b): (usize, &u8)| if own_field.contains(&n) { b' ' } else { *b };
    let bytes = || header.iter().enumerate().map(byte);
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
    let stored = octal(&header[148..156]).and_then(|sum| i64::try_from(sum).ok());
    stored.is_some_and(|sum| sum == unsigned || sum == signed)
}

/// Returns the name in a header, with the prefix of ustar.
fn name(header: &[u8]) -> Vec<u8> {
    let name = until_zero(&header[..100]);
    let prefix = until_zero(&header[345..500]);
    if header[257..].starts_with(b"ustar\0") && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

fn until_zero(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

/// Returns a path that stays below the directory of the unpacked archive.
fn path(bytes: &[u8]) -> Result<String, Defect> {
    let text = std::str::from_utf8(bytes).map_err(|_| Defect::NameNotUtf8)?;
    if text.len() > MAX_PATH_BYTES || text.chars().any(char::is_control) {
        return Err(Defect::BadName);
    }
    if text.starts_with('/') {
        return Err(Defect::AbsolutePath);
    }
    let mut components = text.split('/').filter(|s| !matches!(*s, "" | "."));
    if components.clone().any(|s| s == "..") {
        return Err(Defect::ParentPath);
    }
    let first = components.next().unwrap_or_default().to_owned();
    Ok(components.fold(first, |path, name| path + "/" + name))
}

#[cfg(test)]
pub(crate) mod tests;
