// SPDX-License-Identifier: Apache-2.0
//! Folders that QEMU shares with the guest by virtiofs.

use crate::eventually;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use vmm::{Machine, Vm};

/// Paths of virtiofsd: a part of QEMU until 7.2, then a project of its own.
const SERVERS: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

/// A folder with a server of its own.
pub struct Folder {
    /// Tag by which the guest mounts the folder.
    pub tag: String,
    /// Path of the folder on the host.
    pub path: PathBuf,
    socket: PathBuf,
    server: Child,
}

/// Gives a machine memory that such servers can access.
pub fn machine(machine: Machine, memory_mib: u32) -> Machine {
    let memory = format!("memory-backend-memfd,id=mem,size={memory_mib}M,share=on");
    let machine = machine.memory_mib(memory_mib);
    machine.qemu_args(&["-object", &memory, "-numa", "node,memdev=mem"])
}

impl Folder {
    /// Makes the folder in `dir`, owned by the guest's user where the tests may do so, and serves
    /// the folder.
    pub fn serve(dir: &Path, tag: &str) -> Result<Self> {
        let (socket, path) = (dir.join(format!("{tag}.sock")), dir.join(tag));
        fs::create_dir_all(&path)?;
        let _ = chown(&path, Some(1000), Some(1000));
        let program = SERVERS.iter().find(|p| Path::new(p).exists());
        let log = fs::File::create(dir.join(format!("{tag}.log")))?;
        let mut server = Command::new(program.context("no virtiofsd on this machine")?);
        server.arg(format!("--socket-path={}", socket.display()));
        let server = match program == SERVERS.first() {
            true => server
                .args(["-o", "sandbox=chroot", "-o"])
                .arg(format!("source={}", path.display())),
            false => server.args(["--sandbox=chroot", "--shared-dir"]).arg(&path),
        };
        let server = server
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let tag = tag.to_owned();
        let folder = Self {
            tag,
            path,
            socket,
            server,
        };
        eventually(Duration::from_secs(60), || {
            ensure!(folder.socket.exists(), "virtiofsd makes no socket");
            Ok(())
        })?;
        Ok(folder)
    }

    /// Adds the folder to a machine that has not started.
    #[must_use]
    pub fn plugged(&self, machine: Machine) -> Machine {
        let tag = &self.tag;
        let chardev = format!("socket,id={tag},path={}", self.socket.display());
        let device = format!("vhost-user-fs-pci,chardev={tag},tag={tag}");
        machine.qemu_args(&["-chardev", &chardev, "-device", &device])
    }

    /// Plugs the folder into a running machine, on the PCI Express port `bus`.
    pub fn plug(&self, vm: &Vm, bus: &str) -> Result<()> {
        let socket = json!({"type": "unix", "data": {"path": self.socket}});
        let backend = json!({"type": "socket", "data": {"addr": socket, "server": false}});
        let chardev = json!({"id": self.tag, "backend": backend});
        vm.qmp_with("chardev-add", &chardev)?;
        let device = json!({
            "driver": "vhost-user-fs-pci", "bus": bus, "chardev": self.tag, "tag": self.tag,
        });
        vm.qmp_with("device_add", &device).map(drop)
    }

    /// Kills the server: QEMU keeps running, and the guest's requests are never answered.
    pub fn kill(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.kill();
    }
}
