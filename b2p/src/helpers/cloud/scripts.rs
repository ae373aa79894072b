// SPDX-License-Identifier: Apache-2.0
//! Runs commands: `bootcmd` at every boot before the machine is ready, with a time limit; after the
//! ready line, one after the other without a limit, the programs in `scripts/per-boot`, and once
//! for each instance those in `scripts/per-instance`, `runcmd`, and user-data that is a program.
//! Their output is in the log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use log::{info, warn};
use sys::error::Result;
use sys::files::{read_bounded, replace};
use sys::paths::{CLOUD_DIR, DATA_REPORT};

use super::diagnostics::Diagnostics;
use super::userdata::{Format, UserData, format};
use super::{parse_user_data, report, user, write_files};
use crate::common::{atomic_file, tool, user_program};

/// Directory of cloud-init, in which programs and users look for scripts.
const CLOUD_INIT_DIR: &str = "/var/lib/cloud";
/// Directory on the data disk with the instance whose commands have run.
const STATE_DIR: &str = "/var/lib/boot2podman/cloud";
/// Time limit of `bootcmd`; that of Lima waits for an address.
const BOOTCMD_LIMIT: Duration = Duration::from_secs(45);
/// Longest instance id that is compared, in bytes.
const MAX_INSTANCE_BYTES: u64 = 1 << 20;

/// Runs `bootcmd` until `deadline`.
pub fn run_bootcmd(commands: &[String], deadline: Instant, diagnostics: &mut Diagnostics) {
    if commands.is_empty() {
        return;
    }
    let remaining = deadline.saturating_duration_since(Instant::now());
    let ran = run_script(commands, remaining.min(BOOTCMD_LIMIT));
    match ran {
        Ok(finished) => {
            let lines = finished.output.lines();
            lines.for_each(|line| info!("cloud: bootcmd: {line}"));
            if finished.code != Some(0) {
                let status = describe_status(finished.code);
                diagnostics.failed(format_args!("bootcmd: {status}"));
            }
        }
        Err(why) => diagnostics.failed(format_args!("bootcmd: {why}")),
    }
}

/// Runs lines of a shell script in the environment that PID 1 gives.
fn run_script(lines: &[String], limit: Duration) -> Result<tool::Finished> {
    let path = Path::new(CLOUD_DIR).join("bootcmd");
    replace(&path, script(lines).as_bytes(), 0o700)?;
    let mut shell = Command::new("/bin/sh");
    tool::run_command(shell.arg(path).current_dir("/"), limit)
}

fn script(lines: &[String]) -> String {
    format!("#!/bin/sh\n{}\n", lines.join("\n"))
}

fn describe_status(code: Option<i32>) -> String {
    code.map_or("killed".to_owned(), |code| format!("exit status {code}"))
}

/// Saves the input of [`main`] in RAM, because the seed may have changed by then.
///
/// # Errors
/// A file cannot be written.
pub fn save(instance: &str, user_data: &[u8]) -> Result<()> {
    let dir = Path::new(CLOUD_DIR);
    replace(&dir.join("user-data"), user_data, 0o600)?;
    replace(&dir.join("instance-id"), instance.as_bytes(), 0o644)
}

/// `b2p cloud scripts`: runs the commands of a machine that is ready; returns the exit status.
pub fn main() -> i32 {
    let saved = |name: &str| fs::read(Path::new(CLOUD_DIR).join(name));
    let (Ok(user_data), Ok(instance)) = (saved("user-data"), saved("instance-id")) else {
        return 0; // There is no seed.
    };
    let mut diagnostics = Diagnostics::default();
    // The faults of user-data were reported when the machine started.
    let data = parse_user_data(&user_data, user::DEFAULT, &mut Diagnostics::default());
    write_files(&data, true, &mut diagnostics);
    let scripts = Path::new(CLOUD_INIT_DIR).join("scripts");
    run_all(&programs(&scripts.join("per-boot")), &mut diagnostics);
    match is_first_run(&instance) {
        Ok(true) => {
            run_all(&programs(&scripts.join("per-instance")), &mut diagnostics);
            let own = write_programs(&data, &user_data, &mut diagnostics);
            run_all(&own, &mut diagnostics);
        }
        Ok(false) => {}
        Err(why) => diagnostics.failed(why),
    }
    let finished = Path::new(CLOUD_INIT_DIR).join("instance/boot-finished");
    replace(&finished, b"", 0o644).unwrap_or_else(|e| warn!("cloud: {e}"));
    report("cloud-scripts", &diagnostics)
}

fn run_all(programs: &[PathBuf], diagnostics: &mut Diagnostics) {
    for program in programs {
        let path = program.display();
        info!("cloud: {path} begins");
        match command(program).and_then(|mut command| Ok(command.status()?)) {
            Ok(status) if status.success() => info!("cloud: {path} has ended"),
            Ok(status) => {
                let status = describe_status(status.code());
                diagnostics.failed(format_args!("{path}: {status}"));
            }
            Err(e) => diagnostics.failed(format_args!("{path}: {e}")),
        }
    }
}

/// Returns the command for a program or a link to one. One that `write_files` has made may have
/// Windows line ends.
fn command(program: &Path) -> Result<Command> {
    let copies = Path::new(CLOUD_DIR).join("copies");
    let program = fs::canonicalize(program)?;
    let name = program.file_name().unwrap_or_default();
    let mut command = user_program::command(&program, &copies.join(name))?;
    command.current_dir("/");
    Ok(command)
}

/// Writes `runcmd`, and user-data that is a program, as files; returns their paths.
fn write_programs(
    data: &UserData,
    user_data: &[u8],
    diagnostics: &mut Diagnostics,
) -> Vec<PathBuf> {
    let dir = Path::new(CLOUD_INIT_DIR).join("instance/scripts");
    let commands = (!data.runcmd.is_empty()).then(|| script(&data.runcmd).into_bytes());
    let program = match format(user_data) {
        Format::Script(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
    let mut paths = Vec::new();
    for (name, bytes) in [("runcmd", commands), ("part-001", program)] {
        let Some(bytes) = bytes else { continue };
        let path = dir.join(name);
        match replace(&path, &bytes, 0o700) {
            Ok(()) => paths.push(path),
            Err(why) => diagnostics.failed(why),
        }
    }
    paths
}

/// Returns the executable files of a directory in the order of their names (run-parts(8)).
fn programs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_program = |entry: &fs::DirEntry| {
        let is_executable = |m: fs::Metadata| m.permissions().mode() & 0o111 != 0;
        entry
            .metadata()
            .is_ok_and(|m| m.is_file() && is_executable(m))
    };
    let mut paths: Vec<PathBuf> = entries.filter(is_program).map(|e| e.path()).collect();
    sys::sort::sort(&mut paths);
    paths
}

/// Returns true if the commands of this instance have not run, and records the run. The record is
/// made before the run, so that a command which ends the machine does not end it at every boot.
fn is_first_run(instance: &[u8]) -> Result<bool> {
    // Without a data disk the record is not in the state directory: a disk that appears later must
    // not hide the record.
    let report = fs::read_to_string(DATA_REPORT);
    let has_disk = report.is_ok_and(|r| r.starts_with("data=/"));
    let dir = Path::new(if has_disk { STATE_DIR } else { CLOUD_DIR });
    let path = dir.join("ran");
    if read_bounded(&path, MAX_INSTANCE_BYTES).is_ok_and(|recorded| recorded == instance) {
        info!("cloud: the commands of this instance have been run before");
        return Ok(false);
    }
    match has_disk {
        true => atomic_file::directory(dir, 0o755, 0)
            .and_then(|()| atomic_file::replace(&path, instance, 0o644)),
        false => replace(&path, instance, 0o644),
    }?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn programs_by_their_names_and_no_others() {
        let temp = Temp::new();
        fs::create_dir(temp.path("directory")).unwrap();
        for (name, mode) in [("10-b", 0o755), ("00-a", 0o700), ("05-no", 0o644)] {
            replace(&temp.path(name), b"", mode).unwrap();
        }
        let found = programs(temp.dir());
        assert_eq!(found, [temp.path("00-a"), temp.path("10-b")]);
        assert!(programs(&temp.path("none")).is_empty());
    }
}
