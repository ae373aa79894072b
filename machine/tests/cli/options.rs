// SPDX-License-Identifier: Apache-2.0
//! Options that docker-machine does not have, with machines that do not run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::Host;

#[test]
fn all_machines_and_no_other() {
    let host = Host::new();
    for command in ["stop", "kill", "restart", "suspend"] {
        let expected = (0, String::new(), String::new());
        assert_eq!(
            host.run(&format!("podman-machine {command} --all")),
            expected,
            "{command}"
        );
        let (status, _, errors) = host.run(&format!("podman-machine {command} --all box2"));
        assert_eq!(
            (status, errors.lines().count()),
            (1, 1),
            "{command}: {errors}"
        );
    }
    // Each of them is tried, and none has an image.
    let (status, _, errors) = host.run("podman-machine start --all");
    assert_eq!(status, 1);
    for name in ["\"box2\"", "\"box10\"", "torn"] {
        assert!(errors.contains(name), "{name}: {errors}");
    }
}

#[test]
fn a_user_stands_before_the_machine() {
    let host = Host::new();
    let not_running = "Error: Cannot run SSH command: Host \"box2\" is not running\n";
    let no_login = "Error: -oProxyCommand=x: must be a login name of letters, digits, _, . and -\n";
    for (line, expected) in [
        ("podman-machine ssh tc@box2 ls", not_running),
        ("podman-machine shell tc@box2", not_running),
        ("podman-machine ssh -- -oProxyCommand=x@box2 ls", no_login),
        ("podman-machine scp -- -oProxyCommand=x@box2:/f -", no_login),
        (
            "podman-machine mount -- -oProxyCommand=x@box2:/f .",
            no_login,
        ),
    ] {
        let expected = (1, String::new(), expected.to_owned());
        assert_eq!(host.run(line), expected, "{line}");
    }
}

#[test]
fn words_of_ssh_may_be_any_bytes() {
    let host = Host::new();
    let mut command = host.command("podman-machine ssh box2");
    let out = command.arg(OsStr::from_bytes(b"\xff")).output().unwrap();
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("is not running"),
        "{out:?}"
    );
}

#[test]
fn the_url_by_ssh_needs_a_machine_that_runs_and_the_line_for_ssh_does_not() {
    let host = Host::new();
    assert_eq!(
        host.run("podman-machine url --ssh box2").2,
        "Host is not running\n"
    );
    let mut command = host.command("podman-machine ssh-config --install");
    let out = command.env("HOME", host.path()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let text = fs::read_to_string(host.path().join(".ssh/config")).unwrap();
    assert!(
        text.starts_with("Include \"") && text.ends_with("/store/machines/*/ssh_config\"\n"),
        "{text}"
    );
}
