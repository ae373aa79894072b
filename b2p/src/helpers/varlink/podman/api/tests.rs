// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn name_of(failure: Failure) -> (String, Value) {
    match failure {
        Failure::Reply(reply) => (reply.error.unwrap(), Value::Object(reply.parameters)),
        Failure::Lost(error) => panic!("{error}"),
    }
}

#[test]
fn each_status_has_its_error() {
    let body = br#"{"cause":"no such container","message":"no container web","response":404}"#;
    for (kind, status, path, body, error, parameters) in [
        (
            Kind::Container,
            404,
            "containers/web/json",
            &body[..],
            "ContainerNotFound",
            json!({"id": "web", "reason": "no container web"}),
        ),
        (
            Kind::Image,
            404,
            "x",
            body,
            "ImageNotFound",
            json!({"id": "web", "reason": "no container web"}),
        ),
        (
            Kind::Pod,
            404,
            "x",
            body,
            "PodNotFound",
            json!({"name": "web", "reason": "no container web"}),
        ),
        (
            Kind::Volume,
            404,
            "x",
            body,
            "VolumeNotFound",
            json!({"id": "web", "reason": "no container web"}),
        ),
        (
            Kind::None,
            404,
            "x",
            body,
            "ErrorOccurred",
            json!({"reason": "no container web"}),
        ),
        (
            Kind::Container,
            304,
            "containers/web/stop?timeout=1",
            b"",
            "ErrCtrStopped",
            json!({"id": "web"}),
        ),
        (
            Kind::Container,
            304,
            "containers/web/start",
            b"",
            "ErrorOccurred",
            json!({"reason": "container is already running or paused"}),
        ),
        (
            Kind::Container,
            409,
            "containers/web/stop",
            b"bad",
            "InvalidState",
            json!({"id": "web", "reason": "bad"}),
        ),
        (
            Kind::Image,
            409,
            "images/web",
            b"in use\n",
            "ErrorOccurred",
            json!({"reason": "in use"}),
        ),
        (
            Kind::Image,
            500,
            "images/web",
            b"",
            "ErrorOccurred",
            json!({"reason": "podman answered with the status 500"}),
        ),
    ] {
        let found = name_of(failure(kind, "web", status, path, body));
        assert_eq!(
            found,
            (format!("io.podman.{error}"), parameters),
            "{status} {path}"
        );
    }
}

#[test]
fn queries_and_filters() {
    assert_eq!(
        query(&[("a", ""), ("b", "x y"), ("c", "1")]),
        "?b=x%20y&c=1"
    );
    assert_eq!(query(&[("a", "")]), "");
    let list = ["status=running", "status=paused", "label=a=b", "x"];
    let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
    let expected = r#"{"label":["a=b"],"status":["running","paused"],"x":[""]}"#;
    assert_eq!(filters(&list), expected);
    assert_eq!(filters(&[]), "");
}
