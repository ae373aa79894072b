// SPDX-License-Identifier: Apache-2.0
//! `mount.virtiofs`, which mount(8) runs for a folder of the host. podman machine 6 mounts its user's
//! `~/.config/containers` over `/etc/containers`, and podman 5 finds a policy and registries only
//! there and in homes: where the host's folder lacks one of the files, the homes get that of the image.
//!
//! podman 5 looks there for its marker of a machine whose host publishes ports as well, and a marker in the host's
//! folder would make a machine of the host. A file system in RAM over `/etc/containers` therefore has the marker, and
//! links to the entries of the folder. (An overlay fails with ESTALE where the host replaces a file,
//! fs/overlayfs/super.c, `ovl_revalidate_real`.)

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use log::{info, warn};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::error::{Doing, Result};

use crate::common::atomic_file;
use crate::common::confined::{Attributes, Tree};
use crate::common::paths::Paths;
use crate::common::terminal::print_error;
use crate::helpers::engine::PodmanUser;

/// Directory of the machine's files, and that of a user's below a home (containers-policy.json(5),
/// containers-registries.conf(5)).
const MACHINE: &str = "/etc/containers";
const USERS: &str = ".config/containers";
/// Files without which podman pulls no image, or none with a short name.
const FILES: &[&str] = &["policy.json", "registries.conf"];
/// Markers of a machine whose host publishes ports: of podman 5, in [`MACHINE`], and of podman 6.
const MARKERS: &[&str] = &["/etc/containers/podman-machine", "/etc/podman-machine"];
/// Mount point of the folder.
const FOLDER: &str = "/run/boot2podman/host-containers";
/// Directory in the state with the networks, where the folder has none.
const NETWORKS: &str = "networks";

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Change of a file in a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Write,
    Remove,
    Nothing,
}

/// Mounts by mount(8) without helpers; the arguments of a helper are also mount's. Returns the exit
/// status.
pub fn main(args: &[String]) -> i32 {
    let is_machine = args.get(1).is_some_and(|target| {
        let target = fs::canonicalize(target);
        target.is_ok_and(|target| target == Path::new(MACHINE))
    });
    let shipped = match is_machine {
        true => FILES.iter().filter_map(|file| shipped(file)).collect(),
        false => Vec::new(),
    };
    let marker = is_machine.then(marker).flatten();
    let status = match &marker {
        Some(marker) => mount_under(args, marker),
        None => mount_by_program(args),
    };
    if status == 0 && !shipped.is_empty() {
        fill_homes(&shipped);
    }
    status
}

/// Runs mount(8) without helpers; returns its exit status.
fn mount_by_program(args: &[String]) -> i32 {
    let mut mount = Command::new("/usr/bin/mount");
    let status = mount.args(["-i", "-t", "virtiofs"]).args(args).status();
    match status {
        Ok(status) => status.code().unwrap_or(1),
        Err(why) => {
            print_error(&format!("mount.virtiofs: {why}"));
            1
        }
    }
}

/// Returns the content of the marker, if the machine has one.
fn marker() -> Option<Vec<u8>> {
    let read = |path: &&str| sys::files::read_bounded(Path::new(path), MAX_BYTES).ok();
    MARKERS.iter().find_map(read)
}

/// Mounts the folder elsewhere, and a file system in RAM with the marker and links to the folder's entries in
/// its place. Where that fails, the folder is mounted alone.
fn mount_under(args: &[String], marker: &[u8]) -> i32 {
    let mut args = args.to_vec();
    if let Err(why) = fs::create_dir_all(FOLDER) {
        warn!("mount.virtiofs: {FOLDER}: {why}");
        return mount_by_program(&args);
    }
    // The folder of an earlier mount, which umount(8) of the links has left.
    while umount2(FOLDER, MntFlags::MNT_DETACH).is_ok() {}
    if let Some(target) = args.get_mut(1) {
        FOLDER.clone_into(target);
    }
    let status = mount_by_program(&args);
    if status != 0 {
        return status;
    }
    let none = None::<&str>;
    let outcome = link_folder(&Paths::default(), marker).or_else(|why| {
        warn!("mount.virtiofs: ports are published in the machine alone: {why}");
        mount(Some(FOLDER), MACHINE, none, MsFlags::MS_BIND, none).doing("mount the folder")
    });
    match outcome {
        Ok(()) => 0,
        Err(why) => {
            print_error(&format!("mount.virtiofs: {why}"));
            1
        }
    }
}

/// Mounts the file system with the links. Networks that the machine makes are state of the machine where the folder
/// has none.
fn link_folder(paths: &Paths, marker: &[u8]) -> Result<()> {
    let networks = paths.state_dir().join(NETWORKS);
    atomic_file::directory(&networks, 0o755, 0)?;
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    let options = Some("mode=755,size=1m");
    mount(Some("containers"), MACHINE, Some("tmpfs"), flags, options)
        .doing(format!("mount a tmpfs on {MACHINE}"))?;
    let made = link_all(Path::new(FOLDER), &networks, Path::new(MACHINE), marker);
    if made.is_err() {
        let _ = umount2(MACHINE, MntFlags::MNT_DETACH);
    }
    made
}

/// Fills a directory with the marker, links to the entries of `folder`, and one to the networks.
fn link_all(folder: &Path, networks: &Path, dir: &Path, marker: &[u8]) -> Result<()> {
    let link = |from: &Path, name: &OsStr| match symlink(from, dir.join(name)) {
        Err(why) if why.kind() != ErrorKind::AlreadyExists => Err(why).on(dir.join(name)),
        _ => Ok(()),
    };
    sys::files::replace(&dir.join("podman-machine"), marker, 0o644)?;
    for entry in fs::read_dir(folder).on(folder)? {
        let entry = entry.on(folder)?;
        link(&entry.path(), &entry.file_name())?;
    }
    link(networks, OsStr::new(NETWORKS))
}

/// Returns a file that the mount is about to hide.
fn shipped(file: &'static str) -> Option<(&'static str, Vec<u8>)> {
    let bytes = sys::files::read_bounded(Path::new(MACHINE).join(file).as_path(), MAX_BYTES);
    Some((file, bytes.ok()?))
}

fn fill_homes(shipped: &[(&str, Vec<u8>)]) {
    let (config, _) = sys::config_sources::read();
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let users = ["root", &config.user].map(|name| PodmanUser::with_name(&passwd, name));
    let root = match Tree::open(Path::new("/")) {
        Ok(root) => root,
        Err(why) => return warn!("mount.virtiofs: {why}"),
    };
    for user in users.iter().flatten() {
        for (file, bytes) in shipped {
            let hosts = Path::new(MACHINE).join(file).exists();
            let done = fill(&root, user, file, bytes, hosts);
            done.unwrap_or_else(|why| warn!("mount.virtiofs: {why}"));
        }
    }
}

/// Gives a home the image's file, or removes the file once the host has one.
fn fill(root: &Tree, user: &PodmanUser, file: &str, bytes: &[u8], hosts: bool) -> Result<()> {
    let dir = format!("{}/{USERS}", user.home());
    let path = format!("{dir}/{file}");
    let home = match Path::new(&dir).is_dir() {
        true => root.read(&path, MAX_BYTES)?,
        false => None,
    };
    match change(hosts, home.as_deref(), bytes) {
        Change::Nothing => return Ok(()),
        Change::Remove => root.remove(&path)?,
        Change::Write => {
            let (uid, gid) = (user.uid, user.gid);
            let config = format!("{}/.config", user.home());
            for parent in [config.as_str(), &dir] {
                if !Path::new(parent).is_dir() {
                    let mode = 0o755;
                    root.directory(parent, Attributes { mode, uid, gid })?;
                }
            }
            let mode = 0o644;
            root.replace(&path, bytes, Attributes { mode, uid, gid })?;
        }
    }
    info!("mount.virtiofs: {path}: the image's, as long as {MACHINE} of the host has none");
    Ok(())
}

/// Decides by the files of the host and of the home. A file that the user changed stays.
fn change(hosts: bool, home: Option<&[u8]>, shipped: &[u8]) -> Change {
    match (hosts, home) {
        (false, None) => Change::Write,
        (true, Some(home)) if home == shipped => Change::Remove,
        _ => Change::Nothing,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use nix::unistd::{getegid, geteuid};

    #[test]
    fn the_hosts_file_counts_then_the_owners_then_the_images() {
        for (hosts, home, want) in [
            (false, None, Change::Write),
            (false, Some(&b"image"[..]), Change::Nothing),
            (false, Some(b"mine"), Change::Nothing),
            (true, None, Change::Nothing),
            (true, Some(b"image"), Change::Remove),
            (true, Some(b"mine"), Change::Nothing),
        ] {
            assert_eq!(change(hosts, home, b"image"), want, "{hosts} {home:?}");
        }
    }

    #[test]
    fn a_home_gets_the_file_and_loses_it_again() {
        let temp = Temp::new();
        let root = Tree::open(Path::new("/")).unwrap();
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let home = temp.dir().join("home").display().to_string();
        fs::create_dir(temp.path("home")).unwrap();
        let user =
            PodmanUser::with_name(&format!("ann:x:{uid}:{gid}::{home}:/bin/sh"), "ann").unwrap();
        let path = temp.path("home/.config/containers/policy.json");
        fill(&root, &user, "policy.json", b"image", true).unwrap();
        assert!(!temp.path("home/.config").exists());
        fill(&root, &user, "policy.json", b"image", false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"image");
        fill(&root, &user, "policy.json", b"image", true).unwrap();
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        fill(&root, &user, "policy.json", b"image", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
