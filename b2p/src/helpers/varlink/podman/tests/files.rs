// SPDX-License-Identifier: Apache-2.0
//! Methods that read and write archives, and the refused paths.

use std::path::Path;

use super::*;
use varlink::serde_json::json;

/// Puts a file into the spool that [`call`] gives to a method; returns its path.
fn spooled(method: &str, content: &str) -> String {
    let dir = socket(method).with_extension("spool");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("0123456789abcdef".repeat(2));
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Returns the content of a file of the spool, and removes the spool.
fn taken(path: &Value) -> String {
    let path = Path::new(path.as_str().unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    text
}

#[test]
fn archives_go_into_the_spool() {
    let found = once(
        "ExportContainer",
        json!({"name": "web"}),
        &[("GET containers/web/export", 200, "tar")],
    );
    assert_eq!(taken(&found["tarfile"]), "tar");
    let found = once(
        "ImageSave",
        json!({"options": {"name": "web", "format": "oci-archive", "compress": true}}),
        &[(
            "GET images/web/get?format=oci-archive&compress=true",
            200,
            "oci",
        )],
    );
    assert_eq!(taken(&found["reply"]["id"]), "oci");
    let wrong = once(
        "ImageSave",
        json!({"options": {"name": "web", "format": "../x"}}),
        &[],
    );
    assert_eq!(wrong[0], "io.podman.ErrorOccurred");
    let missing = once(
        "ExportContainer",
        json!({"name": "web"}),
        &[("GET containers/web/export", 404, "{}")],
    );
    assert_eq!(missing[0], "io.podman.ContainerNotFound");
}

#[test]
fn an_image_is_exported_to_a_new_file_or_to_a_registry() {
    let path = format!("/tmp/b2p-export-{}", std::process::id());
    let found = once(
        "ExportImage",
        json!({"name": "web", "destination": format!("docker-archive:{path}:tag")}),
        &[
            ("GET images/web/json", 200, WEB),
            ("GET images/web/get?format=docker-archive", 200, "tar"),
        ],
    );
    assert_eq!(found, json!({"image": "abc"}));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "tar");
    std::fs::remove_file(&path).unwrap();
    let found = once(
        "ExportImage",
        json!({"name": "web", "destination": "docker://host/web"}),
        &[
            ("GET images/web/json", 200, WEB),
            (
                "POST images/web/push?destination=host%2Fweb&quiet=false",
                200,
                "{\"stream\":\"x\"}",
            ),
        ],
    );
    assert_eq!(found, json!({"image": "abc"}));
    let refused = once(
        "ExportImage",
        json!({"name": "web", "destination": "docker-archive:/etc/passwd"}),
        &[("GET images/web/json", 200, WEB)],
    );
    assert_eq!(refused[0], "io.podman.ErrorOccurred");
}

#[test]
fn the_connection_of_a_file_carries_the_next_call() {
    let (socket, served) = podman(
        "SendFile",
        &[("POST images/load tar", 200, r#"{"Names":["a:1"]}"#)],
    );
    let spool = socket.with_extension("spool");
    let interface = podman_of(Api {
        socket: socket.clone(),
        spool: spool::Spool::at(spool.clone()),
    });
    let (own, other) = UnixStream::pair().unwrap();
    let service = Service {
        interfaces: &[&interface],
        ..super::super::super::resolver::PRODUCT
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            service
                .run(Connection::new(other, 1 << 20).unwrap())
                .unwrap()
        });
        let mut own = own;
        let upgrade = |method: &str, parameters: Value| Call {
            upgrade: true,
            ..Call::new(format!("io.podman.{method}"), map(parameters))
        };
        // The first byte of the file arrives with the call, as from a buffered client.
        let sent = upgrade("SendFile", json!({"length": 3})).encode();
        own.write_all(&[&sent[..], b"t"].concat()).unwrap();
        own.write_all(b"ar").unwrap();
        let mut client = Client::new(own.try_clone().unwrap().into()).unwrap();
        let path = client.receive().unwrap().unwrap().parameters["file_handle"].clone();
        let path = path.as_str().unwrap();
        let mut answer = vec![0; path.len() + 1];
        read_after(client, &mut answer);
        assert_eq!(answer, format!("{path}:").into_bytes());
        let mut client = Client::new(own.try_clone().unwrap().into()).unwrap();
        let receive = upgrade("ReceiveFile", json!({"path": path}));
        let reply = client.call(&receive).unwrap();
        assert_eq!(reply.parameters["len"], 3);
        let mut file = vec![0; 3];
        read_after(client, &mut file);
        assert_eq!(file, b"tar");
        let load = Call::new(
            "io.podman.LoadImage",
            map(json!({"inputFile": path, "deleteFile": true})),
        );
        let reply = Client::new(own.into()).unwrap().call(&load).unwrap();
        assert_eq!(reply.parameters["reply"]["id"], "a:1");
    });
    assert_eq!(served.join().unwrap(), ["POST images/load tar"]);
    std::fs::remove_dir_all(spool).unwrap();
}

/// Reads the bytes after the last message, up to the length of `into`.
fn read_after(client: Client, into: &mut [u8]) {
    let raw = client.into_connection().into_raw();
    std::io::Cursor::new(raw.early)
        .chain(raw.input)
        .read_exact(into)
        .unwrap();
}

#[test]
fn an_archive_of_the_spool_is_loaded_and_imported() {
    let path = spooled("LoadImage", "tar");
    let found = once(
        "LoadImage",
        json!({"inputFile": path, "deleteFile": true}),
        &[("POST images/load tar", 200, r#"{"Names":["a:1","b:2"]}"#)],
    );
    assert_eq!(found["reply"]["id"], "a:1,b:2");
    assert!(!Path::new(&path).exists());
    let path = spooled("ImportImage", "tar");
    let found = once(
        "ImportImage",
        json!({"source": path, "reference": "web", "changes": ["CMD a", "USER b"]}),
        &[(
            "POST images/import?reference=web&changes=CMD%20a&changes=USER%20b tar",
            200,
            r#"{"Id":"sha256:abc"}"#,
        )],
    );
    assert_eq!(found, json!({"image": "abc"}));
    assert_eq!(taken(&json!(path)), "tar");
    let found = once(
        "ImportImage",
        json!({"source": "https://host/a.tar"}),
        &[(
            "POST images/import?url=https%3A%2F%2Fhost%2Fa%2Etar",
            200,
            r#"{"Id":"abc"}"#,
        )],
    );
    assert_eq!(found, json!({"image": "abc"}));
    for path in ["/etc/shadow", "../x", "file:///etc/passwd", "-", ""] {
        for (method, parameters) in [
            ("LoadImage", json!({"inputFile": path, "deleteFile": true})),
            ("ImportImage", json!({"source": path, "delete": true})),
        ] {
            let refused = once(method, parameters, &[]);
            assert_eq!(refused[0], "io.podman.ErrorOccurred", "{method} {path}");
        }
    }
}

#[test]
fn a_build_has_its_context_from_the_spool() {
    let path = spooled("BuildImage", "tar");
    let build = json!({"build": {
        "contextDir": path, "output": "web", "additionalTags": ["two"], "pullPolicy": "PullAlways",
        "dockerfiles": ["/home/ann/web/Dockerfile", "a/b"],
        "buildArgs": {"A": "1"}, "layers": true, "nocache": true, "label": ["a=b"],
        "buildOptions": {"memory": 5, "addHosts": ["a:1"], "cpuPeriod": 0, "volume": ["/a:/b"], "cgroupParent": "/web"},
    }});
    let script: Script = &[(
        "POST build?t=web&pullpolicy=always&t=two&nocache=true&layers=true&dockerfile=%5B%22Dockerfile%22%2C%22a%2Fb%22%5D\
         &buildargs=%7B%22A%22%3A%221%22%7D&labels=%7B%22a%22%3A%22b%22%7D&extrahosts=%5B%22a%3A1%22%5D&cgroupparent=%2Fweb&memory=5\
         &volume=%2Fa%3A%2Fb tar",
        200,
        "{\"stream\":\"STEP 1\"}\n{\"stream\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\\n\"}\n",
    )];
    let replies = call("BuildImage", build, true, script);
    let id = "0123456789abcdef".repeat(4);
    let shown: Vec<&Value> = replies
        .iter()
        .map(|reply| &reply.parameters["image"])
        .collect();
    assert_eq!(
        shown,
        [
            &json!({"logs": ["STEP 1"], "id": ""}),
            &json!({"logs": [id.clone() + "\n"], "id": id}),
            &json!({"logs": [], "id": id})
        ]
    );
    assert!(!Path::new(&path).exists());
    for (build, more) in [
        (json!({"contextDir": "/etc", "dockerfiles": []}), true),
        (json!({"contextDir": path, "dockerfiles": ["../x"]}), true),
        (json!({"contextDir": path, "dockerfiles": ["/x/.."]}), true),
        (json!({"contextDir": path, "dockerfiles": ["/x/"]}), true),
        (json!({"contextDir": path, "dockerfiles": [""]}), true),
        (json!({"contextDir": path}), false),
    ] {
        let path = spooled("BuildImage", "tar");
        let replies = call("BuildImage", json!({"build": build}), more, &[]);
        assert_eq!(replies[0].error.as_deref(), Some("io.podman.ErrorOccurred"));
        // A named context is removed with the call that built from it.
        let is_named = more && build["contextDir"] == path;
        assert_eq!(Path::new(&path).exists(), !is_named, "{build}");
    }
    for (field, value) in [
        ("signBy", json!("me")),
        ("transientMounts", json!(["/a:/b"])),
    ] {
        let build = json!({"build": {field: value, "contextDir": path, "dockerfiles": ["a"]}});
        let reply = &call("BuildImage", build, true, &[])[0];
        let reason = reply.parameters["reason"].as_str().unwrap();
        assert!(reason.starts_with(field), "{reason}");
    }
    let _ = std::fs::remove_dir_all(Path::new(&path).parent().unwrap());
}

#[test]
fn an_archive_is_pulled_from_a_file() {
    let path = spooled("PullImage", "tar");
    let script: Script = &[
        (
            "POST images/load tar",
            200,
            "{\"Names\":[\"localhost/web:1\"]}",
        ),
        (
            "GET images/localhost%2Fweb%3A1/json",
            200,
            "{\"Id\":\"abc\"}",
        ),
    ];
    let name = json!({"name": format!("docker-archive:{path}:web")});
    let reply = json!({"reply": {"logs": [], "id": "abc"}});
    assert_eq!(once("PullImage", name, script), reply);
    for name in [
        "docker-archive:/etc/shadow",
        "oci-archive:",
        "docker-archive",
    ] {
        let script: &[_] = match name.contains(':') {
            true => &[],
            false => &[(
                "POST images/pull?reference=docker-archive&policy=missing",
                500,
                "{}",
            )],
        };
        let found = once("PullImage", json!({"name": name}), script);
        assert_eq!(found[0], "io.podman.ErrorOccurred", "{name}: {found}");
    }
    let _ = std::fs::remove_dir_all(Path::new(&path).parent().unwrap());
}

#[test]
fn files_need_an_upgrade_and_a_path_of_the_spool() {
    for (method, parameters) in [
        ("SendFile", json!({"type": "", "length": 1})),
        ("ReceiveFile", json!({"path": "/etc/shadow"})),
    ] {
        let refused = once(method, parameters, &[]);
        assert!(
            refused[1]["reason"].as_str().unwrap().contains("upgrade"),
            "{refused}"
        );
    }
}
