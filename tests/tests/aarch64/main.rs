// SPDX-License-Identifier: Apache-2.0
//! The machine for aarch64 on QEMU's `virt`, translated by TCG: under a device tree here, by UEFI in [`uefi`], with the
//! devices of a Mac in [`vz`], without PCI in [`mmio`].

mod mmio;
mod uefi;
mod vz;

use anyhow::{Result, ensure};
use initramfs::arch::Arch;
use initramfs::fetch::BuildConfig;
use initramfs::progress::Step;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tests::folder::{self, Folder};
use tests::{Checks, Guest, disks, image, machine_of_arch};

/// Time limit of the whole shutdown, under TCG beside another machine.
const END: Duration = Duration::from_secs(180);

/// Document of Ignition with one file.
const DOCUMENT: &str = r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[
    {"path":"/srv/note","contents":{"source":"data:,by%20fw_cfg%0A"}}]}}"#;

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn the_machine_works_on_aarch64() -> Result<()> {
    let arch = Arch::parse("aarch64")?;
    let dir = disks::dir("aarch64")?;
    let rosetta = Folder::serve(&dir, "rosetta")?;
    let emulator = emulator(arch)?;
    fs::copy(&emulator, rosetta.path.join("rosetta"))?;
    let machine = folder::machine(machine_of_arch(arch, "aarch64")?, 1024)
        .append("b2p.rosetta")
        .fw_cfg("opt/org.boot2podman/hostname", b"armed")
        .fw_cfg("opt/com.coreos/config", DOCUMENT.as_bytes());
    let guest = Guest::start(&rosetta.plugged(machine))?;
    let mut checks = Checks::new("aarch64");
    checks.check("all requested settings work", || {
        let degraded = &guest.ready.degraded;
        ensure!(degraded.is_empty(), "{degraded:?}");
        Ok(())
    });
    checks.check("fw_cfg of a device tree: a flag and a document", || {
        let said = guest.sh("hostname; cat /srv/note")?;
        ensure!(said == "armed\nby fw_cfg", "{said}");
        Ok(())
    });
    checks.check("every program is of this architecture", || {
        programs(&guest, arch)
    });
    checks.check("libraries are found by the index", || {
        libraries(&guest, arch)
    });
    checks.check("a container runs", || container(&guest, arch));
    checks.check("a published port", || port(&guest));
    checks.check("limits of the user's containers", || rootless(&guest));
    checks.check("a container for x86-64", || foreign(&guest));
    checks.check("poweroff by the power button", || {
        // Without firmware there is no ACPI: the button is a line of the device tree.
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(END)?.success(), "QEMU failed");
        Ok(())
    });
    checks.finish(&guest)?;
    drop((guest, rosetta));
    Ok(fs::remove_dir_all(dir)?)
}

/// Returns QEMU's emulator of the other architecture, which replaces Rosetta, a part of macOS, and is run in
/// the same way.
fn emulator(arch: &'static Arch) -> Result<PathBuf> {
    let config = BuildConfig {
        arch,
        ..BuildConfig::from_env()?
    };
    let packages = ["qemu-user".to_owned(), "qemu-user-binfmt".to_owned()];
    let tree = config.fetch_extension("qemu-user", &packages, &Step::new("ext", 1, 1))?;
    Ok(tree
        .root
        .join("usr/bin")
        .join(format!("qemu-{}", arch.foreign)))
}

/// A container for x86-64 by the rule and the folder of `b2p.rosetta`.
fn foreign(guest: &Guest) -> Result<()> {
    let rule = "/proc/sys/fs/binfmt_misc/rosetta";
    let said = guest.sh(&format!("grep -c '^enabled$\\|^flags: OCF$' {rule}"))?;
    ensure!(said == "2", "{said}");
    let arch = Arch::parse("x86_64")?;
    let archive = fs::read(image::archive_for(guest.vm.dir(), arch)?)?;
    tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
    let run = format!(
        "podman run --rm --platform linux/{} {} busybox uname -m",
        arch.debian,
        image::NAME
    );
    let said = guest.sh(&run)?;
    ensure!(said == arch.name, "{said}");
    Ok(())
}

fn programs(guest: &Guest, arch: &Arch) -> Result<()> {
    let said = guest.sh("uname -m; podman info --format '{{.Host.Arch}}'; b2p version")?;
    let mut lines = said.lines();
    ensure!(lines.next() == Some(arch.name), "{said}");
    ensure!(lines.next() == Some(arch.debian), "{said}");
    // A link or a library of another architecture would show up here, and nowhere at boot.
    guest.sh("e2fsck -V 2>&1; nft --version; sudo -V; ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub")?;
    Ok(())
}

/// The loader prints each searched library, with the file that is searched first (ld.so(8)).
fn libraries(guest: &Guest, arch: &Arch) -> Result<()> {
    let said = guest.sh("LD_DEBUG=libs lsblk --version 2>&1")?;
    ensure!(said.contains("search cache=/etc/ld.so.cache"), "{said}");
    ensure!(!said.contains("search path="), "{said}");
    ensure!(
        said.contains(&format!("trying file=/{}/libc.so.6", arch.libraries)),
        "{said}"
    );
    Ok(())
}

fn container(guest: &Guest, arch: &'static Arch) -> Result<()> {
    let archive = fs::read(image::archive_for(guest.vm.dir(), arch)?)?;
    for user in ["root", "core"] {
        tests::text(&guest.ssh_with(user, "podman load -q", &archive)?)?;
        let run = format!("podman run --rm {} sh -c 'echo hello'", image::NAME);
        let said = guest.sh_as(user, &run)?;
        ensure!(said == "hello", "{user}: {said}");
    }
    Ok(())
}

fn port(guest: &Guest) -> Result<()> {
    let run = format!(
        "podman run -d --name web -p 8080:80 {} httpd -f -h /www",
        image::NAME
    );
    guest.sh(&run)?;
    let said =
        guest.sh("wget -q -O - http://127.0.0.1:8080/ && podman rm -f -t 0 web >/dev/null")?;
    ensure!(said == "hello from the box", "{said}");
    Ok(())
}

fn rootless(guest: &Guest) -> Result<()> {
    let run = format!(
        "podman run --rm -m 32m {} cat /sys/fs/cgroup/memory.max",
        image::NAME
    );
    let said = guest.sh_as("core", &run)?;
    ensure!(said == "33554432", "{said}");
    Ok(())
}
