// SPDX-License-Identifier: Apache-2.0
//! The extension `qemu-user`: containers of the other architecture.

use crate::life::refuses;
use crate::programs::nothing_is_missing;
use crate::says;
use crate::target::Target;
use anyhow::Result;
use initramfs::arch::Arch;
use initramfs::fetch::BuildConfig;
use initramfs::progress::Step;
use std::fs;
use tests::{Checks, Guest, disks, image};

/// Returns an image for the architecture that QEMU names `name`.
fn archive(guest: &Guest, arch: &'static Arch) -> Result<Vec<u8>> {
    let config = BuildConfig {
        arch,
        ..BuildConfig::from_env()?
    };
    let tree = config.fetch_busybox(&Step::new("busybox", 1, 1))?;
    let busybox = fs::read(tree.root.join("usr/bin/busybox"))?;
    Ok(fs::read(image::archive_with(
        guest.vm.dir(),
        &busybox,
        arch,
    )?)?)
}

/// Runs a container to its end, with a child of its own, a pipe and its exit status.
fn runs(guest: &Guest, user: &str, arch: &'static Arch) -> Result<()> {
    let archive = archive(guest, arch)?;
    tests::text(&guest.ssh_with(user, "podman load -q", &archive)?)?;
    let script = format!(
        "podman run --rm --platform linux/{} {} sh -c 'busybox uname -m; seq 3 | busybox tac; exit 7'; echo $?",
        arch.debian,
        image::NAME
    );
    let said = guest.sh_as(user, &script)?;
    let want = format!("{}\n3\n2\n1\n7", arch.name);
    anyhow::ensure!(said == want, "{user}: {said}");
    Ok(())
}

/// A build for the other architecture, whose commands run there.
fn builds(guest: &Guest, arch: &Arch) -> Result<()> {
    let script = format!(
        "mkdir -p /tmp/b && cd /tmp/b && printf 'FROM {}\nRUN busybox uname -m >/arch\n' >Containerfile && \
         podman build -q --platform linux/{} -t built . >/dev/null && podman run --rm built cat /arch && \
         podman image inspect --format '{{{{.Architecture}}}}' built",
        image::NAME,
        arch.debian
    );
    says(guest, &script, &format!("{}\n{}", arch.name, arch.debian))
}

/// The extension stays while a container uses it; without it, the kernel runs no such program.
fn is_removed(guest: &Guest, arch: &Arch) -> Result<()> {
    let run = format!("podman run --rm --name far {} sleep 1000", image::NAME);
    guest.sh(&format!("{} >/dev/null", run.replace("--rm", "-d")))?;
    let id = guest.sh("podman inspect --format '{{.Id}}' far | cut -c 1-12")?;
    let words = ["in use by pid ", &format!("of the container {id}")];
    refuses(guest, "b2p ext remove qemu-user", &words)?;
    guest.sh("podman rm -f -t 0 far >/dev/null")?;
    let removed =
        "b2p ext remove qemu-user && ls /proc/sys/fs/binfmt_misc && ! test -e /usr/lib/binfmt.d";
    says(guest, removed, "qemu-user: removed\nregister\nstatus")?;
    refuses(guest, &run, &["xec format error"])?;
    says(
        guest,
        "b2p ext add qemu-user >/dev/null && podman run --rm built busybox uname -m",
        arch.name,
    )
}

#[test]
#[ignore = "a large package to fetch: make test-all"]
fn containers_of_the_other_architecture_run() -> Result<()> {
    architectures_on(Target::usual())
}

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn containers_of_the_other_architecture_run_on_aarch64() -> Result<()> {
    architectures_on(Target::of_arch("aarch64")?)
}

fn architectures_on(target: Target) -> Result<()> {
    let other = Arch::parse(target.arch.foreign)?;
    let name = target.test("ext-qemu-user");
    let dir = disks::dir(&name)?;
    let machine = target.machine("ext-qemu-user", &["qemu-user"], "b2p.ext=qemu-user", &dir)?;
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new(&name);
    checks.check("nothing is missing", || nothing_is_missing(&guest));
    for user in ["root", "core"] {
        checks.check(&format!("a container of {user}"), || {
            runs(&guest, user, other)
        });
    }
    checks.check("an image is built", || builds(&guest, other));
    checks.check("the extension is not removed while it is used", || {
        is_removed(&guest, other)
    });
    checks.check("the machine turns off", || {
        // The kernel has the emulator open: it lies on the data disk.
        guest.vm.power_button()?;
        anyhow::ensure!(guest.vm.wait_exit(crate::END)?.success(), "QEMU failed");
        anyhow::ensure!(
            !guest.vm.console().contains("is busy"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}
