// SPDX-License-Identifier: Apache-2.0
//! podman's generator (podman-systemd.unit(5)), which turns quadlet files into units: where they are, and
//! what it prints.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use super::specifiers::Owner;
use crate::common::{pidfd, tool};

/// The generator.
const GENERATOR: &str = "/usr/libexec/podman/quadlet";
/// Directories of the machine's quadlet files, of which the generator reads the first three.
const DIRS: &[&str] = &[
    "/run/containers/systemd",
    "/etc/containers/systemd",
    "/usr/share/containers/systemd",
    DISK_DIR,
];
/// Directory of quadlet and unit files on the data disk.
pub const DISK_DIR: &str = "/var/lib/boot2podman/quadlet";
/// Link by which the generator reads [`DISK_DIR`].
const DISK_LINK: &str = "/run/containers/systemd/boot2podman";
/// Directory of quadlet files of all users, with a directory for each that is named by its number.
const USERS_DIR: &str = "/etc/containers/systemd/users";
/// Time limit of the generator.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest output that is read, in bytes.
const MAX_OUTPUT_BYTES: u64 = 8 << 20;

/// Output of the generator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The units, each after a line with its name.
    pub units: String,
    /// Faults of quadlet files, each in one line.
    pub faults: Vec<String>,
}

/// Returns true if a user, or the machine, has a quadlet file.
#[must_use]
pub fn has_files(owner: &Owner) -> bool {
    match owner.uid {
        0 => DIRS
            .iter()
            .any(|dir| has_entry(Path::new(dir), Some("users"))),
        uid => {
            let home = PathBuf::from(&owner.home).join(".config/containers/systemd");
            let dirs = [home, USERS_DIR.into(), format!("{USERS_DIR}/{uid}").into()];
            dirs.iter().any(|dir| has_entry(dir, None))
        }
    }
}

/// Returns true if the directory has an entry other than `except`.
fn has_entry(dir: &Path, except: Option<&str>) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| except.is_none_or(|except| name != except))
}

/// Runs the generator as the owner of the files.
///
/// # Errors
/// The generator cannot be started, or has not ended in time.
pub fn run(owner: &Owner) -> Result<Output> {
    let mut command = Command::new(GENERATOR);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &owner.home)
        .current_dir("/");
    if owner.uid == 0 {
        link_disk_dir()?;
    } else {
        command
            .arg("--user")
            .env("XDG_RUNTIME_DIR", owner.runtime_dir())
            .gid(owner.gid)
            .uid(owner.uid);
    }
    command.arg("--dryrun");
    let (units, messages) = output(&mut command, LIMIT).on(GENERATOR)?;
    Ok(Output {
        units,
        faults: faults(&messages),
    })
}

/// Makes the directory of the data disk one that the generator reads: it follows links.
fn link_disk_dir() -> Result<()> {
    let link = Path::new(DISK_LINK);
    if !Path::new(DISK_DIR).is_dir() || link.exists() {
        return Ok(());
    }
    let parent = link.parent().unwrap_or(link);
    fs::create_dir_all(parent).on(parent)?;
    match std::os::unix::fs::symlink(DISK_DIR, link) {
        Err(why) if Errno::from_raw(why.raw_os_error().unwrap_or(0)) != Errno::EEXIST => {
            Err(why).on(link)
        }
        _ => Ok(()),
    }
}

/// Runs a program, and returns its standard output and standard error.
pub(super) fn output(command: &mut Command, limit: Duration) -> Result<(String, String)> {
    let (mut units, mut messages) = (tool::memory_file()?, tool::memory_file()?);
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(units.try_clone()?)
        .stderr(messages.try_clone()?)
        .spawn()?;
    if !pidfd::ended_within(child.id(), limit) {
        let _ = child.kill();
        return Err(Error::invalid(format!(
            "not done after {} s",
            limit.as_secs()
        )));
    }
    // Its status says no more than its messages.
    child.wait()?;
    let mut texts = [String::new(), String::new()];
    for (file, text) in [&mut units, &mut messages].into_iter().zip(&mut texts) {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let [units, messages] = texts;
    Ok((units, messages))
}

/// Returns the lines of the generator's messages that name a fault.
fn faults(messages: &str) -> Vec<String> {
    let is_fault = |text: &&str| {
        let harmless = [
            "Loading source ",
            "No files parsed",
            "Warning: ",
            "Error occurred ",
        ];
        !text.is_empty() && !harmless.iter().any(|start| text.starts_with(start))
    };
    let lines = messages.lines().map(|line| match line.split_once("]: ") {
        Some((program, text)) if program.starts_with("quadlet-generator[") => text,
        _ => line,
    });
    lines.filter(is_fault).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn faults_are_told_from_other_messages() {
        let messages = "quadlet-generator[7]: Loading source unit file /a/b.container\n\
            quadlet-generator[7]: Warning: b.container specifies the image \"x\"\n\
            quadlet-generator[7]: converting \"bad.container\": unsupported key 'Imge'\n\
            converting \"pod.container\": pod p.pod is not Quadlet based\n\n";
        assert_eq!(
            faults(messages),
            [
                "converting \"bad.container\": unsupported key 'Imge'",
                "converting \"pod.container\": pod p.pod is not Quadlet based"
            ]
        );
    }

    #[test]
    fn a_directory_with_a_file_and_one_without() {
        let temp = Temp::new();
        assert!(!has_entry(temp.dir(), None) && !has_entry(&temp.path("none"), None));
        fs::create_dir(temp.path("users")).unwrap();
        assert!(!has_entry(temp.dir(), Some("users")) && has_entry(temp.dir(), None));
        fs::write(temp.path("web.container"), "").unwrap();
        assert!(has_entry(temp.dir(), Some("users")));
    }
}
