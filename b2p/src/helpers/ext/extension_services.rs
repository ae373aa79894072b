// SPDX-License-Identifier: Apache-2.0
//! Services of an extension: files in it, in the format of the user's (docs/guide/services.md). They are
//! checked before the extension has a place, start when it is added, and stop before it is removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use control::{Name, Report, Request};
use sys::error::{Doing, Error, Result};
use sys::service_names::is_off;

use super::added;
use super::manifest::Manifest;
use crate::common::control_client::{self, is_at_rest};
use crate::common::service_change::{self, Verb};
use crate::common::service_env::Environment;
use crate::common::service_files;
use crate::common::service_loading::load;
use crate::common::users::Files;
use crate::helpers::quadlet::paths::DEFINITIONS;

/// Directory of service files in an image.
const DIR: &str = "usr/lib/boot2podman/services";

/// Service that adds the extensions of the flags.
const BOOT: &str = "ext";

/// Returns the directory of service files of an image.
pub fn dir(image: &Path) -> PathBuf {
    image.join(DIR)
}

/// Checks the service files of the image: that each is named in the manifest, can be read with the users in
/// `accounts`, and does not have the name of another service.
///
/// # Errors
/// The first service that is wrong, and why.
pub fn check(
    manifest: &Manifest<'_>,
    image: &Path,
    accounts: &Files,
    is_taken: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let named = manifest.values("service").map(str::to_owned);
    let named: BTreeSet<String> = sys::sort::inserted(named);
    let entries = fs::read_dir(dir(image)).into_iter().flatten().flatten();
    let existing = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let existing: BTreeSet<String> = sys::sort::inserted(existing);
    if let Some(name) = named.symmetric_difference(&existing).next() {
        let (has, lacks) = match named.contains(name) {
            true => ("manifest", "image"),
            false => ("image", "manifest"),
        };
        let reason = format!("service {name:?}: it is in the {has} and not in the {lacks}");
        return Err(Error::invalid(reason));
    }
    for name in &named {
        let step = || format!("service {name}");
        if let Some(owner) = is_taken(name) {
            return Err(Error::invalid(owner)).doing(step());
        }
        let path = Path::new(DIR).join(name);
        let limit = services::service_file::MAX_FILE_BYTES as u64;
        let text = super::image::read(image, &path, limit).doing(step())?;
        let text = text.unwrap_or_default();
        let parsed = services::service_file::parse(name, &text, &accounts.passwd, &accounts.group);
        parsed.map_err(|errors| Error::invalid(errors.to_string()))?;
    }
    Ok(())
}

/// Services that exist already.
#[derive(Debug)]
pub struct Taken {
    /// Name of each service, true for one of a file, and true for one at rest.
    known: Vec<(String, bool, bool)>,
    /// Services of added extensions, whatever they do.
    of_extensions: Vec<(String, String)>,
    user_files: PathBuf,
}

impl Taken {
    /// Asks PID 1 for its services.
    ///
    /// # Errors
    /// PID 1 cannot be asked.
    pub fn ask(env: &Environment) -> Result<Taken> {
        let answer = env.control.ask(&Request::Status);
        let text = answer.map_err(|why| control_client::explain(&why, "b2p ext"))?;
        let services = Report::parse(&text).services;
        let known = services.iter().map(|s| {
            let name = s.name.to_owned();
            (name, s.is_user_service, is_at_rest(s.state))
        });
        Ok(Taken {
            known: known.collect(),
            of_extensions: added::values("service"),
            user_files: env.user_files.clone(),
        })
    }

    /// Returns the kind of the service that has this name already, in words. The service of a removed extension stays
    /// in PID 1's report, at rest; its name is free.
    pub fn by(&self, name: &str) -> Option<String> {
        let service = self.known.iter().find(|(known, ..)| known == name);
        let has_file =
            self.user_files.join(name).exists() || Path::new(DEFINITIONS).join(name).exists();
        let owner = match service {
            Some((_, false, _)) => "a built-in service has this name",
            _ if has_file => "a user service has this name",
            _ if self.of_extensions.iter().any(|(_, known)| known == name) => {
                "a service of another extension has this name"
            }
            Some((_, true, false)) => "another service of this name runs",
            _ => return None,
        };
        Some(owner.to_owned())
    }
}

/// Loads and starts the services, unless a flag turns one off or the service has set times. `wait` tells whether the
/// result is awaited; at boot, services start beside the machine's own.
///
/// # Errors
/// The services that cannot be started, and why.
pub fn start(env: &Environment, manifest: &Manifest<'_>, image: &Path, wait: bool) -> Result<()> {
    let env = Environment {
        user_files: dir(image),
        ..env.clone()
    };
    let config = sys::config_sources::read().0;
    let mut errors = Vec::new();
    for name in manifest.values("service").filter_map(Name::new) {
        let started = start_one(&env, &name, wait, is_off(&config, name.as_str()));
        errors.extend(started.doing("service").err());
    }
    Error::join(errors)
}

fn start_one(env: &Environment, name: &Name, wait: bool, is_off: bool) -> Result<()> {
    let answer = env.control.ask(&Request::Status);
    let text = answer.map_err(|why| control_client::explain(&why, "b2p ext"))?;
    let report = Report::parse(&text);
    let mut services = report.services.iter();
    if services.any(|s| s.name == name.as_str() && !is_at_rest(s.state)) {
        return Ok(());
    }
    load(env, name)?;
    if is_off || service_files::has_times(&env.loaded_files, name) {
        return Ok(());
    }
    match wait && !is_boot_pending(&report) {
        true => service_change::change(env, Verb::Start, name.clone()).map(drop),
        false => {
            let answer = env.control.ask(&Request::Start(name.clone()));
            answer
                .map(drop)
                .map_err(|why| Error::invalid(format!("{name}: {why}")))
        }
    }
}

/// Returns true while extensions of the flags are still to be added: user services wait for these, and these may
/// wait for the lock of this process.
fn is_boot_pending(report: &Report<'_>) -> bool {
    let mut services = report.services.iter();
    services.any(|s| s.name == BOOT && !is_at_rest(s.state))
}

/// Stops the services.
///
/// # Errors
/// A service does not stop.
pub fn stop(env: &Environment, manifest: &Manifest<'_>) -> Result<()> {
    let answer = env.control.ask(&Request::Status);
    let text = answer.map_err(|why| control_client::explain(&why, "b2p ext"))?;
    let report = Report::parse(&text);
    let is_known = |name: &Name| report.services.iter().any(|s| s.name == name.as_str());
    let names = manifest.values("service").filter_map(Name::new);
    for name in names.filter(is_known) {
        service_change::change(env, Verb::Stop, name.clone())?;
        // With its file, it would start at its times.
        service_files::unstage(&env.loaded_files, &name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn no_service_is_awaited_before_those_of_the_flags() {
        for (status, expected) in [
            ("service ext starting", true),
            ("service web starting\nservice ext waiting", true),
            ("service ext done\nservice web starting", false),
            ("service ext off", false),
            ("service ext failed", false),
            ("", false),
        ] {
            assert_eq!(
                is_boot_pending(&Report::parse(status)),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn a_name_is_free_once_its_service_is_at_rest() {
        let temp = Temp::new();
        fs::write(temp.path("mine"), "").unwrap();
        let known = [
            ("sshd", false, false),
            ("old", true, true),
            ("rests", true, true),
            ("runs", true, false),
        ];
        let taken = Taken {
            known: known
                .map(|(n, own, rests)| (n.to_owned(), own, rests))
                .to_vec(),
            of_extensions: vec![("other".into(), "rests".into())],
            user_files: temp.dir().to_owned(),
        };
        assert_eq!((taken.by("new"), taken.by("old")), (None, None));
        for (name, owner) in [
            ("sshd", "a built-in service"),
            ("mine", "a user service"),
            ("runs", "runs"),
            ("rests", "of another extension"),
        ] {
            assert!(taken.by(name).unwrap().contains(owner), "{name}");
        }
    }

    #[test]
    fn services_are_those_of_the_manifest_and_have_names_of_their_own() {
        let temp = Temp::new();
        fs::create_dir_all(dir(temp.dir())).unwrap();
        let file = |name: &str, text: &str| fs::write(dir(temp.dir()).join(name), text).unwrap();
        let accounts = Files {
            passwd: "statd:x:104:104::/:/\n".into(),
            ..Files::default()
        };
        let is_taken = |name: &str| (name == "sshd").then(|| "a built-in service".to_owned());
        let check = |names: &[&str]| {
            let lines: String = names.iter().map(|n| format!("service {n}\n")).collect();
            let text = format!(
                "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\nsha256 0\n{lines}"
            );
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            check(&manifest, temp.dir(), &accounts, &is_taken)
        };
        assert_eq!(check(&[]), Ok(()));
        file("rpc", "exec /usr/sbin/rpc.statd\nuser statd\n");
        assert_eq!(check(&["rpc"]), Ok(()));
        assert!(why(check(&[])).contains("\"rpc\": it is in the image and not in the manifest"));
        let absent = why(check(&["rpc", "x"]));
        assert!(absent.contains("\"x\": it is in the manifest and not in the image"));
        file("bad", "exec relative\n");
        assert!(why(check(&["rpc", "bad"])).contains("bad:1: exec"));
        file("bad", "exec /x\nuser nobody-here\n");
        assert!(why(check(&["rpc", "bad"])).contains("bad:2: user"));
        fs::remove_file(dir(temp.dir()).join("bad")).unwrap();
        file("sshd", "exec /x\n");
        assert_eq!(
            why(check(&["rpc", "sshd"])),
            "service sshd: a built-in service"
        );
    }
}
