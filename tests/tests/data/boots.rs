// SPDX-License-Identifier: Apache-2.0
//! One disk over many boots: nothing is lost, nothing accumulates.

use super::{homes, off, on, whole};
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::disks::inspect::Ext;
use tests::disks::{self, Image, taken, userdata};
use tests::{Checks, Guest, image};
use vmm::Disk;

/// Boots with both ways to write, each twice; [`ten_boots`] has more.
#[test]
fn five_boots() -> Result<()> {
    boots("boots", 5)
}

#[test]
#[ignore = "nightly: ten boots"]
fn ten_boots() -> Result<()> {
    boots("boots-often", 10)
}

/// A disk over its boots.
struct Life {
    name: &'static str,
    disk: Image,
    boots: usize,
    /// Identity of the machine in the first boot.
    who: String,
}

fn boots(name: &'static str, boots: usize) -> Result<()> {
    let dir = disks::dir(name)?;
    let mut life = Life {
        name,
        disk: taken::words(&dir, "disk", userdata::OURS.as_bytes())?,
        boots,
        who: String::new(),
    };
    let mut checks = Checks::new(name);
    for number in 1..=boots {
        boot(&mut life, number, &mut checks)?;
    }
    checks.done()?;
    Ok(fs::remove_dir_all(dir)?)
}

fn boot(life: &mut Life, number: usize, checks: &mut Checks) -> Result<()> {
    let key = Guest::public_key()?;
    let guest = Guest::boot(&format!("data-{}-{number}", life.name), |m| {
        let machine = m.memory_mib(768).append(homes::flag(number));
        let machine = homes::with_document(machine, number, &key);
        machine.disk(Disk::raw(life.disk.file()))
    })?;
    checks.check("the disk is used, and nothing is missing", || {
        on(&guest, "/dev/vda1")?;
        whole(&guest)
    });
    checks.check(
        "host key and machine-id are those of the first boot",
        || {
            let now = guest.sh("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")?;
            ensure!(number == 1 || now == life.who, "{}, then {now}", life.who);
            life.who = now;
            Ok(())
        },
    );
    checks.check("files of every earlier boot exist", || {
        written(&guest, number)
    });
    checks.check("homes and /etc", || homes::kept(&guest, number));
    checks.check("a container of the first boot", || {
        container(&guest, number, life.boots)
    });
    let last = guest.sh("ls -R /var/lib/boot2podman; find /var/lib/containers | wc -l")?;
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the file system is whole", || Ext::on(&life.disk)?.clean());
    if number == life.boots {
        println!("after {number} boots:\n{last}");
        let half = last.lines().find(|l| l.contains("b2p-new"));
        checks.check("nothing piles up", || {
            ensure!(half.is_none(), "{half:?}");
            Ok(())
        });
    }
    Ok(())
}

/// Writes a file, with a sync in one boot and without in the next.
fn written(guest: &Guest, number: usize) -> Result<()> {
    let file = "/var/lib/containers/boots";
    let before = guest.sh(&format!("touch {file}; cat {file}"))?;
    let expected: Vec<String> = (1..number).map(|n| n.to_string()).collect();
    ensure!(before == expected.join("\n"), "{before:?}");
    let sync = ["", "; sync"].get(number % 2).context("odd or even")?;
    guest.sh(&format!("echo {number} >>{file}{sync}")).map(drop)
}

/// Returns what the kernel, the file system and podman say about the container, a moment later: whether the file was
/// copied too early, was lost on the disk, or was never written.
fn traces(guest: &Guest) -> Result<String> {
    guest.sh(
        "ls -ld /proc/[0-9]*/root/starts /tmp/starts /var/lib/containers/storage/overlay/*/diff/starts 2>&1
         sleep 5; wc -c /var/lib/containers/storage/overlay/*/diff/starts 2>&1
         podman inspect kept --format '{{json .State}}'; podman events --no-trunc --stream=false --filter container=kept | tail -20
         dmesg | tail -20",
    )
}

/// Runs a container that counts its starts in its own layer; only the first and the last boot read
/// the count, because podman is slow under emulation.
fn container(guest: &Guest, number: usize, boots: usize) -> Result<()> {
    let name = image::NAME;
    match number {
        1 => {
            let archive = fs::read(image::archive(guest.vm.dir())?)?;
            tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
            let script = format!("podman run --name kept {name} sh -c 'echo x >>/starts'");
            guest.sh(&script).map(drop)
        }
        _ if number == boots => {
            let script = "podman start --attach kept && podman cp kept:/starts /tmp/starts && wc -l </tmp/starts";
            let starts = guest.sh(script)?;
            ensure!(starts == "2", "{starts}; {}", traces(guest)?);
            Ok(())
        }
        _ => Ok(()),
    }
}
