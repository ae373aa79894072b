// SPDX-License-Identifier: Apache-2.0
//! Logs that do not grow without a limit. Their writers append, so that one which is cut begins anew.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::Path;

/// Size in bytes at which a log is put aside.
const MAX_BYTES: u64 = 1 << 20;

/// Opens a log for a process that appends to it.
pub fn append(path: &Path) -> Result<File> {
    let file = File::options().append(true).create(true).open(path);
    file.with_context(|| path.display().to_string())
}

/// Opens an empty log for a process that appends to it.
pub fn begin(path: &Path) -> Result<File> {
    let file = append(path)?;
    file.set_len(0)
        .with_context(|| path.display().to_string())?;
    Ok(file)
}

/// Puts a log aside as `NAME.1` if it is larger than a mebibyte.
pub fn bound(path: &Path) {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_BYTES)
        && let Err(error) = put_aside(path)
    {
        eprintln!("{}: {error}", path.display());
    }
}

/// Copies a log to `NAME.1` and empties it; returns the copy, opened for reading.
pub fn put_aside(path: &Path) -> std::io::Result<File> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".1");
    fs::copy(path, &kept)?;
    File::options().write(true).open(path)?.set_len(0)?;
    File::open(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_log_is_put_aside_under_its_writer() {
        let tmp = tempfile::tempdir().expect("a directory");
        let path = tmp.path().join("x.log");
        let mut writer = begin(&path).expect("made");
        writer.write_all(&vec![b'a'; 1 << 20]).expect("written");
        bound(&path);
        assert_eq!(
            fs::metadata(&path).expect("there").len(),
            MAX_BYTES,
            "it is not full yet"
        );
        writer.write_all(b"b").expect("written");
        bound(&path);
        writer.write_all(b"c").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"c");
        assert_eq!(
            fs::metadata(tmp.path().join("x.log.1"))
                .expect("there")
                .len(),
            MAX_BYTES + 1
        );
        bound(&tmp.path().join("none"));
    }
}
