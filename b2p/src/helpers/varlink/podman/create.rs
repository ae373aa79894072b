// SPDX-License-Identifier: Apache-2.0
//! `CreateContainer`: the fields of `Create` as options of `podman create`, so that sizes, ports,
//! volumes and networks have podman's meaning. No shell is run, and every value is in one word with
//! its option.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sys::error::Doing;
use sys::paths::{PODMAN_PROGRAM, USER_RUNTIME_DIRS};
use varlink::{Done, Exchange, Value, json, map};

use super::api::{Api, Kind, Outcome, not_found, occurred, strings};
use super::copy::copy;
use super::http::Watched;
use crate::common::pidfd;

/// Time that podman has to end after the client has left.
const END: Duration = Duration::from_secs(5);
/// Search path of podman. Its environment has besides only the variables of the machine's own podman, which containers
/// may have, because `--env=NAME` passes on a variable of podman's environment.
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
pub(super) fn create(_: &Api, parameters: &Value, exchange: &mut Exchange<'_>) -> Outcome<Done> {
    let words = arguments(&parameters["create"])?;
    let mut command = Command::new(PODMAN_PROGRAM);
    let variables = sys::config_sources::read().0.variables();
    let home = std::env::var("HOME").ok();
    let environment = environment(variables, geteuid().as_raw(), home);
    command.args(&words).env_clear().envs(environment);
    let (is_done, said) = run(command, exchange.connection.output())
        .map_err(|e| occurred(&format!("{PODMAN_PROGRAM}: {e}")))?;
    // The id is the last line. A hint may follow the reason.
    let text = String::from_utf8_lossy(&said);
    let last = text.trim().lines().last().unwrap_or_default();
    let reason = text.lines().find_map(|line| line.strip_prefix("Error: "));
    let reason = reason.unwrap_or(last);
    match is_done {
        true => Ok(Done::Reply(map(json!({ "container": last })))),
        false if reason.contains("image not known") => Err(not_found(Kind::Image, "", reason)),
        false => Err(occurred(reason)),
    }
}

/// Returns the environment of podman: the proxies and variables of the machine's configuration, and the places of a user
/// other than root.
fn environment(
    mut variables: Vec<(String, String)>,
    uid: u32,
    home: Option<String>,
) -> Vec<(String, String)> {
    let mut add = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
    };
    add("PATH", PATH.to_owned());
    if uid != 0 {
        add("XDG_RUNTIME_DIR", format!("{USER_RUNTIME_DIRS}/{uid}"));
        home.into_iter().for_each(|home| add("HOME", home));
    }
    variables
}

/// Runs a command as long as the client is connected: the pull of an image may be slow, and a file that a field
/// names may be a pipe. Returns true if the command succeeds, and its output and errors.
fn run(mut command: Command, client: BorrowedFd<'_>) -> sys::error::Result<(bool, Vec<u8>)> {
    let (own, other) = UnixStream::pair().doing("socket pair")?;
    let other = OwnedFd::from(other);
    let errors = other.try_clone().doing("socket pair")?;
    command.stdin(Stdio::null()).stdout(other).stderr(errors);
    let mut child = command.spawn().doing("start")?;
    // The command has the other end, which is to be the child's alone.
    drop(command);
    let mut said = Vec::new();
    let read = copy(&mut Watched::new(own, Some(client))?, &mut said);
    if read.is_err() {
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        if !pidfd::ended_within(child.id(), END) {
            let _ = child.kill();
        }
    }
    let status = child.wait().doing("wait")?;
    read.doing("the client")?;
    Ok((status.success(), said))
}

/// Returns the arguments of podman.
fn arguments(create: &Value) -> Outcome<Vec<String>> {
    let args = strings(create, "args");
    if args.first().is_none_or(String::is_empty) {
        return Err(occurred("create: args: the first one is the image"));
    }
    let mut words = vec!["create".to_owned()];
    let renamed = RENAMED
        .iter()
        .map(|(field, option)| (*field, (*option).to_owned()));
    let plain = PLAIN.split(' ').map(|field| (field, kebab(field)));
    for (field, option) in plain.chain(renamed) {
        for value in values(field, &create[field])? {
            words.push(format!("--{option}={value}"));
        }
    }
    words.push("--".to_owned());
    words.extend(args);
    Ok(words)
}

/// Returns the values of a field: none for null, and for an empty text without a meaning.
fn values(field: &str, value: &Value) -> Outcome<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(varlink::text(value)),
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
    use std::os::fd::AsFd;
    use varlink::idl::{Description, Kind, Type};

    fn words(create: Value) -> Outcome<Vec<String>> {
        arguments(&create)
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
    fn create_container_without_an_image_or_with_a_structure_is_refused() {
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

    #[test]
    fn podman_has_the_proxies_of_the_machine() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let proxy = pair("HTTPS_PROXY", "http://proxy:3128");
        let home = || Some("/home/core".to_owned());
        let variables = || vec![pair("PATH", "/x"), proxy.clone()];
        let path = pair("PATH", PATH);
        assert_eq!(
            environment(variables(), 0, home()),
            [proxy.clone(), path.clone()]
        );
        let of_user = environment(variables(), 1000, home());
        let dir = pair("XDG_RUNTIME_DIR", "/run/user/1000");
        assert_eq!(
            of_user,
            [proxy.clone(), path, dir, pair("HOME", "/home/core")]
        );
    }

    #[test]
    fn a_command_ends_with_the_client_that_waits_for_it() {
        let (client, own) = UnixStream::pair().unwrap();
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        let (is_done, said) = run(shell("echo a; echo b >&2; exit 3"), own.as_fd()).unwrap();
        assert_eq!((is_done, &said[..]), (false, &b"a\nb\n"[..]));
        drop(client);
        let begun = std::time::Instant::now();
        assert!(run(shell("exec sleep 1000"), own.as_fd()).is_err());
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
