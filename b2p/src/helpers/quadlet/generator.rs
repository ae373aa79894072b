// SPDX-License-Identifier: Apache-2.0
//! podman's generator (podman-systemd.unit(5)), which turns quadlet files into units: its directories and
//! its output.

mod good_files;

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use self::good_files::{GoodFiles, without_mark};
use super::specifiers::Owner;
use super::unit_error::Fault;
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
/// Time limits of the generator for the machine's files, and for a user's, which may be fifos.
const LIMIT: Duration = Duration::from_secs(60);
const USER_LIMIT: Duration = Duration::from_secs(20);
/// Exit statuses of the generator: for success, and for faults of files, which its messages name.
const STATUSES: &[i32] = &[0, 1];
/// Longest output that is read, in bytes.
const MAX_OUTPUT_BYTES: u64 = 8 << 20;

/// Output of the generator: units of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// The units, each after a line with its name.
    pub units: String,
    /// Faults of the files.
    pub faults: Vec<Fault>,
}

/// Returns the directories that the generator reads for an owner.
fn dirs(owner: &Owner) -> Vec<PathBuf> {
    match owner.uid {
        0 => DIRS.iter().map(PathBuf::from).collect(),
        uid => {
            let home = PathBuf::from(&owner.home).join(".config/containers/systemd");
            let runtime = PathBuf::from(owner.runtime_dir()).join("containers/systemd");
            vec![
                runtime,
                home,
                USERS_DIR.into(),
                format!("{USERS_DIR}/{uid}").into(),
            ]
        }
    }
}

/// Returns true if a user, or the machine, has a quadlet file.
#[must_use]
pub fn has_files(owner: &Owner) -> bool {
    let except = (owner.uid == 0).then_some("users");
    dirs(owner).iter().any(|dir| has_entry(dir, except))
}

/// Returns true if the directory has an entry other than `except`.
fn has_entry(dir: &Path, except: Option<&str>) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| except.is_none_or(|except| name != except))
}

/// Runs the generator as the owner of the files, once more without files that it cannot load.
///
/// # Errors
/// The generator cannot be started, has not ended in time, or was killed.
pub fn run(owner: &Owner) -> Result<Generated> {
    if owner.uid == 0 {
        link_disk_dir()?;
    }
    let (units, messages) = run_once(owner, None)?;
    let mut made = Generated {
        units,
        faults: faults(&messages),
    };
    let has_mark = |path: &Path| without_mark(path, owner).is_some();
    if let Some(good) = GoodFiles::of(&messages, &dirs(owner), has_mark) {
        let (units, messages) = run_once(owner, Some(&good.link(owner)?))?;
        made.units = units;
        // Files that were read without their marks are good, or have a fault in the second run.
        made.faults.retain(|fault| !good.has_fault(&fault.why));
        let new = faults(&messages);
        made.faults.extend(new);
        good.restore(owner, &mut made);
        made.faults.dedup();
    }
    Ok(made)
}

/// Runs the generator, in other directories than its own with `dirs`.
fn run_once(owner: &Owner, dirs: Option<&str>) -> Result<(String, String)> {
    let mut command = Command::new(GENERATOR);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &owner.home)
        .envs(dirs.map(|dirs| ("QUADLET_UNIT_DIRS", dirs)))
        .current_dir("/");
    let mut limit = LIMIT;
    if owner.uid != 0 {
        limit = USER_LIMIT;
        command
            .arg("--user")
            .env("XDG_RUNTIME_DIR", owner.runtime_dir())
            .gid(owner.gid)
            .uid(owner.uid);
    }
    command.arg("--dryrun");
    output(&mut command, limit, STATUSES).on(GENERATOR)
}

/// Makes the generator, which follows links, read the directory of the data disk.
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

/// Runs a program, and returns its standard output and standard error, which are whole: with only a part
/// of the units, the rest would count as removed.
pub(super) fn output(
    command: &mut Command,
    limit: Duration,
    statuses: &[i32],
) -> Result<(String, String)> {
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
    let status = child.wait()?;
    let mut texts = [String::new(), String::new()];
    for (file, text) in [&mut units, &mut messages].into_iter().zip(&mut texts) {
        if file.metadata()?.len() > MAX_OUTPUT_BYTES {
            let most = format!("more than {MAX_OUTPUT_BYTES} bytes of output");
            return Err(Error::invalid(most));
        }
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let [units, messages] = texts;
    match failure(status, statuses, &messages) {
        Some(why) => Err(Error::invalid(why)),
        None => Ok((units, messages)),
    }
}

/// Returns the reason why the output of a program is not whole: a signal has killed the program, or its exit
/// status is none of `statuses`.
fn failure(status: ExitStatus, statuses: &[i32], messages: &str) -> Option<String> {
    let why = match status.code() {
        Some(code) if statuses.contains(&code) => return None,
        Some(code) => format!("it has ended with status {code}"),
        None => format!("signal {} has killed it", status.signal().unwrap_or(0)),
    };
    match messages.trim().lines().next_back() {
        Some(last) => Some(format!("{why}: {last}")),
        None => Some(why),
    }
}

/// Returns the lines of the generator's messages that name a fault.
fn faults(messages: &str) -> Vec<Fault> {
    let is_fault = |text: &&str| {
        let harmless = [
            "Loading source ",
            "No files parsed",
            "Warning: ",
            "Error occurred ",
        ];
        !text.is_empty() && !harmless.iter().any(|start| text.starts_with(start))
    };
    let lines = messages.lines().map(without_program);
    lines.filter(is_fault).map(Fault::of_quadlet).collect()
}

/// Returns a message without the name and number of the program.
fn without_program(line: &str) -> &str {
    match line.split_once("]: ") {
        Some((program, text)) if program.starts_with("quadlet-generator[") => text,
        _ => line,
    }
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
            .map(Fault::of_quadlet)
        );
    }

    #[test]
    fn output_that_is_not_whole_is_an_error() {
        let run = |script: &str| {
            let mut command = Command::new("/bin/sh");
            output(command.args(["-c", script]), LIMIT, STATUSES)
        };
        let whole = run("echo unit; echo message >&2; exit 1").unwrap();
        assert_eq!(whole, ("unit\n".to_owned(), "message\n".to_owned()));
        for (script, right) in [
            ("echo unit; kill -9 $$", "signal 9 has killed it"),
            ("echo no memory >&2; exit 2", "status 2: no memory"),
            ("head -c 8388609 /dev/zero", "more than 8388608 bytes"),
        ] {
            let why = crate::common::testing::why(run(script));
            assert!(why.contains(right), "{script}: {why}");
        }
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
