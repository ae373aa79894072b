// SPDX-License-Identifier: Apache-2.0
//! The system from the view of a person or a program.

use anyhow::{Context, Result, bail, ensure};
use initramfs::arch::Arch;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::{Checks, Guest, eventually};

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("the ready line", || ready_line(guest));
    checks.check("users and groups of the machine", || users(guest));
    checks.check("sudo without a password", || sudo(guest));
    checks.check("os-release", || os_release(guest));
    checks.check("hostname", || equals(guest, "hostname", "boot2podman"));
    checks.check("loopback is up", || loopback(guest));
    checks.check("machine-id", || machine_id(guest));
    checks.check("the clock is right", || clock(guest));
    checks.check("the random pool is ready", || random(guest));
    checks.check("a time zone without tz=", || time_zone(guest));
    checks.check("modprobe by hand", || modprobe_by_hand(guest));
    checks.check("modprobe for the kernel", || modprobe_for_the_kernel(guest));
    checks.check("containers find their network's drivers", || {
        drivers_of_containers(guest)
    });
    checks.check("names are resolved by the lease's server", || {
        resolver(guest)
    });
    checks.check("the initrd's memory is given back", || memory(guest));
}

pub fn equals(guest: &Guest, script: &str, wanted: &str) -> Result<()> {
    let got = guest.sh(script)?;
    ensure!(got == wanted, "`{script}` gives {got:?}, not {wanted:?}");
    Ok(())
}

fn ready_line(guest: &Guest) -> Result<()> {
    let ready = &guest.ready;
    ensure!(ready.degraded.is_empty(), "degraded: {:?}", ready.degraded);
    let words = ready.line.split_whitespace().skip(2);
    let keys: Vec<&str> = words
        .filter_map(|word| word.split_once('='))
        .map(|(key, _)| key)
        .collect();
    ensure!(
        keys == ["ssh", "api", "data", "init", "boot"],
        "{}",
        ready.line
    );
    for (key, value) in [
        ("ssh", "10.0.2.15:22"),
        ("api", "/run/podman/podman.sock"),
        ("data", "ram"),
    ] {
        ensure!(ready.field(key) == value, "{key}: {}", ready.line);
    }
    let (init, boot) = (
        ready.init_ms().context("init=")?,
        ready.boot_ms().context("boot=")?,
    );
    ensure!(init > 0 && boot > init, "{}", ready.line);
    let log = guest.sh("dmesg | grep 'boot2podman: ready '")?;
    ensure!(log.contains(&ready.line), "the kernel log has {log:?}");
    Ok(())
}

fn users(guest: &Guest) -> Result<()> {
    equals(guest, "id -u; pwd", "0\n/root")?;
    let core = guest.sh_as("core", "id; pwd")?;
    ensure!(
        core.contains("uid=1000(core)") && core.contains("(podman)"),
        "{core}"
    );
    ensure!(core.ends_with("/home/core"), "{core}");
    // Only `*` and `!` stand in the password field: no account has a password, and none has an
    // empty one.
    equals(
        guest,
        "cut -d: -f2 /etc/shadow | grep -v '^[*!]' | wc -l",
        "0",
    )
}

fn sudo(guest: &Guest) -> Result<()> {
    let who = guest.sh_as("core", "sudo -n id -u && sudo -n -u core id -un")?;
    ensure!(who == "0\ncore", "{who}");
    Ok(())
}

fn os_release(guest: &Guest) -> Result<()> {
    let text = guest.sh("cat /etc/os-release")?;
    ensure!(text.lines().any(|line| line == "ID=boot2podman"), "{text}");
    ensure!(!text.contains('@'), "a version is not filled in:\n{text}");
    Ok(())
}

fn loopback(guest: &Guest) -> Result<()> {
    let lo = guest.sh("ip addr show dev lo")?;
    ensure!(lo.contains("127.0.0.1/8") && lo.contains(",UP"), "{lo}");
    guest.sh("ping -c 1 -W 5 localhost").map(drop)
}

fn machine_id(guest: &Guest) -> Result<()> {
    let id = guest.sh("cat /etc/machine-id")?;
    let hex = id.len() == 32
        && id
            .bytes()
            .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    ensure!(hex && id.bytes().any(|b| b != b'0'), "{id:?}");
    Ok(())
}

fn clock(guest: &Guest) -> Result<()> {
    let theirs: u64 = guest.sh("date +%s")?.parse()?;
    let ours = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    ensure!(theirs.abs_diff(ours) < 60, "{theirs} there, {ours} here");
    Ok(())
}

fn random(guest: &Guest) -> Result<()> {
    equals(guest, "cat /proc/sys/kernel/random/entropy_avail", "256")?;
    guest.sh("dmesg | grep 'random: crng init done'").map(drop)
}

/// Expects UTC by a link that a container's `-v /etc/localtime:/etc/localtime:ro` finds, and no
/// variable that overrides this zone.
fn time_zone(guest: &Guest) -> Result<()> {
    let utc = "/usr/share/zoneinfo/Etc/UTC";
    equals(
        guest,
        "readlink /etc/localtime; head -c 4 /etc/localtime",
        &format!("{utc}\nTZif"),
    )?;
    equals(guest, "date +%Z; echo ${TZ-unset}", "UTC\nunset")?;
    let env = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c ^TZ= || true";
    equals(guest, env, "0")
}

fn modprobe_by_hand(guest: &Guest) -> Result<()> {
    guest.sh("modprobe dummy && grep '^dummy ' /proc/modules && modprobe dummy")?;
    guest.sh("modprobe zram num_devices=2 && test -e /sys/block/zram1 && modprobe -r zram")?;
    // A script's modprobe is the same program.
    guest.sh("sh -c 'modprobe zram num_devices=2; test -e /sys/block/zram1; modprobe -r zram'")?;
    guest.sh("! test -e /sys/module/zram")?;
    // kmod's modprobe(8) in a container loads none of the dependencies where one has no file.
    guest.sh("modprobe overlay && modprobe libcrc32c")?;
    let files = "cd /usr/lib/modules/$(uname -r) && tr ': ' '\\n\\n' <modules.dep | sort -u | \
        while read -r file; do test -z \"$file\" || test -e \"$file\" || echo \"$file\"; done";
    equals(guest, files, "")?;
    // The command line passes an option to a module that is not built in.
    equals(guest, "ls /sys/class/net | grep -c ^dummy", "3")?;
    guest.sh("rmmod dummy && ! grep '^dummy ' /proc/modules")?;
    let out = guest.ssh("root", "modprobe no_such_module")?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        !out.status.success() && said.contains("no_such_module"),
        "{}: {said}",
        out.status
    );
    Ok(())
}

fn modprobe_for_the_kernel(guest: &Guest) -> Result<()> {
    guest.sh("! grep '^dummy ' /proc/modules")?;
    guest
        .sh("ip link add b2p9 type dummy && grep '^dummy ' /proc/modules && ip link del b2p9")
        .map(drop)
}

/// Checks the drivers of containers: loaded once the machine is quiet, before a container needs
/// them, and without the function tracer's calls (docs/measured/boot-time.md).
fn drivers_of_containers(guest: &Guest) -> Result<()> {
    let names = "bridge veth nft_chain_nat nft_masq nft_fib_inet nft_ct";
    eventually(Duration::from_secs(120), || {
        let live = "for name in NAMES; do grep \"^$name .* Live\" /proc/modules || exit 1; done";
        guest.sh(&live.replace("NAMES", names)).map(drop)
    })?;
    let traced = "/sys/kernel/tracing/available_filter_functions";
    guest.sh(&format!("grep -q '^vfs_read$' {traced}"))?;
    // The builder takes the calls out of modules for x86-64 only (initramfs/src/modules/patch.rs).
    if Arch::from_env()?.name != "x86_64" {
        return Ok(());
    }
    equals(
        guest,
        &format!("grep -c '\\[bridge\\]' {traced}; true"),
        "0",
    )
}

fn resolver(guest: &Guest) -> Result<()> {
    let text = guest.sh("cat /etc/resolv.conf")?;
    ensure!(
        text.lines().any(|line| line == "nameserver 10.0.2.3"),
        "{text}"
    );
    let routes = guest.sh("ip route")?;
    ensure!(routes.contains("default via 10.0.2.2"), "{routes}");
    Ok(())
}

/// Limit in MiB of the memory used when ready, the userland image included: generous, so that only
/// a large leak exceeds it.
const MEMORY_MIB: u64 = 300;

fn memory(guest: &Guest) -> Result<()> {
    let text = guest.sh("cat /proc/meminfo")?;
    let field = |name: &str| -> Result<u64> {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .context("no such line")?;
        Ok(line
            .split_whitespace()
            .nth(1)
            .context("no number")?
            .parse::<u64>()?
            / 1024)
    };
    let used = field("MemTotal:")? - field("MemAvailable:")?;
    println!("memory used: {used} MiB");
    if used > MEMORY_MIB {
        bail!("{used} MiB are used:\n{text}");
    }
    Ok(())
}
