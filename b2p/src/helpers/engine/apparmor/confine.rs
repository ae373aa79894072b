// SPDX-License-Identifier: Apache-2.0
//! Gives a container that starts the machine's profile, if the kernel has AppArmor.
//!
//! podman would keep the name of its default profile with the container from its creation, and then
//! refuses to start the container on a kernel without AppArmor, or where the profile cannot be
//! loaded (containers/common, pkg/apparmor, `CheckProfileAndLoadDefault`). So containers.conf names
//! no profile, and a hook gives the profile to the container at each start
//! ([`super::super::start_hook`]).

use serde_json::Value;
use sys::error::{Error, Result};

use super::policy;

/// podman's annotation of a container with `--privileged`, and its value.
const PRIVILEGED: (&str, &str) = ("io.podman.annotations.privileged", "TRUE");
/// podman's annotation of a container with `--security-opt apparmor=`.
const CHOSEN: &str = "io.podman.annotations.apparmor";
/// Member of the runtime's configuration (runtime-spec, config.md, "Linux Process").
const PROFILE: &str = "apparmorProfile";

/// Returns the configuration with the machine's profile; `None` if no change is needed.
///
/// # Errors
/// The profile cannot be loaded; the container does not start then.
pub fn confine(config: &[u8]) -> Result<Option<Vec<u8>>> {
    match policy::loaded()? {
        Some(profile) => with_profile(config, &profile),
        None => Ok(None),
    }
}

/// Returns the configuration with a profile; `None` if the container has one, or is to have none.
fn with_profile(config: &[u8], profile: &str) -> Result<Option<Vec<u8>>> {
    let invalid = |why: String| Error::invalid(format!("the runtime's configuration: {why}"));
    let mut config: Value = serde_json::from_slice(config).map_err(|e| invalid(e.to_string()))?;
    let annotation = |name: &str| config["annotations"][name].as_str().unwrap_or_default();
    if annotation(PRIVILEGED.0) == PRIVILEGED.1 || !annotation(CHOSEN).is_empty() {
        return Ok(None);
    }
    let process = config.get_mut("process").and_then(Value::as_object_mut);
    let process = process.ok_or_else(|| invalid("it has no process".to_owned()))?;
    let has_one = |name: &Value| !name.as_str().unwrap_or_default().is_empty();
    if process.get(PROFILE).is_some_and(has_one) {
        return Ok(None);
    }
    process.insert(PROFILE.to_owned(), Value::from(profile));
    Ok(Some(config.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn profile_of(config: &Value) -> Option<String> {
        let changed = with_profile(config.to_string().as_bytes(), "mine").unwrap()?;
        let mut changed: Value = serde_json::from_slice(&changed).unwrap();
        let process = changed["process"].as_object_mut().unwrap();
        let profile = process.remove(PROFILE).unwrap();
        let mut before = config.clone();
        before["process"].as_object_mut().unwrap().remove(PROFILE);
        assert_eq!(changed, before, "something else has changed");
        Some(profile.as_str().unwrap().to_owned())
    }

    #[test]
    fn a_container_gets_a_profile_unless_podman_was_told() {
        for (config, profile) in [
            (json!({"process": {}}), Some("mine")),
            (
                json!({"ociVersion": "1.2.0", "process": {"args": ["apparmorProfile"],
                       "rlimits": [{"hard": u64::MAX, "soft": i64::MIN}]}, "annotations": {}}),
                Some("mine"),
            ),
            (json!({"process": {PROFILE: ""}}), Some("mine")),
            (json!({"process": {PROFILE: null}}), Some("mine")),
            (
                json!({"process": {}, "annotations": {PRIVILEGED.0: "FALSE"}}),
                Some("mine"),
            ),
            (json!({"process": {PROFILE: "unconfined"}}), None),
            (json!({"process": {PROFILE: "other"}}), None),
            (
                json!({"process": {}, "annotations": {PRIVILEGED.0: "TRUE"}}),
                None,
            ),
            (
                json!({"process": {}, "annotations": {CHOSEN: "unconfined"}}),
                None,
            ),
        ] {
            assert_eq!(profile_of(&config).as_deref(), profile, "{config}");
        }
    }

    #[test]
    fn with_profile_refuses_malformed_configurations() {
        for config in ["", "{", "[]", "{}", "{\"process\": 7}", "nonsense", "null"] {
            let why = with_profile(config.as_bytes(), "mine").unwrap_err();
            assert!(why.to_string().contains("the runtime's configuration: "));
        }
    }
}
