//! Folders of the host, where flags ask for them: `b2p share`, run by PID 1, and again
//! when one is plugged in. What is mounted already is left. What was asked for and is not
//! there is told to PID 1 in /run/boot2podman/share.degraded.

use std::fs;
use std::path::{Path, PathBuf};

use config::Folder;
use init::modules::Modules;
use init::{flags, uevent};
use log::{info, warn};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// Where PID 1 looks for what is wrong.
const DEGRADED: &str = "/run/boot2podman/share.degraded";
/// A tag in here is one of virtiofs (fs/fuse/virtio_fs.c, from Linux 6.9 on).
const VIRTIOFS: &str = "fs/virtiofs";
/// And in here of 9p.
const VIRTIO_9P: &str = "bus/virtio/drivers/9pnet_virtio";
/// Of 9p there is a module for the file system besides the one for the device.
const MODULES_9P: &[&str] = &["9pnet_virtio", "9p"];
/// What a file system of virtio's is told. The dialect of Linux; messages as large as
/// QEMU takes without warning; what several processes map stays one
/// (Documentation/filesystems/9p.rst).
const OPTIONS_9P: &str = "trans=virtio,version=9p2000.L,msize=524288,cache=mmap";

/// Mounts what can be mounted; what fails is said and is no failure of the program.
pub fn main() -> i32 {
    let config = flags::all().0;
    drivers(&config);
    let mut degraded = String::new();
    for folder in &config.shares {
        match one(folder) {
            Ok(true) => info!("share: {} is at {}", folder.tag, folder.path),
            Ok(false) => {}
            Err(why) => {
                let why = format!("{}: {why}", folder.tag).replace(char::is_control, " ");
                warn!("share: {why}");
                degraded.push_str(&format!("degraded share: {why}\n"));
            }
        }
    }
    let said = init::files::replace(Path::new(DEGRADED), degraded.as_bytes(), 0o644);
    said.inspect_err(|why| warn!("share: {why}"))
        .is_err()
        .into()
}

/// Gives the devices theirs, and 9p its file system where there is such a device.
fn drivers(config: &config::Config) {
    let modules = Modules::open(Path::new("/"));
    let Ok(mut modules) = modules.inspect_err(|why| warn!("share: {why}")) else {
        return;
    };
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    uevent::coldplug(Path::new(uevent::SYS), &mut modules, uevent::folder);
    if !tags(&sys(VIRTIO_9P), "mount_tag").is_empty() {
        for module in MODULES_9P {
            if let Err(why) = modules.load(module) {
                warn!("share: {module}: {why}");
            }
        }
    }
}

fn sys(path: &str) -> PathBuf {
    Path::new("/sys").join(path)
}

/// The tags in the files `name` of the directories in `dir`.
fn tags(dir: &Path, name: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |e: fs::DirEntry| fs::read_to_string(e.path().join(name)).ok();
    let plain = |t: String| {
        t.trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .to_owned()
    };
    entries.filter_map(read).map(plain).collect()
}

/// Mounts it; `false` if it is there.
fn one(folder: &Folder) -> Result<bool, String> {
    let path = Path::new(&folder.path);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if mounted(&mounts, folder) {
        return Ok(false);
    }
    let kind = kind(&folder.tag)?;
    room(path)?;
    let mut mode = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mode.set(MsFlags::MS_RDONLY, folder.read_only);
    let options = (kind == "9p").then_some(OPTIONS_9P);
    let done = mount(Some(folder.tag.as_str()), path, Some(kind), mode, options);
    done.map(|()| true).map_err(|e| {
        let hint = match e {
            Errno::ENODEV => {
                "; this kernel has no 9p: give the folder by virtiofs, or build with KERNEL=generic"
            }
            _ => "",
        };
        format!("mount {kind} at {}: {e}{hint}", folder.path)
    })
}

/// Which of the two has it.
fn kind(tag: &str) -> Result<&'static str, String> {
    let (virtiofs, nine) = (
        tags(&sys(VIRTIOFS), "tag"),
        tags(&sys(VIRTIO_9P), "mount_tag"),
    );
    if virtiofs.iter().any(|t| t == tag) {
        return Ok("virtiofs");
    }
    if nine.iter().any(|t| t == tag) {
        return Ok("9p");
    }
    let there: Vec<_> = virtiofs.into_iter().chain(nine).collect();
    let mut why = match there.is_empty() {
        true => "the host gives no such folder".to_owned(),
        false => format!("the host gives none of this tag, but {}", there.join(", ")),
    };
    if undriven() {
        why += ", and some by 9p, which this kernel has not: give them by virtiofs, or build with KERNEL=generic";
    }
    Err(why + "; it is mounted when it comes")
}

/// Whether there is a device of 9p that nothing drives.
fn undriven() -> bool {
    let devices = fs::read_dir(sys("bus/virtio/devices"))
        .into_iter()
        .flatten()
        .flatten();
    let mut bare = devices
        .map(|e| e.path())
        .filter(|d| !d.join("driver").exists());
    bare.any(|d| {
        let alias = fs::read_to_string(d.join("modalias")).unwrap_or_default();
        uevent::folder(alias.trim())
    })
}

/// An empty directory, made where there is none; for the user where it is in a home.
fn room(path: &Path) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    if !path.exists() {
        fs::create_dir_all(path).map_err(say)?;
        return Ok(());
    }
    let mut entries = fs::read_dir(path).map_err(say)?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(format!(
            "{} is not empty: what is in it would be hidden",
            path.display()
        )),
    }
}

/// Whether this tag is mounted there, in the text of /proc/self/mounts, which writes a
/// blank as \040 (proc_pid_mounts(5)).
fn mounted(mounts: &str, folder: &Folder) -> bool {
    let path = folder.path.replace('\\', "\\134").replace(' ', "\\040");
    let line = |l: &str| {
        let mut fields = l.split(' ');
        fields.next() == Some(&folder.tag) && fields.next() == Some(&path)
    };
    mounts.lines().any(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_one_of_this_tag_at_this_place() {
        let folder = |tag: &str, path: &str| Folder {
            tag: tag.into(),
            path: path.into(),
            read_only: false,
        };
        let text = "home /mnt/a\\040b virtiofs rw 0 0\nother /mnt/x 9p rw 0 0\n";
        assert!(mounted(text, &folder("home", "/mnt/a b")));
        assert!(!mounted(text, &folder("home", "/mnt/x")));
        assert!(!mounted(text, &folder("other", "/mnt/a b")));
    }

    #[test]
    fn only_an_empty_directory_is_room() {
        let dir = std::env::temp_dir().join(format!("b2p-room-{}", std::process::id()));
        assert_eq!(room(&dir.join("a/b")), Ok(()));
        assert_eq!(room(&dir.join("a/b")), Ok(()));
        assert!(room(&dir.join("a")).is_err_and(|why| why.contains("not empty")));
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn tags_without_what_ends_them() {
        let dir = std::env::temp_dir().join(format!("b2p-tags-{}", std::process::id()));
        for (name, tag) in [("0", "home\n"), ("1", "work\0\0")] {
            let _ = fs::create_dir_all(dir.join(name));
            let _ = fs::write(dir.join(name).join("tag"), tag);
        }
        let mut all = tags(&dir, "tag");
        all.sort_unstable();
        assert_eq!(all, ["home", "work"]);
        let _ = fs::remove_dir_all(dir);
    }
}
