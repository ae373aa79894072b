// SPDX-License-Identifier: Apache-2.0
//! The Python package podman 1.6.0, the last one that spoke varlink: each of its classes, through a
//! socket that ssh forwards and through the package's own ssh.

use anyhow::{Result, ensure};
use initramfs::python;
use std::process::Command;
use std::time::Duration;
use tests::{Checks, Guest};

/// Time limit of all steps: some twenty of them start or end a container.
const LIMIT: Duration = Duration::from_secs(300);

const STEPS: &str = include_str!("podman_1_6.py");

/// The package and its imports.
const PACKAGES: &str = "\
podman==1.6.0 --hash=sha256:97a338081ec16dcd378631b5ea179b1a0e44e3e9502cdc54c8250a90658bcfc5
varlink==31.0.0 --hash=sha256:0d0629e5ca7e629f79ed84dc5a4f29e04f3cc83b24641528e91a41fa158e58e9
pbr==7.1.3 --hash=sha256:6583e878a1d97cb135fdc509811f31b9235905cde8d4dacd3dbadf9efc45d745
psutil==7.2.2 --hash=sha256:076a2d2f923fd4821644f5ba89f059523da90dc9014e85f8e45a5774ca5bc6f9
python-dateutil==2.9.0.post0 --hash=sha256:a8b2bc7bffae282281c8140a97d3aa9c14da0b136dfe83f850eea9a5f7470427
six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
setuptools==80.10.2 --hash=sha256:95b30ddfb717250edb492926c92b5221f7ef3fbcc2b07579bcd4a27da21d0173
";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("varlink: each class of the Python package podman", || {
        steps(guest)
    });
}

fn steps(guest: &Guest) -> Result<()> {
    let packages = python::packages("podman", PACKAGES)?;
    guest.forward_socket("root", "/run/podman/io.podman", "io.podman")?;
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).args(["-c", STEPS]);
    // Paths through /proc are absolute and short, as Guest::forward_socket explains.
    python.arg("unix:/proc/self/cwd/io.podman");
    python.arg("unix:/proc/self/cwd/python.sock");
    python.arg(guest.ssh_url("root", "/run/podman/io.podman")?);
    let output = vmm::process::output(guest.with_ssh(python)?, b"", LIMIT)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said.contains("\n0 steps failed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
