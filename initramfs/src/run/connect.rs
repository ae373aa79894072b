// SPDX-License-Identifier: Apache-2.0
//! Message with the commands that reach the machine.

use super::run_dir::RunDir;
use std::path::PathBuf;
use vmm::Ready;
use vmm::ssh::Key;

/// Port of the host for the guest's sshd, if the port is free.
pub const DEFAULT_PORT: u16 = 2222;

/// Parameters of a client.
pub struct Connect {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// File for `ssh -F`.
    pub config: PathBuf,
    /// Socket of podman's API on this host.
    pub socket: PathBuf,
    /// File of the private key.
    key: PathBuf,
    /// User that logs in.
    user: String,
}

impl Connect {
    /// Returns the parameters for a machine with this directory and these kernel flags.
    pub fn new(port: u16, run_dir: &RunDir, key: &Key, flags: &str) -> Self {
        let config = run_dir.dir.join("ssh_config");
        Self {
            port,
            config,
            socket: run_dir.socket.clone(),
            key: key.file.clone(),
            user: user(flags),
        }
    }

    /// Formats the message.
    pub fn text(&self, ready: &Ready) -> String {
        let Self {
            port,
            config,
            socket,
            key,
            user,
        } = self;
        let (config, socket, key) = (config.display(), socket.display(), key.display());
        let time = ready.boot_ms().map_or_else(String::new, |ms| {
            format!(
                ", {}.{:03} s after the kernel started",
                ms / 1000,
                ms % 1000
            )
        });
        let degraded: String = ready
            .degraded
            .iter()
            .map(|d| format!("  but {}: {}\n", d.what, d.why))
            .collect();
        format!(
            "boot2podman is ready{time}\n{degraded}\
            \x20 ssh     ssh -F {config} boot2podman\n\
            \x20         ssh -p {port} -i {key} -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no {user}@127.0.0.1\n\
            \x20 podman  CONTAINER_HOST=unix://{socket} podman --remote ps\n\
            \x20         podman --remote --url ssh://{user}@127.0.0.1:{port}/run/podman/podman.sock --identity {key} ps\n\
            \x20 docker  DOCKER_HOST=unix://{socket} docker ps\n\
            \x20         DOCKER_HOST=ssh://boot2podman docker ps    with `Include {config}` first in ~/.ssh/config\n\
            \x20 A machine without a data disk has a new host key at each boot. To make a client\n\
            \x20 accept it: ssh-keygen -R '[127.0.0.1]:{port}'\n\
            \x20 To leave: poweroff, or Ctrl-A X, which switches the machine off at once.\n"
        )
    }
}

/// Returns the name of the user in the flags, parsed as the machine parses them.
fn user(flags: &str) -> String {
    config::parse(flags.as_bytes(), &[]).0.user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_last_valid_b2p_user_or_core() {
        assert_eq!(user("quiet b2p.net=off"), "core");
        assert_eq!(user("b2p.user=one b2p.user=dev"), "dev");
        assert_eq!(user("b2p.user=root"), "core");
    }

    #[test]
    fn each_client_has_its_line() {
        let line = "boot2podman: degraded clock: no RTC\nboot2podman: ready ssh=x boot=2012\n";
        let connect = Connect {
            port: 2222,
            config: "/p/out/run/ssh_config".into(),
            socket: "/p/out/podman.sock".into(),
            key: "/home/me/.ssh/id".into(),
            user: "dev".into(),
        };
        let text = connect.text(&Ready::find(line).expect("ready"));
        for part in [
            "ready, 2.012 s after",
            "  but clock: no RTC\n",
            "ssh -F /p/out/run/ssh_config boot2podman\n",
            "-p 2222 -i /home/me/.ssh/id -o",
            "CONTAINER_HOST=unix:///p/out/podman.sock podman",
            "--url ssh://dev@127.0.0.1:2222/run/podman/podman.sock --identity /home/me/.ssh/id",
            "DOCKER_HOST=unix:///p/out/podman.sock docker",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
    }
}
