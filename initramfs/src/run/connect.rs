//! The words on how to reach the machine.

use super::place::Place;
use std::path::PathBuf;
use vmm::Ready;
use vmm::ssh::Key;

/// The host port for the guest's sshd, where nobody else has it.
pub const USUAL_PORT: u16 = 2222;

/// What a client needs to know.
pub struct Connect {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The file for `ssh -F`.
    pub config: PathBuf,
    /// The API's socket on this host.
    pub socket: PathBuf,
    /// The private key.
    key: PathBuf,
    /// Who logs in.
    user: String,
}

impl Connect {
    /// For a machine in its place that has these flags.
    pub fn new(port: u16, place: &Place, key: &Key, flags: &str) -> Self {
        let config = place.dir.join("ssh_config");
        Self {
            port,
            config,
            socket: place.socket.clone(),
            key: key.file.clone(),
            user: user(flags),
        }
    }

    /// The text for people.
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
            \x20 A machine without a data disk has a new host key at each boot. A client that\n\
            \x20 minds: ssh-keygen -R '[127.0.0.1]:{port}'\n\
            \x20 Leave: poweroff, or Ctrl-A X, which pulls the plug.\n"
        )
    }
}

/// The name of the user as the flags have it, read as the machine reads them.
fn user(flags: &str) -> String {
    config::parse(flags.as_bytes(), &[]).0.user
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_the_one_there_is() {
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
