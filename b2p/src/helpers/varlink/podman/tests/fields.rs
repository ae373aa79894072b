// SPDX-License-Identifier: Apache-2.0
//! Structures of replies, and progress.

use super::*;

#[test]
fn a_list_has_every_declared_field() {
    let script: Script = &[(
        "GET containers/json?all=true&size=true&namespace=true",
        200,
        r#"[{"Id":"abc","Names":["a","b"],"State":"created","Pid":0,"Mounts":["/data"],"Labels":null,"Ports":[{"host_port":8080,"container_port":80,"host_ip":"","protocol":"tcp"}],"Size":{"rootFsSize":5,"rwSize":3},"Namespaces":{"Mnt":"4026"}}]"#,
    )];
    let found = once("ListContainers", json!({}), script);
    let container = &found["containers"][0];
    assert_eq!(
        (container["names"].as_str(), container["status"].as_str()),
        (Some("a,b"), Some("configured"))
    );
    assert_eq!(container["ports"][0]["host_port"], "8080");
    let description = Description::parse(DESCRIPTION).unwrap();
    let declared = |name: &str| -> Vec<String> {
        let found = description
            .members
            .iter()
            .find(|member| member.name == name)
            .map(|m| &m.kind);
        let Some(idl::Kind::Type(idl::Type::Fields(fields))) = found else {
            panic!("no type {name}");
        };
        let mut names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        names.sort();
        names
    };
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(container), declared("Container"));
    assert_eq!(
        keys(&container["namespaces"]),
        declared("ContainerNameSpace")
    );
    let rows = once(
        "Ps",
        json!({"opts": {"last": -1}}),
        &[("GET containers/json?pod=true&namespace=true", 200, "[{}]")],
    );
    assert_eq!(keys(&rows["containers"][0]), declared("PsContainer"));
    let images = once(
        "ListImages",
        json!({}),
        &[("GET images/json?all=true", 200, r#"[{"Created":0}]"#)],
    );
    assert_eq!(keys(&images["images"][0]), declared("Image"));
    assert_eq!(images["images"][0]["created"], "1970-01-01T00:00:00Z");
    let info = once("GetInfo", json!({}), &[("GET info", 200, "{}")]);
    assert_eq!(keys(&info["info"]["host"]), declared("InfoHost"));
    assert_eq!(keys(&info["info"]["store"]), declared("InfoStore"));
    let pods = once(
        "ListPods",
        json!({}),
        &[("GET pods/json", 200, r#"[{"Containers":[{}]}]"#)],
    );
    assert_eq!(keys(&pods["pods"][0]), declared("ListPodData"));
}

#[test]
fn progress_is_streamed_and_an_error_may_follow_success() {
    let script: Script = &[(
        "POST images/pull?reference=web&policy=missing",
        200,
        "{\"stream\":\"a\"}\n{\"stream\":\"b\"}\n{\"images\":[\"x\"],\"id\":\"abc\"}\n",
    )];
    let replies = call("PullImage", json!({"name": "web"}), true, script);
    let shown: Vec<Value> = replies
        .iter()
        .map(|reply| reply.parameters["reply"].clone())
        .collect();
    assert_eq!(
        shown,
        [
            json!({"logs": ["a"], "id": ""}),
            json!({"logs": ["b"], "id": ""}),
            json!({"logs": [], "id": "abc"})
        ]
    );
    let one = call("PullImage", json!({"name": "web"}), false, script);
    assert_eq!(
        one[0].parameters["reply"],
        json!({"logs": ["a", "b"], "id": "abc"})
    );
    let script: Script = &[(
        "POST images/pull?reference=web&policy=missing",
        200,
        "{\"error\":\"no such image\"}\n",
    )];
    let expected = json!(["io.podman.ErrorOccurred", {"reason": "no such image"}]);
    assert_eq!(
        once("PullImage", json!({"name": "web", "creds": {}}), script),
        expected
    );
}
