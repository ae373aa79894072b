// SPDX-License-Identifier: Apache-2.0
//! Machines under a flood of ssh clients at the user's own address, on QEMU's instruction clock: the
//! machine's own client logs in, so that each time is the machine's work alone, with any load of the host.

use anyhow::{Context, Result, ensure};
use std::fs;
use tests::{Checks, Guest, flood, image};

/// While the machine waits for its host, its clock follows the host's.
const WAITS: &[&str] = &["-icount", "shift=0,sleep=on"];
/// Longest login in milliseconds, with the start of podman's client and one answer of podman's API.
const LOGIN_MS: u64 = 5_000;
/// Identification string of clients that send no more.
const HALF_OPEN: &str = r"printf 'SSH-2.0-flood\r\n' >&$fd";
/// Identification string with almost as much data as a client may send before an answer.
const HEAVY: &str = r"printf 'SSH-2.0-flood\r\n%38900s' '' >&$fd";

/// Makes a key that may log in.
const MAKE_KEY: &str = "ssh-keygen -q -t ed25519 -N '' -f /root/key
    b2p key add \"$(cat /root/key.pub)\"";
/// Prints the milliseconds that a login takes.
const LOGIN: &str = "begun=${EPOCHREALTIME/./}
podman --remote --url ssh://core@127.0.0.1/run/user/1000/podman/podman.sock --identity /root/key version >/dev/null &&
    echo $(((${EPOCHREALTIME/./} - begun) / 1000))";

#[test]
fn login_works_during_connection_floods() -> Result<()> {
    let (guest, mut checks) = boot("lockout", 256)?;
    flood_of_a_thousand(&guest, &mut checks);
    checks.check(
        "a login beside 2,000 clients that have said 39 kB each",
        || {
            flood::inside(&guest, 2000, &[HEAVY])?;
            tcp_memory(&guest)?;
            login(&guest)
        },
    );
    checks.check("a login without a watch of epoll for root", || {
        guest.sh(flood::END_INSIDE)?;
        without_watches(&guest)
    });
    checks.check("a container runs", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
        let said = guest.podman(&["run", "--rm", image::NAME, "echo", "runs"])?;
        ensure!(said.trim() == "runs", "{said}");
        Ok(())
    });
    checks.finish(&guest)
}

/// A machine of the usual size, of which more sessions without a login are served at once.
#[test]
#[ignore = "a minute: make test-all"]
fn login_works_during_a_connection_flood_with_1_gib() -> Result<()> {
    let (guest, mut checks) = boot("lockout-1g", 1024)?;
    flood_of_a_thousand(&guest, &mut checks);
    checks.finish(&guest)
}

fn boot(name: &str, mib: u32) -> Result<(Guest, Checks)> {
    let guest = Guest::boot(name, |machine| {
        machine.memory_mib(mib).icount(true).qemu_args(WAITS)
    })?;
    guest.sh(MAKE_KEY)?;
    Ok((guest, Checks::new(name)))
}

fn flood_of_a_thousand(guest: &Guest, checks: &mut Checks) {
    checks.check("a login before the flood", || login(guest));
    checks.check("a login during a flood of 1,000", || {
        flood::inside(guest, 500, &[flood::SILENT, HALF_OPEN])?;
        login(guest)?;
        login(guest)
    });
    checks.check("a login after the flood", || {
        guest.sh(flood::END_INSIDE)?;
        login(guest)
    });
}

/// Logs in while root has used up its watches, which its containers share. podman needs some as well, so that the
/// client runs a command only.
fn without_watches(guest: &Guest) -> Result<()> {
    let limit = "/proc/sys/fs/epoll/max_user_watches";
    let before = guest.sh(&format!("cat {limit}; echo 0 >{limit}"))?;
    let said = guest.ssh_alone("core", "echo in");
    guest.sh(&format!("echo {before} >{limit}"))?;
    let said = tests::text(&said?)?;
    ensure!(said.trim() == "in", "{said}");
    Ok(())
}

fn login(guest: &Guest) -> Result<()> {
    let said = guest.sh(LOGIN)?;
    let ms: u64 = said.parse().with_context(|| said.clone())?;
    println!("lockout: a login took {ms} ms");
    ensure!(ms < LOGIN_MS, "{ms} ms");
    Ok(())
}

/// Expects the memory of all TCP connections to be below the kernel's limit: at the second of the three
/// numbers of pages the kernel begins to take memory back from all connections (tcp(7), tcp_mem).
fn tcp_memory(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "awk '/^TCP:/ { print $NF }' /proc/net/sockstat; awk '{ print $2 }' /proc/sys/net/ipv4/tcp_mem
        grep -e MemTotal -e MemAvailable /proc/meminfo; cat /sys/fs/cgroup/system/sshd/memory.peak",
    )?;
    println!("lockout: {}", said.replace('\n', ", "));
    let numbers: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(numbers.len() == 3 && numbers[0] < numbers[1], "{said}");
    Ok(())
}
