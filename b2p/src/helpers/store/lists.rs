// SPDX-License-Identifier: Apache-2.0
//! Lists of a store: JSON arrays, without which podman opens nothing (containers/storage, layers.go: load). podman
//! reads a list when a command needs it, so that a question to podman does not find a damaged one.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

use super::files::open;

/// Lists of a store.
const LISTS: &[&str] = &[
    "overlay-layers/layers.json",
    "overlay-layers/volatile-layers.json",
    "overlay-images/images.json",
    "overlay-containers/containers.json",
    "overlay-containers/volatile-containers.json",
];
/// Longest list that is read; podman alone judges a longer one. 1,000 layers take about 1 MiB.
const MAX_BYTES: u64 = 16 << 20;

/// Inode, size, and time of the last change of a list's file.
type Version = (u64, u64, i64, i64);

/// The lists that were found right: a list is read again when its file has changed.
#[derive(Debug, Default)]
pub struct Lists(Vec<(PathBuf, Version)>);

impl Lists {
    /// Checks the lists of the store in `storage`.
    ///
    /// # Errors
    /// podman cannot read a list.
    pub fn check(&mut self, storage: &Path) -> Result<()> {
        for name in LISTS {
            let path = storage.join(name);
            let Some(file) = open(&path)? else { continue };
            let metadata = file.metadata().on(&path)?;
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            let version = (metadata.ino(), metadata.len(), changed.0, changed.1);
            let known = (path, version);
            if metadata.len() <= MAX_BYTES && !self.0.contains(&known) {
                check(file).on(&known.0)?;
                self.0.retain(|(path, _)| *path != known.0);
                self.0.push(known);
            }
        }
        Ok(())
    }
}

/// Checks a list. podman takes an empty file for an empty list.
fn check(file: File) -> Result<()> {
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    match text.trim_ascii() {
        b"" | b"null" => Ok(()),
        text if is_array(text) => Ok(()),
        _ => Err(Error::invalid(
            "it is no list in JSON; restore it, or move it away: podman then knows nothing of what was in it",
        )),
    }
}

/// Returns true if a text looks like one JSON array: its brackets and strings are closed, and between them is nothing that
/// JSON has not (RFC 8259). A parser of all of JSON that keeps no value would be 8 kB more in the image, and a list that is
/// cut, torn or overwritten does not pass here either.
fn is_array(text: &[u8]) -> bool {
    let mut open = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let is_right = match byte {
            b'[' | b'{' => {
                open.push(byte + 2);
                true
            }
            b']' | b'}' => open.pop() == Some(*byte) && (!open.is_empty() || bytes.len() == 0),
            b'"' => skip_string(&mut bytes),
            byte => byte.is_ascii_alphanumeric() || b" \t\r\n,:+-.".contains(byte),
        };
        if !is_right {
            return false;
        }
    }
    open.is_empty() && text.first() == Some(&b'[')
}

/// Skips the rest of a string, and returns true if it is closed, and has no control character.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) -> bool {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return true,
            b'\\' => drop(bytes.next()),
            byte if *byte < b' ' => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    #[test]
    fn a_list_that_podman_cannot_read_is_named_until_it_is_mended() {
        let temp = Temp::new();
        let mut lists = Lists::default();
        lists.check(temp.dir()).unwrap();
        let good = r#"[{"id":"a","names":["x\u001b"],"size":3},{}]"#;
        for name in LISTS {
            let path = temp.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            for right in [good, "[]\n", "", "null"] {
                fs::write(&path, right).unwrap();
                lists.check(temp.dir()).unwrap();
            }
            let torn = [&good.as_bytes()[..20], &[0; 25]].concat();
            let wrong: [&[u8]; 9] = [
                b"[",
                b"[}",
                b"1",
                br#"["x]"#,
                b"noise",
                &good.as_bytes()[..20],
                &torn,
                b"{}",
                b"[] []",
            ];
            for wrong in wrong {
                fs::write(&path, wrong).unwrap();
                for _ in 0..2 {
                    let said = why(lists.check(temp.dir()));
                    assert!(
                        said.contains(name) && said.contains("no list in JSON"),
                        "{said}"
                    );
                }
            }
            fs::write(&path, good).unwrap();
            lists.check(temp.dir()).unwrap();
        }
    }

    #[test]
    fn a_list_is_read_once() {
        let temp = Temp::new();
        let path = temp.path(LISTS[0]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "[]").unwrap();
        let mut lists = Lists::default();
        lists.check(temp.dir()).unwrap();
        let seen = lists.0.clone();
        assert_eq!(seen.len(), 1);
        lists.check(temp.dir()).unwrap();
        assert_eq!(lists.0, seen);
    }
}
