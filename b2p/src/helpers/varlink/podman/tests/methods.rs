// SPDX-License-Identifier: Apache-2.0
//! One call of each method of containers that no other test calls: its requests, and a result or two. That each
//! reply has the declared fields is checked by [`call`].

use super::*;

/// Method, parameters, answers of podman, and pointers (RFC 6901) to values of the reply.
pub(super) type Row = (
    &'static str,
    Value,
    Script,
    &'static [(&'static str, &'static str)],
);

pub(super) fn check(rows: Vec<Row>) {
    for (method, parameters, script, expected) in rows {
        let found = once(method, parameters, script);
        for (pointer, text) in expected {
            let value = found.pointer(pointer).map(Value::to_string);
            assert_eq!(value.as_deref(), Some(*text), "{method} {pointer}: {found}");
        }
    }
}

const RUNNING: &str = r#"{"Id":"abc","Name":"web","Image":"img","ImageName":"alpine","Pod":"p","Path":"sh","Args":["-c","a"],
    "StaticDir":"/x","State":{"Status":"initialized","ExitCode":3,"Pid":9,"StartedAt":"2026-01-01T00:00:00Z"},
    "Config":{"Tty":true,"StopTimeout":7,"Env":["A=1"],"Labels":null,"WorkingDir":"/"},
    "HostConfig":{"NetworkMode":"container:def"},
    "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"1.2.3.4","HostPort":"8080"}],"53/udp":null}}}"#;
pub(super) const STATS: &str = r#"{"Stats":[{"ContainerID":"abc","Name":"web","CPU":1.5,"CPUNano":150,"SystemNano":1200,"MemUsage":5,
    "MemLimit":9,"MemPerc":2.5,"Network":{"eth0":{"RxBytes":3,"TxBytes":4},"eth1":{"RxBytes":1,"TxBytes":1}},"PIDs":2}]}"#;
pub(super) const STATS_OF: &str = "GET containers/stats?containers=abc&stream=false";

#[test]
fn containers_are_shown() {
    let name = || json!({ "name": "web" });
    check(vec![
        (
            "GetContainer",
            json!({"id": "web"}),
            &[
                ("GET containers/web/json", 200, WEB),
                (
                    "GET containers/json?all=true&size=true&namespace=true&filters=%7B%22id%22%3A%5B%22abc%22%5D%7D",
                    200,
                    r#"[{"Id":"abc"}]"#,
                ),
            ],
            &[("/container/id", "\"abc\"")],
        ),
        (
            "GetContainersByStatus",
            json!({"status": ["configured", "created"]}),
            &[(
                "GET containers/json?all=true&size=true&namespace=true&filters=%7B%22status%22%3A%5B%22created%22%2C%22initialized%22%5D%7D",
                200,
                r#"[{"Id":"abc","State":"initialized"}]"#,
            )],
            &[("/containerS/0/status", "\"created\"")],
        ),
        (
            "GetContainersByContext",
            json!({"latest": true}),
            &[(
                "GET containers/json?all=true&last=1",
                200,
                r#"[{"Id":"abc"}]"#,
            )],
            &[("/containers/0", "\"abc\"")],
        ),
        (
            "ContainerInspectData",
            json!({"name": "web", "size": true}),
            &[("GET containers/web/json?size=true", 200, "{}")],
            &[("/config", "\"{}\"")],
        ),
        (
            "Top",
            json!({"nameOrID": "web", "descriptors": ["pid", "comm"]}),
            &[(
                "GET containers/web/top?ps_args=pid%2Ccomm",
                200,
                r#"{"Titles":["PID","COMMAND"],"Processes":[["1","sh"]]}"#,
            )],
            &[("/top/0", r#""PID\tCOMMAND""#), ("/top/1", r#""1\tsh""#)],
        ),
        (
            "ListContainerProcesses",
            name(),
            &[("GET containers/web/top", 200, "{}")],
            &[("/container/0", "\"\"")],
        ),
        (
            "ListContainerChanges",
            name(),
            &[(
                "GET containers/web/changes",
                200,
                r#"[{"Path":"/a","Kind":0},{"Path":"/b","Kind":1},{"Path":"/c","Kind":2}]"#,
            )],
            &[
                ("/container/added/0", "\"/b\""),
                ("/container/deleted/0", "\"/c\""),
            ],
        ),
        (
            "Diff",
            name(),
            &[
                ("GET containers/web/changes", 404, "{}"),
                ("GET images/web/changes", 200, r#"[{"Path":"/a","Kind":2}]"#),
            ],
            &[("/diffs/0/changeType", "\"D\"")],
        ),
        (
            "GetContainerStats",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                (STATS_OF, 200, STATS),
            ],
            &[("/container/net_input", "4"), ("/container/cpu", "1.5")],
        ),
        (
            "GetContainerStatsWithHistory",
            json!({"previousStats": {"id": "web", "cpu_nano": 50, "system_nano": 1000}}),
            &[
                ("GET containers/web/json", 200, WEB),
                (STATS_OF, 200, STATS),
            ],
            &[("/container/cpu", "50.0")],
        ),
        (
            "GetContainerStats",
            name(),
            &[("GET containers/web/json", 200, RUNNING)],
            &[("/0", "\"io.podman.NoContainerRunning\"")],
        ),
        (
            "HealthCheckRun",
            json!({"nameOrID": "web"}),
            &[(
                "GET containers/web/healthcheck",
                200,
                r#"{"Status":"healthy"}"#,
            )],
            &[("/healthCheckStatus", "\"healthy\"")],
        ),
        (
            "ContainerConfig",
            name(),
            &[("GET containers/web/json", 200, RUNNING)],
            &[],
        ),
        (
            "GetContainerLogs",
            name(),
            &[(
                "GET containers/web/logs?stdout=true&stderr=true&timestamps=true",
                200,
                "\x01\0\0\0\0\0\0\x04t a\n",
            )],
            &[("/container/0", r#""t stdout F a\n""#)],
        ),
        (
            "GetContainersLogs",
            json!({"names": ["web"], "tail": 3, "since": "0001-01-01T00:00:00Z"}),
            &[
                ("GET containers/web/json", 200, WEB),
                (
                    "GET containers/abc/logs?stdout=true&stderr=true&timestamps=true&tail=3",
                    200,
                    "\x02\0\0\0\0\0\0\x04t a\n",
                ),
            ],
            &[("/log/device", "\"stderr\""), ("/log/cid", "\"abc\"")],
        ),
    ]);
}

/// Result of a method whose result is JSON as a text.
fn inner(method: &str) -> Value {
    let script: Script = &[("GET containers/web/json", 200, RUNNING)];
    let found = once(method, json!({"name": "web"}), script);
    varlink::serde_json::from_str(found["config"].as_str().unwrap()).unwrap()
}

#[test]
fn structures_of_podman_1_have_what_its_client_reads() {
    let config = inner("ContainerConfig");
    assert_eq!(
        (&config["netNsCtr"], &config["stopTimeout"]),
        (&json!("def"), &json!(7))
    );
    let port =
        json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "1.2.3.4"});
    assert_eq!(config["portMappings"], json!([port]));
    let state = inner("ContainerStateData");
    assert_eq!(
        (&state["state"], &state["exitCode"], &state["pid"]),
        (&json!(2), &json!(3), &json!(9))
    );
    let process = &inner("Spec")["process"];
    assert_eq!(
        (&process["terminal"], &process["args"]),
        (&json!(true), &json!(["sh", "-c", "a"]))
    );
}

#[test]
fn containers_are_changed() {
    let name = || json!({ "name": "web" });
    check(vec![
        (
            "RestartContainer",
            json!({"name": "web", "timeout": 2}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/restart?timeout=2", 204, ""),
            ],
            &[("/container", "\"abc\"")],
        ),
        (
            "PauseContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/pause", 204, ""),
            ],
            &[],
        ),
        (
            "UnpauseContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/unpause", 204, ""),
            ],
            &[],
        ),
        (
            "InitContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/init", 304, ""),
            ],
            &[("/0", "\"io.podman.InvalidState\"")],
        ),
        (
            "EvictContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("DELETE containers/abc?force=true", 200, "[]"),
            ],
            &[("/container", "\"abc\"")],
        ),
        (
            "DeleteStoppedContainers",
            json!({}),
            &[(
                "POST containers/prune",
                200,
                r#"[{"Id":"a"},{"Id":"b","Err":"x"}]"#,
            )],
            &[("/containers", r#"["a"]"#)],
        ),
        (
            "CreateContainer",
            json!({"create": {"args": []}}),
            &[],
            &[("/0", "\"io.podman.ErrorOccurred\"")],
        ),
        (
            "MountContainer",
            name(),
            &[("POST containers/web/mount", 200, "/var/lib/x\n")],
            &[("/path", "\"/var/lib/x\"")],
        ),
        (
            "UnmountContainer",
            json!({"name": "web", "force": true}),
            &[("POST containers/web/unmount?force=true", 204, "")],
            &[],
        ),
        (
            "ListContainerMounts",
            json!({}),
            &[("GET containers/showmounted", 200, r#"{"abc":"/x"}"#)],
            &[("/mounts/abc", "\"/x\"")],
        ),
        (
            "ListContainerMounts",
            json!({}),
            &[("GET containers/showmounted", 200, "null")],
            &[("/mounts", "{}")],
        ),
    ]);
}

#[test]
fn logs_that_are_followed_are_merged() {
    let script: Script = &[
        ("GET containers/a/json", 200, r#"{"Id":"a"}"#),
        ("GET containers/b/json", 200, r#"{"Id":"b"}"#),
        (
            "GET containers/a/logs?stdout=true&stderr=true&timestamps=true&follow=true",
            200,
            "\x01\0\0\0\0\0\0\x04t a\n\x01\0\0\0\0\0\0\x04t b\n",
        ),
        (
            "GET containers/b/logs?stdout=true&stderr=true&timestamps=true&follow=true",
            200,
            "\x02\0\0\0\0\0\0\x04t c\n",
        ),
    ];
    let replies = call(
        "GetContainersLogs",
        json!({"names": ["a", "b"], "follow": true, "tail": -1}),
        true,
        script,
    );
    let mut texts: Vec<&str> = replies
        .iter()
        .map(|r| r.parameters["log"]["msg"].as_str().unwrap())
        .collect();
    assert_eq!(texts.pop(), Some(""), "the last reply is the end");
    let place = |text: &str| texts.iter().position(|found| *found == text).unwrap();
    assert!(
        texts.len() == 3 && place("a") < place("b") && place("c") < 3,
        "{texts:?}"
    );
}
