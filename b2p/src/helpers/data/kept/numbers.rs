// SPDX-License-Identifier: Apache-2.0
//! Numbers of the users and groups of documents, on the disk of their files. The record is written
//! before a user is made, and no line is ever removed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sys::error::Result;

use super::DIR;
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::common::users::numbers::Numbers;

/// File with the record.
const RECORD: &str = "numbers";
/// Longest record that is read, in bytes.
const MAX_RECORD: u64 = 4 << 20;

fn record(paths: &Paths) -> PathBuf {
    paths.data_disk().join(DIR).join(RECORD)
}

/// Returns the numbers with an owner: the numbers of the record, and of homes and stores. Without a data
/// disk, the numbers are those of homes and stores in RAM.
///
/// # Errors
/// The record cannot be read.
pub fn read(paths: &Paths) -> Result<Numbers> {
    let text = sys::files::read_whole(&record(paths), MAX_RECORD)?.unwrap_or_default();
    let mut numbers = Numbers::parse(&String::from_utf8_lossy(&text));
    for home in fs::read_dir(paths.at("/home"))
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Ok(metadata) = fs::symlink_metadata(home.path()) {
            numbers.owners.push(metadata.uid());
            numbers.owner_groups.push(metadata.gid());
        }
    }
    let stores = fs::read_dir(paths.containers().join("user"));
    let stores = stores.into_iter().flatten().flatten();
    let uids = stores.filter_map(|store| store.file_name().to_str()?.parse::<u32>().ok());
    numbers.owners.extend(uids);
    Ok(numbers)
}

/// Writes a changed record. Without a data disk there is nothing to record.
///
/// # Errors
/// The record cannot be read or written.
pub fn write(paths: &Paths, numbers: &Numbers) -> Result<()> {
    let path = record(paths);
    let text = numbers.to_text();
    if !paths.data_disk().join(DIR).is_dir() {
        return Ok(());
    }
    let before = sys::files::read_whole(&path, MAX_RECORD)?.unwrap_or_default();
    match before == text.as_bytes() {
        true => Ok(()),
        false => atomic_file::replace(&path, text.as_bytes(), 0o644),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::common::users::numbers::Kind;

    #[test]
    fn a_record_is_on_the_disk_alone_and_owners_are_found() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let mut numbers = read(&paths).unwrap();
        assert_eq!(numbers, Numbers::default());
        numbers.note(Kind::User, "ann", 1001);
        write(&paths, &numbers).unwrap();
        assert_eq!(read(&paths).unwrap(), Numbers::default());
        fs::create_dir_all(paths.data_disk().join(DIR)).unwrap();
        write(&paths, &numbers).unwrap();
        assert_eq!(read(&paths).unwrap(), numbers);
        for store in ["1002", "storage"] {
            fs::create_dir_all(paths.containers().join("user").join(store)).unwrap();
        }
        fs::create_dir_all(paths.at("/home/bob")).unwrap();
        let me = nix::unistd::geteuid().as_raw();
        assert_eq!(read(&paths).unwrap().owners, [me, 1002]);
    }
}
