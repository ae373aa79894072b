// SPDX-License-Identifier: Apache-2.0
//! Inspection of a container with the types of podman 1, whose client refuses others.

use services::exit_status::signal_number;
use varlink::{Value, json};

use super::api::{elements, number, string, strings};

/// Changes those members that have another type today.
pub(super) fn of_podman_1(mut found: Value) -> Value {
    change(&mut found, "Config", |config| {
        change(config, "StopSignal", |signal| {
            if let Some(name) = signal.as_str() {
                *signal = stop_signal(name).into();
            }
        });
        if config["Entrypoint"].is_array() {
            config["Entrypoint"] = strings(config, "Entrypoint").join(" ").into();
        }
    });
    change(&mut found, "NetworkSettings", |network| {
        if network["Ports"].is_object() {
            network["Ports"] = port_mappings(&network["Ports"]);
        }
        addresses(network);
        if let Some(Value::Object(networks)) = network.get_mut("Networks") {
            networks.values_mut().for_each(addresses);
        }
    });
    change(&mut found, "HostConfig", |host| {
        let limits = host.get_mut("Ulimits").and_then(Value::as_array_mut);
        for limit in limits.into_iter().flatten() {
            for name in ["Soft", "Hard"] {
                // Without a limit: -1 today, the largest number then.
                if number(limit, name) < 0 {
                    limit[name] = u64::MAX.into();
                }
            }
        }
    });
    found
}

/// Calls a function with a member of an object, if there is one that is not null.
fn change(object: &mut Value, name: &str, with: impl FnOnce(&mut Value)) {
    if let Some(member) = object.get_mut(name).filter(|member| !member.is_null()) {
        with(member);
    }
}

/// Further addresses of a network: texts in place of structures.
fn addresses(network: &mut Value) {
    for name in ["SecondaryIPAddresses", "SecondaryIPv6Addresses"] {
        change(network, name, |list| {
            let texts = elements(list).iter().map(|entry| match entry.as_str() {
                Some(text) => text.to_owned(),
                None => string(entry, "Addr"),
            });
            *list = json!(texts.collect::<Vec<_>>());
        });
    }
}

/// Returns the number of a signal: a name, a number, or a real-time signal (signal(7)).
fn stop_signal(name: &str) -> i32 {
    let offset = |rest: &str| {
        if rest.is_empty() {
            Some(0)
        } else {
            rest.parse().ok()
        }
    };
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    let real_time = match (bare.strip_prefix("RTMIN"), bare.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest).map(|offset: i32| 34 + offset),
        (_, Some(rest)) => offset(rest).map(|offset: i32| 64 + offset),
        _ => None,
    };
    let number = signal_number(name).or_else(|| name.parse().ok());
    number.or(real_time).unwrap_or(libc::SIGTERM)
}

/// Returns a list of podman's mappings by port and protocol, such as `80/tcp`.
pub(super) fn port_mappings(ports: &Value) -> Value {
    let ports = ports.as_object().into_iter().flatten();
    let mappings = ports.flat_map(|(port, hosts)| {
        let (inside, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        elements(hosts).iter().map(move |host| {
            json!({
                "hostPort": string(host, "HostPort").parse().unwrap_or(0_u16),
                "containerPort": inside.parse().unwrap_or(0_u16), "protocol": protocol,
                "hostIP": string(host, "HostIp"),
            })
        })
    });
    mappings.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn members_have_the_types_of_podman_1() {
        let today = json!({
            "Id": "abc",
            "Config": {"StopSignal": "SIGINT", "Entrypoint": ["sh", "-c"], "Cmd": ["x"]},
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": null},
                "SecondaryIPAddresses": [{"Addr": "10.0.0.2", "PrefixLength": 24}],
                "Networks": {"podman": {"SecondaryIPv6Addresses": [{"Addr": "fd::2"}], "IPAddress": "x"}},
            },
            "HostConfig": {"Ulimits": [{"Name": "RLIMIT_CORE", "Soft": 0, "Hard": -1}]},
        });
        let then = json!({
            "Id": "abc",
            "Config": {"StopSignal": 2, "Entrypoint": "sh -c", "Cmd": ["x"]},
            "NetworkSettings": {
                "Ports": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}],
                "SecondaryIPAddresses": ["10.0.0.2"],
                "Networks": {"podman": {"SecondaryIPv6Addresses": ["fd::2"], "IPAddress": "x"}},
            },
            "HostConfig": {"Ulimits": [{"Name": "RLIMIT_CORE", "Soft": 0, "Hard": u64::MAX}]},
        });
        assert_eq!(of_podman_1(today), then);
        assert_eq!(
            of_podman_1(then.clone()),
            then,
            "what has the types already"
        );
    }

    #[test]
    fn translation_to_podman_1_adds_no_members() {
        for text in [
            json!({}),
            json!(null),
            json!({"Config": null, "NetworkSettings": {}, "HostConfig": {"Ulimits": null}}),
            json!({"Config": {}, "NetworkSettings": {"Networks": null, "Ports": null}}),
        ] {
            assert_eq!(of_podman_1(text.clone()), text);
        }
    }

    /// Shapes of `HostConfig` and its neighbours that podman has had, or might have: to index one that is no object
    /// panics, and the Go client panics at a limit below zero.
    #[test]
    fn no_shape_of_an_inspection_panics() {
        let shapes = [
            json!(null),
            json!(7),
            json!("x"),
            json!([]),
            json!([null, 7, "x", [], {}]),
            json!({}),
            json!({"a": {"b": []}}),
        ];
        let places = [
            "/HostConfig",
            "/HostConfig/Ulimits",
            "/HostConfig/Ulimits/0",
            "/HostConfig/Ulimits/0/Soft",
            "/Config",
            "/Config/StopSignal",
            "/Config/Entrypoint",
            "/NetworkSettings",
            "/NetworkSettings/Ports",
            "/NetworkSettings/Ports/80~1tcp",
            "/NetworkSettings/Networks",
            "/NetworkSettings/Networks/podman",
            "/NetworkSettings/SecondaryIPAddresses",
        ];
        for place in places {
            for shape in &shapes {
                let mut found = json!({
                    "Config": {"StopSignal": "SIGINT", "Entrypoint": ["sh"]},
                    "HostConfig": {"Ulimits": [{"Soft": -1, "Hard": -1}, {"Soft": -1, "Hard": 5}]},
                    "NetworkSettings": {"Ports": {"80/tcp": []}, "Networks": {"podman": {}}, "SecondaryIPAddresses": []},
                });
                *found.pointer_mut(place).unwrap() = shape.clone();
                let then = of_podman_1(found);
                let limits = elements(&then["HostConfig"]["Ulimits"]).iter();
                for limit in limits.filter(|limit| limit["Hard"].is_number()) {
                    assert!(limit["Hard"].is_u64(), "{place} {shape}: {then}");
                }
                if place.starts_with("/Config") {
                    assert_eq!(then["HostConfig"]["Ulimits"][1]["Soft"], u64::MAX);
                }
            }
        }
    }

    #[test]
    fn signals_by_name_and_number() {
        for (name, number) in [
            ("SIGTERM", 15),
            ("KILL", 9),
            ("10", 10),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
            ("SIGRTMAX-1", 63),
            ("SIGNONE", 15),
            ("", 15),
        ] {
            assert_eq!(stop_signal(name), number, "{name}");
        }
    }
}
