// SPDX-License-Identifier: Apache-2.0
//! Files and links below a root, by paths that lead through directories only: on the disk, a link
//! in place of a directory is its user's, and leads anywhere.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use disk::uuid::hex;
use sha2::{Digest, Sha256};
use sys::error::{Doing, Result};

use super::judge::{Entry, Listing};
use crate::common::atomic_file;

/// Longest file that is read, in bytes. A longer one is its user's.
const MAX_BYTES: u64 = 4 << 20;
/// Longest file of /etc that is left in the place of one of the image, in bytes.
const MAX_USED_BYTES: u64 = 64 << 20;
/// End of the names of renamed files.
const ASIDE: &str = ".unusable";
/// Depth of directories that are searched.
const MAX_DEPTH: usize = 8;
/// Number of entries that are recorded.
const MAX_ENTRIES: usize = 4096;

/// Adds the files and links below `root/dir`.
pub fn add(listing: &mut Listing, root: &Path, dir: &str) {
    add_below(listing, root, Path::new(dir), 0);
}

fn add_below(listing: &mut Listing, root: &Path, dir: &Path, depth: usize) {
    for child in fs::read_dir(root.join(dir)).into_iter().flatten().flatten() {
        let path = dir.join(child.file_name());
        let is_dir = child.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && depth < MAX_DEPTH {
            add_below(listing, root, &path, depth + 1);
        } else if let Some(text) = path.to_str().filter(|_| listing.len() < MAX_ENTRIES)
            && let Some(entry) = entry(root, text)
        {
            listing.insert(text.to_owned(), entry);
        }
    }
}

/// Returns the path below `root` if its directories are directories, and the metadata of the file.
fn find(root: &Path, path: &str) -> Option<(PathBuf, Metadata)> {
    let mut found = root.to_path_buf();
    let mut metadata = None;
    for component in Path::new(path).components() {
        let Component::Normal(name) = component else {
            return None;
        };
        if metadata.as_ref().is_some_and(|m: &Metadata| !m.is_dir()) {
            return None;
        }
        found.push(name);
        metadata = Some(fs::symlink_metadata(&found).ok()?);
    }
    Some((found, metadata?))
}

/// Returns the entry of a file or a link; `None` for anything else.
pub fn entry(root: &Path, path: &str) -> Option<Entry> {
    let (found, metadata) = find(root, path)?;
    let content = if metadata.is_symlink() {
        format!("-> {}", fs::read_link(&found).ok()?.display())
    } else {
        let bytes = sys::files::read_whole(&found, MAX_BYTES).ok()??;
        hex(&Sha256::digest(&bytes))
    };
    Some(Entry {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        content,
    })
}

/// Returns the text of a file.
pub fn text(root: &Path, path: &str) -> Option<String> {
    let (found, _) = find(root, path)?;
    let bytes = sys::files::read_whole(&found, MAX_BYTES).ok()??;
    String::from_utf8(bytes).ok()
}

/// Returns the reason why no program can use the object in the place of a file of the image; `None`
/// for a file, a link, or nothing. The open of a fifo waits (fifo(7)), and readers of /etc have no
/// limits.
pub fn oddity(root: &Path, path: &str) -> Option<String> {
    let (_, metadata) = find(root, path)?;
    match sys::files::kind(metadata.file_type()) {
        _ if metadata.is_symlink() || is_whiteout(&metadata) => None,
        Some(kind) => Some(format!("not a file: {kind}")),
        None if metadata.len() > MAX_USED_BYTES => {
            Some(format!("longer than {} MiB", MAX_USED_BYTES >> 20))
        }
        None => None,
    }
}

/// Returns the reason why a text file or the link in its place cannot be read; `None` for a readable
/// file, or if there is none.
pub fn unreadable(root: &Path, path: &str) -> Option<String> {
    let (found, metadata) = find(root, path)?;
    match sys::files::read_whole(&found, MAX_BYTES) {
        _ if is_whiteout(&metadata) => None,
        Ok(Some(bytes)) => String::from_utf8(bytes).err().map(|e| e.to_string()),
        Ok(None) => None,
        Err(why) => Some(why.to_string()),
    }
}

/// Renames the file at the path to a free name in its directory, and returns that name.
///
/// # Errors
/// The file cannot be renamed.
pub fn put_aside(root: &Path, path: &str) -> Result<String> {
    let mut names = (0..).map(|n| match n {
        0 => format!("{path}{ASIDE}"),
        n => format!("{path}{ASIDE}.{n}"),
    });
    let is_free = |name: &String| fs::symlink_metadata(root.join(name)).is_err();
    let name = names.find(is_free).unwrap_or_default();
    fs::rename(root.join(path), root.join(&name)).on(root.join(path))?;
    Ok(name)
}

/// Removes a file or a link, if there is one.
///
/// # Errors
/// The file cannot be removed.
pub fn remove(root: &Path, path: &str) -> Result<()> {
    match find(root, path) {
        Some((found, metadata)) if metadata.is_file() || metadata.is_symlink() => {
            fs::remove_file(&found).on(found)
        }
        _ => Ok(()),
    }
}

/// Returns true for the mark of a removed file (overlayfs.rst, "whiteouts and opaque directories").
fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Puts the file or link of `from` in the place of the one in `to`. Without one in `from`, that one
/// is removed. Removal would not do where there is one: a directory that its user made anew hides
/// that of the image (overlayfs.rst, "whiteouts and opaque directories").
///
/// # Errors
/// The file cannot be written.
pub fn replace(from: &Path, to: &Path, path: &str) -> Result<()> {
    let Some((found, metadata)) = find(to, path) else {
        return Ok(());
    };
    if is_whiteout(&metadata) {
        return fs::remove_file(&found).on(found);
    }
    if !metadata.is_file() && !metadata.is_symlink() {
        return Ok(());
    }
    let Some(entry) = entry(from, path) else {
        return remove(to, path);
    };
    if let Some(target) = entry.content.strip_prefix("-> ") {
        fs::remove_file(&found).on(&found)?;
        symlink(target, &found).on(&found)?;
        return lchown(&found, Some(entry.uid), Some(entry.gid)).on(found);
    }
    let bytes = sys::files::read_whole(&from.join(path), MAX_BYTES)?.unwrap_or_default();
    write(to, path, &bytes, &entry)
}

/// Replaces a file that exists, with the owner and the permission bits of `entry`.
///
/// # Errors
/// The file cannot be written.
pub fn write(root: &Path, path: &str, bytes: &[u8], entry: &Entry) -> Result<()> {
    let owner = Some((entry.uid, entry.gid));
    atomic_file::replace_as(&root.join(path), bytes, entry.mode, owner)
}
