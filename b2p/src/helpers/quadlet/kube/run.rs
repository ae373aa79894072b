// SPDX-License-Identifier: Apache-2.0
//! `b2p kube-run start|started|stop NAME`: the commands of the unit of a kube file.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use log::{error, info};
use nix::errno::Errno;
use sha2::{Digest, Sha256};
use sys::error::{Doing, Error, Result};

use super::{DIR, MAX_BYTES, PLAYED, Played, file_of, podman};
use crate::common::degraded::Degraded;
use crate::common::{notify, terminal::print_error};
use crate::helpers::quadlet::paths::{DEFINITIONS, service_name};
use crate::helpers::quadlet::specifiers::Owner;

/// Time limit of a query to podman.
const QUERY_LIMIT: Duration = Duration::from_secs(120);
/// Time limit of the start and of the stop of pods.
const CHANGE_LIMIT: Duration = Duration::from_secs(900);
/// Annotation of containers that notify their readiness themselves (podman-kube-play(1)). Only the podman that has made
/// the pods receives these notifications.
const OWN_READINESS: &[u8] = b"io.containers.sdnotify";

/// Runs one command, and returns the exit status.
pub fn main(args: &[String]) -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, done) = match words[..] {
        ["start", name] => (name, start_and_report(name)),
        ["started", name] => (name, Played::of(Path::new(PLAYED), name).complete()),
        ["stop", name] => (name, stop(name)),
        _ => {
            print_error("b2p: kube-run: start, started or stop, and the name of a kube file");
            return 2;
        }
    };
    match done {
        Ok(()) => 0,
        Err(why) => {
            error!("{name}: {why}");
            1
        }
    }
}

/// Returns the path of the file by which the next start of a service makes its pods anew.
fn recreation_mark(service: &str) -> PathBuf {
    Path::new(DEFINITIONS).join(format!(".{service}.anew"))
}

/// Requests that the next start of a service makes its pods anew, because their images have changed.
///
/// # Errors
/// The errno of open(2) or write(2).
pub fn request_recreation(service: &str) -> Result<()> {
    let path = recreation_mark(service);
    fs::write(&path, "").on(&path)
}

/// Starts the existing pods of an unchanged file, or makes new pods.
fn start(name: &str) -> Result<()> {
    let file = file_of(Path::new(DIR), name);
    let file = file.ok_or_else(|| Error::invalid(format!("{DIR}: it has no {name}.yaml")))?;
    let text = sys::files::read_whole(&file, MAX_BYTES)?.unwrap_or_default();
    let played = Played::of(Path::new(PLAYED), name);
    let service = service_name(name, &Owner::default());
    let is_requested =
        service.is_some_and(|service| fs::remove_file(recreation_mark(&service)).is_ok());
    if !is_requested && may_resume(&played, &text)? && resume(name, &text)? {
        return Ok(());
    }
    played.take_down()?;
    played.begin(&text)?;
    play(&file)
}

/// Starts the pods, and writes a degraded line after a failure: the service is restarted, so PID 1 does not list it as
/// failed. PID 1 reads the lines when the service is ready or has ended.
fn start_and_report(name: &str) -> Result<()> {
    let service = service_name(name, &Owner::default()).unwrap_or_default();
    let mut degraded = Degraded::of(&service);
    let _ = degraded.report();
    let started = start(name);
    if let Err(why) = &started {
        degraded.add(why);
        let _ = degraded.report();
    }
    started
}

/// Returns true if the pods of this text were completely made, and may start without being made anew.
fn may_resume(played: &Played, text: &[u8]) -> Result<bool> {
    let mut parts = text.windows(OWN_READINESS.len());
    let is_own = parts.any(|part| part == OWN_READINESS);
    let before = sys::files::read_whole(&played.whole, MAX_BYTES)?;
    Ok(!is_own && before.as_deref() == Some(text) && !played.begun.exists())
}

/// Starts existing pods; returns false if there are none.
fn resume(name: &str, text: &[u8]) -> Result<bool> {
    let service = service_container(text);
    if podman(&["container", "exists", &service], QUERY_LIMIT).is_err() {
        return Ok(false);
    }
    let pods = pods(name, &[])?;
    if pods.is_empty() {
        return Ok(false);
    }
    info!("{name}: its file has not changed: its pods start as they were");
    change(&["pod", "start"], &pods)?;
    let pid = [
        "container",
        "inspect",
        "--format",
        "{{.State.ConmonPid}}",
        &service,
    ];
    notify::main_process(podman(&pid, QUERY_LIMIT)?.trim());
    Ok(true)
}

/// Runs podman to make the pods, which reports the service container's conmon as the main process, and returns
/// when podman has ended. The output of podman is logged.
fn play(file: &Path) -> Result<()> {
    let mut podman = Command::new(sys::paths::PODMAN_PROGRAM)
        .args(["kube", "play", "--replace", "--service-container=true"])
        .arg("--quiet")
        .arg(file)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut last = String::new();
    let lines = BufReader::new(podman.stderr.take().ok_or(Errno::EPIPE)?).lines();
    for line in lines.map_while(io::Result::ok) {
        eprintln!("{line}");
        if !line.trim().is_empty() {
            last = line;
        }
    }
    match podman.wait()? {
        status if status.success() => Ok(()),
        status if last.is_empty() => Err(Error::invalid(status.to_string())),
        _ => Err(Error::invalid(last)),
    }
}

/// Stops the pods that run. Their containers stay.
fn stop(name: &str) -> Result<()> {
    change(&["pod", "stop"], &pods(name, &["status=running"])?)
}

fn change(command: &[&str], pods: &[String]) -> Result<()> {
    if pods.is_empty() {
        return Ok(());
    }
    let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
    podman(&[command, &pods].concat(), CHANGE_LIMIT).map(drop)
}

/// Returns the ids of the pods that a unit has made, those with containers of further filters.
fn pods(name: &str, filters: &[&str]) -> Result<Vec<String>> {
    let unit = format!("label=PODMAN_SYSTEMD_UNIT={name}.service");
    let mut args = vec!["ps", "--all", "--no-trunc", "--format", "{{.Pod}}"];
    for filter in [unit.as_str()].iter().chain(filters) {
        args.extend(["--filter", filter]);
    }
    Ok(ids(&podman(&args, QUERY_LIMIT)?))
}

/// Returns each id of podman's output once; warnings are left out.
fn ids(output: &str) -> Vec<String> {
    let lines = output.lines().map(str::trim);
    let mut ids: Vec<String> = lines
        .filter(|line| crate::helpers::engine::is_id(line))
        .map(str::to_owned)
        .collect();
    sys::sort::sort(&mut ids);
    ids.dedup();
    ids
}

/// Returns the name that podman gives the service container of a text (pkg/domain/infra/abi/play.go,
/// `k8sName`).
fn service_container(text: &[u8]) -> String {
    let hex = disk::uuid::hex(&Sha256::digest(text));
    format!("{:.12}-service", hex)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn pods_are_resumed_only_if_they_are_whole_and_unchanged() {
        let temp = Temp::new();
        let played = Played::of(&temp.path(".played"), "web");
        let may = |text: &str| may_resume(&played, text.as_bytes()).unwrap();
        assert!(!may("kind: Pod"));
        played.begin(b"kind: Pod").unwrap();
        assert!(!may("kind: Pod"), "a start that was cut off");
        played.complete().unwrap();
        assert!(may("kind: Pod") && !may("kind: Pod "));
        played.begin(b"kind: Pod").unwrap();
        assert!(!may("kind: Pod"));
        let own = "annotations: {io.containers.sdnotify: container}";
        played.begin(own.as_bytes()).unwrap();
        played.complete().unwrap();
        assert!(!may(own));
    }

    #[test]
    fn names_and_ids() {
        // printf 'kind: Pod\n' | sha256sum
        assert_eq!(service_container(b"kind: Pod\n"), "af0e5d10555f-service");
        let (a, b) = ("a1".repeat(32), "0f".repeat(32));
        let output = format!("{a}\n\ntime=x level=warning\n{b}\n{a}\n");
        assert_eq!(ids(&output), [b, a]);
    }
}
