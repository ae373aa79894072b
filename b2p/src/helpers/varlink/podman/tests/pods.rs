// SPDX-License-Identifier: Apache-2.0
//! One call of each method of pods and volumes that no other test calls.

use super::methods::{STATS, STATS_OF, check};
use super::*;

#[test]
fn pods_and_volumes() {
    let name = || json!({ "name": "p" });
    const POD: &str = r#"{"Id":"pod","Containers":[{"Id":"abc","State":"running"},{"Id":"def","State":"exited"}]}"#;
    const PARTLY: &str = r#"{"Id":"pod","State":"Degraded","Containers":[{"Id":"abc","State":"running"},
        {"Id":"ghi","State":"exited"},{"Id":"def","State":"running"}]}"#;
    check(vec![
        (
            "GetPod",
            name(),
            &[
                ("GET pods/p/json", 200, POD),
                (
                    "GET pods/json?filters=%7B%22id%22%3A%5B%22pod%22%5D%7D",
                    200,
                    r#"[{"Id":"pod","Containers":[{}]}]"#,
                ),
            ],
            &[("/pod/numberofcontainers", "\"1\"")],
        ),
        (
            "GetPodsByStatus",
            json!({"statuses": ["Stopped", "running"]}),
            &[(
                "GET pods/json",
                200,
                r#"[{"Id":"a","Status":"Exited"},{"Id":"b","Status":"Running"}]"#,
            )],
            &[("/pods", r#"["b"]"#)],
        ),
        (
            "GetPodsByContext",
            json!({"args": ["p"]}),
            &[("GET pods/p/json", 200, POD)],
            &[("/pods/0", "\"pod\"")],
        ),
        (
            "StartPod",
            name(),
            &[("GET pods/p/json", 200, r#"{"Id":"pod"}"#)],
            &[("/0", "\"io.podman.NoContainersInPod\"")],
        ),
        (
            "PodStateData",
            name(),
            &[("GET pods/p/json", 200, "null")],
            &[("/config", "\"null\"")],
        ),
        (
            "StopPod",
            json!({"name": "p", "timeout": 3}),
            &[
                ("GET pods/p/json", 200, POD),
                ("POST pods/pod/stop?t=3", 200, "{}"),
            ],
            &[("/pod", "\"pod\"")],
        ),
        (
            "StopPod",
            name(),
            &[
                ("GET pods/p/json", 200, PARTLY),
                ("POST containers/abc/stop?timeout=0", 204, ""),
                ("POST containers/def/stop?timeout=0", 304, ""),
            ],
            &[("/pod", "\"pod\"")],
        ),
        (
            "StopPod",
            json!({"name": "p", "timeout": -1}),
            &[
                ("GET pods/p/json", 200, PARTLY),
                ("POST containers/abc/stop", 500, r#"{"message":"no"}"#),
                ("POST containers/def/stop", 204, ""),
            ],
            &[
                ("/0", "\"io.podman.PodContainerError\""),
                ("/1/podname", "\"p\""),
                ("/1/errors/0/reason", r#""{\"abc\":\"no\"}""#),
            ],
        ),
        (
            "RestartPod",
            name(),
            &[
                ("GET pods/p/json", 200, POD),
                ("POST pods/pod/restart", 304, ""),
            ],
            &[],
        ),
        (
            "KillPod",
            json!({"name": "p", "signal": 9}),
            &[
                ("GET pods/p/json", 200, POD),
                ("POST pods/pod/kill?signal=9", 409, r#"{"Errs":["x"]}"#),
            ],
            &[("/0", "\"io.podman.PodContainerError\"")],
        ),
        (
            "PausePod",
            name(),
            &[
                ("GET pods/p/json", 200, POD),
                ("POST pods/pod/pause", 200, "{}"),
            ],
            &[],
        ),
        (
            "UnpausePod",
            name(),
            &[
                ("GET pods/p/json", 200, POD),
                ("POST pods/pod/unpause", 200, "{}"),
            ],
            &[],
        ),
        (
            "RemovePod",
            json!({"name": "p", "force": true}),
            &[
                ("GET pods/p/json", 200, POD),
                ("DELETE pods/pod?force=true", 200, "{}"),
            ],
            &[("/pod", "\"pod\"")],
        ),
        (
            "TopPod",
            json!({"pod": "p"}),
            &[("GET pods/p/top", 200, "{}")],
            &[],
        ),
        (
            "TopPod",
            json!({"pod": "", "latest": true}),
            &[
                (
                    "GET pods/json",
                    200,
                    r#"[{"Id":"old","Created":"2020-01-01T00:00:00Z"},{"Id":"new","Created":"2026-01-01T00:00:00Z"}]"#,
                ),
                ("GET pods/new/top", 200, "{}"),
            ],
            &[],
        ),
        (
            "GetPodStats",
            name(),
            &[("GET pods/p/json", 200, POD), (STATS_OF, 200, STATS)],
            &[("/containers/0/pids", "2")],
        ),
        (
            "GetPodStats",
            name(),
            &[("GET pods/p/json", 200, r#"{"Id":"pod"}"#)],
            &[("/0", "\"io.podman.NoContainersInPod\"")],
        ),
        (
            "VolumeCreate",
            json!({"options": {"volumeName": "v", "labels": {"a": "b"}}}),
            &[(
                "POST volumes/create {\"Driver\":\"\",\"Label\":{\"a\":\"b\"},\"Name\":\"v\",\"Options\":null}",
                201,
                r#"{"Name":"v"}"#,
            )],
            &[("/volumeName", "\"v\"")],
        ),
        (
            "GetVolumes",
            json!({"args": ["v"]}),
            &[("GET volumes/v/json", 200, r#"{"Name":"v","Labels":null}"#)],
            &[("/volumes/0/name", "\"v\"")],
        ),
        (
            "InspectVolume",
            json!({"name": "v"}),
            &[("GET volumes/v/json", 404, "{}")],
            &[("/0", "\"io.podman.VolumeNotFound\"")],
        ),
        (
            "VolumesPrune",
            json!({}),
            &[(
                "POST volumes/prune",
                200,
                r#"[{"Id":"v"},{"Id":"w","Err":"x"}]"#,
            )],
            &[("/prunedNames/0", "\"v\""), ("/prunedErrors/0", "\"x\"")],
        ),
    ]);
}

#[test]
fn an_inspected_pod_has_the_members_of_podman_1() {
    let found = once(
        "InspectPod",
        json!({"name": "p"}),
        &[(
            "GET pods/p/json",
            200,
            r#"{"Id":"pod","State":"Running","Labels":null,"Containers":[{"Id":"abc","State":"exited"}]}"#,
        )],
    );
    let pod: Value = varlink::serde_json::from_str(found["pod"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&pod["Id"], &pod["Config"]["id"]),
        (&json!("pod"), &json!("pod"))
    );
    assert_eq!(
        (&pod["State"]["status"], &pod["Config"]["labels"]),
        (&json!("Running"), &json!({}))
    );
    assert_eq!(pod["Containers"], json!([{"id": "abc", "state": "exited"}]));
}
