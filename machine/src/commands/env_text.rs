// SPDX-License-Identifier: Apache-2.0
//! Text of `env`: the variables of clients, for a shell.

use crate::fault::Fault;
use crate::text::hints::hint;
use crate::text::shell::{Change, Shell};

/// Clients that the variables are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// podman and docker, by the unix socket.
    Socket,
    /// podman and docker, by ssh.
    Ssh,
    /// docker, with docker-machine's variable.
    Docker,
    /// docker-machine's four lines, with those of TLS, which make docker refuse a unix socket.
    /// Only for tests of scripts that compare the lines.
    Verbatim,
    /// podman 1, as podman-machine of boot2podman.
    Legacy,
    /// podman 1 by its varlink interface, as podman-machine of boot2podman.
    Varlink,
}

/// Data of a machine that the variables contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name.
    pub name: String,
    /// Path of the API's socket.
    pub socket: String,
    /// Host name of the machine in the user's configuration of ssh.
    pub ssh_host: String,
    /// User of ssh.
    pub user: String,
    /// Port of 127.0.0.1 that leads to sshd.
    pub port: u16,
    /// Path of the private key.
    pub key: String,
    /// Directory of the machine.
    pub dir: String,
}

/// Address of every machine: ports of the host lead to it.
pub const ADDRESS: &str = "127.0.0.1";

/// Command line and environment of `env`.
#[derive(Clone, Debug)]
pub struct Request {
    /// Clients.
    pub mode: Mode,
    /// Shell.
    pub shell: Shell,
    /// True for one JSON object in place of lines.
    pub json: bool,
    /// True on Windows, where Compose converts paths only if a variable asks for it.
    pub windows: bool,
    /// Variable of the hosts without proxy and its value, with `--no-proxy`.
    pub no_proxy: Option<(&'static str, String)>,
    /// Command line as typed.
    pub args: Vec<String>,
}

/// Returns the variable of the hosts without proxy that is in use, and its value.
#[must_use]
pub fn no_proxy_variable(lower: Option<String>, upper: Option<String>) -> (&'static str, String) {
    match lower.filter(|value| !value.is_empty()) {
        Some(value) => ("no_proxy", value),
        None => ("NO_PROXY", upper.unwrap_or_default()),
    }
}

/// Returns the text that makes clients use a machine.
///
/// # Errors
/// A value that the shell cannot receive.
pub fn set(request: &Request, target: &Target) -> Result<String, Fault> {
    let mut changes = variables(request.mode, target);
    if request.windows {
        changes.push(Change::Set("COMPOSE_CONVERT_WINDOWS_PATHS", "true".into()));
    }
    if let Some((name, old)) = &request.no_proxy {
        changes.push(Change::Set(name, with_address(old)));
    }
    text(request, &changes)
}

/// Returns the text that undoes [`set`].
///
/// # Errors
/// None at present; the type is that of [`set`].
pub fn unset(request: &Request) -> Result<String, Fault> {
    let names: &[&str] = match request.mode {
        Mode::Socket => &["CONTAINER_HOST", "DOCKER_HOST", "PODMAN_MACHINE_NAME"],
        Mode::Ssh => &[
            "CONTAINER_HOST",
            "CONTAINER_SSHKEY",
            "DOCKER_HOST",
            "PODMAN_MACHINE_NAME",
        ],
        Mode::Docker | Mode::Verbatim => &[
            "DOCKER_TLS_VERIFY",
            "DOCKER_HOST",
            "DOCKER_CERT_PATH",
            "DOCKER_MACHINE_NAME",
        ],
        Mode::Legacy => &[
            "PODMAN_USER",
            "PODMAN_HOST",
            "PODMAN_PORT",
            "PODMAN_IDENTITY_FILE",
            "PODMAN_IGNORE_HOSTS",
            "PODMAN_MACHINE_NAME",
        ],
        Mode::Varlink => &["PODMAN_VARLINK_BRIDGE", "PODMAN_MACHINE_NAME"],
    };
    let mut changes: Vec<Change> = names.iter().map(|name| Change::Unset(name)).collect();
    if let Some((name, _)) = &request.no_proxy {
        changes.push(Change::Unset(name));
    }
    text(request, &changes)
}

/// Variables that have to go beside those that are set: podman prefers CONTAINER_CONNECTION, and docker
/// DOCKER_CONTEXT, to the address; docker refuses a unix socket with TLS, and its libraries take TLS for asked for where
/// DOCKER_CERT_PATH is set.
fn beside(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Socket => &[
            "CONTAINER_CONNECTION",
            "DOCKER_CONTEXT",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "CONTAINER_SSHKEY",
        ],
        Mode::Ssh => &[
            "CONTAINER_CONNECTION",
            "DOCKER_CONTEXT",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
        ],
        Mode::Docker => &["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"],
        Mode::Verbatim | Mode::Legacy | Mode::Varlink => &[],
    }
}

/// Returns the variables of a machine, in docker-machine's and podman-machine's order. Those that
/// have to go are first: behind the others, joined lines would make them arguments of `export`.
fn variables(mode: Mode, target: &Target) -> Vec<Change> {
    let gone = beside(mode).iter().copied().map(Change::UnsetBeside);
    gone.chain(values(mode, target)).collect()
}

fn values(mode: Mode, target: &Target) -> Vec<Change> {
    let socket = format!("unix://{}", target.socket);
    let set = |name, value: &str| Change::Set(name, value.to_owned());
    let name = &target.name;
    match mode {
        Mode::Socket => vec![
            set("CONTAINER_HOST", &socket),
            set("DOCKER_HOST", &socket),
            set("PODMAN_MACHINE_NAME", name),
        ],
        Mode::Ssh => vec![
            set("CONTAINER_HOST", &ssh_url(target)),
            set("CONTAINER_SSHKEY", &target.key),
            set("DOCKER_HOST", &format!("ssh://{}", target.ssh_host)),
            set("PODMAN_MACHINE_NAME", name),
        ],
        Mode::Docker => vec![
            set("DOCKER_HOST", &socket),
            set("DOCKER_MACHINE_NAME", name),
        ],
        Mode::Verbatim => vec![
            set("DOCKER_TLS_VERIFY", "1"),
            set("DOCKER_HOST", &socket),
            set("DOCKER_CERT_PATH", &target.dir),
            set("DOCKER_MACHINE_NAME", name),
        ],
        Mode::Legacy => vec![
            set("PODMAN_USER", "root"),
            set("PODMAN_HOST", "localhost"),
            set("PODMAN_PORT", &target.port.to_string()),
            set("PODMAN_IDENTITY_FILE", &target.key),
            set("PODMAN_IGNORE_HOSTS", "true"),
            set("PODMAN_MACHINE_NAME", name),
        ],
        Mode::Varlink => vec![
            set("PODMAN_VARLINK_BRIDGE", &varlink_bridge(target)),
            set("PODMAN_MACHINE_NAME", name),
        ],
    }
}

/// Options of ssh in the bridge, those of podman-machine 0.17.
const BRIDGE_OPTIONS: &str = "-F /dev/null -o ConnectionAttempts=3 -o ConnectTimeout=10 \
    -o ControlMaster=no -o ControlPath=none -o LogLevel=quiet -o PasswordAuthentication=no \
    -o ServerAliveInterval=60 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";

/// Returns the command that carries varlink to the machine. Clients pass it to `sh -c`, and ssh passes its
/// last part to the machine's shell; `varlink -A` expands the variable.
fn varlink_bridge(target: &Target) -> String {
    let Target { user, port, .. } = target;
    format!(
        "ssh {BRIDGE_OPTIONS} {user}@{ADDRESS} -o IdentitiesOnly=yes -i {} -p {port} -- \
         sudo varlink -A \\'podman varlink \\$VARLINK_ADDRESS\\' bridge",
        shell_word(&target.key)
    )
}

/// Returns a text as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"/._-+,:@%".contains(c) {
            word.push('\\');
        }
        word.push(c);
    }
    word
}

/// Returns the URL of the API by ssh.
#[must_use]
pub fn ssh_url(target: &Target) -> String {
    let Target { user, port, .. } = target;
    format!("ssh://{user}@{ADDRESS}:{port}/run/podman/podman.sock")
}

/// Adds the machines' address to a list of hosts, once.
fn with_address(hosts: &str) -> String {
    let listed = hosts.split(',').any(|host| host.trim() == ADDRESS);
    match (hosts, listed) {
        ("", _) => ADDRESS.to_owned(),
        (hosts, true) => hosts.to_owned(),
        (hosts, false) => format!("{hosts},{ADDRESS}"),
    }
}

/// Returns the lines of the changes and the hint, or an object with null for variables to unset.
fn text(request: &Request, changes: &[Change]) -> Result<String, Fault> {
    if request.json {
        let entry = |change: &Change| match change {
            Change::Set(name, value) => (*name, Some(value.clone())),
            Change::Unset(name) | Change::UnsetBeside(name) => (*name, None),
        };
        let object: std::collections::BTreeMap<_, _> = changes.iter().map(entry).collect();
        return Ok(serde_json::json!(object).to_string() + "\n");
    }
    let lines: Result<String, Fault> = changes.iter().map(|c| c.line(request.shell)).collect();
    Ok(lines? + &hint(request.shell, &request.args))
}

#[cfg(test)]
#[path = "env_text_tests.rs"]
mod tests;
