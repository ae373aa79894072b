// SPDX-License-Identifier: Apache-2.0
//! Finds extensions on the data disk, then on a CD or USB stick with an ISO of boot2podman.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use disk::signature::{Signature, SignatureKind};
use log::info;
use nix::mount::{MntFlags, umount2};
use sys::error::{Doing, Error, Result};
use sys::paths::MEDIUM;
use sys_mount::{Mount, MountFlags};

use super::lock::try_lock;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::labelled::{self, LabelledDevice};
use crate::helpers::block::wait;

/// Directory of extensions on the data disk; in RAM if there is none.
pub const ON_DISK: &str = "/var/lib/boot2podman/ext";
/// Directories of extensions on an ISO: the one in which `make iso EXT=` puts them, and one for
/// users.
const ON_MEDIUM: &[&str] = &["boot/ext", "ext"];
/// Prefix of the label of an ISO (initramfs/src/iso.rs).
const LABEL_PREFIX: &str = "b2p-v";

/// True once a medium was waited for: a medium that has not appeared for one extension does not
/// appear for the next.
static HAS_WAITED: AtomicBool = AtomicBool::new(false);

/// Wait for a medium that may still appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// At boot: as long as sysfs shows that a device may appear, at least this time.
    ForMedium {
        /// Shortest time in seconds.
        seconds: u16,
    },
    /// In a running machine, every device that is there has its driver.
    No,
}

/// Image and manifest of an extension: the part that their paths have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(PathBuf);

impl Files {
    /// Returns the files of which a user names one, with or without its extension.
    ///
    /// # Errors
    /// The name is not one of an extension.
    pub fn at(file: &str) -> Result<Files> {
        let path = Path::new(file);
        let extension = path.extension().unwrap_or_default();
        let stem = match extension == "erofs" || extension == "manifest" {
            true => path.with_extension(""),
            false => path.to_path_buf(),
        };
        let files = Files(std::path::absolute(&stem)?);
        match config::is_extension_name(&files.name()) {
            true => Ok(files),
            false => Err(Error::invalid(
                "not a name of an extension: a-z, digits, -, and .erofs behind",
            )),
        }
    }

    /// Returns the name of the extension.
    pub fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Returns the path of the image.
    pub fn image(&self) -> PathBuf {
        self.with_suffix(".erofs")
    }

    /// Returns the path of the manifest.
    pub fn manifest(&self) -> PathBuf {
        self.with_suffix(".manifest")
    }

    /// Appends a suffix; `Path::with_extension` would replace a part of a name with a dot.
    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut path = self.0.clone().into_os_string();
        path.push(suffix);
        PathBuf::from(path)
    }

    /// Returns true if the files are in this directory.
    pub fn are_in(&self, dir: &Path) -> bool {
        self.0.parent() == Some(dir)
    }

    /// Removes the files that exist.
    pub fn remove(&self) {
        for file in [self.image(), self.manifest()] {
            let _ = fs::remove_file(file);
        }
    }

    /// Returns the files of the extension `name` in the same directory.
    ///
    /// # Errors
    /// The name is not one of an extension.
    pub fn sibling(&self, name: &str) -> Result<Files> {
        Files::at(&self.0.with_file_name(name).to_string_lossy())
    }

    /// Returns true if both files are there.
    pub fn are_complete(&self) -> bool {
        self.image().exists() && self.manifest().exists()
    }

    /// Returns true if there is one of the files at least.
    pub fn exist(&self) -> bool {
        self.image().exists() || self.manifest().exists()
    }
}

/// Finds the extension of this name.
///
/// # Errors
/// No extension has this name; the error names those that exist.
pub fn find(name: &str, wait: Wait) -> Result<Files> {
    let on_disk = Files(Path::new(ON_DISK).join(name));
    let found = match on_disk.are_complete() {
        true => Some(on_disk),
        false => {
            let on_medium = medium_dirs(wait).into_iter();
            let on_medium = on_medium.map(|dir| Files(dir.join(name)));
            best([on_disk].into_iter().chain(on_medium).collect())
        }
    };
    found.ok_or_else(|| {
        let names: Vec<String> = all(wait).iter().map(Files::name).collect();
        let existing = match names.is_empty() {
            true => "there is none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        Error::invalid(format!(
            "no such extension in {ON_DISK} or on a disc or stick of boot2podman: {existing}"
        ))
    })
}

/// Returns the first that has both files, else the first that has one: an image whose manifest was not copied, or a
/// manifest whose image was not, hides no other extension.
fn best(candidates: Vec<Files>) -> Option<Files> {
    let complete = candidates.iter().position(Files::are_complete);
    let at = complete.or_else(|| candidates.iter().position(Files::exist))?;
    candidates.into_iter().nth(at)
}

/// Returns every extension; of several with one name, the one that [`find`] takes.
pub fn all(wait: Wait) -> Vec<Files> {
    let mut found: Vec<Files> = Vec::new();
    for dir in [PathBuf::from(ON_DISK)]
        .into_iter()
        .chain(medium_dirs(wait))
    {
        for files in in_dir(&dir) {
            match found.iter_mut().find(|known| known.name() == files.name()) {
                Some(known) if !known.are_complete() && files.are_complete() => *known = files,
                Some(_) => {}
                None => found.push(files),
            }
        }
    }
    found
}

/// Returns the extensions with an image in a directory.
pub fn in_dir(dir: &Path) -> Vec<Files> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_image = |path: &PathBuf| path.extension().is_some_and(|e| e == "erofs");
    let images = entries.map(|entry| entry.path()).filter(is_image);
    let mut found: Vec<Files> = images
        .map(|path| Files(path.with_extension("")))
        .filter(|files| config::is_extension_name(&files.name()))
        .collect();
    sys::sort::sort_by(&mut found, |a, b| a.0.cmp(&b.0));
    found
}

/// Returns the directories of a medium that is mounted or can be.
fn medium_dirs(wait: Wait) -> Vec<PathBuf> {
    let has_medium = is_mounted(Path::new(MEDIUM)) || mount_medium(wait);
    let dirs = ON_MEDIUM.iter().map(|dir| Path::new(MEDIUM).join(dir));
    dirs.filter(|_| has_medium).collect()
}

/// Finds and mounts a medium; returns false if there is none.
fn mount_medium(wait: Wait) -> bool {
    Drivers::of_the_machine().load_fast_disks();
    let look = || labelled::find(is_medium);
    let device = look().or_else(|| match wait {
        Wait::ForMedium { seconds } if !HAS_WAITED.swap(true, Ordering::Relaxed) => {
            wait::until(seconds, look)
        }
        _ => None,
    });
    let Some(device) = device else { return false };
    let node = device.node();
    match mount(&device) {
        Ok(()) => info!("ext: {} is a medium of boot2podman", node.display()),
        // Another `b2p ext` was faster (EBUSY).
        Err(_) if is_mounted(Path::new(MEDIUM)) => {}
        Err(why) => {
            info!("ext: {}: {why}", node.display());
            return false;
        }
    }
    true
}

fn mount(device: &LabelledDevice) -> Result<()> {
    fs::create_dir_all(MEDIUM).on(MEDIUM)?;
    let restricted = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let builder = Mount::builder().flags(MountFlags::RDONLY | restricted);
    let mounted = builder.fstype("iso9660").mount(device.node(), MEDIUM);
    mounted.map(drop).doing("mount iso9660")
}

fn is_medium(signature: &Signature) -> bool {
    let label = signature.label.as_deref().unwrap_or_default();
    signature.kind == SignatureKind::Iso9660 && label.starts_with(LABEL_PREFIX)
}

/// Unmounts the medium, unless an image on it is mounted (EBUSY) or another `b2p ext` may be reading one.
pub fn release_medium() {
    let Some(_lock) = try_lock() else {
        return;
    };
    // Not with sys-mount, whose NOFOLLOW is the flag of open(2): umount2(2) answers EINVAL.
    let _ = umount2(MEDIUM, MntFlags::UMOUNT_NOFOLLOW);
}

/// Returns true if something is mounted on `path`.
pub fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    let own = device(path);
    own.is_some() && own != path.parent().and_then(device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_file_is_named_with_or_without_its_ending() {
        for file in ["/x/debug.erofs", "/x/debug.manifest", "/x/debug"] {
            let files = Files::at(file).unwrap();
            assert_eq!(files.name(), "debug");
            assert_eq!(files.image(), Path::new("/x/debug.erofs"));
            assert_eq!(files.manifest(), Path::new("/x/debug.manifest"));
        }
        assert!(Files::at("./debug.erofs").unwrap().0.is_absolute());
        for file in ["/x/de bug.erofs", "/x/debug.iso", "/", "/x/.erofs"] {
            assert!(Files::at(file).is_err(), "{file}");
        }
    }

    #[test]
    fn extensions_of_a_directory_are_found_by_name() {
        let temp = Temp::new();
        for name in [
            "b.erofs",
            "a.erofs",
            "a.manifest",
            "c.manifest",
            "D.erofs",
            ".b2p-new",
        ] {
            fs::write(temp.path(name), "").unwrap();
        }
        let names: Vec<_> = in_dir(temp.dir()).iter().map(Files::name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(Files(temp.path("c")).exist() && !Files(temp.path("d")).exist());
        assert!(in_dir(&temp.path("none")).is_empty());
        assert!(is_mounted(Path::new("/proc")) && !is_mounted(temp.dir()));
    }

    #[test]
    fn a_lone_file_hides_no_extension() {
        let temp = Temp::new();
        let at = |path: &str| Files(temp.path(path));
        fs::create_dir(temp.path("disk")).unwrap();
        fs::create_dir(temp.path("disc")).unwrap();
        let both = || vec![at("disk/a"), at("disc/a")];
        assert_eq!(best(both()), None);
        fs::write(temp.path("disk/a.manifest"), "").unwrap();
        assert_eq!(best(both()), Some(at("disk/a")));
        fs::write(temp.path("disc/a.manifest"), "").unwrap();
        assert_eq!(best(both()), Some(at("disk/a")));
        fs::write(temp.path("disc/a.erofs"), "").unwrap();
        assert_eq!(best(both()), Some(at("disc/a")));
        fs::write(temp.path("disk/a.erofs"), "").unwrap();
        assert_eq!(best(both()), Some(at("disk/a")));
        assert_eq!(at("disk/a").sibling("b"), Ok(at("disk/b")));
    }

    #[test]
    fn the_label_of_an_iso() {
        let signature = |kind, label: &str| Signature {
            kind,
            label: Some(label.into()),
            uuid: None,
        };
        assert!(is_medium(&signature(SignatureKind::Iso9660, "b2p-v0.1.0")));
        assert!(!is_medium(&signature(SignatureKind::Ext4, "b2p-v0.1.0")));
        assert!(!is_medium(&signature(SignatureKind::Iso9660, "b2p-data")));
    }
}
