// SPDX-License-Identifier: Apache-2.0
//! Forwarding of the guest's podman socket to a Unix socket of this host, by ssh.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vmm::{process, ssh};

/// Time between two starts of ssh.
const RESTART_DELAY: Duration = Duration::from_secs(2);

/// ssh process that is restarted after its end. Drop ends the process and removes the socket.
pub struct Tunnel {
    config: PathBuf,
    socket: PathBuf,
    ssh: Option<Child>,
    started: Instant,
}

impl Tunnel {
    /// Starts forwarding to `socket`; the ssh configuration `config` defines the host
    /// `boot2podman`.
    pub fn new(config: &Path, socket: &Path) -> Self {
        let mut tunnel = Self {
            config: config.into(),
            socket: socket.into(),
            ssh: None,
            started: Instant::now(),
        };
        tunnel.start();
        tunnel
    }

    /// Restarts an ssh that has ended. The caller calls this from time to time.
    pub fn keep_up(&mut self) {
        let ended = match &mut self.ssh {
            Some(ssh) => !matches!(ssh.try_wait(), Ok(None)),
            None => true,
        };
        if ended && self.started.elapsed() > RESTART_DELAY {
            self.start();
        }
    }

    fn start(&mut self) {
        self.started = Instant::now();
        // A killed run leaves its socket.
        let _ = ssh::remove(&self.socket);
        self.ssh = process::spawn(command(&self.config, &self.socket)).ok();
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if let Some(ssh) = &mut self.ssh {
            let _ = process::kill_group(ssh);
        }
        let _ = ssh::remove(&self.socket);
    }
}

/// Returns the ssh command. The socket's path begins with ssh's working directory in /proc: the
/// full path may exceed the 107 bytes of a socket's name (unix(7)), and ssh takes no relative path.
fn command(config: &Path, socket: &Path) -> Command {
    let name = socket.file_name().unwrap_or_default().to_string_lossy();
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).args([
        "-N",
        "-o",
        "BatchMode=yes",
        "-o",
        "ExitOnForwardFailure=yes",
    ]);
    ssh.args([
        "-o",
        "StreamLocalBindUnlink=yes",
        "-o",
        "ServerAliveInterval=15",
    ]);
    ssh.arg("-L")
        .arg(format!("/proc/self/cwd/{name}:/run/podman/podman.sock"))
        .arg("boot2podman");
    ssh.current_dir(socket.parent().unwrap_or(Path::new(".")))
        .process_group(0);
    ssh.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    ssh
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_named_from_its_directory() {
        let ssh = command(
            Path::new("/out/run/ssh_config"),
            Path::new("/out/podman.sock"),
        );
        assert_eq!(ssh.get_current_dir(), Some(Path::new("/out")));
        assert!(
            ssh.get_args()
                .any(|a| a == "/proc/self/cwd/podman.sock:/run/podman/podman.sock")
        );
    }
}
