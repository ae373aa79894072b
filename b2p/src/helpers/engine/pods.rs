// SPDX-License-Identifier: Apache-2.0
//! Limits of a whole pod in rootless podman. podman sets these limits for root, and through
//! systemd; with cgroupfs and without root podman makes no cgroup for a pod
//! (libpod/runtime_pod_linux.go, `platformMakePod`), and reports no error. Here a container of a
//! pod with limits starts in `/user/<uid>/pod-<id>/<container>`, and the limits are those of
//! `pod-<id>`.

pub mod database;
mod limits;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::hook_log::report;
use database::Database;
use limits::Setting;
use nix::errno::Errno;
use serde_json::Value;
use sys::error::{Doing, Error, Result};

/// Mount point of the cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Beginning of the name of a pod's cgroup.
const PREFIX: &str = "pod-";
/// podman's database, from the directory of a container in the storage, which is where podman runs
/// hooks of the stage `precreate`: `<storage>/overlay-containers/<container>/userdata`.
const DATABASE: &str = "../../../db.sql";
/// Times that the directories are made anew, should another pod's start have taken the empty one.
const ATTEMPTS: usize = 16;

/// Puts a container that starts in `directory` into the cgroup of its pod, if the pod has limits.
/// Returns a changed configuration of the runtime.
///
/// # Errors
/// A limit cannot be set; the container does not start then.
pub fn confine(config: &[u8], directory: &Path) -> Result<Option<Vec<u8>>> {
    let container = directory.parent().and_then(Path::file_name);
    let container = container.and_then(|name| name.to_str()).unwrap_or_default();
    let (id, record) = match pod_of(&directory.join(DATABASE), container) {
        Ok(Some(pod)) => pod,
        Ok(None) => return Ok(None),
        Err(e) => {
            report(&format!("its database: {e}; limits of pods do not hold"));
            return Ok(None);
        }
    };
    let settings = settings(&record).doing(format!("pod {id}"))?;
    if settings.is_empty() {
        return Ok(None);
    }
    let invalid = |e: serde_json::Error| Error::invalid(e.to_string());
    let mut config: Value = serde_json::from_slice(config).map_err(invalid)?;
    let own = fs::read_to_string("/proc/self/cgroup").on("/proc/self/cgroup")?;
    let place = place(&config, &own, &id, container);
    let place = place.doing(format!("pod {id} has limits"))?;
    make(
        &Path::new(CGROUPS).join(place.trim_start_matches('/')),
        &settings,
    )?;
    config["linux"]["cgroupsPath"] = Value::from(place);
    Ok(Some(config.to_string().into_bytes()))
}

/// Returns the ID of a container's pod, and podman's record of the pod; `None` for a container in
/// no pod.
fn pod_of(database: &Path, container: &str) -> Result<Option<(String, String)>> {
    let database = Database::open(database)?;
    let column = |table: &str, id: &str, column: usize| -> Result<Option<String>> {
        let row = database.find(table, id)?;
        Ok(row.and_then(|row| row.into_iter().nth(column).flatten()))
    };
    let Some(id) = column("ContainerConfig", container, 2)? else {
        return Ok(None);
    };
    let record = column("PodConfig", &id, 2)?;
    let record = record.ok_or_else(|| Error::invalid(format!("no pod {id}")))?;
    Ok(Some((id, record)))
}

/// Returns the settings of a pod that has a cgroup of its own (libpod/pod.go, `PodConfig`).
fn settings(record: &str) -> Result<Vec<Setting>> {
    let record: Value = serde_json::from_str(record).map_err(|e| Error::invalid(e.to_string()))?;
    match record["sharesCgroup"] == true {
        true => limits::settings(&record["ResourceLimits"]),
        false => Ok(Vec::new()),
    }
}

/// Returns the cgroup of a container: the configured one, if that is below a cgroup of the pod,
/// else one below the user's cgroup, to which the process of `own` belongs.
fn place(config: &Value, own: &str, pod: &str, container: &str) -> Result<String> {
    let configured = config["linux"]["cgroupsPath"].as_str().unwrap_or_default();
    if let Some((above, _)) = configured.rsplit_once('/')
        && above.ends_with(&format!("/{pod}"))
    {
        return Ok(configured.to_owned());
    }
    let own = own.lines().find_map(|line| line.strip_prefix("0::/user/"));
    let uid = own.and_then(|rest| rest.split('/').next());
    match uid.filter(|uid| !matches!(*uid, "" | "0") && uid.bytes().all(|b| b.is_ascii_digit())) {
        Some(uid) => Ok(format!("/user/{uid}/{PREFIX}{pod}/{container}")),
        None => Err(Error::invalid(
            "they hold for podman over ssh, through the API, or in a service; not after sudo -u",
        )),
    }
}

/// Makes a container's cgroup and that of its pod, and sets the limits of the pod.
fn make(container: &Path, settings: &[Setting]) -> Result<()> {
    let pod = container.parent().unwrap_or(container);
    remove_empty(pod);
    for _ in 0..ATTEMPTS {
        made(pod)?;
        // From here on the pod's cgroup is not empty, and cannot be removed.
        match made(container) {
            Err(e) if e.errno() == Some(Errno::ENOENT) => {}
            done => {
                done?;
                break;
            }
        }
    }
    for (file, value) in settings {
        let path = pod.join(file);
        fs::write(&path, value)
            .doing(format!("write {value:?}"))
            .on(&path)?;
    }
    Ok(())
}

fn made(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        done => done.on(path),
    }
}

/// Removes the cgroups of pods that have no container: podman does not know of them.
fn remove_empty(pod: &Path) {
    let user = pod.parent().unwrap_or(pod);
    let entries = fs::read_dir(user).into_iter().flatten().flatten();
    let is_pod = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX))
    };
    for path in entries.map(|entry| entry.path()).filter(is_pod) {
        let _ = fs::remove_dir(path); // One with a container is busy.
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use serde_json::json;

    #[test]
    fn only_pods_with_a_cgroup_and_limits() {
        let limits = json!({"memory": {"limit": 5}});
        for (record, count) in [
            (json!({"sharesCgroup": true, "ResourceLimits": limits}), 1),
            (json!({"ResourceLimits": limits}), 0),
            (json!({"sharesCgroup": true, "ResourceLimits": {}}), 0),
            (json!({"sharesCgroup": true}), 0),
        ] {
            assert_eq!(
                settings(&record.to_string()).unwrap().len(),
                count,
                "{record}"
            );
        }
        assert!(settings("{").is_err());
    }

    #[test]
    fn a_container_starts_below_its_pod() {
        let config = |path: &str| json!({"linux": {"cgroupsPath": path}});
        for (configured, own, expected) in [
            ("", "0::/user/1000/session\n", "/user/1000/pod-p/c"),
            (
                "",
                "1:name=systemd:/x\n0::/user/1501/containers/leaf\n",
                "/user/1501/pod-p/c",
            ),
            (
                "/user/1000/p/libpod-c",
                "0::/user/0/session\n",
                "/user/1000/p/libpod-c",
            ),
            // podman's own place of a container without a pod's.
            (
                "/user/1000/libpod-c",
                "0::/user/1000/x\n",
                "/user/1000/pod-p/c",
            ),
        ] {
            let place = place(&config(configured), own, "p", "c");
            assert_eq!(place.unwrap(), expected);
        }
        for own in [
            "",
            "0::/user/0/session\n",
            "0::/system/sshd\n",
            "0::/user/..\n",
            "0::/user/\n",
        ] {
            assert!(
                why(place(&json!({}), own, "p", "c")).contains("after sudo"),
                "{own}"
            );
        }
    }

    #[test]
    fn cgroups_are_made_and_empty_ones_removed() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path("session")).unwrap();
        fs::create_dir_all(temp.path("pod-old")).unwrap();
        fs::create_dir_all(temp.path("pod-busy/c")).unwrap();
        let limit = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        for value in ["5", "6"] {
            make(&temp.path("pod-p/c"), &[limit("memory.max", value)]).unwrap();
            assert_eq!(
                fs::read_to_string(temp.path("pod-p/memory.max")).unwrap(),
                value
            );
        }
        assert!(temp.path("session").is_dir() && temp.path("pod-busy").is_dir());
        assert!(temp.path("pod-p/c").is_dir() && !temp.path("pod-old").exists());
        let told = why(make(&temp.path("pod-p/c"), &[limit("none/x", "5")]));
        assert!(
            told.contains("write \"5\"") && told.contains("none/x"),
            "{told}"
        );
        assert!(why(make(&temp.path("none/pod-p/c"), &[])).contains("none/pod-p"));
    }

    #[test]
    fn containers_start_although_nothing_is_known_of_pods() {
        let temp = Temp::new();
        let directory = temp.path("storage/overlay-containers/c/userdata");
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(confine(b"{}", &directory), Ok(None));
        fs::write(temp.path("storage/db.sql"), "another format").unwrap();
        assert_eq!(confine(b"{}", &directory), Ok(None));
        fs::write(
            temp.path("storage/db.sql"),
            include_bytes!("pods/testdata/db.sql"),
        )
        .unwrap();
        // c1 is in no pod, c2 in one without limits.
        for container in ["c1", "c2", "none"] {
            let directory = temp
                .path("storage/overlay-containers")
                .join(container)
                .join("userdata");
            fs::create_dir_all(&directory).unwrap();
            assert_eq!(confine(b"{}", &directory), Ok(None));
            assert_eq!(
                pod_of(&directory.join(DATABASE), container)
                    .unwrap()
                    .is_some(),
                container == "c2"
            );
        }
    }
}
