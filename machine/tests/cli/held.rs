// SPDX-License-Identifier: Apache-2.0
//! Machines that seem to run: this process holds the locks of their keeper and QEMU.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use machine::state::State;
use machine::store::record::{Forward, RunRecord};
use machine::store::{Dirs, Machine};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::Host;

fn machine(host: &Host, name: &str) -> Machine {
    let dirs = Dirs {
        storage: host.path().join("store"),
        runtime: host.path().join("pm"),
    };
    dirs.create().unwrap();
    let machine = Machine::at(&dirs, name);
    machine.make_run().unwrap();
    machine
}

fn record() -> RunRecord {
    RunRecord {
        ssh_port: 40000,
        forwards: vec![Forward {
            protocol: "tcp".into(),
            address: "127.0.0.1".into(),
            port: 8080,
            guest: 80,
        }],
        ..RunRecord::new(State::Running)
    }
}

/// Makes a machine seem to run until the files are closed.
fn runs(machine: &Machine) -> Vec<File> {
    machine.save_run_record(&record()).unwrap();
    let lock = |name: &str| {
        let file = File::create(machine.run_file(name)).unwrap();
        // SAFETY: none is needed; the structure is plain data.
        let range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&range)).unwrap();
        file
    };
    ["keeper.pid", "qemu.pid"].map(lock).into()
}

#[test]
fn spellings_of_the_storage_path_name_one_machine() {
    let host = Host::new();
    let machine = machine(&host, "box2");
    let _locks = runs(&machine);
    symlink("store", host.path().join("alias")).unwrap();
    symlink(".", host.path().join("here")).unwrap();
    for storage in [
        "store",
        "store/",
        "./store/.",
        "alias",
        "alias/",
        "here/store",
    ] {
        let line = format!("podman-machine -s {storage} status box2");
        let expected = (0, "Running\n".to_owned(), String::new());
        assert_eq!(host.run(&line), expected, "{storage}");
    }
    // A machine that a version started which did not look through links.
    let other = machine.run.with_file_name("0badcafe");
    fs::rename(&machine.run, &other).unwrap();
    let link = machine.file("run");
    fs::remove_file(&link).unwrap();
    symlink(&other, link).unwrap();
    assert_eq!(host.run("podman-machine status box2").1, "Running\n");
}

#[test]
fn a_runtime_directory_of_others_is_not_used() {
    let host = Host::new();
    let _locks = runs(&machine(&host, "box2"));
    let runtime = host.path().join("pm");
    fs::set_permissions(&runtime, Permissions::from_mode(0o777)).unwrap();
    for command in [
        "status box2",
        "env box2",
        "url box2",
        "config box2",
        "inspect box2",
        "stop box2",
        "kill box2",
        "ls",
        "active",
        "ssh box2",
        "connect box2",
        "events box2",
        "logs box2",
        "version box2",
        "ports box2",
        "rm -f box2",
        "console box2",
    ] {
        let (status, out, errors) = host.run(&format!("podman-machine {command}"));
        let expected = format!(
            "Error: {} is not a directory of mode 0700 that belongs to you: remove it, or set XDG_RUNTIME_DIR\n",
            runtime.display()
        );
        assert_eq!(
            (status, out.as_str(), errors),
            (1, "", expected),
            "{command}"
        );
    }
}

#[test]
fn the_record_of_a_run_that_is_over_does_not_count() {
    let host = Host::new();
    let machine = machine(&host, "box2");
    let locks = runs(&machine);
    let url = host.run("podman-machine url --ssh box2").1;
    assert_eq!(url, "ssh://core@127.0.0.1:40000/run/podman/podman.sock\n");
    let ports = || host.run("podman-machine ports --json box2").1;
    let port = || {
        host.run("podman-machine inspect -f {{.SSHConfig.Port}} box2")
            .1
    };
    assert!(ports().contains("\"Listens\": true"), "{}", ports());
    assert_eq!(port(), "40000\n");
    drop(locks);
    assert_eq!((ports().as_str(), port().as_str()), ("[]\n", "0\n"));
}

#[test]
fn a_machine_is_called_by_its_directory_and_stray_files_are_none() {
    let host = Host::new();
    let machines = host.path().join("store/machines");
    fs::rename(machines.join("box10"), machines.join("moved")).unwrap();
    let format = "podman-machine inspect -f {{.Name}}:{{.Driver.MachineName}} moved";
    assert_eq!(host.run(format).1, "moved:moved\n");
    host.run("podman-machine rm -f torn");
    fs::write(machines.join("stray"), "").unwrap();
    assert_eq!(host.run("podman-machine ls -q").1, "box2\nmoved\n");
    let (status, _, errors) = host.run("podman-machine prune");
    assert_eq!((status, errors.as_str()), (0, ""));
}

#[test]
fn console_continues_after_eof_and_a_second_console_is_refused() {
    let host = Host::new();
    let machine = machine(&host, "box2");
    let _locks = runs(&machine);
    let listener = UnixListener::bind(machine.run_file("con.sock")).unwrap();
    let mut first = host.command("podman-machine console box2");
    let first = first
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut guest = listener.accept().unwrap().0;
    let (status, _, errors) = host.run("podman-machine console box2");
    assert_eq!(
        (status, errors.as_str()),
        (
            1,
            "Error: another `podman-machine console` is connected to \"box2\"\n"
        )
    );
    // QEMU takes the end of the input for the end of the client.
    guest
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let end = loop {
        match guest.read(&mut [0]).map_err(|error| error.kind()) {
            // A read with a time limit is not restarted after a signal (signal(7)).
            Err(ErrorKind::Interrupted) => {}
            end => break end,
        }
    };
    assert_eq!(end, Err(ErrorKind::WouldBlock));
    guest.write_all(b"hello\n").unwrap();
    drop(guest);
    let out = first.wait_with_output().unwrap();
    assert_eq!(
        (out.status.code(), out.stdout.as_slice()),
        (Some(0), b"hello\n".as_slice())
    );
}

#[test]
fn an_image_of_a_snapshot_is_kept() {
    let host = Host::new();
    let id = |digit: &str| format!("sha256-{}", digit.repeat(64));
    for digit in ["1", "2"] {
        fs::create_dir_all(host.path().join("store/cache").join(id(digit))).unwrap();
    }
    let snapshots = host.path().join("store/machines/box2/snapshots");
    fs::create_dir(&snapshots).unwrap();
    fs::write(
        snapshots.join("a.json"),
        format!("{{\"hardware\": [\"image {}\"]}}", id("1")),
    )
    .unwrap();
    host.run("podman-machine rm -f torn");
    let (status, out, _) = host.run("podman-machine prune");
    assert_eq!((status, out), (0, format!("{}  0 MB\n", id("2"))));
}

#[test]
fn a_copy_that_is_interrupted_leaves_no_file() {
    let host = Host::new();
    let machines = ["box2", "box10"].map(|name| machine(&host, name));
    let _locks: Vec<_> = machines.iter().map(runs).collect();
    for machine in &machines {
        fs::write(machine.file("ssh_config"), "").unwrap();
    }
    let scp = host.path().join("scp");
    fs::write(&scp, "#!/bin/sh\n: >begun\nsleep 5\n").unwrap();
    fs::set_permissions(&scp, Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut copy = host.command("podman-machine scp box2:/a box10:/b");
    copy.env("PATH", format!("{}:{path}", host.path().display()));
    let mut copy = copy.spawn().unwrap();
    let joined = || {
        let entries = fs::read_dir(host.path().join("pm")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("scp-")).count()
    };
    tests::eventually(Duration::from_secs(30), || {
        anyhow::ensure!(host.path().join("begun").exists(), "scp does not run");
        Ok(())
    })
    .unwrap();
    assert_eq!(joined(), 1);
    let pid = nix::unistd::Pid::from_raw(copy.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(copy.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(joined(), 0);
}
