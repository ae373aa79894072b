//! Commands: `bootcmd` at every boot before the machine is ready, within a time; when it
//! is ready, one after the other for as long as they like, the files that were put off,
//! `scripts/per-boot`, and once for each instance `scripts/per-instance`, `runcmd` and a
//! user-data that is a program. What they print is in the log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use log::{info, warn};
use sys::files::replace;
use sys::paths::CLOUD_DIR;

use super::diagnostics::Notes;
use super::userdata::{Kind, UserData, kind};
use super::{say, user_data, written};
use crate::common::{atomic_file, tool};

/// cloud-init's directory: programs and people look there.
const CLOUD: &str = "/var/lib/cloud";
/// Where it is remembered what has been run, on the data disk.
const STATE: &str = "/var/lib/boot2podman/cloud";
/// `bootcmd` may take so long; Lima's waits for an address.
const BOOT: Duration = Duration::from_secs(45);

/// Runs `bootcmd`.
pub fn boot(commands: &[String], end: Instant, notes: &mut Notes) {
    if commands.is_empty() {
        return;
    }
    let path = format!("{CLOUD_DIR}/bootcmd");
    let left = end.saturating_duration_since(Instant::now());
    let mut shell = Command::new("/bin/sh"); // in the environment that PID 1 gives
    let ran = replace(Path::new(&path), script(commands).as_bytes(), 0o700)
        .and_then(|()| tool::run_command(shell.arg(&path).current_dir("/"), left.min(BOOT)));
    match ran {
        Ok(ended) => {
            ended
                .output
                .lines()
                .for_each(|l| info!("cloud: bootcmd: {l}"));
            if ended.code != Some(0) {
                notes.wrong(format!("bootcmd: {}", status(ended.code)));
            }
        }
        Err(why) => notes.wrong(format!("bootcmd: {why}")),
    }
}

fn script(commands: &[String]) -> String {
    format!("#!/bin/sh\n{}\n", commands.join("\n"))
}

fn status(code: Option<i32>) -> String {
    code.map_or("killed".to_owned(), |code| format!("exit status {code}"))
}

/// Keeps for [`main`] what it needs: in RAM, the disk may have changed by then.
///
/// # Errors
/// What could not be written.
pub fn keep(instance: &str, user: &[u8]) -> Result<(), String> {
    replace(&Path::new(CLOUD_DIR).join("user-data"), user, 0o600)?;
    Ok(replace(
        &Path::new(CLOUD_DIR).join("instance-id"),
        instance.as_bytes(),
        0o644,
    )?)
}

/// Runs the rest.
pub fn main() -> i32 {
    let kept = |name: &str| fs::read(Path::new(CLOUD_DIR).join(name));
    let (Ok(user), Ok(instance)) = (kept("user-data"), kept("instance-id")) else {
        return 0; // no such disk
    };
    let mut notes = Notes::default();
    // What is wrong in it has been said.
    let data = user_data(&user, &mut Notes::default());
    written(&data, true, &mut notes);
    let run = |path: &Path, notes: &mut Notes| {
        info!("cloud: {} begins", path.display());
        match Command::new(path).current_dir("/").status() {
            Ok(status) if status.success() => info!("cloud: {} has ended", path.display()),
            Ok(status) => notes.wrong(format!("{}: {}", path.display(), ended(status))),
            Err(e) => notes.wrong(format!("{}: {e}", path.display())),
        }
    };
    for path in programs(&Path::new(CLOUD).join("scripts/per-boot")) {
        run(&path, &mut notes);
    }
    let first = first_time(&instance).unwrap_or_else(|why| {
        notes.wrong(why);
        false
    });
    if first {
        for path in programs(&Path::new(CLOUD).join("scripts/per-instance")) {
            run(&path, &mut notes);
        }
        for path in own(&data, &user, &mut notes) {
            run(&path, &mut notes);
        }
    }
    let done = Path::new(CLOUD).join("instance/boot-finished");
    replace(&done, b"", 0o644).unwrap_or_else(|e| warn!("cloud: {e}"));
    say("cloud-scripts", &notes)
}

fn ended(status: ExitStatus) -> String {
    self::status(status.code())
}

/// What user-data itself has to run, as files.
fn own(data: &UserData, user: &[u8], notes: &mut Notes) -> Vec<PathBuf> {
    let dir = Path::new(CLOUD).join("instance/scripts");
    let commands = (!data.runcmd.is_empty()).then(|| script(&data.runcmd).into_bytes());
    let program = match kind(user) {
        Kind::Script(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
    let mut all = Vec::new();
    for (name, bytes) in [("runcmd", commands), ("part-001", program)] {
        let Some(bytes) = bytes else { continue };
        let path = dir.join(name);
        match replace(&path, &bytes, 0o700) {
            Ok(()) => all.push(path),
            Err(why) => notes.wrong(why),
        }
    }
    all
}

/// Executable files, by their names (run-parts(8)).
fn programs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries
        .filter(|e| {
            e.metadata()
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
        .map(|e| e.path())
        .collect();
    all.sort_unstable();
    all
}

/// Whether this instance has not been seen, and remembers it: before its commands run, so
/// that one which ends the machine does not end it at every boot.
fn first_time(instance: &[u8]) -> Result<bool, String> {
    // In RAM nothing may be where a disk that comes later would hide it.
    let disk = fs::read_to_string(sys::paths::DATA_REPORT).is_ok_and(|r| r.starts_with("data=/"));
    let dir = Path::new(if disk { STATE } else { CLOUD_DIR });
    let path = dir.join("ran");
    if sys::files::read_bounded(&path, 1 << 20).is_ok_and(|old| old == instance) {
        info!("cloud: the commands of this instance have been run before");
        return Ok(false);
    }
    match disk {
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

    #[test]
    fn programs_by_their_names_and_no_others() {
        let dir = std::env::temp_dir().join(format!("b2p-cloud-run-{}", std::process::id()));
        fs::create_dir_all(dir.join("directory")).unwrap();
        for (name, mode) in [("10-b", 0o755), ("00-a", 0o700), ("05-no", 0o644)] {
            replace(&dir.join(name), b"", mode).unwrap();
        }
        assert_eq!(programs(&dir), [dir.join("00-a"), dir.join("10-b")]);
        assert!(programs(&dir.join("none")).is_empty());
        fs::remove_dir_all(dir).unwrap();
    }
}
