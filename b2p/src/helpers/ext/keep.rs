// SPDX-License-Identifier: Apache-2.0
//! Extensions that are kept on the data disk. Manifest and image are two files that belong together: both are
//! written beside their places and synced, then the manifest is renamed, then the image. A power cut before
//! the first rename leaves the old pair; one after it leaves the new manifest without its image beside the
//! old, and [`recover`] completes it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use log::{info, warn};
use sys::error::{Doing, Error, Result};

use super::find::Files;
use super::manifest::Manifest;
use super::room::ensure_room;
use super::{image, manifest, wget};
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::helpers::data::report::{EarlierRun, earlier_run};

/// Directory of files that are not complete, in the directory of extensions.
const NEW: &str = ".new";

/// Checks that a data disk exists.
///
/// # Errors
/// The machine lives in RAM.
pub fn ensure_disk() -> Result<()> {
    match earlier_run(&Paths::default()) {
        EarlierRun::Disk(_) => Ok(()),
        _ => Err(Error::invalid(
            "--keep: there is no data disk; without --keep it is added until the next boot",
        )),
    }
}

/// Returns the directory in which files are written before they are complete.
pub fn new_dir(dir: &Path) -> PathBuf {
    dir.join(NEW)
}

/// Copies an extension into a directory, if its image has the size that its manifest says.
///
/// # Errors
/// The extension is not for this machine, a file cannot be read or written, or there is no room; nothing stays then.
pub fn copy(files: &Files, dir: &Path) -> Result<Files> {
    let text = manifest::read_text(&files.manifest())?;
    let manifest = image::check_platform(&files.name(), &text)?;
    copy_checked(files, &text, &manifest, dir)
}

fn copy_checked(files: &Files, text: &[u8], manifest: &Manifest<'_>, dir: &Path) -> Result<Files> {
    fs::create_dir_all(dir).on(dir)?;
    let new = Files::at(&dir.join(files.name()).to_string_lossy())?;
    new.remove();
    let source = image::open_sized(files, manifest)?;
    let size = source.metadata().on(files.image())?.len();
    ensure_room(dir, size)?;
    let (path, to) = (new.manifest(), new.image());
    let copy = || {
        fs::write(&path, text).on(&path)?;
        // Not fs::copy, whose copy_file_range(2) the static libc of the image lacks.
        wget::copy(source, size, &mut File::create(&to).on(&to)?).on(&to)
    };
    let copied = copy();
    if copied.is_err() {
        new.remove();
    }
    copied.map(|_| new)
}

/// Moves a complete pair from the directory of the new ones to its place.
///
/// # Errors
/// The disk fails; the old pair or the new one is there then.
pub fn commit(new: &Files, dir: &Path) -> Result<Files> {
    let place = Files::at(&dir.join(new.name()).to_string_lossy())?;
    for file in [new.manifest(), new.image()] {
        File::open(&file).and_then(|f| f.sync_all()).on(&file)?;
    }
    let sync = |dir: &Path| atomic_file::sync(dir).on(dir);
    sync(&new_dir(dir))?;
    fs::rename(new.manifest(), place.manifest()).on(place.manifest())?;
    sync(dir)?;
    fs::rename(new.image(), place.image()).on(place.image())?;
    sync(dir)?;
    Ok(place)
}

/// Completes a move that a power cut has interrupted, and removes the files of one that had not begun.
///
/// # Errors
/// An interrupted move cannot be judged or completed. Its image, the only one, stays for the next attempt.
pub fn recover(dir: &Path, name: &str) -> Result<()> {
    recover_with(dir, name, |new, text| {
        image::difference(new, &Manifest::parse(text)?)
    })
    .doing("a move that a power cut has interrupted; `add` tries it again")
}

/// Returns true if the directory `dir` has a file of the extension, after [`recover`]. That it fails does not count
/// for a caller that deletes: a damaged manifest, by which no image can be judged, is the usual reason.
///
/// # Errors
/// The name is none.
pub fn is_there(dir: &Path, name: &str) -> Result<bool> {
    if new_dir(dir).exists() {
        let _ = recover(dir, name);
    }
    Ok(Files::at(&dir.join(name).to_string_lossy())?.exist())
}

/// Removes an extension from the directory `dir`; its files are those that [`recover`] has left. They go by the
/// directory of the new ones, the image first: after a power cut [`recover`] has both in their places again, or
/// [`sweep`] has removed both.
///
/// # Errors
/// The disk fails; both files are there then, or none.
pub fn delete(dir: &Path, name: &str) -> Result<()> {
    let at = |dir: &Path| Files::at(&dir.join(name).to_string_lossy());
    let (place, gone) = (at(dir)?, at(&new_dir(dir))?);
    fs::create_dir_all(new_dir(dir)).on(dir)?;
    for (from, to) in [
        (place.image(), gone.image()),
        (place.manifest(), gone.manifest()),
    ] {
        match fs::rename(&from, to) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            renamed => renamed.on(from)?,
        }
        atomic_file::sync(&new_dir(dir)).on(dir)?;
        atomic_file::sync(dir).on(dir)?;
    }
    gone.remove();
    Ok(())
}

/// Calls [`recover`] for everything in the directory of the new ones; the caller holds the lock.
pub fn sweep(dir: &Path) {
    let entries = fs::read_dir(new_dir(dir)).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_own = path
            .extension()
            .is_some_and(|e| e == "erofs" || e == "manifest");
        match is_own && config::is_extension_name(&name) {
            true => recover(dir, &name).unwrap_or_else(|why| warn!("ext: {name}: {why}")),
            // A file that was being written under a temporary name.
            false => drop(fs::remove_file(&path)),
        }
    }
}

fn recover_with(
    dir: &Path,
    name: &str,
    difference: impl Fn(&Files, &[u8]) -> Result<Option<String>>,
) -> Result<()> {
    let at = |dir: &Path| Files::at(&dir.join(name).to_string_lossy());
    let (new, place) = (at(&new_dir(dir))?, at(dir)?);
    let is_interrupted = new.image().exists() && !new.manifest().exists();
    if !is_interrupted || !place.manifest().exists() {
        new.remove();
        return Ok(());
    }
    let text = manifest::read_text(&place.manifest())?;
    if difference(&new, &text)?.is_some() {
        new.remove();
        return Ok(());
    }
    fs::rename(new.image(), place.image()).on(place.image())?;
    atomic_file::sync(dir).on(dir)?;
    info!("ext: {name}: its image is in its place, where a cut had interrupted it");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use nix::errno::Errno;

    fn pair(dir: &Path, content: &str) -> Files {
        fs::create_dir_all(dir).unwrap();
        let files = Files::at(&dir.join("a").to_string_lossy()).unwrap();
        fs::write(files.image(), content).unwrap();
        let text = format!(
            "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize {}\nsha256 00\n",
            content.len()
        );
        fs::write(files.manifest(), text).unwrap();
        files
    }

    /// Copies an extension, whatever machine it is for.
    fn copied(files: &Files, dir: &Path) -> Result<Files> {
        let text = manifest::read_text(&files.manifest())?;
        copy_checked(files, &text, &Manifest::parse(&text)?, &new_dir(dir))
    }

    /// Returns the image, and true if the manifest is its own.
    fn content(files: &Files) -> (String, bool) {
        let text = fs::read(files.manifest()).unwrap();
        let size = Manifest::parse(&text).unwrap().value("size").to_owned();
        let image = fs::read_to_string(files.image()).unwrap();
        (image.clone(), size == image.len().to_string())
    }

    #[test]
    fn after_a_cut_image_and_manifest_are_both_old_or_both_new() {
        let temp = Temp::new();
        let dir = temp.path("ext");
        let old = pair(&dir, "old");
        let from = pair(&temp.path("from"), "newer");
        // Before the first rename, also with half an image.
        let new = copied(&from, &dir).unwrap();
        fs::write(new.image(), "ne").unwrap();
        recover(&dir, "a").unwrap();
        assert_eq!(content(&old), ("old".into(), true));
        assert!(!new.manifest().exists() && !new.image().exists());
        // Between the two renames.
        let difference = |new: &Files, text: &[u8]| {
            let manifest = Manifest::parse(text)?;
            let size = fs::metadata(new.image()).on("image")?.len().to_string();
            Ok((size != manifest.value("size")).then(|| "another size".to_owned()))
        };
        let new = copied(&from, &dir).unwrap();
        fs::rename(new.manifest(), old.manifest()).unwrap();
        // A disk that does not answer for once says nothing of the image.
        let fails = recover_with(&dir, "a", |_, _| Err(Errno::EIO.into()));
        assert_eq!(fails.unwrap_err().errno(), Some(Errno::EIO));
        assert!(new.image().exists());
        fs::remove_file(old.image()).unwrap();
        fs::create_dir(old.image()).unwrap();
        let fails = recover_with(&dir, "a", difference);
        assert_eq!(fails.unwrap_err().errno(), Some(Errno::EISDIR));
        fs::remove_dir(old.image()).unwrap();
        recover_with(&dir, "a", difference).unwrap();
        assert_eq!(content(&old), ("newer".into(), true));
        // An image that is not the one of the manifest is no part of an interrupted move.
        let new = copied(&from, &dir).unwrap();
        fs::remove_file(new.manifest()).unwrap();
        fs::write(new.image(), "ne").unwrap();
        recover_with(&dir, "a", difference).unwrap();
        assert_eq!(content(&old), ("newer".into(), true));
        assert!(!new.image().exists());
        let from = pair(&temp.path("from"), "the newest");
        let kept = commit(&copied(&from, &dir).unwrap(), &dir).unwrap();
        recover(&dir, "a").unwrap();
        assert_eq!(content(&kept), ("the newest".into(), true));
    }

    #[test]
    fn after_a_cut_image_and_manifest_are_both_deleted_or_both_kept() {
        let temp = Temp::new();
        let dir = temp.path("ext");
        let whole = |_: &Files, _: &[u8]| Ok(None);
        let kept = pair(&dir, "old");
        let gone = Files::at(&new_dir(&dir).join("a").to_string_lossy()).unwrap();
        delete(&dir, "a").unwrap();
        assert!(!kept.image().exists() && !kept.manifest().exists());
        assert_eq!(fs::read_dir(new_dir(&dir)).unwrap().count(), 0);
        // A cut after the first rename, and one after the second.
        let kept = pair(&dir, "old");
        fs::rename(kept.image(), gone.image()).unwrap();
        recover_with(&dir, "a", whole).unwrap();
        assert_eq!(content(&kept), ("old".into(), true));
        fs::rename(kept.image(), gone.image()).unwrap();
        fs::rename(kept.manifest(), gone.manifest()).unwrap();
        recover_with(&dir, "a", whole).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "only .new");
        assert_eq!(fs::read_dir(new_dir(&dir)).unwrap().count(), 0);
        // A cut after the first rename, where the manifest is damaged.
        let kept = pair(&dir, "old");
        fs::rename(kept.image(), gone.image()).unwrap();
        fs::write(kept.manifest(), "damaged").unwrap();
        assert!(recover(&dir, "a").is_err());
        assert!(is_there(&dir, "a").unwrap());
        delete(&dir, "a").unwrap();
        assert!(!is_there(&dir, "a").unwrap() && !gone.image().exists());
        // One that has lost a file.
        fs::remove_file(pair(&dir, "old").manifest()).unwrap();
        delete(&dir, "a").unwrap();
        assert!(!kept.image().exists());
    }

    #[test]
    fn partial_files_of_an_interrupted_move_are_removed() {
        let temp = Temp::new();
        let dir = temp.path("ext");
        let old = pair(&dir, "old");
        let new = pair(&new_dir(&dir), "newer");
        for name in ["big.manifest", "big.erofs", "half.erofs", ".tmp"] {
            fs::write(new_dir(&dir).join(name), "half").unwrap();
        }
        sweep(&dir);
        assert_eq!(fs::read_dir(new_dir(&dir)).unwrap().count(), 0);
        assert_eq!(content(&old), ("old".into(), true));
        assert!(!new.image().exists());
    }

    #[test]
    fn a_source_that_is_missing_leaves_nothing() {
        let temp = Temp::new();
        let dir = temp.path("ext");
        let from = pair(&temp.path("from"), "x");
        fs::remove_file(from.image()).unwrap();
        assert!(copied(&from, &dir).is_err());
        assert_eq!(fs::read_dir(new_dir(&dir)).unwrap().count(), 0);
    }

    #[test]
    fn keep_copies_only_a_regular_file_of_the_manifests_size() {
        let temp = Temp::new();
        let dir = temp.path("ext");
        let from = pair(&temp.path("from"), "x");
        let replace = |make: &dyn Fn(&Path)| {
            fs::remove_file(from.image()).unwrap();
            make(&from.image());
            let refused = why(copied(&from, &dir).map(drop));
            assert_eq!(fs::read_dir(new_dir(&dir)).unwrap().count(), 0);
            refused
        };
        let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(replace(&fifo).contains("not a file: a fifo"));
        let device = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        assert!(replace(&device).contains("not a file: a device"));
        let sparse = |path: &Path| File::create(path).unwrap().set_len(1 << 40).unwrap();
        assert!(replace(&sparse).contains("it has 1099511627776 bytes, its manifest says 1"));
    }
}
