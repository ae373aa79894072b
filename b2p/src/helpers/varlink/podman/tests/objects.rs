// SPDX-License-Identifier: Apache-2.0
//! One call of each method of podman itself, and of images that no other test calls.

use super::methods::check;
use super::*;

#[test]
fn methods_about_podman_itself() {
    check(vec![
        (
            "GetVersion",
            json!({}),
            &[(
                "GET version",
                200,
                r#"{"Version":"5.4.2","Os":"linux","Arch":"amd64","Components":[{"Details":{"BuildTime":"0"}}]}"#,
            )],
            &[
                ("/os_arch", "\"linux/amd64\""),
                ("/built", "\"1970-01-01T00:00:00Z\""),
                ("/remote_api_version", "1"),
            ],
        ),
        (
            "GetInfo",
            json!({}),
            &[(
                "GET info",
                200,
                r#"{"host":{"arch":"amd64","cpus":2},"registries":{"search":["a"],"b":{"Insecure":true}},"store":{"graphOptions":null}}"#,
            )],
            &[
                ("/info/host/cpus", "2"),
                ("/info/registries/insecure/0", "\"b\""),
                ("/info/store/graph_driver_options", "\"{}\""),
            ],
        ),
        (
            "Reset",
            json!({}),
            &[],
            &[("/0", "\"io.podman.ErrorOccurred\"")],
        ),
        (
            "GenerateKube",
            json!({"name": "p", "service": true}),
            &[(
                "GET generate/kube?names=p&service=true",
                200,
                "# Save\nkind: Service\nspec:\n  a: 80\n---\nkind: Pod\n",
            )],
            &[
                ("/pod/pod", r#""{\"kind\":\"Pod\"}""#),
                (
                    "/pod/service",
                    r#""{\"kind\":\"Service\",\"spec\":{\"a\":80}}""#,
                ),
            ],
        ),
        (
            "ContainerCheckpoint",
            json!({"name": "web", "leaveRunning": true}),
            &[
                ("GET containers/web/json", 200, WEB),
                (
                    "POST containers/abc/checkpoint?leaveRunning=true",
                    500,
                    r#"{"message":"no criu"}"#,
                ),
            ],
            &[
                ("/0", "\"io.podman.ErrorOccurred\""),
                ("/1/reason", "\"no criu\""),
            ],
        ),
        (
            "ContainerRestore",
            json!({"name": "web", "keep": true}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/restore?keep=true", 200, "{}"),
            ],
            &[("/id", "\"abc\"")],
        ),
        (
            "ContainerRunlabel",
            json!({}),
            &[],
            &[("/0", "\"io.podman.ErrorOccurred\"")],
        ),
        (
            "CreateFromCC",
            json!({}),
            &[],
            &[("/0", "\"org.varlink.service.MethodNotImplemented\"")],
        ),
        (
            "GetEvents",
            json!({"filter": ["event=start"]}),
            &[(
                "GET events?stream=false&filters=%7B%22event%22%3A%5B%22start%22%5D%7D",
                200,
                "{\"Type\":\"container\",\"Action\":\"start\",\"timeNano\":5,\"Actor\":{\"ID\":\"abc\",\"Attributes\":{}}}\n",
            )],
            &[
                ("/events/status", "\"start\""),
                ("/events/time", "\"1970-01-01T00:00:00.000000005Z\""),
            ],
        ),
    ]);
}

#[test]
fn methods_of_images() {
    let name = || json!({ "name": "web" });
    check(vec![
        (
            "ListImagesWithFilters",
            json!({"filters": ["dangling=true"]}),
            &[(
                "GET images/json?all=true&filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D",
                200,
                "[]",
            )],
            &[("/images", "[]")],
        ),
        (
            "GetImage",
            json!({"id": "web"}),
            &[(
                "GET images/web/json",
                200,
                r#"{"Id":"abc","RootFS":{"Layers":["a","b"]}}"#,
            )],
            &[("/image/topLayer", "\"b\"")],
        ),
        (
            "HistoryImage",
            name(),
            &[(
                "GET images/web/history",
                200,
                r#"[{"id":"a","created":"2026-01-01T00:00:00Z","tags":["x"]}]"#,
            )],
            &[("/history/0/tags/0", "\"x\"")],
        ),
        (
            "UntagImage",
            json!({"name": "web", "tag": "a:1"}),
            &[
                ("GET images/web/json", 200, WEB),
                ("POST images/web/untag?repo=a&tag=1", 201, ""),
            ],
            &[("/image", "\"abc\"")],
        ),
        (
            "RemoveImage",
            json!({"name": "web", "force": true}),
            &[
                ("GET images/web/json", 200, WEB),
                ("DELETE images/web?force=true", 200, "{}"),
            ],
            &[("/image", "\"abc\"")],
        ),
        (
            "RemoveImageWithResponse",
            name(),
            &[
                ("GET images/web/json", 200, WEB),
                (
                    "DELETE images/web",
                    200,
                    r#"{"Untagged":["a"],"Deleted":["b"]}"#,
                ),
            ],
            &[("/response/deleted", "\"b\"")],
        ),
        (
            "DeleteUnusedImages",
            json!({}),
            &[("POST images/prune?all=true", 200, r#"[{"Id":"a"}]"#)],
            &[("/images", r#"["a"]"#)],
        ),
        (
            "ImagesPrune",
            json!({"all": false}),
            &[("POST images/prune", 200, "null")],
            &[("/pruned", "[]")],
        ),
        (
            "ImageTree",
            json!({"name": "web", "whatRequires": true}),
            &[(
                "GET images/web/tree?whatrequires=true",
                200,
                r#"{"Tree":"x"}"#,
            )],
            &[("/tree", "\"x\"")],
        ),
        (
            "SearchImages",
            json!({"query": "a", "limit": 2, "filter": {"is_official": true, "star_count": 3}}),
            &[(
                "GET images/search?term=a&limit=2&filters=%7B%22is-official%22%3A%5B%22true%22%5D%2C%22stars%22%3A%5B%223%22%5D%7D",
                200,
                r#"[{"Name":"a","Official":"[OK]","Stars":5}]"#,
            )],
            &[("/results/0/is_official", "true")],
        ),
        (
            "Commit",
            json!({"name": "web", "image_name": "a:1", "changes": ["CMD a"], "message": "m"}),
            &[(
                "POST commit?container=web&repo=a&tag=1&comment=m&pause=false&format=docker&changes=CMD%20a",
                201,
                r#"{"Id":"i"}"#,
            )],
            &[("/reply/id", "\"i\"")],
        ),
        (
            "PushImage",
            json!({"name": "web", "tag": "host/web"}),
            &[(
                "POST images/web/push?destination=host%2Fweb&quiet=false",
                200,
                "{\"error\":\"denied\"}",
            )],
            &[("/1/reason", "\"denied\"")],
        ),
        (
            "PushImage",
            json!({"name": "web", "signBy": "me"}),
            &[],
            &[("/0", "\"io.podman.ErrorOccurred\"")],
        ),
    ]);
}
