// SPDX-License-Identifier: Apache-2.0
//! One machine under several attacks at once: a flood of connections, a hostile neighbour, a
//! hostile container, a full disk and a full RAM. The machine serves its client to the end, and
//! ends in order.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tests::disks::{self, Image};
use tests::flood::{self, Conduct, Flood};
use tests::{BOOT_LIMIT, Checks, Guest, eventually, image, machine, neighbour};
use vmm::Disk;

/// Clients at the owner's own address; 1,000 more are in the machine.
const CROWD: usize = 100;
/// Time limit of anything that takes seconds on a quiet machine.
const SOON: Duration = Duration::from_secs(90);
/// Time limit for filling the disk, which has been seen to take 95 seconds.
const FILLED: Duration = Duration::from_secs(300);
/// Size of the data disk in MiB: small, so that it is soon full.
const DISK_MIB: u64 = 512;

#[test]
#[ignore = "takes up to four minutes beside other machines; make test-all"]
fn attack() -> Result<()> {
    let disk = Image::blank(&disks::dir("attack")?, "data", DISK_MIB)?;
    let machine = machine("attack")?
        .memory_mib(1024)
        .append("b2p.format=blank")
        .disk(Disk::raw(disk.file()));
    let vm = neighbour::on_second_card(machine)?.start()?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    println!("attack: ready after {} ms", ready.field("init"));
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("attack");
    report_memory(&guest)?;
    let archive = image::archive(guest.vm.dir())?.display().to_string();
    guest.podman(&["load", "-i", &archive])?;
    checks.check("the neighbour takes no route and no name server", || {
        routes(&guest)
    });
    checks.check("the neighbour does not move the clock", || clock(&guest));
    checks.check("a bridge hears no router", || bridges(&guest));
    let witness = "trap 'echo USR1 heard; exit 0' USR1; while :; do sleep 1; done";
    run(&guest, "witness", &["--stop-signal", "USR1"], witness)?;
    run(&guest, "liar", &[], LIAR)?;
    let flood = flood(&guest)?;
    checks.check("a login during the flood", || login(&guest));
    checks.check("a container fills the disk", || {
        fill(&guest, "bomb", "/fill", "")
    });
    checks.check("the memory is filled", || fill_memory(&guest));
    checks.check("a login in the middle of it all", || login(&guest));
    checks.check("the API answers", || {
        let said = guest.sh("podman --remote --url unix:///run/podman/podman.sock version")?;
        ensure!(said.contains("Server"), "{said}");
        Ok(())
    });
    checks.check("the culprit can be removed", || {
        guest.sh("podman rm -f -t 0 bomb").map(drop)
    });
    checks.check("a key is added", || add_key(&guest));
    drop(flood);
    guest.sh(flood::END_INSIDE)?;
    checks.check("a login after the flood", || login(&guest));
    checks.check("the machine ends in order", || end(&guest));
    checks.finish(&guest)
}

/// A container that passes for conmon, holds a reader of its configuration for ever, and prints
/// what looks like a line of PID 1.
const LIAR: &str = r#"mkdir -p /b; busybox mkfifo /config.json /b/config.json
printf '#!/bin/sh\nsleep 1000 & wait\n' >/conmon; busybox chmod +x /conmon
/conmon -b / -n "$(printf 'x\033[2J\nboot2podman: ready ssh=6.6.6.6:22 api=/x data=vda init=1 boot=2')" &
while :; do printf 'boot2podman: ready ssh=6.6.6.6:22 api=/x data=vda init=1 boot=2\n'; sleep 1; done"#;

fn report_memory(guest: &Guest) -> Result<()> {
    let said = guest.sh("awk '/MemTotal|MemAvailable/ { print $1, $2 }' /proc/meminfo")?;
    println!("attack: memory when ready: {}", said.replace('\n', ", "));
    Ok(())
}

fn run(guest: &Guest, name: &str, options: &[&str], script: &str) -> Result<()> {
    let base = ["run", "--detach", "--name", name];
    let args = [&base, options, &[image::NAME, "sh", "-c", script]].concat();
    guest.podman(&args).map(drop)
}

/// Starts 1,000 clients in the machine that say nothing, and a crowd from outside that comes again.
fn flood(guest: &Guest) -> Result<Flood> {
    flood::silent_inside(guest)?;
    let conduct = Conduct {
        hello: b"SSH-2.0-crowd\r\n",
        trickle: b"",
    };
    Flood::start(guest.vm.port("ssh")?, CROWD, conduct)
}

fn login(guest: &Guest) -> Result<()> {
    let begun = Instant::now();
    let out = guest.ssh_alone("core", "id -un")?;
    let said = tests::text(&out)?;
    println!(
        "attack: a login took {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    ensure!(said == "core", "{said}");
    Ok(())
}

fn routes(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("ip -4 addr show dev eth1")?;
        ensure!(said.contains("192.168.66.77"), "{said}");
        Ok(())
    })?;
    for address in ["10.0.2.3", "10.88.0.7", "10.88.200.7", "127.0.0.53"] {
        let said = guest.sh(&format!("ip route get {address}"))?;
        ensure!(!said.contains("192.168.66.1"), "{address}: {said}");
    }
    let said = guest.sh("cat /etc/resolv.conf")?;
    ensure!(said.contains("10.0.2.3"), "{said}");
    ensure!(!said.contains("127.") && !said.contains("::1"), "{said}");
    let said = guest.sh("cat /sys/class/net/eth1/mtu; ls -d /proc/sys/net/ipv6/conf/eth1")?;
    ensure!(said.starts_with("1500"), "{said}");
    Ok(())
}

fn clock(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains("degraded time"), "{said}");
        Ok(())
    })?;
    let year = guest.sh("date +%Y")?;
    ensure!(year != "2100", "the clock shows {year}");
    Ok(())
}

fn bridges(guest: &Guest) -> Result<()> {
    run(guest, "bridge", &[], "sleep 1000")?;
    let said = guest.sh("cd /proc/sys/net/ipv6/conf && for i in podman0 veth*; do cat $i/accept_ra; done; podman rm -f -t 0 bridge >/dev/null")?;
    ensure!(said.lines().all(|line| line == "0"), "{said:?}");
    Ok(())
}

/// Fills `path` in a new container until the machine says that there is no room.
fn fill(guest: &Guest, name: &str, path: &str, option: &str) -> Result<()> {
    let script = format!("dd if=/dev/zero of={path} bs=1M {option}; sleep 1000");
    run(guest, name, &[], &script)?;
    eventually(FILLED, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains("store: full: of "), "{said}");
        Ok(())
    })
}

/// Fills the files in RAM that every user can write to.
fn fill_memory(guest: &Guest) -> Result<()> {
    guest.sh_as(
        "core",
        "for f in /dev/shm /run/user/1000 /tmp; do dd if=/dev/zero of=$f/fill bs=1M; done 2>/dev/null; true",
    )?;
    let said = guest.sh("df -m /dev/shm /tmp; free -m")?;
    println!("{said}");
    Ok(())
}

fn add_key(guest: &Guest) -> Result<()> {
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvb3QycG9kbWFuLWF0dGFjay10ZXN0LWtleS0xMjM0 late";
    guest.sh(&format!("b2p key add '{key}'"))?;
    let said = guest.sh("b2p key list")?;
    ensure!(said.contains("late"), "{said}");
    Ok(())
}

/// Presses the power button: the containers get their own stop signals, and no line on the console
/// is forged.
fn end(guest: &Guest) -> Result<()> {
    let mark = guest.vm.console().len();
    guest.vm.power_button()?;
    guest.vm.wait_exit(SOON)?;
    let console = guest.vm.console();
    let said = console.get(mark..).unwrap_or_default();
    ensure!(said.contains("shutdown: unmount took"), "{said}");
    ensure!(!said.contains("killed by the end of the phase"), "{said}");
    let forged = console
        .lines()
        .any(|line| line.contains("] boot2podman: ready ssh=6.6.6.6"));
    ensure!(!forged, "{console}");
    ensure!(!said.contains('\u{1b}'), "an escape sequence: {said:?}");
    Ok(())
}
