// SPDX-License-Identifier: Apache-2.0
//! Kube files: each YAML file in a directory of the data disk is a unit, which runs its pods.
//!
//! A unit of podman's own generator makes the pods anew at each start, and the data that their containers
//! have written is lost. Here an unchanged file starts its earlier pods ([`run`]). The text with which pods
//! were made is kept beside the files, to take down the pods of a changed or removed file.

pub mod run;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{info, warn};
use sys::error::{Doing, Error, Result};

use super::file_names::{is_plain, names};
use super::generator::Generated;
use super::unit_error::Fault;
use crate::common::{atomic_file, tool};
use crate::helpers::engine::PodmanUser;

/// Part of the machine in degraded lines.
pub const PART: &str = "kube";
/// Directory of the files.
pub const DIR: &str = "/var/lib/boot2podman/kube";
/// Directory of the texts with which pods were made, named as the units are.
const PLAYED: &str = "/var/lib/boot2podman/kube/.played";
/// Suffix of a text with which pods are being made.
const BEGUN: &str = "begun";
/// Longest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Limit for the removal of pods, which end first.
const DOWN_LIMIT: Duration = Duration::from_secs(120);
/// Suffixes of the files' names.
const SUFFIXES: [&str; 2] = [".yaml", ".yml"];

/// Returns true if there is a file, or a text of one that is gone.
#[must_use]
pub fn has_files() -> bool {
    fs::read_dir(DIR).is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns the units of the files in `dir`, in the form of podman's generator.
#[must_use]
pub fn units(dir: &Path) -> Generated {
    let mut made = Generated::default();
    for file in names(dir) {
        match stem(&file) {
            Some(name) if is_plain(name) => made.units += &unit(name, &dir.join(&file)),
            Some(_) => made.faults.push(fault(format!(
                "{file}: a name of letters, digits, dots, _ and -"
            ))),
            // Such as a file that a pod's volume shows.
            None => {}
        }
    }
    made
}

fn fault(why: String) -> Fault {
    Fault { part: PART, why }
}

/// Returns the name of a file without its suffix; `None` for another kind of file.
fn stem(file: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix))
}

/// Writes the unit of a file. Its main process is that of podman's service container, which ends with the
/// last pod; a start that has failed leaves no pod that runs.
fn unit(name: &str, file: &Path) -> String {
    let (run, file) = (format!("{} kube-run", sys::paths::B2P), file.display());
    format!(
        "---{name}.service---\n[Unit]\nDescription=Pods of {file}\nSourcePath={file}\n\
         Wants=network-online.target\nAfter=network-online.target\n\
         [Service]\nType=notify\nNotifyAccess=all\nKillMode=mixed\nEnvironment=PODMAN_SYSTEMD_UNIT=%n\n\
         ExecStart={run} start {name}\nExecStartPost={run} started {name}\nExecStop={run} stop {name}\n\
         ExecStopPost=-{run} stop {name}\nRestart=on-failure\n\
         [Install]\nWantedBy=default.target\n\n"
    )
}

/// Returns the file of a unit.
fn file_of(dir: &Path, name: &str) -> Option<PathBuf> {
    let files = SUFFIXES.map(|suffix| dir.join(format!("{name}{suffix}")));
    files.into_iter().find(|file| file.is_file())
}

/// Texts with which the pods of a unit were made.
struct Played {
    /// Text of the pods that are whole.
    whole: PathBuf,
    /// Text of pods of which some may be missing.
    begun: PathBuf,
}

impl Played {
    fn of(dir: &Path, name: &str) -> Played {
        Played {
            whole: dir.join(format!("{name}.yaml")),
            begun: dir.join(format!("{name}.{BEGUN}")),
        }
    }

    /// Notes that pods are made with this text.
    fn begin(&self, text: &[u8]) -> Result<()> {
        if let Some(dir) = self.begun.parent() {
            atomic_file::directory(dir, 0o700, 0)?;
        }
        atomic_file::replace(&self.begun, text, 0o600)
    }

    /// Notes that all pods are there.
    fn complete(&self) -> Result<()> {
        match fs::rename(&self.begun, &self.whole) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
            done => done.on(&self.begun),
        }
    }

    /// Takes down the pods of both texts, and forgets the texts. Volumes stay. A text that was begun may be one
    /// that podman cannot read.
    fn take_down(&self) -> Result<()> {
        for text in [&self.begun, &self.whole] {
            if !text.exists() {
                continue;
            }
            let file = text.display().to_string();
            match podman(&["kube", "down", &file], DOWN_LIMIT) {
                Err(why) if text == &self.begun => warn!("{PART}: {why}"),
                done => done.map(drop)?,
            }
            fs::remove_file(text).on(text)?;
        }
        Ok(())
    }
}

/// Takes down the pods whose files are gone, and returns the faults.
pub fn take_down_gone() -> Vec<Fault> {
    let (dir, played) = (Path::new(DIR), Path::new(PLAYED));
    let mut faults = Vec::new();
    for name in gone(dir, played) {
        info!("{PART}: {name}: its file is gone: its pods are removed");
        if let Err(why) = Played::of(played, &name).take_down() {
            faults.push(fault(format!("{name}: its file is gone: {why}")));
        }
    }
    let _ = fs::remove_dir(played); // not empty, mostly
    faults
}

/// Returns the names of texts that have no file.
fn gone(dir: &Path, played: &Path) -> Vec<String> {
    let texts = names(played);
    let named = texts.iter().filter_map(|text| text.rsplit_once('.'));
    let mut names: Vec<String> = named.map(|(name, _)| name.to_owned()).collect();
    names.dedup();
    names.retain(|name| file_of(dir, name).is_none());
    names
}

/// Runs podman as root, and returns its output.
fn podman(args: &[&str], limit: Duration) -> Result<String> {
    let passwd = sys::files::read_text("/etc/passwd")?;
    let root = PodmanUser::with_uid(&passwd, 0);
    let root = root.ok_or_else(|| Error::invalid("/etc/passwd: it has no root"))?;
    let finished = tool::run_command(&mut root.podman(args), limit)?;
    match finished.code {
        Some(0) => Ok(finished.output),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::unit::{Unit, split_output};

    #[test]
    fn each_file_is_a_unit() {
        let temp = Temp::new();
        for name in ["web.yaml", "db.yml", "a b.yaml", "notes.txt", ".x.yaml"] {
            fs::write(temp.path(name), "").unwrap();
        }
        let made = units(temp.dir());
        let units = split_output(&made.units);
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["db.service", "web.service"]);
        assert_eq!(
            made.faults,
            [Fault {
                part: "kube",
                why: "a b.yaml: a name of letters, digits, dots, _ and -".to_owned()
            }]
        );
        let unit = Unit::parse(units[1].1);
        assert_eq!(
            unit.last("Service", "ExecStart"),
            Some("/usr/bin/b2p kube-run start web")
        );
        let source = temp.path("web.yaml").display().to_string();
        assert_eq!(unit.last("Unit", "SourcePath"), Some(source.as_str()));
        assert!(units.len() == 2 && units_are_empty(&temp.path("none")));
    }

    fn units_are_empty(dir: &Path) -> bool {
        units(dir) == Generated::default()
    }

    #[test]
    fn texts_of_files_that_are_gone() {
        let temp = Temp::new();
        let played = temp.path(".played");
        for name in ["web", "db", "old", "half"] {
            let texts = Played::of(&played, name);
            texts.begin(b"kind: Pod\n").unwrap();
            if name != "half" {
                texts.complete().unwrap();
            }
            texts.complete().unwrap();
        }
        Played::of(&played, "old").begin(b"").unwrap();
        fs::write(temp.path("web.yml"), "").unwrap();
        fs::write(temp.path("db.yaml"), "").unwrap();
        assert_eq!(gone(temp.dir(), &played), ["half", "old"]);
        assert_eq!(fs::read(played.join("web.yaml")).unwrap(), b"kind: Pod\n");
        assert!(gone(temp.dir(), &temp.path("none")).is_empty());
    }
}
