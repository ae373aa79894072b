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
fn a_row_is_what_a_table_shows() {
    let script: Script = &[(
        "GET containers/json?pod=true&namespace=true",
        200,
        r#"[{"Id":"0123456789abcdef","Command":["sh","-c","echo one; echo two"],"State":"running",
            "Created":"1970-01-01T00:00:10.5+00:00","StartedAt":40,"Pod":"fedcba98765432100","Pid":7,"Names":["a","b"],
            "Mounts":["/x","/y"],"Size":{"rwSize":5},"Namespaces":{"Pidns":"4026"},
            "Ports":[{"host_ip":"","host_port":8080,"container_port":80,"protocol":"tcp"}]}]"#,
    )];
    let rows =
        |options: Value| once("Ps", json!({ "opts": options }), script)["containers"][0].clone();
    let row = rows(json!({}));
    for (name, text) in [
        ("id", "0123456789ab"),
        ("command", "sh -c echo one; e..."),
        ("pod", "fedcba987654"),
        ("ports", "0.0.0.0:8080->80/tcp"),
        ("names", "a,b"),
        ("mounts", "/x /y"),
        ("nsPid", "7"),
        ("pidNs", "4026"),
        ("startedAt", "1970-01-01T00:00:40Z"),
        ("createdAt", "1970-01-01T00:00:10.5+00:00"),
    ] {
        assert_eq!(row[name], text, "{name}");
    }
    assert_eq!((&row["pidNum"], &row["rwSize"]), (&json!(7), &json!(5)));
    assert!(row["created"].as_str().unwrap().ends_with("years ago"));
    assert!(row["status"].as_str().unwrap().starts_with("Up "));
    let row = rows(json!({"noTrunc": true}));
    assert_eq!(row["id"], "0123456789abcdef");
    assert_eq!(row["command"], "sh -c echo one; echo two");
}

#[test]
fn a_member_of_another_type_is_the_zero_value() {
    let script: Script = &[(
        "GET images/json?all=true",
        200,
        r#"[{"Id":7,"RepoTags":["a",1,null],"Size":"5","Labels":{"a":"b","c":1},"ReadOnly":"true","Created":{},"Digest":"d"}]"#,
    )];
    let image = &once("ListImages", json!({}), script)["images"][0];
    let expected = json!({
        "id": "7", "repoTags": ["a"], "size": 0, "labels": {"a": "b"}, "readOnly": false, "created": "0001-01-01T00:00:00Z",
        "digest": "d", "digests": ["d"],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&image[name], value, "{name}");
    }
}

#[test]
fn parameters_of_another_type_are_refused_wherever_they_are() {
    let refused = json!(["org.varlink.service.InvalidParameter", {"parameter": "parameters"}]);
    for (method, parameters) in [
        ("ListContainerProcesses", json!({"name": "a", "opts": "x"})),
        (
            "ListContainerProcesses",
            json!({"name": "a", "opts": ["x", 1]}),
        ),
        ("VolumeCreate", json!({"options": {"labels": {"a": 1}}})),
        ("VolumeCreate", json!({"options": []})),
        ("Ps", json!({"opts": {"last": 1.5}})),
        ("Ps", json!({"opts": {"filters": {"a": "b"}}})),
        (
            "CreateContainer",
            json!({"create": {"args": ["a"], "tty": 1}}),
        ),
        (
            "GetContainerStatsWithHistory",
            json!({"previousStats": {"cpu": "1"}}),
        ),
        ("Reset", json!({})),
    ] {
        let found = once(method, parameters, &[]);
        assert_eq!(found == refused, method != "Reset", "{method}: {found}");
    }
}

#[test]
fn events_are_streamed() {
    let script: Script = &[(
        "GET events?stream=true&filters=%7B%22event%22%3A%5B%22start%22%5D%7D",
        200,
        "{\"Type\":\"container\",\"Action\":\"start\",\"timeNano\":5,\"Actor\":{\"ID\":\"a\",\"Attributes\":{}}}\n\
         {\"Type\":\"container\",\"Action\":\"stop\",\"timeNano\":6,\"Actor\":{\"ID\":\"a\",\"Attributes\":{}}}\n",
    )];
    let replies = call(
        "GetEvents",
        json!({"filter": ["event=start"]}),
        true,
        script,
    );
    let shown: Vec<Value> = replies
        .iter()
        .map(|reply| reply.parameters["events"]["status"].clone())
        .filter(|status| !status.is_null())
        .collect();
    // The last reply is that of the end of the stream.
    assert_eq!(shown, [json!("start"), json!("stop"), json!("")]);
}

#[test]
fn a_parameter_of_no_method_is_no_variable_of_its_rule() {
    let script: Script = &[("GET containers/web/exists", 204, "")];
    let plain = once("ContainerExists", json!({"name": "web"}), script);
    let other = once(
        "ContainerExists",
        json!({"name": "web", "no": true}),
        script,
    );
    assert_eq!((&plain, &other["exists"]), (&other, &json!(0)));
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
