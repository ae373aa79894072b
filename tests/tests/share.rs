// SPDX-License-Identifier: Apache-2.0
//! Folders of the host: from the boot on, plugged in later, and gone with their server.

use anyhow::{Context, Result, ensure};
use initramfs::packages::Kernel;
use initramfs::paths;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::folder::{self, Folder};
use tests::{BOOT_LIMIT, Checks, Guest, eventually, image, machine_of};
use vmm::process;

const SOON: Duration = Duration::from_secs(60);
/// Time limit: the sum of the limits of the shutdown's phases, under TCG.
const END: Duration = Duration::from_secs(120);
/// Document with the unit that podman machine writes for a folder on Apple's hypervisors.
const MOUNT_UNIT: &str = r#"{"ignition":{"version":"3.2.0"},"systemd":{"units":[{"enabled":true,"name":"srv-unit.mount",
    "contents":"[Mount]\nWhat=read\nWhere=/srv/unit\nType=virtiofs\nOptions=ro,context=\"system_u:object_r:nfs_t:s0\"\n[Install]\nWantedBy=local-fs.target\n"}]}}"#;
const PORT: &[&str] = &["-device", "pcie-root-port,id=hot"];

fn dir(name: &str) -> Result<PathBuf> {
    let dir = paths::out().join("vm").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Makes a folder for QEMU's own 9p.
fn nine(dir: &Path) -> Result<(String, PathBuf)> {
    let path = dir.join("nine");
    fs::create_dir_all(&path)?;
    let _ = chown(&path, Some(1000), Some(1000));
    let fsdev = format!("local,id=nine,security_model=none,path={}", path.display());
    Ok((fsdev, path))
}

#[test]
fn folders_of_the_host_are_mounted_at_boot_and_when_plugged_in() -> Result<()> {
    let dir = dir("share-host")?;
    let mut home = Folder::serve(&dir, "home")?;
    let (read, later) = (Folder::serve(&dir, "read")?, Folder::serve(&dir, "later")?);
    fs::write(read.path.join("file"), "from the host")?;
    let (fsdev, _) = nine(&dir)?;
    let mut dead = Folder::serve(&dir, "dead")?;
    let machine = folder::machine(tests::machine("share")?, 1024)
        .append("b2p.share=home:/home/core/host b2p.share=read:/mnt/read:ro")
        .append("b2p.share=later:/mnt/later b2p.share=nine:/mnt/nine b2p.share=dead:/mnt/dead")
        .append("b2p.share=home:/etc b2p.vsock b2p.rosetta")
        .fw_cfg("opt/com.coreos/config", MOUNT_UNIT.as_bytes())
        .qemu_args(PORT)
        .qemu_args(&[
            "-fsdev",
            &fsdev,
            "-device",
            "virtio-9p-pci,fsdev=nine,mount_tag=nine",
        ]);
    let vm = dead.plugged(read.plugged(home.plugged(machine))).start()?;
    // The server dies long before the kernel looks for it; the other folders are still mounted.
    dead.kill();
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("share");
    checks.check("core works in it", || core(&guest, &home));
    checks.check("inotify, for what changes in the machine", || {
        inotify(&guest)
    });
    checks.check("a read-only folder refuses writes", || {
        // The first is mounted by a flag, the second by a unit of an Ignition document.
        for dir in ["/mnt/read", "/srv/unit"] {
            let said = guest.sh(&format!("cat {dir}/file; touch {dir}/x 2>&1 || true"))?;
            ensure!(
                said.contains("from the host") && said.contains("Read-only"),
                "{said}"
            );
        }
        Ok(())
    });
    checks.check("containers have it", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
        let name = image::NAME;
        let script =
            format!("podman run --rm --network none -v /mnt/read:/x:ro {name} cat /x/file");
        let said = guest.sh(&script)?;
        ensure!(said == "from the host", "{said}");
        Ok(())
    });
    checks.check("missing folders are named, with the remedy", || {
        told(&guest, &["share", "later at /mnt/later", "home, read"])?;
        told(
            &guest,
            &["share", "nine at /mnt/nine", "by 9p", "KERNEL=generic"],
        )?;
        told(&guest, &["share", "dead at /mnt/dead", "does not answer"])?;
        told(&guest, &["share", "rosetta at ", "Rosetta is for aarch64"])?;
        told(&guest, &["flag", "b2p.share", "of the system"])?;
        told(&guest, &["vsock", "no address", "guest-cid"])
    });
    checks.check("a folder that is plugged in is mounted", || {
        later.plug(&guest.vm, "hot")?;
        eventually(SOON, || {
            guest
                .sh("grep -q '^later /mnt/later virtiofs' /proc/mounts")
                .map(drop)
        })?;
        // The service reports the mount afterwards.
        eventually(SOON, || {
            let said = guest.sh("b2p status")?;
            ensure!(
                !said.contains("share: later") && said.contains("nine at /mnt/nine"),
                "{said}"
            );
            Ok(())
        })
    });
    checks.check("a folder is mounted as podman machine mounts it", || {
        let script = "sudo umount /mnt/later && sudo mkdir -p /mnt/other && sudo mount -t virtiofs \
            later /mnt/other -o context=\"system_u:object_r:nfs_t:s0\" && grep -c /mnt/other /proc/mounts";
        let said = guest.sh_as("core", script)?;
        ensure!(said == "1", "{said}");
        Ok(())
    });
    checks.check(
        "podman machine 6 can mount its user's configuration",
        || over_etc_containers(&guest, &later),
    );
    checks.check("a host that has gone does not hold the end", || {
        home.kill();
        guest.vm.power_button()?;
        let ended = guest.vm.wait_exit(END)?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    });
    checks.finish(&guest)
}

/// Expects that podman keeps a policy under a folder that is mounted over /etc/containers, and takes that
/// of the folder once the folder has one.
fn over_etc_containers(guest: &Guest, folder: &Folder) -> Result<()> {
    let mount = "sudo mkdir -p \"/etc/containers\" && sudo mount -t virtiofs later \"/etc/containers\" \
        -o context=\"system_u:object_r:nfs_t:s0\"";
    let import = "sh -c 'cd /tmp && tar -c os | podman import -q - localhost/os'";
    let script = format!(
        "sudo umount /mnt/other && {mount} && test ! -e /etc/containers/policy.json && \
         cp /etc/os-release /tmp/os && {import} && sudo {import} && stat -c %U ~/.config/containers/policy.json"
    );
    let said = guest.sh_as("core", &script)?;
    ensure!(said.ends_with("\ncore"), "{said}");
    fs::write(
        folder.path.join("policy.json"),
        r#"{"default": [{"type": "reject"}]}"#,
    )?;
    let script = format!(
        "sudo umount /etc/containers && {mount} && grep -c reject /etc/containers/policy.json && \
         test ! -e ~/.config/containers/policy.json && test -e ~/.config/containers/registries.conf && \
         sudo test ! -e /root/.config/containers/policy.json && ! {import} 2>/dev/null && \
         sudo umount /etc/containers && test -e /etc/containers/policy.json"
    );
    let said = guest.sh_as("core", &script)?;
    ensure!(said == "1", "{said}");
    publishes_under(guest, folder, mount)
}

/// Expects that podman asks the host to publish a port although the folder has no marker of podman 5. No host
/// answers here, so podman refuses, and the error names the request. Files that the machine writes are not in the
/// folder.
fn publishes_under(guest: &Guest, folder: &Folder, mount: &str) -> Result<()> {
    let name = image::NAME;
    let script = format!(
        "echo qemu | sudo tee /etc/podman-machine >/dev/null; \
         {mount} && grep qemu /etc/containers/podman-machine && grep -c reject /etc/containers/policy.json && \
         sudo podman network create kept && sudo umount /etc/containers && {mount} && \
         sudo podman network exists kept && ! sudo podman run --rm -p 18080:80 {name} true; \
         sudo rm /etc/podman-machine; sudo podman network rm kept; sudo umount /etc/containers"
    );
    let said = guest.sh_as("core", &format!("({script}) 2>&1"))?;
    ensure!(said.contains("/services/forwarder/expose"), "{said}");
    let written =
        folder.path.join("networks").exists() || folder.path.join("podman-machine").exists();
    ensure!(!written, "the machine wrote to the host's folder");
    Ok(())
}

/// Expects that files made by core belong to the host's user, and the reverse.
fn core(guest: &Guest, home: &Folder) -> Result<()> {
    let file = home.path.join("by-the-host");
    fs::write(&file, "one\n")?;
    let _ = chown(&file, Some(1000), Some(1000));
    let script = "cd ~/host && echo two >>by-the-host && mkdir -p a/b && echo x >a/b/c && mv a z && cat by-the-host";
    let said = guest.sh_as("core", script)?;
    ensure!(said == "one\ntwo", "{said}");
    let made = home.path.join("z/b/c");
    ensure!(fs::read_to_string(&made)? == "x\n");
    // Without root, virtiofsd cannot change the owner of a file.
    let root = fs::metadata(&home.path)?.uid() == 1000;
    ensure!(
        !root || fs::metadata(&made)?.uid() == 1000,
        "{made:?} is not core's"
    );
    Ok(())
}

/// Program that watches a directory and prints its new files; the machine has no such tool.
const WATCH: &str = r#"
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[4096];
    int fd = inotify_init();
    if (argc != 2 || inotify_add_watch(fd, argv[1], IN_CREATE) < 0) return 1;
    puts("watches");
    fflush(stdout);
    if (read(fd, buffer, sizeof buffer) <= 0) return 1;
    puts(((struct inotify_event *)buffer)->name);
    return 0;
}
"#;

fn inotify(guest: &Guest) -> Result<()> {
    let program = guest.vm.dir().join("watch");
    let mut cc = Command::new("cc");
    cc.args(["-static", "-x", "c", "-", "-o"]).arg(&program);
    tests::text(&process::output(cc, WATCH.as_bytes(), SOON)?)?;
    let copy = "cat >/tmp/watch && chmod +x /tmp/watch";
    tests::text(&guest.ssh_with("core", copy, &fs::read(&program)?)?)?;
    let script = "timeout 60 /tmp/watch ~/host >/tmp/seen & until grep -q watches /tmp/seen; do sleep 0.1; done
        touch ~/host/new-one; wait; cat /tmp/seen";
    let said = guest.sh_as("core", script)?;
    ensure!(said == "watches\nnew-one", "{said:?}");
    Ok(())
}

fn told(guest: &Guest, words: &[&str]) -> Result<()> {
    let all: Vec<String> = guest
        .ready
        .degraded
        .iter()
        .map(|d| format!("{}: {}", d.what, d.why))
        .collect();
    let hit = all
        .iter()
        .any(|line| words.iter().all(|w| line.contains(w)));
    ensure!(hit, "nothing with {words:?}: {all:#?}");
    Ok(())
}

/// QEMU's own 9p, which Debian's cloud kernel lacks.
#[test]
fn folders_are_shared_by_9p() -> Result<()> {
    let (fsdev, path) = nine(&dir("share-nine-host")?)?;
    let machine = machine_of(Kernel::Generic, "share-nine")?
        .append("b2p.share=nine:/mnt/nine")
        .qemu_args(&[
            "-fsdev",
            &fsdev,
            "-device",
            "virtio-9p-pci,fsdev=nine,mount_tag=nine",
        ]);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("share-nine");
    checks.check("nothing is missing", || {
        let degraded = &guest.ready.degraded;
        ensure!(degraded.is_empty(), "{degraded:?}");
        Ok(())
    });
    checks.check("core works in it", || {
        guest.sh_as("core", "cd /mnt/nine && echo one >a && mkdir b && mv a b/c")?;
        let said = fs::read_to_string(path.join("b/c")).context("not on the host")?;
        ensure!(said == "one\n", "{said}");
        Ok(())
    });
    checks.check("poweroff succeeds", || {
        guest.vm.power_button()?;
        let ended = guest.vm.wait_exit(END)?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    });
    checks.finish(&guest)
}
