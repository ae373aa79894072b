// SPDX-License-Identifier: Apache-2.0
//! Work for podman's containers that systemd does elsewhere: [`start`] starts at boot those
//! that are due, [`health`] runs health checks, [`stop`] ends all containers at shutdown,
//! [`apparmor`] loads their profile for podman.
//!
//! podman is run as each user who may have containers: root, and every user with a directory
//! below /var/lib/containers/user (storage.conf).

pub mod apparmor;
mod conmon;
pub mod health;
pub mod start;
pub mod stop;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Path of podman.
const PODMAN: &str = "/usr/bin/podman";
/// Storage of root's containers.
const ROOT_STORAGE: &str = "/var/lib/containers/storage";
/// Storages of the other users, a directory each, named by the uid.
const USER_STORAGES: &str = "/var/lib/containers/user";

/// A user who may have containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    gid: u32,
    /// User name.
    pub name: String,
    home: String,
}

impl Owner {
    /// Finds the user with this uid in the text of passwd(5).
    pub fn of(passwd: &str, uid: u32) -> Option<Owner> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let mut users = passwd.lines().map(fields);
        let user = users.find(|u| u.get(2).and_then(|n| n.parse().ok()) == Some(uid))?;
        let [name, _, _, gid, _, home, ..] = user.as_slice() else {
            return None;
        };
        Some(Owner {
            uid,
            gid: gid.parse().ok()?,
            name: name.clone(),
            home: home.clone(),
        })
    }

    /// Returns the directory of the user's storage.
    fn storage(&self) -> PathBuf {
        match self.uid {
            0 => PathBuf::from(ROOT_STORAGE),
            uid => Path::new(USER_STORAGES).join(uid.to_string()),
        }
    }

    /// Returns the directory with a directory for each container that has run in this boot.
    pub fn run_dir(&self) -> PathBuf {
        match self.uid {
            0 => PathBuf::from("/run/containers/storage/overlay-containers"),
            uid => PathBuf::from(format!("/run/user/{uid}/containers/overlay-containers")),
        }
    }

    /// Returns a call of podman as this user, with the environment that sshd gives a session.
    pub fn podman(&self, args: &[&str]) -> Command {
        let mut podman = Command::new(PODMAN);
        podman
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .current_dir("/");
        if self.uid != 0 {
            podman
                .env("XDG_RUNTIME_DIR", format!("/run/user/{}", self.uid))
                .gid(self.gid)
                .uid(self.uid);
        }
        podman
    }
}

/// Returns the users who have containers. They are found without podman, which takes 45 MB:
/// each container has a directory in the storage (containers-storage).
fn owners_with_containers() -> Vec<Owner> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let storages = fs::read_dir(USER_STORAGES).into_iter().flatten().flatten();
    let mut uids: Vec<u32> = storages
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|uid| *uid != 0)
        .collect();
    uids.sort_unstable();
    let uids = [0].into_iter().chain(uids);
    uids.filter_map(|uid| Owner::of(&passwd, uid))
        .filter(|owner| has_container(&owner.storage().join("overlay-containers")))
        .collect()
}

/// Returns true if there is a container in this directory of a storage.
fn has_container(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|e| e.file_name());
    names.any(|name| name.to_str().is_some_and(is_id))
}

/// Returns true for the id of a container: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_user_by_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbad:x:7\ncore:x:1000:1001:c:/home/core:/bin/bash\n";
        let core = Owner::of(passwd, 1000).unwrap();
        assert_eq!((core.gid, core.home.as_str()), (1001, "/home/core"));
        assert!(core.run_dir().starts_with("/run/user/1000"));
        assert_eq!(Owner::of(passwd, 7), None);
        assert_eq!(Owner::of(passwd, 1), None);
    }

    #[test]
    fn a_store_with_containers_and_one_without() {
        let dir = std::env::temp_dir().join(format!("b2p-store-{}", std::process::id()));
        assert!(!has_container(&dir));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("containers.json"), "[]").unwrap();
        assert!(!has_container(&dir));
        fs::create_dir(dir.join("0a".repeat(32))).unwrap();
        assert!(has_container(&dir));
        fs::remove_dir_all(dir).unwrap();
    }
}
