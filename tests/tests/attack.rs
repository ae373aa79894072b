// SPDX-License-Identifier: Apache-2.0
//! One machine under several attacks at once: a flood of connections, also from many addresses of
//! IPv4 and IPv6, a hostile neighbour, a hostile container, a full disk and a full RAM. The machine
//! serves its client to the end, and ends in order.

use anyhow::{Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use tests::disks::{self, Image};
use tests::flood::{self, Conduct, Flood};
use tests::{BOOT_LIMIT, Checks, Guest, eventually, image, machine};
use vmm::Disk;

/// Clients at the user's own address; 1,000 more are in the machine.
const CROWD: usize = 50;
/// Time limit of anything that takes seconds on a quiet machine.
const SOON: Duration = Duration::from_secs(240);
/// Size of the data disk in MiB: small, so that the disk is soon full.
const DISK_MIB: u64 = 96;

#[test]
fn a_container_and_a_neighbour_cannot_exhaust_the_machine() -> Result<()> {
    let disk = Image::blank(&disks::dir("attack")?, "data", DISK_MIB)?;
    let machine = machine("attack")?
        .memory_mib(1024)
        .append("b2p.format=blank")
        .disk(Disk::raw(disk.file()));
    let (machine, neighbour) = tests::neighbour::on_second_card(machine)?;
    let vm = machine.start()?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    println!("attack: ready after {} ms", ready.field("init"));
    let guest = Guest::wrap(vm, ready)?;
    let mut checks = Checks::new("attack");
    report_memory(&guest, "when ready")?;
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
    let flood = begin(&guest)?;
    checks.check("the neighbour takes no route and no name server", || {
        routes(&guest)
    });
    checks.check("the neighbour does not move the clock", || clock(&guest));
    neighbour.tell_the_time();
    checks.check("an answer that agrees is believed", || agreed(&guest));
    checks.check("a bridge hears no router", || bridges(&guest));
    checks.check("a container does not fill the table of connections", || {
        connections_fit(&guest)
    });
    neighbour.set_crowd(true);
    checks.check("the neighbour has hundreds of connections", || {
        connections(&guest)
    });
    checks.check("a login during the flood", || login(&guest));
    checks.check("the disk is full", || full(&guest));
    checks.check("the API answers", || {
        let said = guest.sh("podman --remote --url unix:///run/podman/podman.sock version")?;
        ensure!(said.contains("Server"), "{said}");
        Ok(())
    });
    checks.check("a key is added", || add_key(&guest));
    checks.check("the culprit can be removed", || {
        guest.sh("podman rm -f -t 0 bomb").map(drop)
    });
    drop(flood);
    neighbour.set_crowd(false);
    guest.sh(flood::END_INSIDE)?;
    checks.check("a login after the flood", || login(&guest));
    report_memory(&guest, "after the attack")?;
    checks.check("the machine ends in order", || end(&guest));
    checks.check("a container has had its own stop signal", || {
        let disk = fs::read(disk.file())?;
        let heard = disk.windows(HEARD.len()).any(|bytes| bytes == HEARD);
        ensure!(heard, "its log has no such line");
        Ok(())
    });
    checks.finish(&guest)
}

/// A container that has a stop signal of its own, and expects it.
const WITNESS: &str = "trap 'echo USR1 heard; exit 0' USR1; while :; do sleep 1000 & wait; done";
/// Line in the container's log, which is on the disk.
const HEARD: &[u8] = b" stdout F USR1 heard\n";

/// A container that fills the disk, takes all freed space, and fills its log.
const BOMB: &str = "while :; do cat /dev/zero >>/fill; seq 1 1000; done 2>/dev/null";

/// A user that again and again fills all file systems in RAM that every user can write to.
const SQUATTER: &str = "while :; do for f in /dev/shm /run/user/1000 /tmp; do
    cat /dev/zero >>$f/fill; done; sleep 1; done </dev/null >/dev/null 2>&1 &";

/// A container that passes for conmon, holds a reader of its configuration for ever, and prints a
/// text that looks like a line of PID 1.
const LIAR: &str = r#"trap 'exit 0' TERM; mkdir -p /b; busybox mkfifo /config.json /b/config.json
printf '#!/bin/sh\nsleep 1000 & wait\n' >/conmon; busybox chmod +x /conmon
/conmon -b / -n "$(printf 'x\033[2J\nboot2podman: ready ssh=6.6.6.6:22 api=/x data=vda init=1 boot=2')" &
while :; do printf 'boot2podman: ready ssh=6.6.6.6:22 api=/x data=vda init=1 boot=2\n'; sleep 1; done"#;

fn report_memory(guest: &Guest, when: &str) -> Result<()> {
    let said = guest.sh("awk '/MemTotal|MemAvailable/ { print $1, $2 }' /proc/meminfo")?;
    println!("attack: memory {when}: {}", said.replace('\n', ", "));
    Ok(())
}

/// Starts all attackers: a hostile container, one that fills the disk, a user that fills the RAM,
/// 1,000 silent clients in the machine, and a crowd from outside that connects again.
fn begin(guest: &Guest) -> Result<Flood> {
    run(guest, "witness", &["--stop-signal", "USR1"], WITNESS)?;
    run(guest, "liar", &["--stop-timeout", "1"], LIAR)?;
    run(guest, "bomb", &["--stop-timeout", "1"], BOMB)?;
    // Last: podman's API needs /var/tmp to start a container.
    guest.sh_as("core", SQUATTER)?;
    flood::inside(guest, 1000, &[flood::SILENT])?;
    let conduct = Conduct {
        hello: b"SSH-2.0-crowd\r\n",
        trickle: b"",
    };
    Flood::start(guest.vm.port("ssh")?, CROWD, conduct)
}

fn run(guest: &Guest, name: &str, options: &[&str], script: &str) -> Result<()> {
    let base = ["run", "--detach", "--name", name];
    let args = [&base, options, &[image::NAME, "sh", "-c", script]].concat();
    guest.podman(&args).map(drop)
}

fn login(guest: &Guest) -> Result<()> {
    let begun = Instant::now();
    // A login that takes ten seconds may lose its place to a newer one (docs/guide/network.md), and
    // is then repeated.
    let said = eventually(SOON, || tests::text(&guest.ssh_alone("core", "id -un")?))?;
    println!(
        "attack: a login took {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    ensure!(said == "core", "{said}");
    Ok(())
}

/// Waits for connections, half-open ones included, of many addresses of IPv4 and of IPv6.
fn connections(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let count = |peer: &str, file: &str| -> Result<usize> {
            let ssh_of = format!("grep -c ':0016 {peer}' /proc/net/{file} || true");
            Ok(guest.sh(&ssh_of)?.parse()?)
        };
        // Addresses are words of the processor's byte order (proc_pid_net(5)).
        let counts = [
            count("[0-9A-F]*42A8C0:", "tcp")?,
            count("000080FE", "tcp6")?,
        ];
        ensure!(counts.iter().all(|n| *n >= 100), "{counts:?}");
        Ok(())
    })
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

/// Sets the clock to its present second, so that the service asks again, as it does by itself each 64
/// s.
fn agreed(guest: &Guest) -> Result<()> {
    guest.sh("date -s \"@$(date +%s)\"")?;
    eventually(SOON, || {
        let said = guest.sh("b2p status; cat /run/boot2podman/degraded")?;
        ensure!(!said.contains("the time server"), "{said}");
        Ok(())
    })
}

fn bridges(guest: &Guest) -> Result<()> {
    let values = "cd /proc/sys/net/ipv6/conf && for i in podman0 veth*; do cat $i/accept_ra; done";
    let said = guest.sh(values)?;
    ensure!(said.lines().all(|line| line == "0"), "{said:?}");
    Ok(())
}

/// Waits until the machine reports that there is no room, on the disk and in /tmp, and expects none.
fn full(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains("store: full: of "), "{said}");
        ensure!(said.contains("store: /tmp is full: of "), "{said}");
        Ok(())
    })?;
    let said = guest.sh("stat -f -c %a /mnt/data; df -m /dev/shm /tmp /run/user; free -m")?;
    println!("{said}");
    Ok(())
}

/// Expects a table of connections for more than the ports of one container, once there is a bridge.
fn connections_fit(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("cat /proc/sys/net/netfilter/nf_conntrack_max")?;
        ensure!(said.parse::<u32>()? > 65_536, "{said}");
        Ok(())
    })
}

fn add_key(guest: &Guest) -> Result<()> {
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvb3QycG9kbWFuLWF0dGFjay10ZXN0LWtleS0xMjM0 late";
    guest.sh(&format!("b2p key add '{key}'"))?;
    let said = guest.sh("b2p key list")?;
    ensure!(said.contains("late"), "{said}");
    Ok(())
}

/// Presses the power button, and expects that no line on the console is forged.
fn end(guest: &Guest) -> Result<()> {
    let mark = guest.vm.console().len();
    guest.vm.power_button()?;
    guest.vm.wait_exit(SOON)?;
    let console = guest.vm.console();
    let said = console.get(mark..).unwrap_or_default();
    ensure!(said.contains("shutdown: unmount took"), "{said}");
    let forged = console
        .lines()
        .any(|line| line.contains("] boot2podman: ready ssh=6.6.6.6"));
    ensure!(!forged, "{console}");
    ensure!(!said.contains('\u{1b}'), "an escape sequence: {said:?}");
    Ok(())
}
