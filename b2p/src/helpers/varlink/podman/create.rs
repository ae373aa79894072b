// SPDX-License-Identifier: Apache-2.0
//! `CreateContainer`: the fields of `Create` as options of `podman create`, so that sizes, ports,
//! volumes and networks mean what they mean to podman. No shell is run, and every value is in one
//! word with its option.

use std::process::Command;

use varlink::{Value, json};

use super::api::{Kind, Outcome, not_found, occurred};
use super::parameters::Parameters;

/// Program that creates containers.
const PODMAN: &str = "/usr/bin/podman";
/// Search path of podman; the rest of its environment is empty, because `--env=NAME` passes on a
/// variable of it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Fields whose option has the same words, with hyphens. Not among them are `detach`, `detachKeys` and
/// `command`, which `podman create` does not need, `kernelMemory`, which no kernel has any more, and
/// `storageOpt`, which is podman's own option.
const PLAIN: &str = "\
    addHost annotation attach blkioWeight blkioWeightDevice capAdd capDrop cgroupParent \
    conmonPidfile cpuPeriod cpuQuota cpuRtPeriod cpuRtRuntime cpuShares cpus device \
    deviceReadBps deviceReadIops deviceWriteBps deviceWriteIops dns dnsSearch entrypoint env \
    envFile expose gidmap hostname imageVolume init initPath interactive ip ipc label labelFile \
    logDriver logOpt macAddress memory memoryReservation memorySwap memorySwappiness name \
    network noHosts oomKillDisable oomScoreAdj pid pidsLimit pod privileged publish publishAll \
    pull quiet restart rm rootfs securityOpt shmSize stopSignal stopTimeout subuidname \
    subgidname sysctl systemd tmpfs tty uidmap ulimit user userns uts mount volume volumesFrom";

/// Fields whose option has another name.
const RENAMED: &[(&str, &str)] = &[
    ("cpuSetCpus", "cpuset-cpus"),
    ("cpuSetMems", "cpuset-mems"),
    ("readonly", "read-only"),
    ("readonlytmpfs", "read-only-tmpfs"),
    ("groupadd", "group-add"),
    ("workDir", "workdir"),
    ("healthcheckCommand", "health-cmd"),
    ("healthcheckInterval", "health-interval"),
    ("healthcheckRetries", "health-retries"),
    ("healthcheckStartPeriod", "health-start-period"),
    ("healthcheckTimeout", "health-timeout"),
    ("overrideArch", "arch"),
    ("overrideOS", "os"),
    ("dnsServers", "dns"),
    ("dnsOpt", "dns-option"),
    ("cidFile", "cidfile"),
];

/// `CreateContainer`.
pub(super) fn create(parameters: Parameters<'_>) -> Outcome<Value> {
    let create = parameters.structure("create")?;
    let words = create.map(arguments).transpose()?;
    let words = words.ok_or_else(|| occurred("create: args: the first one is the image"))?;
    let output = Command::new(PODMAN)
        .args(&words)
        .env_clear()
        .env("PATH", PATH)
        .output()
        .map_err(|e| occurred(&format!("{PODMAN}: {e}")))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let reason = errors.trim().lines().last().unwrap_or_default();
    let reason = reason.strip_prefix("Error: ").unwrap_or(reason);
    match output.status.success() {
        true => {
            let text = String::from_utf8_lossy(&output.stdout);
            let id = text.trim().lines().last().unwrap_or_default().to_owned();
            Ok(json!({ "container": id }))
        }
        false if reason.contains("image not known") => Err(not_found(Kind::Image, "", reason)),
        false => Err(occurred(reason)),
    }
}

/// Returns the arguments of podman.
fn arguments(create: Parameters<'_>) -> Outcome<Vec<String>> {
    let args = create.list("args")?;
    if args.first().is_none_or(String::is_empty) {
        return Err(occurred("create: args: the first one is the image"));
    }
    let mut words = vec!["create".to_owned()];
    let renamed = RENAMED
        .iter()
        .map(|(field, option)| (*field, (*option).to_owned()));
    let plain = PLAIN.split(' ').map(|field| (field, kebab(field)));
    for (field, option) in plain.chain(renamed) {
        for value in values(field, create.0.get(field).unwrap_or(&Value::Null))? {
            words.push(format!("--{option}={value}"));
        }
    }
    words.push("--".to_owned());
    words.extend(args);
    Ok(words)
}

/// Returns the values of a field: none for null, and for an empty text where it has no meaning.
fn values(field: &str, value: &Value) -> Outcome<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(varlink::Failure::parameter("parameters")),
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() && field != "entrypoint" => Ok(Vec::new()),
        Value::Array(list) => list.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// Returns the words of a name with hyphens between them.
fn kebab(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::DESCRIPTION;
    use super::*;
    use varlink::idl::{Description, Kind, Type};
    use varlink::map;

    fn words(create: Value) -> Outcome<Vec<String>> {
        arguments(Parameters(&map(create)))
    }

    #[test]
    fn each_field_is_an_option_or_left_out_for_a_reason() {
        let description = Description::parse(DESCRIPTION).unwrap();
        let create = description
            .members
            .iter()
            .find(|member| member.name == "Create");
        let Some(Kind::Type(Type::Fields(fields))) = create.map(|member| &member.kind) else {
            panic!("no type Create");
        };
        let known = |name: &str| {
            let plain = PLAIN.split(' ').any(|field| field == name);
            plain != RENAMED.iter().any(|(field, _)| *field == name)
        };
        let left: Vec<&str> = fields
            .iter()
            .map(|f| f.name.as_str())
            .filter(|name| !known(name))
            .collect();
        assert_eq!(
            left,
            [
                "args",
                "command",
                "detach",
                "detachKeys",
                "kernelMemory",
                "storageOpt"
            ]
        );
        assert_eq!(
            PLAIN.split(' ').count() + RENAMED.len() + left.len(),
            fields.len()
        );
    }

    #[test]
    fn values_become_one_word_each() {
        for (create, expected) in [
            (json!({"args": ["web"]}), &["create", "--", "web"][..]),
            (
                json!({"args": ["web", "-v", "--", "a b"], "name": "x", "env": ["A=1", "B"], "tty": true, "cpus": 1.5, "memory": null}),
                &[
                    "create",
                    "--cpus=1.5",
                    "--env=A=1",
                    "--env=B",
                    "--name=x",
                    "--tty=true",
                    "--",
                    "web",
                    "-v",
                    "--",
                    "a b",
                ],
            ),
            (
                json!({"args": ["-v"], "publish": ["--privileged", "8080:80"], "name": "a\nb", "entrypoint": "", "user": ""}),
                &[
                    "create",
                    "--entrypoint=",
                    "--name=a\nb",
                    "--publish=--privileged",
                    "--publish=8080:80",
                    "--",
                    "-v",
                ],
            ),
            (
                json!({"args": ["a"], "cpuSetCpus": "0", "healthcheckCommand": "true", "addHost": ["a:1"], "pidsLimit": -1, "nothing": 1}),
                &[
                    "create",
                    "--add-host=a:1",
                    "--pids-limit=-1",
                    "--cpuset-cpus=0",
                    "--health-cmd=true",
                    "--",
                    "a",
                ],
            ),
        ] {
            assert_eq!(words(create).unwrap(), expected);
        }
    }

    #[test]
    fn without_an_image_or_with_a_structure_it_is_refused() {
        for create in [
            json!({}),
            json!({"args": []}),
            json!({"args": [""]}),
            json!({"args": "web"}),
            json!({"args": ["web"], "name": {}}),
            json!({"args": ["web"], "env": [["A"]]}),
        ] {
            assert!(words(create.clone()).is_err(), "{create}");
        }
    }
}
