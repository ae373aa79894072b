// SPDX-License-Identifier: Apache-2.0
//! Deliberate damage to an initrd, in place.
//!
//! An initrd is one or more cpio archives in the "newc" format; see the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use anyhow::{Context, Result};
use std::ops::Range;

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";

/// Location of one file in the initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name without a leading `./` or `/`.
    pub name: String,
    /// Range of the name's bytes, without the closing NUL.
    pub name_at: Range<usize>,
    /// Range of the content's bytes.
    pub data_at: Range<usize>,
}

/// Returns all files of all archives that are not compressed.
pub fn entries(initrd: &[u8]) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(entry) = entry(initrd, at) {
        at = entry.data_at.end.next_multiple_of(4);
        if entry.name == "TRAILER!!!" {
            // Zeros separate an archive from the next one or the end.
            at += initrd
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take_while(|&&b| b == 0)
                .count();
        } else {
            all.push(entry);
        }
    }
    all
}

/// Returns the file with this name.
pub fn find(initrd: &[u8], name: &str) -> Result<Entry> {
    let all = entries(initrd);
    let names: Vec<&str> = all.iter().map(|e| e.name.as_str()).collect();
    let place = all.iter().position(|e| e.name == name);
    place
        .map(|i| all[i].clone())
        .with_context(|| format!("{name} is not in the initrd, which has {names:?}"))
}

/// Hides a file by changing the last letter of its name.
pub fn hide(initrd: &mut [u8], name: &str) -> Result<()> {
    let entry = find(initrd, name)?;
    if let Some(last) = initrd.get_mut(entry.name_at.end - 1) {
        *last = b'~';
    }
    Ok(())
}

fn entry(initrd: &[u8], at: usize) -> Option<Entry> {
    let header = initrd.get(at..at + HEADER)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    // The magic is followed by thirteen fields of eight hexadecimal digits; the seventh is the
    // file's size, the twelfth the length of its name.
    let field = |n: usize| {
        let digits = std::str::from_utf8(header.get(6 + 8 * n..14 + 8 * n)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let (size, name_size) = (field(6)?, field(11)?);
    let name_at = at + HEADER..at + HEADER + name_size.checked_sub(1)?;
    let data = (name_at.end + 1).next_multiple_of(4);
    let name = String::from_utf8_lossy(initrd.get(name_at.clone())?);
    let name = name
        .trim_start_matches("./")
        .trim_start_matches('/')
        .to_owned();
    Some(Entry {
        name,
        name_at,
        data_at: data..data + size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in files.iter().chain([&("TRAILER!!!", &b""[..])]) {
            let fields = [
                1,
                0o100_644,
                0,
                0,
                1,
                0,
                data.len(),
                0,
                0,
                0,
                0,
                name.len() + 1,
                0,
            ];
            out.extend(MAGIC);
            out.extend(fields.iter().flat_map(|f| format!("{f:08x}").into_bytes()));
            out.extend(name.bytes().chain([0]));
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend(*data);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn files_of_several_archives_are_found() {
        let mut initrd = archive(&[("init", b"one"), ("./modules/a.ko", b"four")]);
        initrd.resize(initrd.len().next_multiple_of(512), 0);
        initrd.extend(archive(&[("userland", b"image")]));
        let found = find(&initrd, "userland").expect("there");
        assert_eq!(&initrd[found.data_at], b"image");
        let names: Vec<String> = entries(&initrd).into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["init", "modules/a.ko", "userland"]);
    }

    #[test]
    fn a_hidden_file_is_removed_and_the_rest_kept() {
        let mut initrd = archive(&[("a.ko", b"x"), ("b.ko", b"y")]);
        hide(&mut initrd, "a.ko").expect("there");
        assert!(find(&initrd, "a.ko").is_err());
        assert!(find(&initrd, "b.ko").is_ok());
        assert!(
            hide(&mut initrd, "c.ko")
                .expect_err("absent")
                .to_string()
                .contains("b.ko")
        );
    }

    #[test]
    fn garbage_has_no_files() {
        assert!(entries(b"").is_empty() && entries(&[0x1f, 0x8b, 0, 0]).is_empty());
        assert!(entries(&[MAGIC, &[b'z'; 200]].concat()).is_empty());
    }
}
