// SPDX-License-Identifier: Apache-2.0
//! Ends of the tool `varlink` and of its services: readers that go, signals, and shortages.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{B2P, Resolver, info, run};

/// Waits for the end of a process.
fn end(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_bridge_ends_with_the_reader_of_its_output() {
    let resolver = Resolver::start("reader");
    let address = &resolver.address();
    for args in [&["bridge", "-c", address][..], &["-R", address, "bridge"]] {
        let mut command = Command::new(B2P);
        command.arg("varlink").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        // Its input is open.
        end(&mut child);
    }
}

/// `call -m` runs until Ctrl-C, which libvarlink's tool takes for the end that the user wants; `sh` counts one of a
/// program that the signal ends as 130.
#[test]
fn ctrl_c_is_a_success() {
    let mut command = Command::new(B2P);
    let service = "dd bs=1 count=10 of=/dev/null status=none; printf '{\"parameters\":{\"a\":1},\"continues\":true}\\0'; exec sleep 60";
    let bridge = format!("sh -c '{}'", service.replace('\'', "'\\''"));
    command.args(["varlink", "-b", &bridge, "call", "-m", "a.b.C"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "{\n");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(end(&mut child).code(), Some(0));
}

/// A bridge copies bytes and knows of no replies: a service may be silent for longer than `-t`.
#[test]
fn a_bridge_has_no_time_limit() {
    let silent = "sh -c 'sleep 2; echo late'";
    let (status, out, _) = run(&["-t", "1", "-b", silent, "bridge"]);
    assert_eq!((status, out.as_str()), (0, "late\n"));
}

/// Clients for which a service has no descriptor wait for the end of others.
#[test]
fn a_service_survives_a_shortage_of_descriptors() {
    let script = "ulimit -n 16; exec \"$0\" \"$@\"";
    let resolver = Resolver::start_by("shortage", &["sh", "-c", script, B2P]);
    let connect = |_| UnixStream::connect(resolver.dir.join("resolver")).unwrap();
    let mut clients: Vec<UnixStream> = (0..12).map(connect).collect();
    for client in &mut clients {
        let call = b"{\"method\":\"org.varlink.service.GetInfo\"}\0";
        client.write_all(call).unwrap();
    }
    let mut reply = Vec::new();
    let mut first = BufReader::new(clients.remove(0));
    first.read_until(0, &mut reply).unwrap();
    // The server has met the shortage by now, and has paused.
    std::thread::sleep(Duration::from_millis(500));
    drop((first, clients));
    assert_eq!(
        run(&["info", &resolver.address()]),
        (0, info(), String::new())
    );
}
