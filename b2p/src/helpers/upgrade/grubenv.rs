// SPDX-License-Identifier: Apache-2.0
//! GRUB's environment block (grub-core/lib/envblk.c): 1024 bytes, a first line, lines
//! `name=value`, then `#` to the end. The boot menu defines the meaning of the names
//! (`initramfs/src/boot/slots.rs`).
//!
//! All lines are kept in the first 512 bytes and the file is written in place, so that a power
//! cut leaves the old block or the new one.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sys::error::{Doing, Error, Result};

const FIRST_LINE: &str = "# GRUB Environment Block";
/// Length of the block in bytes, required by GRUB.
pub const LENGTH: usize = 1024;
/// Bytes that a disk writes completely or not at all.
const SECTOR: usize = 512;

/// Lines of an environment block, without the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrubEnv {
    lines: Vec<String>,
}

impl GrubEnv {
    /// Parses a block.
    ///
    /// # Errors
    /// The length or the first line of the block is wrong.
    pub fn parse(block: &[u8]) -> Result<GrubEnv> {
        if block.len() != LENGTH {
            return Err(wrong_length(block.len() as u64));
        }
        let text = String::from_utf8_lossy(block);
        let mut lines = text.split('\n').map(str::to_owned);
        if lines.next().as_deref() != Some(FIRST_LINE) {
            return Err(Error::invalid(format!(
                "its first line is not `{FIRST_LINE}`"
            )));
        }
        let is_variable = |line: &String| !line.is_empty() && !line.starts_with('#');
        Ok(GrubEnv {
            lines: lines.filter(is_variable).collect(),
        })
    }

    /// Returns the value of a variable; empty for an unset one.
    pub fn get(&self, name: &str) -> &str {
        let mut pairs = self.lines.iter().filter_map(|l| l.split_once('='));
        pairs.find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> GrubEnv {
        let line = format!("{name}={value}");
        let has_name = |l: &&mut String| l.split_once('=').is_some_and(|(n, _)| n == name);
        match self.lines.iter_mut().find(has_name) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        self
    }

    /// Returns the bytes of the block for the file.
    ///
    /// # Errors
    /// The variables do not fit into one sector.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut text = format!("{FIRST_LINE}\n");
        self.lines.iter().for_each(|l| text += &format!("{l}\n"));
        if text.len() > SECTOR {
            return Err(Error::invalid(format!(
                "more than {SECTOR} bytes cannot be written at once"
            )));
        }
        let mut block = text.into_bytes();
        block.resize(LENGTH, b'#');
        Ok(block)
    }
}

fn wrong_length(length: u64) -> Error {
    Error::invalid(format!("it has {length} bytes, not {LENGTH}"))
}

/// Changes and syncs the file in place. A damaged block is replaced by a new one.
///
/// # Errors
/// The file cannot be read or written, or its length is wrong.
pub fn change(path: &Path, edit: impl FnOnce(GrubEnv) -> GrubEnv) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.on(path)?;
    let length = file.metadata().on(path)?.len();
    if length != LENGTH as u64 {
        // A file of another length would occupy other blocks of the file system.
        return Err(wrong_length(length)).on(path);
    }
    let mut old = vec![0; LENGTH];
    file.read_exact_at(&mut old, 0).on(path)?;
    let env = GrubEnv::parse(&old).unwrap_or_else(|why| {
        log::warn!("{}: replaced by a new block: {why}", path.display());
        GrubEnv::default()
    });
    let new = edit(env).bytes()?;
    if new != old {
        file.write_all_at(&new, 0).on(path)?;
        file.sync_all().on(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(LENGTH, b'#');
        bytes
    }

    #[test]
    fn variables_of_grub_are_read_and_kept() {
        let text = "# GRUB Environment Block\n# WARNING: no\ngood=a\ntry=\nmine=x\\\\y=z\n";
        let env = GrubEnv::parse(&padded(text)).unwrap();
        assert_eq!(
            (env.get("good"), env.get("try"), env.get("no")),
            ("a", "", "")
        );
        let bytes = env.with("try", "b").with("tried", "").bytes().unwrap();
        let expected = "# GRUB Environment Block\ngood=a\ntry=b\nmine=x\\\\y=z\ntried=\n";
        assert_eq!(bytes, padded(expected));
    }

    proptest::proptest! {
        #[test]
        fn grubenv_round_trips_byte_for_byte(
            text in "([a-z]{1,8}=[ -~]{0,20}\n){0,8}",
            rest in ".{0,40}",
        ) {
            let bytes = padded(&format!("{FIRST_LINE}\n{text}"));
            let env = GrubEnv::parse(&bytes).unwrap();
            proptest::prop_assert_eq!(env.bytes().unwrap(), bytes);
            // No input makes the parsers panic.
            let _ = GrubEnv::parse(&padded(&rest)).map(|env| env.bytes());
            let _ = crate::helpers::upgrade::sums::find(&rest, "vmlinuz");
        }
    }

    #[test]
    fn only_the_first_sector_ever_changes() {
        let long = GrubEnv::default().with("x", &"y".repeat(500));
        assert!(why(long.bytes()).contains("512"));
        let short = GrubEnv::default().with("good", "a").bytes().unwrap();
        let changed = GrubEnv::default().with("good", "b").with("try", "a");
        let changed = changed.bytes().unwrap();
        assert!(short[..SECTOR] != changed[..SECTOR] && short[SECTOR..] == changed[SECTOR..]);
    }

    #[test]
    fn a_malformed_grubenv_is_rewritten_and_one_of_wrong_length_refused() {
        let temp = Temp::new();
        let path = temp.path("grubenv");
        std::fs::write(&path, padded("\0\0\0good=a\n")).unwrap();
        change(&path, |env| env.with("good", "b")).unwrap();
        let env = GrubEnv::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(env, GrubEnv::default().with("good", "b"));
        std::fs::write(&path, "short").unwrap();
        assert!(why(change(&path, |env| env)).ends_with("grubenv: it has 5 bytes, not 1024"));
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }
}
