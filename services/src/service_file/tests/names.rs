// SPDX-License-Identifier: Apache-2.0
//! Names of services, sizes of files, and places of sockets.

use super::*;

#[test]
fn sizes_and_names_are_bounded() {
    let long = format!("exec /x\n{}", "#".repeat(MAX_FILE_BYTES));
    assert!(errors(&long)[0].contains("too long"));
    let fits = format!("exec /x\n{}", "#".repeat(MAX_FILE_BYTES - 8));
    assert!(read(&fits).is_ok());
    for name in ["", "-a", "A", "a/b", "..", "a.b", &"a".repeat(65), "ä"] {
        assert!(parse(name, b"exec /x", "", "").is_err(), "{name}");
    }
    let right = ["a", "0", "a-", &"a".repeat(64)];
    assert!(
        right
            .iter()
            .all(|name| parse(name, b"exec /x", "", "").is_ok())
    );
    let errors = parse("a\nb\u{9b}2J", b"exec /x", "", "").expect_err("no name");
    assert_eq!(errors.0[0].file, "a");
    assert!(parse("demo", b"exec /x\xff", "", "").is_err());
    assert!(parse("demo", b"exec /x\0", "", "").is_err());
}

/// A user's logins are in one cgroup, and the processes that the machine runs as the user are in
/// another.
#[test]
fn a_service_of_a_user_may_not_be_called_session_or_containers() {
    for name in ["session", "containers"] {
        let read = |text: &str| parse(name, text.as_bytes(), PASSWD, GROUP).map(Parsed::leak);
        let errors = read("exec /x\nuser core\n").expect_err(name);
        assert_eq!(errors.0[0].fault, Fault::CgroupOfUser);
        assert!(errors.to_string().contains("another name"), "{errors}");
        assert!(read("exec /x").is_ok() && read("exec /x\nuser root").is_ok());
    }
    assert!(read("exec /x\nuser core").is_ok());
    assert!(parse("session-a", b"exec /x\nuser core", PASSWD, GROUP).is_ok());
}

/// A path on a disk or on a share could keep PID 1 from all its other work.
#[test]
fn sockets_are_in_memory() {
    let is_right = |path: &str| read(&format!("exec /x\nsocket {path}")).is_ok();
    for right in ["/run/x.sock", "/dev/log", "/tmp/a/b", "/run/user/1000/x..y"] {
        assert!(is_right(right), "{right}");
    }
    let elsewhere = [
        "/x.sock",
        "/var/lib/boot2podman/x",
        "/mnt/share/x",
        "/home/core/x",
        "/var/run/x",
    ];
    let disguised = [
        "/run/../mnt/x",
        "/run/x/..",
        "/runs/x",
        "/run",
        "/run/",
        "/tmp/x/",
    ];
    for wrong in elsewhere.into_iter().chain(disguised) {
        assert!(!is_right(wrong), "{wrong}");
    }
    let long = |bytes: usize| format!("/run/{}", "x".repeat(bytes - 5));
    assert!(is_right(&long(107)) && !is_right(&long(108)));
}
