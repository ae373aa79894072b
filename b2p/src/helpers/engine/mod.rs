//! podman, as each of the users who may have containers: root, and whoever has a
//! directory below /var/lib/containers/user (storage.conf).
//!
//! [`restart`] starts at boot what is to run again; [`health`] runs health checks.
//! Both are systemd's work elsewhere.

pub mod health;
pub mod restart;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program.
const PODMAN: &str = "/usr/bin/podman";
/// root's containers.
const STORE: &str = "/var/lib/containers/storage";
/// Everybody else's, a directory for each user by number.
const STORES: &str = "/var/lib/containers/user";

/// Somebody who may have containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    gid: u32,
    /// Its name.
    pub name: String,
    home: String,
}

impl Owner {
    /// The user of this number in the text of passwd(5).
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

    /// Where its containers are kept.
    fn store(&self) -> PathBuf {
        match self.uid {
            0 => PathBuf::from(STORE),
            uid => Path::new(STORES).join(uid.to_string()),
        }
    }

    /// Where what is known of those that run is kept.
    pub fn running(&self) -> PathBuf {
        match self.uid {
            0 => PathBuf::from("/run/containers/storage/overlay-containers"),
            uid => PathBuf::from(format!("/run/user/{uid}/containers/overlay-containers")),
        }
    }

    /// podman as this user, with the environment that sshd gives a session.
    pub fn podman(&self, words: &[&str]) -> Command {
        let mut podman = Command::new(PODMAN);
        podman
            .args(words)
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

/// Who has containers. podman is not asked, which is 45 MB: each container has a
/// directory in the storage (containers-storage).
fn with_containers() -> Vec<Owner> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let stores = fs::read_dir(STORES).into_iter().flatten().flatten();
    let mut uids: Vec<u32> = stores
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|uid| *uid != 0)
        .collect();
    uids.sort_unstable();
    let all = [0].into_iter().chain(uids);
    all.filter_map(|uid| Owner::of(&passwd, uid))
        .filter(|owner| any(&owner.store().join("overlay-containers")))
        .collect()
}

/// Whether a container is kept here.
fn any(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|e| e.file_name());
    names.any(|name| name.to_str().is_some_and(is_id))
}

/// Whether this is the id of a container: 64 hexadecimal digits.
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
        assert!(core.running().starts_with("/run/user/1000"));
        assert_eq!(Owner::of(passwd, 7), None);
        assert_eq!(Owner::of(passwd, 1), None);
    }

    #[test]
    fn a_store_with_containers_and_one_without() {
        let dir = std::env::temp_dir().join(format!("b2p-store-{}", std::process::id()));
        assert!(!any(&dir));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("containers.json"), "[]").unwrap();
        assert!(!any(&dir));
        fs::create_dir(dir.join("0a".repeat(32))).unwrap();
        assert!(any(&dir));
        fs::remove_dir_all(dir).unwrap();
    }
}
