// SPDX-License-Identifier: Apache-2.0
//! Podman's helpers. [`start`] starts containers at boot by their restart policies, [`health`] runs health
//! checks, [`auto_update`] updates containers, [`stop`] stops all containers at shutdown, [`apparmor`] loads podman's AppArmor profile,
//! [`start_hook`] changes the configuration of each container that starts, [`logins`] keeps log-ins at registries, [`start_conmon`] is the program
//! that podman starts as conmon, [`conmon`] identifies processes of conmon, and [`user_api`] is the podman
//! API of a user.
//!
//! At boot, podman runs as root and as every user with a directory below /var/lib/containers/user
//! (storage.conf), if the storage has a container.

pub mod apparmor;
pub mod auto_update;
pub mod conmon;
pub mod health;
mod hook_log;
pub mod logins;
pub mod overlay_answer;
pub mod pods;
mod reserved_ports;
pub mod side_by_side;
pub mod start;
pub mod start_conmon;
pub mod start_hook;
pub mod stop;
pub mod user_api;

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use log::{debug, warn};
use sys::error::{Doing, Result};
use sys::paths::{PODMAN_PROGRAM, USER_RUNTIME_DIRS, USER_STORAGES};
use sys::user_cgroup;

use crate::common::runtime_dirs;

/// Storage of root's containers.
const ROOT_STORAGE: &str = "/var/lib/containers/storage";

/// User that may have containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodmanUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// User name.
    pub name: String,
    home: String,
}

impl PodmanUser {
    /// Finds the user with this uid in the text of passwd(5).
    pub fn with_uid(passwd: &str, uid: u32) -> Option<PodmanUser> {
        let mut users = passwd.lines().filter_map(PodmanUser::parse);
        users.find(|user| user.uid == uid)
    }

    /// Finds the user of this name in the text of passwd(5).
    pub fn with_name(passwd: &str, name: &str) -> Option<PodmanUser> {
        let mut users = passwd.lines().filter_map(PodmanUser::parse);
        users.find(|user| user.name == name)
    }

    /// Returns true for a user of passwd(5). Each of those has many more numbers (subuid(5)), in containers, and
    /// may connect with each of them.
    pub fn is_known(uid: u32) -> bool {
        let passwd = || sys::files::read_text("/etc/passwd").unwrap_or_default();
        uid == 0 || PodmanUser::with_uid(&passwd(), uid).is_some()
    }

    fn parse(line: &str) -> Option<PodmanUser> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
            return None;
        };
        Some(PodmanUser {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            name: (*name).to_owned(),
            home: (*home).to_owned(),
        })
    }

    /// Creates the storage and the runtime directory of the user if missing; the user cannot, because
    /// root owns the parent directories. podman creates those of root.
    ///
    /// # Errors
    /// A directory cannot be created or given to the user.
    pub fn make_directories(&self) -> Result<()> {
        if self.uid == 0 {
            return Ok(());
        }
        runtime_dirs::make(self.uid, self.gid)?;
        let (storage, runtime_dir) = (self.storage(), self.runtime_dir());
        if !storage.is_dir() {
            fs::create_dir_all(&storage).on(&storage)?;
            fs::set_permissions(&storage, Permissions::from_mode(0o700)).on(&storage)?;
            chown(&storage, Some(self.uid), Some(self.gid)).on(&storage)?;
        }
        overlay_answer::record(&storage, &runtime_dir, self.uid, self.gid)
            .unwrap_or_else(|why| debug!("{why}; podman asks itself"));
        logins::restore(self)
            .unwrap_or_else(|why| warn!("log-ins of {} at registries: {why}", self.name));
        Ok(())
    }

    /// Returns the home directory.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Returns the user's `XDG_RUNTIME_DIR`.
    fn runtime_dir(&self) -> PathBuf {
        Path::new(USER_RUNTIME_DIRS).join(self.uid.to_string())
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
            _ => self.runtime_dir().join("containers/overlay-containers"),
        }
    }

    /// Returns a podman command that runs as this user, with the environment of an ssh session. The
    /// command of a user other than root joins the cgroup of the user, without which the limits of rootless
    /// containers have no effect.
    pub fn podman(&self, args: &[&str]) -> Command {
        let mut podman = Command::new(PODMAN_PROGRAM);
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
                .env("XDG_RUNTIME_DIR", self.runtime_dir())
                .gid(self.gid)
                .uid(self.uid);
            match user_cgroup::open_procs(self.uid, self.gid, user_cgroup::CONTAINERS) {
                Ok(procs) => join_cgroup(&mut podman, Some(procs)),
                Err(e) if Path::new(user_cgroup::USERS).is_dir() => {
                    warn!(
                        "podman of {} does not run, no cgroup of theirs takes it: {e}",
                        self.name
                    );
                    join_cgroup(&mut podman, None);
                }
                Err(e) => warn!("containers of {} have no limits: {e}", self.name),
            }
        }
        podman
    }
}

/// Lets the child join the cgroup of this `cgroup.procs`; without a cgroup the child fails, because it would
/// count to the machine.
fn join_cgroup(command: &mut Command, procs: Option<File>) {
    let none = || std::io::Error::from_raw_os_error(libc::EOPNOTSUPP);
    let join = move || procs.as_ref().ok_or_else(none)?.write_all(b"0");
    #[expect(unsafe_code, reason = "a step between fork and exec")]
    // SAFETY: one write(2), which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(join);
    }
}

/// Returns the users with containers. The search does without podman, which takes 45 MB: each
/// container has a directory in the storage (containers-storage).
fn users_with_containers() -> Vec<PodmanUser> {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let storages = fs::read_dir(USER_STORAGES).into_iter().flatten().flatten();
    let mut uids: Vec<u32> = storages
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter(|uid| *uid != 0)
        .collect();
    sys::sort::sort(&mut uids);
    let uids = [0].into_iter().chain(uids);
    uids.filter_map(|uid| PodmanUser::with_uid(&passwd, uid))
        .filter(|user| has_container(&user.storage().join("overlay-containers")))
        .collect()
}

/// Returns true if there is a container in this directory of a storage.
fn has_container(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|e| e.file_name());
    names.any(|name| name.to_str().is_some_and(is_id))
}

/// Returns true for the id of a container: 64 hexadecimal digits.
pub fn is_id(text: &str) -> bool {
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
        let core = PodmanUser::with_uid(passwd, 1000).unwrap();
        assert_eq!((core.gid, core.home.as_str()), (1001, "/home/core"));
        assert!(core.run_dir().starts_with("/run/user/1000"));
        assert_eq!(PodmanUser::with_name(passwd, "core"), Some(core));
        assert_eq!(PodmanUser::with_name(passwd, "cor"), None);
        assert_eq!(PodmanUser::with_uid(passwd, 7), None);
        assert_eq!(PodmanUser::with_uid(passwd, 1), None);
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
