// SPDX-License-Identifier: Apache-2.0
//! Compatibility with other systems: everything that exists only because a user, a disk or a
//! program expects a feature of another system. The flags of Tiny Core are in `config::compat`, its
//! swap file in `helpers::swap::tcswp`.
//!
//! - [`boot_script`], for users of boot2docker: runs `bootsync.sh` and `bootlocal.sh` of the data
//!   disk.
//! - [`profile`], for users of boot2docker: exports the variables of `profile` on the data disk.
//! - [`legacy_state`], for disks of boot2docker and of the first boot2podman: finds the keys in
//!   their state directories, and names the files that are not used.
//! - [`environment_d`] and [`tmpfiles`], for podman machine: variables for podman, and links.
//! - [`mount_virtiofs`], for podman machine 6: keeps podman's policy where a mount hides it.
//! - [`shims`], for podman machine and Lima: answers commands of systemd, OpenRC and Fedora, or names the program that does.
//! - [`session_environment`], for Lima: variables of /etc/environment for sessions.
//! - [`sysctl`], for Lima's boot script: `--system`, which busybox does not know.
//! - [`lima`], for Lima's boot.sh: writes a file that keeps it from waiting for systemd.

pub mod boot_script;
pub mod environment_d;
pub mod legacy_state;
pub mod lima;
pub mod mount_virtiofs;
pub mod profile;
pub mod session_environment;
pub mod shims;
pub mod sysctl;
pub mod tmpfiles;

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files `*.conf` of a directory in the order of their names, in which systemd reads
/// them (environment.d(5), tmpfiles.d(5)).
fn conf_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "conf"))
        .collect();
    sys::sort::sort(&mut paths);
    paths
}
