// SPDX-License-Identifier: Apache-2.0
//! The tool `varlink` and the resolver as programs: output and exit statuses.
#![allow(clippy::unwrap_used)]

mod ends;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

const B2P: &str = env!("CARGO_BIN_EXE_b2p");

/// A resolver, and the directory of its socket.
struct Resolver {
    child: Child,
    dir: PathBuf,
}

impl Resolver {
    fn start(name: &str) -> Resolver {
        Resolver::start_by(name, &[B2P])
    }

    /// Starts the program by other words.
    fn start_by(name: &str, words: &[&str]) -> Resolver {
        let dir = std::env::temp_dir().join(format!("varlink-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("resolver");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.args(["varlink-resolver", &format!("unix:{}", socket.display())]);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        while UnixStream::connect(&socket).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Resolver { child, dir }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.dir.join("resolver").display())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn varlink(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(B2P);
    command.arg("varlink").args(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input has ended by now, maybe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Runs the tool and returns its exit status, its output and its errors.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = varlink(args, b"");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn info() -> String {
    format!(
        "Vendor: boot2podman\nProduct: boot2podman\nVersion: {VERSION}\n\
         URL: https://github.com/boot2podman/boot2podman\nInterfaces:\n  org.varlink.service\n  \
         org.varlink.resolver\n\n"
    )
}

#[test]
fn output_and_status_of_each_command() {
    let resolver = Resolver::start("commands");
    let address = &resolver.address();
    let method = |name: &str| format!("{address}/{name}");
    let ok = |args: &[&str]| {
        let (status, out, error) = run(args);
        assert_eq!((status, error.as_str()), (0, ""), "{args:?}");
        out
    };
    assert_eq!(ok(&["info", address]), info());
    let resolved = "{\n  \"address\": \"unix:/run/org.varlink.resolver;mode=0666\"\n}\n";
    let question = "{\"interface\": \"org.varlink.resolver\"}";
    let resolve = &method("org.varlink.resolver.Resolve");
    assert_eq!(ok(&["call", resolve, question]), resolved);
    assert_eq!(ok(&["call", "-m", resolve, question]), resolved);
    let output = varlink(&["call", resolve, "-"], question.as_bytes());
    assert_eq!(output.stdout, resolved.as_bytes());
    // Without an address the resolver is asked; the resolver itself is at its own address.
    let at_resolver = [
        "-R",
        address,
        "call",
        "org.varlink.resolver.Resolve",
        question,
    ];
    assert_eq!(ok(&at_resolver), resolved);
    assert_eq!(
        ok(&["-R", address, "resolve", "org.varlink.resolver"]),
        format!("{address}\n")
    );
    assert!(
        ok(&["-R", address, "resolve"])
            .lines()
            .any(|line| line == "org.varlink.resolver")
    );
    let help = ok(&["help", &method("org.varlink.service")]);
    assert!(
        help.contains("\nmethod GetInfo() -> (\n  vendor: string,\n"),
        "{help}"
    );
    assert!(ok(&["-h"]).starts_with("Usage: varlink "));
    assert_eq!(ok(&["-V"]), format!("{VERSION}\n"));
}

#[test]
fn failures_have_their_statuses() {
    let resolver = Resolver::start("failures");
    let address = &resolver.address();
    let method = |name: &str| format!("{address}/{name}");
    for (args, status, first) in [
        (
            &["info", "unix:/nonexistent/x"][..],
            8,
            "Unable to connect: CannotConnect",
        ),
        (&["info", "nowhere"], 8, "Unable to connect: CannotConnect"),
        (
            &["-A", "true", "info", address],
            8,
            "Unable to connect: CannotConnect",
        ),
        (
            &["-b", "/nonexistent", "info"],
            8,
            "Unable to connect: CannotConnect",
        ),
        (
            &["-b", "a | b", "info"],
            8,
            "Unable to connect: CannotConnect",
        ),
        (&["-b", "true", "info"], 14, "Connection closed."),
        (&["-A", "true", "info"], 14, "Connection closed."),
        (
            &[
                "-b",
                "sh -c 'dd bs=1 count=1 of=/dev/null status=none; echo hello'",
                "info",
            ],
            13,
            "the stream ends within a message",
        ),
        (&["-t", "1", "-b", "sleep 60", "info"], 9, "Timeout."),
        (
            &["-R", address, "call", "org.none.A"],
            2,
            "Error resolving interface org.none",
        ),
        (
            &["-R", address, "resolve", "org.none"],
            2,
            "Error resolving interface org.none",
        ),
        (
            &["call", &method("org.varlink.resolver.Resolve"), "{"],
            7,
            "Unable to parse input parameters, must be valid JSON",
        ),
        (
            &["call", &method("org.varlink.resolver.Resolve"), "[]"],
            7,
            "Unable to parse input parameters, must be valid JSON",
        ),
        (
            &["call", &method("org.none.A")],
            12,
            "Call failed with error: org.varlink.service.InterfaceNotFound",
        ),
        (
            &["call", &method("org.varlink.resolver.A")],
            12,
            "Call failed with error: org.varlink.service.MethodNotFound",
        ),
        (
            &["help", &method("org.none")],
            12,
            "Call failed with error: org.varlink.service.InterfaceNotFound",
        ),
        (&[], 4, "Usage: varlink [OPTION...] COMMAND [ARGUMENT...]"),
        (
            &["cal"],
            4,
            "Unknown command cal; known are bridge, call, format, help, info, resolve",
        ),
        (
            &["call"],
            5,
            "INTERFACE.METHOD is missing; see `varlink --help`",
        ),
        (&["info"], 5, "ADDRESS is missing; see `varlink --help`"),
        (
            &["-A", "a", "-b", "b", "info"],
            6,
            "-A and -b exclude each other",
        ),
        (
            &["call", "-x", "a.B"],
            6,
            "-x: no such option; see `varlink --help`",
        ),
        (
            &["call", "name"],
            6,
            "name: no method: must be INTERFACE.METHOD",
        ),
        (
            &["format", "/nonexistent"],
            6,
            "/nonexistent: ENOENT: No such file or directory",
        ),
    ] {
        let (found, _, error) = run(args);
        assert_eq!(
            (found, error.lines().next()),
            (status, Some(first)),
            "{args:?}: {error}"
        );
    }
    let (_, out, _) = run(&[
        "call",
        &method("org.varlink.resolver.Resolve"),
        "{\"interface\": \"org.none\"}",
    ]);
    assert_eq!(out, "{\n  \"interface\": \"org.none\"\n}\n");
}

#[test]
fn a_service_may_be_started_or_bridged() {
    let resolver = Resolver::start("started");
    let address = &resolver.address();
    let temporary = resolver.dir.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let service = format!("{B2P} varlink-resolver $VARLINK_ADDRESS");
    let literal = format!("{B2P} varlink-resolver '$VARLINK_ADDRESS'");
    let bridge = format!("{B2P} varlink bridge -c {address}");
    let stdio = format!("env SYSTEMD_VARLINK_LISTEN=- {B2P} varlink-resolver");
    let nested = format!("{B2P} varlink -A '{service}' bridge");
    for args in [
        ["-A", &service, "info"],
        ["-A", &literal, "info"],
        ["-b", &bridge, "info"],
        ["-b", &stdio, "info"],
        ["-b", &nested, "info"],
    ] {
        let mut command = Command::new(B2P);
        command.arg("varlink").args(args).env("TMPDIR", &temporary);
        let output = command.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*out),
            (Some(0), info().as_str()),
            "{args:?}: {error}"
        );
    }
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

/// varlinkctl's addresses `exec:PROGRAM` pass a socket that is connected already (sd_listen_fds(3)).
#[test]
fn a_connected_socket_is_the_only_client() {
    let (mut own, other) = UnixStream::pair().unwrap();
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" varlink-resolver 3<&0 </dev/null";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, B2P])
        .stdin(OwnedFd::from(other));
    let mut child = command.spawn().unwrap();
    // The command holds the other end, too.
    drop(command);
    own.write_all(b"{\"method\":\"org.varlink.service.GetInfo\"}\0")
        .unwrap();
    own.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    own.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"org.varlink.resolver\""), "{answer}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_bridge_passes_each_call_to_the_service_of_its_interface() {
    let resolver = Resolver::start("bridge");
    let address = &resolver.address();
    let calls = b"{\"method\":\"org.varlink.service.GetInfo\"}\0\
        {\"method\":\"org.varlink.resolver.Resolve\",\"parameters\":{\"interface\":\"org.none\"}}\0\
        {\"method\":\"org.varlink.resolver.Resolve\",\"parameters\":{},\"oneway\":true}\0\
        {\"method\":\"org.none.A\"}\0";
    let output = varlink(&["-R", address, "bridge"], calls);
    let replies: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
    let text = |at: usize| String::from_utf8_lossy(replies[at]).into_owned();
    assert_eq!((output.status.code(), replies.len()), (Some(1), 4));
    assert!(
        text(0).contains("\"product\":\"boot2podman\""),
        "{}",
        text(0)
    );
    assert!(
        text(1).contains("org.varlink.resolver.InterfaceNotFound"),
        "{}",
        text(1)
    );
    assert!(
        text(2).contains("org.varlink.service.InterfaceNotFound"),
        "{}",
        text(2)
    );
    // Parameters that are no object reach no service, and a call without a reply has none.
    let calls = b"{\"method\":\"org.varlink.resolver.Resolve\",\"parameters\":[600]}\0\
        {\"method\":\"org.none.A\",\"oneway\":true}\0";
    let output = varlink(&["-R", address, "bridge"], calls);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("InvalidParameter") && said.ends_with("}\0"),
        "{said}"
    );
    assert_eq!(said.matches('\0').count(), 1, "{said}");
    let calls = b"{\"method\":\"org.varlink.service.GetInfo\"}\0";
    // A pump passes on outstanding replies after the end of its input.
    let output = varlink(&["bridge", "-c", address], calls);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.ends_with(b"}\0"));
}

#[test]
fn a_description_is_rewritten_in_place() {
    let resolver = Resolver::start("format");
    let file = resolver.dir.join("a.varlink");
    std::fs::write(&file, "interface a.b method A()->() #end").unwrap();
    let form = "interface a.b\n\nmethod A() -> ()\n\n#end\n";
    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let path = file.to_string_lossy();
    assert_eq!(run(&["format", &path]), (0, form.to_owned(), String::new()));
    assert_eq!(
        run(&["format", "-i", &path]),
        (0, String::new(), String::new())
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), form);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    let output = varlink(&["format", "-"], b"interface a.b\nmethod");
    assert_eq!(output.status.code(), Some(6));
}
