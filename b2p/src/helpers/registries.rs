// SPDX-License-Identifier: Apache-2.0
//! `b2p registries`: gives podman the files of containers-registries.conf.d(5) in
//! `registries.conf.d/` on the data disk. PID 1 runs the helper before podman starts; `b2p restart
//! registries` takes the files again.
//!
//! podman refuses every pull while one of the files is wrong, and a file may be wrong in many
//! ways: a type, `http://` before a location, a registry without one, an alias with a tag.
//! podman itself is therefore asked about the files, and a file that podman names is left out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use log::{info, warn};
use sys::error::{Doing, Error};
use sys::files::replace;
use sys::service_names::REGISTRIES;

use crate::common::degraded::Degraded;
use crate::common::{registry_files, tool};
use crate::helpers::data::user_files;

/// Directory of the files on the data disk.
const SOURCE: &str = "/var/lib/boot2podman/registries.conf.d";
/// Time limit of one answer of podman, which takes a second on a slow machine.
const PODMAN_LIMIT: Duration = Duration::from_secs(20);
/// Lines of podman's complaint that are reported: the first has the name of the file; of
/// several wrong aliases, each has a line.
const COMPLAINT_LINES: usize = 3;

/// `b2p registries`; returns the exit status.
pub fn main() -> i32 {
    let record = Path::new(registry_files::DIR).join(registry_files::COPIES);
    let earlier = fs::read_to_string(&record).unwrap_or_default();
    let (names, errors) = install(
        Path::new(SOURCE),
        Path::new(registry_files::DIR),
        &earlier,
        podman_complaint,
    );
    if !names.is_empty() {
        info!("registries: {}", names.join(", "));
    }
    let mut degraded = Degraded::of(REGISTRIES);
    errors.iter().for_each(|why| degraded.warn(why));
    let names = names.join("\n");
    let recorded = replace(&record, names.as_bytes(), 0o644);
    let status = degraded.report();
    match recorded {
        Ok(()) => status,
        Err(why) => {
            warn!("registries: {why}");
            1
        }
    }
}

/// Copies the files to `target`, in place of those of an earlier run, and removes the ones that
/// podman complains about. Returns the names of the others, and the faults.
fn install(
    source: &Path,
    target: &Path,
    earlier: &str,
    complaint: impl Fn() -> Option<String>,
) -> (Vec<String>, Vec<Error>) {
    for name in earlier.lines() {
        let _ = fs::remove_file(target.join(name));
    }
    let (files, mut errors) = user_files::read_dir(source, &["conf"]);
    let mut names = Vec::new();
    for (path, bytes) in files {
        let name = Path::new(&path).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        match replace(&target.join(&name), &bytes, 0o644) {
            Ok(()) => names.push(name),
            Err(why) => errors.push(why),
        }
    }
    while !names.is_empty() {
        let Some(complaint) = complaint() else { break };
        let Some((index, why)) = named_file(&complaint, target, &names) else {
            // The complaint is about another file, or about something else.
            errors.push(Error::invalid(complaint));
            break;
        };
        let why = Error::invalid(format!("left out: {why}"));
        let name = names.remove(index);
        let _ = fs::remove_file(target.join(&name));
        let located = Err::<(), _>(why).on(source.join(name));
        errors.extend(located.err());
    }
    (names, errors)
}

/// Returns the index of the file that a complaint names, and the reason behind its path:
/// `… "<path>": <reason>`.
fn named_file<'a>(complaint: &'a str, target: &Path, names: &[String]) -> Option<(usize, &'a str)> {
    let reason = |name: &String| {
        let quoted = format!("{:?}: ", target.join(name));
        complaint.split_once(&quoted).map(|(_, reason)| reason)
    };
    let mut reasons = names.iter().map(reason).enumerate();
    reasons.find_map(|(index, reason)| Some((index, reason?)))
}

/// Returns podman's complaint about its configuration of registries, if any. The command needs
/// neither podman's store nor a network. podman has no exit status of its own for "not logged in",
/// so that its text decides.
fn podman_complaint() -> Option<String> {
    let args = ["login", "--get-login", "nobody.invalid"];
    let ask = || tool::run(sys::paths::PODMAN_PROGRAM, &args, PODMAN_LIMIT);
    // The program is read from the image at the first call, which may exceed the limit on a slow machine.
    let finished = match ask().or_else(|_| ask()) {
        Ok(finished) => finished,
        Err(why) => return Some(why.to_string()),
    };
    if finished.code == Some(0) || finished.output.contains("not logged into") {
        return None;
    }
    let lines = finished.output.lines().map(str::trim);
    Some(lines.take(COMPLAINT_LINES).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::path::PathBuf;

    /// Complains as podman does: about the first file that is bad.
    fn podman(target: &Path) -> Option<String> {
        let entries = fs::read_dir(target).unwrap().flatten().map(|e| e.path());
        let mut paths: Vec<PathBuf> = entries.collect();
        paths.sort();
        let is_bad = |p: &&PathBuf| fs::read_to_string(p).unwrap().contains("bad");
        let path = paths.iter().find(is_bad)?.display();
        Some(format!("loading registries configuration \"{path}\": x"))
    }

    #[test]
    fn registry_files_that_podman_cannot_read_are_left_out() {
        let temp = Temp::new();
        let (source, target) = (temp.path("source"), temp.path("target"));
        fs::create_dir_all(source.join("f.conf")).unwrap();
        fs::create_dir_all(&target).unwrap();
        for (name, text) in [
            ("a.conf", "good"),
            ("b.conf", "bad"),
            ("c.conf", "bad"),
            ("d.txt", "bad"),
            ("e.conf", "good"),
        ] {
            fs::write(source.join(name), text).unwrap();
        }
        fs::write(target.join("mine.conf"), "mine").unwrap();
        let (names, errors) = install(&source, &target, "", || podman(&target));
        assert_eq!(names, ["a.conf", "e.conf"]);
        let expected = [
            "f.conf: ",
            "source/b.conf: left out: x",
            "source/c.conf: left out: x",
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, part) in errors.iter().zip(expected) {
            assert!(error.to_string().contains(part), "{error}");
        }
        // Again, with one file less, while podman does not answer.
        fs::remove_file(source.join("a.conf")).unwrap();
        let late = || Some("late".into());
        let (names, errors) = install(&source, &target, "a.conf\ne.conf\n", late);
        assert!(!target.join("a.conf").exists() && target.join("mine.conf").exists());
        assert!(names.contains(&"e.conf".to_owned()));
        assert!(errors.contains(&Error::invalid("late")));
    }
}
