// SPDX-License-Identifier: Apache-2.0
//! Settings of machines that do not run, and settings that are refused.

use std::fs;

use crate::Host;

#[test]
fn settings_of_a_machine_that_is_off_are_in_its_file() {
    let host = Host::new();
    let shared = host.path().join("folder");
    fs::create_dir(&shared).unwrap();
    let add = format!(
        "podman-machine share add box2 {}:/mnt/folder:ro",
        shared.display()
    );
    #[rustfmt::skip]
    let rows = [
        ("podman-machine set box2 cpus=1 memory=1G flag.tz=UTC --ssh-port 2222", "{{.Resources.CPUs}} {{.Resources.Memory}} {{.Flags}} {{.SSHConfig.Port}}", "1 1024 [tz=UTC] 2222\n"),
        ("podman-machine set --cpus 1 box2 flag.tz=", "{{.Resources.CPUs}} {{.Flags}}", "1 []\n"),
        (add.as_str(), "{{.Name}}", "box2\n"),
        ("podman-machine ports add box2 0.0.0.0:8080:80", "{{.Name}}", "box2\n"),
        ("podman-machine ports add box2 127.0.0.1:8080", "{{.Name}}", "box2\n"),
        ("podman-machine ports add box2 9090/udp", "{{.Name}}", "box2\n"),
        ("podman-machine ports rm box2 127.0.0.1:8080", "{{.Name}}", "box2\n"),
        ("podman-machine ports rm box2 9090/udp", "{{.Name}}", "box2\n"),
        ("podman-machine rename box2 web", "{{.Name}}", ""),
    ];
    for (line, format, expected) in rows {
        let (status, _, errors) = host.run(line);
        assert_eq!((status, errors.as_str()), (0, ""), "{line}");
        let mut inspect = host.command("podman-machine inspect box2 -f");
        let out = inspect.arg(format).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), expected, "{line}");
    }
    let (_, list, _) = host.run("podman-machine share list web");
    assert!(list.contains("/mnt/folder   ro"), "{list}");
    let (_, list, _) = host.run("podman-machine ports --json web");
    assert!(
        list.contains("\"GuestPort\": 80,") && list.contains("\"Listens\": false"),
        "{list}"
    );
    // Without an address, a port is taken back from each.
    let expected = (0, String::new(), String::new());
    assert_eq!(host.run("podman-machine ports rm web 8080"), expected);
    assert_eq!(host.run("podman-machine ports --json web").1, "[]\n");
}

#[test]
fn flags_that_the_machine_would_refuse_are_refused_at_once() {
    let host = Host::new();
    for (line, words) in [
        ("podman-machine create --flag podman=x new", "podman"),
        (
            "podman-machine create --flag nosuchflag=1 new",
            "nosuchflag",
        ),
        (
            "podman-machine create -v /nonexistent new",
            "no such directory on this host",
        ),
        (
            "podman-machine create -v /:/usr new",
            "a directory of the system",
        ),
        ("podman-machine create --memory 8M new", "at least 256 MiB"),
        (
            "podman-machine create --cpus 512 new",
            "--cpus: this host has ",
        ),
        (
            "podman-machine create --memory 99999G new",
            "--memory: this host has ",
        ),
        ("podman-machine create --disk 1k new", "from 256 MiB"),
        ("podman-machine create --disk 9999999T new", "to 1024 TiB"),
        (
            "podman-machine create --image /nonexistent new",
            "no such file",
        ),
        (
            "podman-machine create --image /etc/passwd new",
            "neither a disc image nor a disk",
        ),
    ] {
        let (status, _, errors) = host.run(line);
        assert_eq!(status, 3, "{line}: {errors}");
        assert!(
            errors.contains(words) && errors.lines().count() == 1,
            "{line}: {errors}"
        );
    }
}
