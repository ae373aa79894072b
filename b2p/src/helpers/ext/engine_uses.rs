// SPDX-License-Identifier: Apache-2.0
//! Containers and compose projects that need a program of an extension, though none of their processes is one of it:
//! podman calls the OCI runtime of a container, and the provider of a project, when it stops them.

use std::fs;
use std::path::{Path, PathBuf};

use control::{Report, Request};
use serde_json::Value;

use super::runtime;
use crate::common::control_client::is_at_rest;
use crate::common::service_env::Environment;
use crate::helpers::engine::pods::database::Database;
use crate::helpers::quadlet::compose;

/// Directory of the stores of podman's containers: root's in `storage`, those of users in `user`.
const STORES: &str = "/var/lib/containers";
/// Most containers that are named.
const MAX_NAMED: usize = 5;

/// Returns the containers and projects that need a program of the image at `target`, in words.
pub fn blocker(env: &Environment, target: &Path) -> Option<String> {
    let is_of = |program: &Path| {
        let path = fs::canonicalize(program);
        path.is_ok_and(|path| path.starts_with(target))
    };
    let is_runtime_of = |name: &str| runtime::program(name).is_some_and(|program| is_of(&program));
    let mut named = Vec::new();
    for store in stores(Path::new(STORES)) {
        named.extend(containers(&store, &is_runtime_of));
    }
    if compose::provider().is_some_and(is_of)
        && let Ok(text) = env.control.ask(&Request::Status)
    {
        let services = Report::parse(&text).services;
        let up = services.iter().filter(|s| !is_at_rest(s.state));
        named.extend(up.filter_map(|s| project(s.name)));
    }
    named.truncate(MAX_NAMED);
    (!named.is_empty()).then(|| named.join(", "))
}

/// Returns the service of a compose project, in words.
fn project(service: &str) -> Option<String> {
    let name = service.strip_prefix("compose-")?;
    Some(format!(
        "the compose project {name} (its service {service})"
    ))
}

fn stores(dir: &Path) -> Vec<PathBuf> {
    let of_users = fs::read_dir(dir.join("user"))
        .into_iter()
        .flatten()
        .flatten();
    let of_users = of_users.map(|entry| entry.path());
    [dir.join("storage")].into_iter().chain(of_users).collect()
}

/// Returns the containers of a store with a runtime of the image, in words. A database that cannot be read names none:
/// podman cannot use its containers either.
fn containers(store: &Path, is_runtime_of: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut named = Vec::new();
    let database = store.join("db.sql");
    if !database.exists() {
        return named;
    }
    let _ = Database::open(&database).and_then(|database| {
        database.rows("ContainerConfig", &mut |row| {
            let record = row.get(3).and_then(Option::as_deref);
            named.extend(record.and_then(|record| container(record, is_runtime_of)));
        })
    });
    named
}

/// Reads podman's record of a container, in which the runtime is a name or a path (libpod/container_config.go).
fn container(record: &str, is_runtime_of: &dyn Fn(&str) -> bool) -> Option<String> {
    let record: Value = serde_json::from_str(record).ok()?;
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let (name, runtime) = (text("name"), text("runtime"));
    let program = runtime.rsplit('/').next().unwrap_or_default();
    (!program.is_empty() && is_runtime_of(program))
        .then(|| format!("the container {name}, whose OCI runtime is {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_needs_its_runtime() {
        let is_runtime_of = |name: &str| name == "runc";
        let of = |record: &str| container(record, &is_runtime_of);
        let said = Some("the container a, whose OCI runtime is runc".to_owned());
        assert_eq!(of(r#"{"name": "a", "runtime": "runc", "id": "x"}"#), said);
        assert_eq!(of(r#"{"name": "a", "runtime": "/usr/bin/runc"}"#), said);
        for other in [
            r#"{"name": "a", "runtime": "crun"}"#,
            r#"{"name": "a"}"#,
            "damaged",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        let said = project("compose-shop");
        assert_eq!(
            said.as_deref(),
            Some("the compose project shop (its service compose-shop)")
        );
        assert_eq!(project("shop"), None);
    }
}
