// SPDX-License-Identifier: Apache-2.0
//! Text of `inspect` and `config`: one object with docker-machine's and podman's keys.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use super::env_text::{ADDRESS, Target};
use crate::fault::Fault;
use crate::state::State;
use crate::store::config::MachineConfig;
use crate::store::record::Forward;
use crate::store::share::Share;
use crate::text::go_template::{Missing, Template};

/// Version of docker-machine's configuration whose keys the object has.
const CONFIG_VERSION: u32 = 3;

/// Returns the object of a machine.
#[must_use]
pub fn object(config: &MachineConfig, target: &Target, state: State, storage: &str) -> Value {
    let gib = config.disk_bytes >> 30;
    let mib = config.disk_bytes >> 20;
    json!({
        "ConfigVersion": CONFIG_VERSION,
        "Name": target.name,
        "DriverName": config.driver,
        "Driver": {
            "IPAddress": ADDRESS, "MachineName": target.name, "SSHUser": target.user,
            "SSHPort": target.port, "SSHKeyPath": target.key, "StorePath": storage,
            "CPU": config.cpus, "Memory": config.memory_mib, "DiskSize": mib,
        },
        "HostOptions": {
            "Driver": "", "Memory": config.memory_mib, "Disk": mib,
            "EngineOptions": {
                "ArbitraryFlags": [], "Env": [], "InsecureRegistry": [], "Labels": config.labels,
                "RegistryMirror": [], "StorageDriver": "overlay", "TlsVerify": false,
            },
            "SwarmOptions": {"IsSwarm": false},
            "AuthOptions": {"StorePath": target.dir},
        },
        "State": state.word().to_lowercase(),
        "Created": config.created,
        "LastUp": config.last_up,
        "Resources": {"CPUs": config.cpus, "Memory": config.memory_mib, "DiskSize": gib},
        "SSHConfig": {
            "IdentityPath": target.key, "Port": target.port, "RemoteUsername": target.user,
        },
        "ConnectionInfo": {"PodmanSocket": {"Path": target.socket}, "PodmanPipe": null},
        "ConfigDir": {"Path": target.dir},
        "Rootful": true,
        "Image": config.image,
        "Protected": config.protected,
        "Accel": config.accel,
        "Append": config.append,
        "Shares": config.shares.iter().map(share).collect::<Vec<_>>(),
        "Ports": config.ports.iter().map(port).collect::<Vec<_>>(),
        "PublishOn": config.publish_on,
        "ProxyEnv": config.proxy_env,
        "Flags": config.flags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
    })
}

fn share(share: &Share) -> Value {
    json!({"Source": share.source, "Target": share.target, "ReadOnly": share.read_only})
}

fn port(port: &Forward) -> Value {
    json!({
        "Protocol": port.protocol, "Address": port.address, "Port": port.port, "GuestPort": port.guest,
    })
}

/// Returns the text of the objects: each by the template, or one object or an array as JSON.
///
/// # Errors
/// A format that is no template or has no value.
pub fn render(objects: &[Value], format: Option<&str>) -> Result<String, Fault> {
    if let Some(format) = format.filter(|format| !format.is_empty()) {
        let template = Template::parse(format)
            .map_err(|why| Fault::new(format!("template parsing error: {why}")))?;
        let text = |object: &Value| template.execute(object, Missing::NoValue);
        let texts: Result<Vec<String>, _> = objects.iter().map(text).collect();
        let texts = texts.map_err(|why| Fault::new(why.to_string()))?;
        return Ok(texts.iter().map(|text| format!("{text}\n")).collect());
    }
    Ok(match objects {
        [one] => pretty(one),
        several => pretty(&Value::from(several.to_vec())),
    } + "\n")
}

/// Returns JSON with an indentation of four blanks.
#[must_use]
pub fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    // A value of serde_json has a text, and a vector takes every byte.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    String::from_utf8(bytes).unwrap_or_default()
}

/// Returns the words of `config`, which stand before a command of podman, or of docker.
#[must_use]
pub fn config(socket: &str, as_docker: bool) -> String {
    match as_docker {
        true => format!("-H=unix://{socket}\n"),
        false => format!("--url=unix://{socket}\n"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn objects() -> Vec<Value> {
        let mut config = MachineConfig::new("box");
        config.labels = vec!["a=b".into()];
        config.append = vec!["quiet".into()];
        config.shares = vec![Share {
            source: "/w".into(),
            target: "/mnt/w".into(),
            read_only: true,
        }];
        config.ports = vec![Forward {
            protocol: "tcp".into(),
            address: "127.0.0.1".into(),
            port: 8080,
            guest: 80,
        }];
        let target = Target {
            name: "box".into(),
            socket: "/run/pm/box.sock".into(),
            ssh_host: "podman-machine-box".into(),
            user: "core".into(),
            port: 40022,
            key: "/store/machines/box/id_ed25519".into(),
            dir: "/store/machines/box".into(),
        };
        vec![object(&config, &target, State::Running, "/store")]
    }

    #[test]
    fn scripts_find_the_keys_of_both_families() {
        #[rustfmt::skip]
        let rows = [
            ("{{.Name}} {{.DriverName}} {{.ConfigVersion}}", "box qemu 3"),
            ("{{json .DriverName}}", "\"qemu\""),
            ("{{.Driver.MachineName}} {{.Driver.IPAddress}}", "box 127.0.0.1"),
            ("{{.Driver.SSHUser}}:{{.Driver.SSHPort}}", "core:40022"),
            ("{{.Driver.SSHKeyPath}}", "/store/machines/box/id_ed25519"),
            ("{{.Driver.StorePath}}", "/store"),
            ("{{.Driver.CPU}} {{.Driver.Memory}} {{.Driver.DiskSize}}", "2 2048 102400"),
            ("{{.HostOptions.Memory}} {{.HostOptions.Disk}}", "2048 102400"),
            ("{{.HostOptions.EngineOptions.Labels}}", "[a=b]"),
            ("{{.HostOptions.AuthOptions.StorePath}}", "/store/machines/box"),
            ("{{.State}} {{.Rootful}}", "running true"),
            ("{{.Resources.CPUs}} {{.Resources.Memory}} {{.Resources.DiskSize}}", "2 2048 100"),
            ("{{.SSHConfig.Port}} {{.SSHConfig.RemoteUsername}}", "40022 core"),
            ("{{.SSHConfig.IdentityPath}}", "/store/machines/box/id_ed25519"),
            ("{{.ConnectionInfo.PodmanSocket.Path}}", "/run/pm/box.sock"),
            ("{{.Accel}} {{.Append}} {{.PublishOn}} {{.ProxyEnv}}", "auto [quiet] 127.0.0.1 true"),
            ("{{range .Shares}}{{.Source}} {{.Target}} {{.ReadOnly}}{{end}}", "/w /mnt/w true"),
            ("{{range .Ports}}{{.Protocol}} {{.Address}} {{.Port}} {{.GuestPort}}{{end}}", "tcp 127.0.0.1 8080 80"),
            ("{{.NoSuchKey}}", "<no value>"),
        ];
        for (format, expected) in rows {
            let text = render(&objects(), Some(format)).unwrap();
            assert_eq!(text, format!("{expected}\n"), "{format}");
        }
    }

    #[test]
    fn json_has_four_blanks_and_an_array_for_several() {
        let one = render(&objects(), None).unwrap();
        assert!(one.starts_with("{\n    \"Accel\": \"auto\",\n"), "{one}");
        assert!(one.ends_with("\n}\n"), "{one}");
        let both = [objects(), objects()].concat();
        let both = render(&both, Some("")).unwrap();
        assert!(
            both.starts_with("[\n    {\n        \"Accel\": \"auto\",\n"),
            "{both}"
        );
        let pretty = render(&objects(), Some("{{prettyjson .Driver}}")).unwrap();
        assert!(pretty.lines().count() > 1 && pretty.contains("\n    \"CPU\": 2,\n"));
    }

    #[test]
    fn a_wrong_template_has_one_line() {
        for format in ["{{", "{{.Name.X}}", "{{nope}}"] {
            let fault = render(&objects(), Some(format)).unwrap_err();
            assert!(!fault.text.contains('\n') && fault.status == 1, "{fault}");
        }
        let fault = render(&objects(), Some("{{")).unwrap_err();
        assert!(
            fault
                .text
                .starts_with("template parsing error: template: 1:1: ")
        );
    }

    #[test]
    fn config_is_for_the_client_of_the_name() {
        assert_eq!(config("/a.sock", false), "--url=unix:///a.sock\n");
        assert_eq!(config("/a.sock", true), "-H=unix:///a.sock\n");
    }
}
