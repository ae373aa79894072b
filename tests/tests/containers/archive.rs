// SPDX-License-Identifier: Apache-2.0
//! The machine's own kernel and initrd as the container image that KubeVirt boots: a real engine
//! loads the image, and its files match `out/`.

use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::progress::Step;
use initramfs::{oci, paths};
use tests::Guest;

const NAME: &str = concat!("localhost/boot2podman-kernel:", env!("CARGO_PKG_VERSION"));

pub fn loads(guest: &Guest) -> Result<()> {
    let files = ["vmlinuz", "initrd.img"].map(|name| paths::out().join(name));
    let archive = guest.vm.dir().join(paths::KERNEL_OCI);
    let arch = Arch::from_env()?;
    oci::kernel(arch, &files, &archive, &Step::new("oci", 1, 1))?;
    let said = guest.podman(&["load", "-i", &archive.display().to_string()])?;
    ensure!(said.contains(NAME), "{said}");
    let title = "{{index .Labels \"org.opencontainers.image.title\"}} {{.Architecture}}";
    let said = guest.podman(&["image", "inspect", "--format", title, NAME])?;
    let wanted = format!("boot2podman: kernel and initrd {}", arch.debian);
    ensure!(said == wanted, "{said}");
    let script = format!(
        "cd $(podman image mount {NAME})/{} && stat -c '%a %u:%g %s %n' *",
        oci::KERNEL_DIR
    );
    let said = guest.sh(&script)?;
    // podman has verified the bytes by their hash.
    for file in &files {
        let (name, size) = (file.file_name().context("a name")?, file.metadata()?.len());
        let line = format!("644 107:107 {size} {}", name.display());
        ensure!(said.lines().any(|l| l == line), "no {line}:\n{said}");
    }
    guest.sh(&format!("podman image unmount {NAME} && podman rmi {NAME}"))?;
    Ok(std::fs::remove_file(archive)?)
}
