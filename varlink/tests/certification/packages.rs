// SPDX-License-Identifier: Apache-2.0
//! Programs that others wrote certify the crate's server, and the crate's client certifies theirs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use initramfs::fetch::BuildConfig;
use initramfs::progress::Step;
use initramfs::{python, tools};
use varlink::{Address, Client, Limits, serve};

use crate::{Server, certify, service};

/// The package of the protocol's authors, with its suite.
const PYTHON_VARLINK: &str = "varlink==31.0.0 \
    --hash=sha256:0d0629e5ca7e629f79ed84dc5a4f29e04f3cc83b24641528e91a41fa158e58e9\n";

/// Gives a program its standard input as the socket to listen at (sd_listen_fds(3)).
const ACTIVATE: &str = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null >/dev/null";

/// Directory with a socket.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let name = format!("varlink-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.0.join("socket").display())
    }

    fn listen(&self) -> OwnedFd {
        UnixListener::bind(self.0.join("socket")).unwrap().into()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a client against the crate's server, and returns its standard output.
fn their_client(name: &str, client: impl FnOnce(&str) -> Command) -> String {
    let dir = Dir::new(name);
    let listener = dir.listen();
    // The server ends with this process.
    let limits = Limits {
        idle: Duration::MAX,
        ..Limits::PRIVILEGED
    };
    std::thread::spawn(move || serve(&service(&[&Server::default()]), listener, limits));
    let output = client(&dir.address()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Starts a server with a socket that listens already, and certifies the server.
fn their_server(name: &str, server: impl FnOnce(&str) -> Command) {
    let dir = Dir::new(name);
    let (address, listener) = (dir.address(), dir.listen());
    let command = server(&address);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(ACTIVATE).arg(command.get_program());
    shell.args(command.get_args());
    let variables = command.get_envs();
    shell.envs(variables.filter_map(|(name, value): (&OsStr, _)| Some((name, value?))));
    let mut server = shell.stdin(Stdio::from(listener)).spawn().unwrap();
    certify(&mut Client::connect(&Address::parse(&address).unwrap()).unwrap());
    server.kill().unwrap();
    server.wait().unwrap();
}

fn python(address: &str) -> Command {
    let packages = python::packages("varlink", PYTHON_VARLINK).unwrap();
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages);
    command.args(["-m", "varlink.tests.test_certification"]);
    command.arg(format!("--varlink={address}"));
    command
}

#[test]
fn the_python_package_certifies_the_server() {
    let client = |address: &str| {
        let mut client = python(address);
        client.arg("--client");
        client
    };
    let said = their_client("python-client", client);
    assert!(said.contains("'all_ok': True"), "{said}");
}

#[test]
fn the_python_package_is_certified() {
    their_server("python-server", python);
}

/// Debian's program varlink-go-certification.
fn go(address: &str) -> Command {
    let debian = BuildConfig::from_env().unwrap();
    let debian = debian.fetch_varlink_clients(&Step::new("varlink", 1, 1));
    let mut command = tools::command_in(&debian.unwrap(), "varlink-go-certification").unwrap();
    command.args(["-varlink", address]);
    command
}

#[test]
#[ignore = "packages to fetch: make test-all"]
fn debians_go_program_certifies_and_is_certified() {
    let client = |address: &str| {
        let mut client = go(address);
        client.arg("-client");
        client
    };
    let said = their_client("go-client", client);
    assert!(said.contains("End: 'true'"), "{said}");
    their_server("go-server", go);
}
