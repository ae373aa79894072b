//! Where extensions are: on the data disk, then on the disc or stick of an ISO.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use disk::signature::{Signature, SignatureKind};
use log::info;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::{labelled, wait};
use sys::paths::MEDIUM;

/// On the data disk; in RAM without one.
pub const DISK: &str = "/var/lib/boot2podman/ext";
/// Where they are on it: as `make iso EXT=` puts them, or a person.
const ON_MEDIUM: &[&str] = &["boot/ext", "ext"];
/// How an ISO's label begins (initramfs/src/iso.rs).
const LABEL: &str = "b2p-v";

static WAITED: AtomicBool = AtomicBool::new(false);

/// What may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The machine comes up: a medium is waited for, so many seconds besides.
    Boot(u16),
    /// Every device that is there has its driver.
    Running,
}

/// An image and its manifest, by what their paths have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stem(PathBuf);

impl Stem {
    /// That of a file which a person names.
    ///
    /// # Errors
    /// It cannot be one.
    pub fn of_file(file: &str) -> Result<Stem, String> {
        let path = Path::new(file);
        let known = path
            .extension()
            .is_some_and(|e| e == "erofs" || e == "manifest");
        let stem = match known {
            true => path.with_extension(""),
            false => path.to_path_buf(),
        };
        let stem = std::path::absolute(&stem).map_err(|e| e.to_string())?;
        let stem = Stem(stem);
        match config::is_extension_name(&stem.name()) {
            true => Ok(stem),
            false => Err("not a name of an extension: a-z, digits, -, and .erofs behind".into()),
        }
    }

    /// The extension's name.
    pub fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The image. Not by `with_extension`: a name may have none.
    pub fn image(&self) -> PathBuf {
        self.with(".erofs")
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.with(".manifest")
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut path = self.0.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    }

    fn exists(&self) -> bool {
        self.image().exists() || self.manifest().exists()
    }
}

/// Finds the extension of this name.
///
/// # Errors
/// There is none; those that there are.
pub fn find(name: &str, time: Time) -> Result<Stem, String> {
    let among = |dirs: Vec<PathBuf>| {
        let mut all = dirs.into_iter().map(|dir| Stem(dir.join(name)));
        all.find(Stem::exists)
    };
    let on_disk = among(vec![PathBuf::from(DISK)]);
    let found = on_disk.or_else(|| among(medium(time)));
    found.ok_or_else(|| {
        let names: Vec<String> = all(time).iter().map(Stem::name).collect();
        let there = match names.is_empty() {
            true => "there is none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        format!("no such extension in {DISK} or on a disc or stick of boot2podman: {there}")
    })
}

/// Every extension that there is; of two of a name, the one that [`find`] takes.
pub fn all(time: Time) -> Vec<Stem> {
    let mut all: Vec<Stem> = Vec::new();
    for dir in [PathBuf::from(DISK)].into_iter().chain(medium(time)) {
        for stem in inside(&dir) {
            if all.iter().all(|known| known.name() != stem.name()) {
                all.push(stem);
            }
        }
    }
    all
}

fn inside(dir: &Path) -> Vec<Stem> {
    let read = fs::read_dir(dir).into_iter().flatten().flatten();
    let image = |path: &PathBuf| path.extension().is_some_and(|e| e == "erofs");
    let paths = read.map(|entry| entry.path()).filter(image);
    let stems = paths.map(|path| Stem(path.with_extension("")));
    let mut all: Vec<Stem> = stems
        .filter(|s| config::is_extension_name(&s.name()))
        .collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The directories for extensions of a medium that is mounted, or can be.
fn medium(time: Time) -> Vec<PathBuf> {
    let there = is_mounted(Path::new(MEDIUM)) || put(time);
    let dirs = ON_MEDIUM.iter().map(|dir| Path::new(MEDIUM).join(dir));
    dirs.filter(|_| there).collect()
}

fn put(time: Time) -> bool {
    Drivers::of_the_machine().load_fast_disks();
    let look = || labelled::find(is_ours);
    let device = look().or_else(|| match time {
        // What has not come for one of them does not for the next.
        Time::Boot(seconds) if !WAITED.swap(true, Ordering::Relaxed) => wait::until(seconds, look),
        _ => None,
    });
    let Some(device) = device else { return false };
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let node = device.node();
    let mounted = fs::create_dir_all(MEDIUM).is_ok()
        && mount(Some(&node), MEDIUM, Some("iso9660"), flags, None::<&str>)
            .inspect_err(|e| info!("ext: {}: mount iso9660: {e}", node.display()))
            .is_ok();
    if mounted {
        info!("ext: {} is a medium of boot2podman", node.display());
    }
    mounted
}

fn is_ours(found: &Signature) -> bool {
    let label = found.label.as_deref().unwrap_or_default();
    found.kind == SignatureKind::Iso9660 && label.starts_with(LABEL)
}

/// Lets go of the medium, unless an image of it is mounted (EBUSY).
pub fn done() {
    let _ = umount2(MEDIUM, MntFlags::UMOUNT_NOFOLLOW);
}

/// Whether anything is mounted there.
pub fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    let here = device(path);
    here.is_some() && here != path.parent().and_then(device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_named_with_or_without_its_ending() {
        for file in ["/x/debug.erofs", "/x/debug.manifest", "/x/debug"] {
            let stem = Stem::of_file(file).unwrap();
            assert_eq!(stem.name(), "debug");
            assert_eq!(stem.image(), Path::new("/x/debug.erofs"));
            assert_eq!(stem.manifest(), Path::new("/x/debug.manifest"));
        }
        assert!(Stem::of_file("./debug.erofs").unwrap().0.is_absolute());
        for file in ["/x/de bug.erofs", "/x/debug.iso", "/", "/x/.erofs"] {
            assert!(Stem::of_file(file).is_err(), "{file}");
        }
    }

    #[test]
    fn what_lies_in_a_directory() {
        let dir = std::env::temp_dir().join(format!("b2p-ext-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for name in [
            "b.erofs",
            "a.erofs",
            "a.manifest",
            "c.manifest",
            "D.erofs",
            ".b2p-new",
        ] {
            fs::write(dir.join(name), "").unwrap();
        }
        let names: Vec<_> = inside(&dir).iter().map(Stem::name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(Stem(dir.join("c")).exists() && !Stem(dir.join("d")).exists());
        assert!(inside(&dir.join("none")).is_empty());
        assert!(is_mounted(Path::new("/proc")) && !is_mounted(&dir));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_label_of_an_iso() {
        let found = |kind, label: &str| Signature {
            kind,
            label: Some(label.into()),
            uuid: None,
        };
        assert!(is_ours(&found(SignatureKind::Iso9660, "b2p-v0.1.0")));
        assert!(!is_ours(&found(SignatureKind::Ext4, "b2p-v0.1.0")));
        assert!(!is_ours(&found(SignatureKind::Iso9660, "b2p-data")));
    }
}
