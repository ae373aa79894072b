// SPDX-License-Identifier: Apache-2.0
//! The AppArmor profile of containers, compiled while the image is made, because the compiler
//! would be 0.8 % of the image. In the machine, a hook of podman loads the result
//! (`b2p/src/helpers/engine/apparmor/`).
//!
//! The profile is compiled for the features that Debian pins for all its policy, so that a class
//! of accesses that a later kernel learns to mediate is not denied by a profile that is older.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::fetch::PackageTree;
use crate::package_metadata;
use crate::tree::Tree;
use crate::{fsutil, tools};

/// Path of the compiled profile.
const PROFILE: &str = "usr/share/boot2podman/containers-default.apparmor";
/// Prefix of the names that podman gives to its default profile.
const PREFIX: &str = "containers-default-";
/// Package whose version podman puts into the name.
const NAMED_AFTER: &str = "golang-github-containers-common";
/// Features of AppArmor that Debian's policy is written for.
const FEATURES: &str = "usr/share/apparmor-features/features";

/// Rules in the language of apparmor.d(5), each with a reason. Operations that are not denied here
/// are left to seccomp, capabilities and namespaces.
const RULES: &[(&str, &str)] = &[
    ("file", "the container's own files are its own"),
    ("network", "its network is a namespace"),
    ("capability", "podman drops those that it should not have"),
    ("umount", "with CAP_SYS_ADMIN only"),
    ("userns", "seccomp decides about user namespaces"),
    ("io_uring", "seccomp decides about io_uring"),
    (
        "signal (receive) peer=unconfined",
        "conmon, crun and podman stop it",
    ),
    (
        "signal (send, receive) peer=containers-default-*",
        "processes of a container, and of others in its pid namespace",
    ),
    (
        "ptrace (read, trace, readby, tracedby) peer=containers-default-*",
        "ps and debuggers in the container",
    ),
    (
        "deny mount",
        "CAP_SYS_ADMIN alone is no way to the host's files",
    ),
    ("deny /proc/* w", "files of the whole system"),
    (
        "deny /proc/{[^1-9s]*,s[^y]*,sy[^s]*,sys?*}/** w",
        "directories other than those of processes and /proc/sys",
    ),
    ("deny /proc/sys/[^k]** w", "settings of the whole system"),
    (
        "deny /proc/sys/kernel/{[^s]**,s[^h]**,sh[^m]**} w",
        "all but shmmax and its like, which belong to the ipc namespace",
    ),
    (
        "deny /proc/{kcore,sysrq-trigger} rwklx",
        "memory and power of the machine",
    ),
    ("deny /sys/[^f]** wklx", "devices and the kernel"),
    ("deny /sys/f[^s]** wklx", "firmware"),
    ("deny /sys/fs/[^c]** wklx", "file systems, bpf, pstore"),
    ("deny /sys/fs/c[^g]** wklx", "all but cgroup"),
    (
        "deny /sys/{firmware,kernel/security}/** rwklx",
        "tables of the firmware, and AppArmor itself",
    ),
];

/// Compiles the profile and adds the result to `tree`; `scratch` is a directory for the compiler's
/// files.
pub fn add(debian: &PackageTree, tree: &mut Tree, scratch: &Path) -> Result<()> {
    fsutil::remove(scratch)?;
    fs::create_dir_all(scratch).with_context(|| format!("make {}", scratch.display()))?;
    let (source, compiled) = (scratch.join("source"), scratch.join("compiled"));
    fs::write(&source, text(&name(debian)?))?;
    let mut parser = tools::command_in(debian, "apparmor_parser")?;
    // No file of the host takes part.
    parser.args(["--config-file", "/dev/null", "--features-file"]);
    parser.arg(debian.tools.join(FEATURES));
    parser.args(["--skip-kernel-load", "--skip-cache", "--ofile"]);
    tools::run(parser.arg(&compiled).arg(&source), "apparmor_parser")?;
    let bytes = fs::read(&compiled).with_context(|| format!("read {}", compiled.display()))?;
    tree.bytes(PROFILE, bytes, 0o644);
    fsutil::remove(scratch)
}

/// Returns the name of podman's default profile, which podman must contain.
fn name(debian: &PackageTree) -> Result<String> {
    let packages = package_metadata::packages(&debian.root)?;
    let package = packages.iter().find(|package| package.name == NAMED_AFTER);
    let version = &package.with_context(|| NAMED_AFTER)?.version;
    let name = format!("{PREFIX}{}", upstream(version));
    let podman = debian.root.join("usr/bin/podman");
    let program = fs::read(&podman).with_context(|| format!("read {}", podman.display()))?;
    let knows = program
        .windows(name.len())
        .any(|bytes| bytes == name.as_bytes());
    ensure!(
        knows,
        "{}: the profile {name} is not in it",
        podman.display()
    );
    Ok(name)
}

/// Returns the upstream part of a Debian version, without Debian's marks of a repacked source.
fn upstream(version: &str) -> &str {
    let end = version.find(['+', '-', '~']).unwrap_or(version.len());
    &version[..end]
}

/// Returns the profile in the compiler's language.
fn text(name: &str) -> String {
    let rules: String = RULES
        .iter()
        .map(|(rule, why)| format!("  # {why}\n  {rule},\n"))
        .collect();
    format!("profile {name} flags=(attach_disconnected, mediate_deleted) {{\n{rules}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_upstreams() {
        for (version, wanted) in [
            ("0.62.2+ds1-2", "0.62.2"),
            ("0.64.0-1", "0.64.0"),
            ("0.65.0~rc1-1", "0.65.0"),
            ("1.0", "1.0"),
        ] {
            assert_eq!(upstream(version), wanted);
        }
    }

    #[test]
    fn the_name_is_in_the_header_alone() {
        // The name is replaced in the compiled profile, and the tables of the rules cannot change.
        let text = text("containers-default-1.2.3");
        assert_eq!(text.matches("containers-default-1.2.3").count(), 1);
        assert!(RULES.iter().all(|(_, why)| !why.is_empty()));
    }
}
