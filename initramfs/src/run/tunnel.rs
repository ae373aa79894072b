//! The guest's podman socket as a unix socket of this host, by ssh.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vmm::{process, ssh};

/// How long to wait before an ssh that ended is started again.
const PAUSE: Duration = Duration::from_secs(2);

/// An ssh that is started again when it ends; gone, with its socket, on drop.
pub struct Tunnel {
    config: PathBuf,
    socket: PathBuf,
    ssh: Option<Child>,
    begun: Instant,
}

impl Tunnel {
    /// Forwards `socket`; `config` knows the host `boot2podman`.
    pub fn new(config: &Path, socket: &Path) -> Self {
        let mut tunnel = Self {
            config: config.into(),
            socket: socket.into(),
            ssh: None,
            begun: Instant::now(),
        };
        tunnel.start();
        tunnel
    }

    /// Starts ssh again if it has ended. To be called now and then.
    pub fn keep_up(&mut self) {
        let ended = match &mut self.ssh {
            Some(ssh) => !matches!(ssh.try_wait(), Ok(None)),
            None => true,
        };
        if ended && self.begun.elapsed() > PAUSE {
            self.start();
        }
    }

    fn start(&mut self) {
        self.begun = Instant::now();
        // A socket that a killed run left would be in the way.
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

/// The whole path of the socket may be longer than the 107 bytes that a socket's
/// name has, and ssh takes no relative one: so it goes by way of ssh's own
/// directory in /proc.
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
