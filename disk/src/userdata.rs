//! The archive behind the words that ask to be formatted: read whole or refused
//! whole (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar's long names).

use std::io;

use crate::bytes::{ReadAt, is_zero, read_at};
use crate::requests_format;

/// Nothing longer than this is read, headers included.
pub const LONGEST: usize = 16 << 20;
/// One file.
pub const LONGEST_FILE: usize = 1 << 20;
/// So many entries.
pub const MAX_ENTRIES: usize = 1000;
/// A path.
const LONGEST_PATH: usize = 1024;

const BLOCK: usize = 512;

/// An archive that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Userdata {
    /// All of it as it was, to be kept as userdata.tar.
    pub raw: Vec<u8>,
    /// The files; directories are made as needed.
    pub files: Vec<File>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative, without `.` and `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Userdata {
    /// The content of the last file of this name.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        let file = self.files.iter().rfind(|f| f.path == path)?;
        Some(&file.bytes)
    }
}

/// Why there is none.
#[derive(Debug)]
pub enum Refused {
    /// The device could not be read.
    Io(io::Error),
    /// Where in the archive, and what is wrong there.
    Broken(usize, &'static str),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Io(e) => write!(f, "{e}"),
            Refused::Broken(at, why) => write!(f, "at byte {at}: {why}"),
        }
    }
}

/// Whether a first sector is the header of an archive whose first name asks.
#[must_use]
pub fn is_header(sector: &[u8]) -> bool {
    requests_format(sector) && sector.len() >= BLOCK && checksum(sector)
}

/// Reads the archive at the beginning of `source`.
///
/// # Errors
/// What is wrong with it, and where; nothing of it is used then.
pub fn read(source: &dyn ReadAt) -> Result<Userdata, Refused> {
    let mut reader = Reader {
        source,
        raw: Vec::new(),
        next: Next::default(),
    };
    let mut files = Vec::new();
    for entry in 0.. {
        let at = reader.raw.len();
        let broken = |why| Err(Refused::Broken(at, why));
        let header = reader.take(BLOCK)?;
        if is_zero(&header) {
            reader.end()?;
            return match entry {
                0 => broken("empty"),
                _ => Ok(Userdata {
                    raw: reader.raw,
                    files,
                }),
            };
        }
        if entry == MAX_ENTRIES {
            return broken("more than 1000 entries");
        }
        if entry == 0 && !requests_format(&header) {
            return broken("does not begin with the words that ask for it");
        }
        if let Some(file) = reader.entry(&header, at)?
            && entry > 0
        {
            files.push(file);
        }
    }
    Err(Refused::Broken(0, "endless"))
}

/// What the entry before has said of the next one.
#[derive(Default)]
struct Next {
    path: Option<Vec<u8>>,
    size: Option<usize>,
}

struct Reader<'a> {
    source: &'a dyn ReadAt,
    raw: Vec<u8>,
    next: Next,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Result<Vec<u8>, Refused> {
        let at = self.raw.len();
        if at + len > LONGEST {
            return Err(Refused::Broken(at, "longer than 16 MiB"));
        }
        let bytes = read_at(self.source, at as u64, len).map_err(Refused::Io)?;
        if bytes.len() < len {
            return Err(Refused::Broken(at, "cut off"));
        }
        self.raw.extend_from_slice(&bytes);
        Ok(bytes)
    }

    /// Two blocks of zeros end it; some programs write one.
    fn end(&mut self) -> Result<(), Refused> {
        let at = self.raw.len() as u64;
        let second = read_at(self.source, at, BLOCK).map_err(Refused::Io)?;
        if second.len() == BLOCK && is_zero(&second) && self.raw.len() + BLOCK <= LONGEST {
            self.raw.extend_from_slice(&second);
        } else {
            // What follows is not ours; the copy is to be an archive all the same.
            self.raw.extend_from_slice(&[0; BLOCK]);
        }
        Ok(())
    }

    /// One entry with its content; `None` for what is no file.
    fn entry(&mut self, header: &[u8], at: usize) -> Result<Option<File>, Refused> {
        let broken = |why| Refused::Broken(at, why);
        if !checksum(header) {
            return Err(broken("a header's checksum is wrong"));
        }
        let size = octal(&header[124..136]).ok_or(broken("a size that is no octal number"))?;
        let mode = octal(&header[100..108]).ok_or(broken("a mode that is no octal number"))?;
        let kind = header[156];
        let about_next = matches!(kind, b'L' | b'x');
        let next = if about_next {
            Next::default()
        } else {
            std::mem::take(&mut self.next)
        };
        let size = next.size.unwrap_or(size);
        if size > LONGEST_FILE {
            return Err(broken("a file longer than 1 MiB"));
        }
        let mut bytes = self.take(size.next_multiple_of(BLOCK))?;
        bytes.truncate(size);
        match kind {
            b'0' | 0 | b'7' => {
                let path = path(&next.path.unwrap_or_else(|| name(header))).map_err(broken)?;
                let mode = mode as u32 & 0o777;
                Ok(Some(File { path, mode, bytes }))
            }
            b'5' => {
                path(&next.path.unwrap_or_else(|| name(header))).map_err(broken)?;
                Ok(None)
            }
            b'L' => {
                self.next.path = Some(until_zero(&bytes).to_vec());
                Ok(None)
            }
            b'x' => self.pax(&bytes).map(|()| None).map_err(broken),
            b'g' if !pairs(&bytes).any(|p| p.is_none_or(|(k, _)| k != b"comment")) => Ok(None),
            b'1' | b'2' => Err(broken("a link")),
            b'3' | b'4' | b'6' => Err(broken("a device")),
            _ => Err(broken("an entry of a kind that is not taken")),
        }
    }

    fn pax(&mut self, records: &[u8]) -> Result<(), &'static str> {
        for pair in pairs(records) {
            let (key, value) = pair.ok_or("a pax record that is none")?;
            match key {
                b"path" => self.next.path = Some(value.to_vec()),
                b"size" => self.next.size = Some(decimal(value).ok_or("a pax size that is none")?),
                _ if key.starts_with(b"GNU.sparse") => return Err("a sparse file"),
                _ => {} // times, owners
            }
        }
        Ok(())
    }
}

/// `LENGTH KEY=VALUE\n`, one after the other; `None` for what is broken, at last.
fn pairs(records: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = records;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let one = record(rest);
        rest = one.map_or(&[], |(_, after)| after);
        Some(one.map(|(pair, _)| pair))
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

fn decimal(digits: &[u8]) -> Option<usize> {
    let good = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let value = digits.iter().fold(0, |n, d| n * 10 + usize::from(d & 15));
    good.then_some(value)
}

/// Octal digits, spaces or zeros around them; nothing at all is zero. The binary
/// form of GNU tar is for what is far too long here.
fn octal(field: &[u8]) -> Option<usize> {
    let digits = until_zero(field).trim_ascii();
    let good = digits.len() <= 11 && digits.iter().all(|d| (b'0'..=b'7').contains(d));
    let value = digits.iter().fold(0u64, |n, d| n * 8 + u64::from(d & 7));
    good.then_some(value)?.try_into().ok()
}

/// The sum of the header's bytes, its own field as spaces; old programs took the
/// bytes as signed.
fn checksum(header: &[u8]) -> bool {
    let Some(header) = header.get(..BLOCK) else {
        return false;
    };
    let own = |n: usize| (148..156).contains(&n);
    let byte = |(n, b): (usize, &u8)| if own(n) { b' ' } else { *b };
    let all = || header.iter().enumerate().map(byte);
    let unsigned: i64 = all().map(i64::from).sum();
    let signed: i64 = all().map(|b| i64::from(b as i8)).sum();
    let said = octal(&header[148..156]).and_then(|n| i64::try_from(n).ok());
    said.is_some_and(|said| said == unsigned || said == signed)
}

/// The name, with ustar's prefix before it.
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

/// A path that stays below where it is unpacked.
fn path(bytes: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a name that is not UTF-8")?;
    if text.len() > LONGEST_PATH || text.chars().any(char::is_control) {
        return Err("a name that is too long, or has control characters");
    }
    if text.starts_with('/') {
        return Err("an absolute path");
    }
    let mut steps = text.split('/').filter(|s| !matches!(*s, "" | "."));
    if steps.clone().any(|s| s == "..") {
        return Err("a path with `..`");
    }
    let first = steps.next().unwrap_or_default().to_owned();
    Ok(steps.fold(first, |path, step| path + "/" + step))
}

#[cfg(test)]
pub(crate) mod tests;
