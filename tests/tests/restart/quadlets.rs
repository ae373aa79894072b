// SPDX-License-Identifier: Apache-2.0
//! Quadlets on the data disk, which run as services, in their order, again after each boot.

use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

use crate::LIMIT;

/// Directory of the files.
const DIR: &str = "/var/lib/boot2podman/quadlet";

/// A program that ends at SIGTERM, and notes that.
const LOOP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

/// Writes the files, and has them read.
pub fn begin(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let files = [
        ("vol.volume", "[Volume]\n".to_owned()),
        (
            // As editors of Windows write it.
            "net.network",
            "\u{feff}[Network]\r\nSubnet=10.123.0.0/24\r\n".to_owned(),
        ),
        (
            "db.container",
            format!(
                "[Container]\nImage={image}\nContainerName=q-db\nVolume=vol.volume:/data\nNetwork=net.network\n\
                 Exec=sh -c \"date +%%s >/data/started; {LOOP}\"\n[Service]\nRestart=always\nTimeoutStartSec=600\n"
            ),
        ),
        (
            "web.container",
            format!(
                "[Unit]\nRequires=db.service\nAfter=db.service\n[Container]\nImage={image}\nContainerName=q-web\n\
                 Volume=vol.volume:/data\nNetwork=net.network\nEnvironment=GREETING=%p\n\
                 Exec=sh -c \"until test -s /data/started; do sleep 0.1; done; echo hello $$GREETING; {LOOP}\"\n\
                 [Service]\nRestart=on-failure\nRestartSec=1\nTimeoutStartSec=600\nSlice=x.slice\n\
                 [Install]\nWantedBy=multi-user.target\n"
            ),
        ),
        ("bad.container", "[Container]\nImge=x\n".to_owned()),
    ];
    guest.sh(&format!("mkdir -p {DIR}"))?;
    for (name, text) in files {
        let written = guest.ssh_with("root", &format!("cat >{DIR}/{name}"), text.as_bytes())?;
        tests::text(&written)?;
    }
    let own = format!(
        "\u{feff}[Container]\nImage={image}\nContainerName=q-own\nAutoUpdate=local\nExec=sh -c \"{LOOP}\"\n\
         [Install]\nWantedBy=default.target\n"
    );
    let to = "mkdir -p .config/containers/systemd && cat >.config/containers/systemd/own.container";
    tests::text(&guest.ssh_with("core", to, own.as_bytes())?)?;
    guest.sh("systemctl daemon-reload")?;
    let said = guest.sh("grep ^quadlet: /run/boot2podman/degraded")?;
    let lines: Vec<&str> = said.lines().collect();
    let right = lines.len() == 2
        && said.contains("bad.container")
        && said.contains("Imge")
        && said.contains("web.service: keys without effect here: Slice");
    ensure!(right, "{said}");
    Ok(())
}

/// Reading the files has started nothing. A start also starts needed services, a stop also stops
/// dependent ones.
pub fn by_hand(guest: &Guest) -> Result<()> {
    guest.sh("! systemctl is-active web db vol-volume")?;
    guest.sh("systemctl start --no-block web.service core-own")?;
    run(guest, "core")?;
    eventually(LIMIT, || {
        let logs = guest.sh("podman logs q-web")?;
        ensure!(logs == "hello web", "{logs}");
        Ok(())
    })?;
    // The container ends by itself, and is there again: another one, as `--rm` removes the first.
    let id = guest.sh("podman inspect --format '{{.Id}}' q-db")?;
    guest.sh("podman exec q-db sh -c 'kill 1' || true")?;
    eventually(LIMIT, || {
        let now = guest.sh("podman inspect --format '{{.Id}}' q-db")?;
        ensure!(now != id, "{now}");
        guest.sh("systemctl is-active db").map(drop)
    })?;
    guest.sh("systemctl stop db")?;
    let left = guest.sh("podman ps -a --format '{{.Names}}' | grep ^q- || true")?;
    ensure!(left.is_empty(), "{left}");
    guest.sh("! systemctl is-active web db")?;
    guest.sh("systemctl start --no-block web core-own")?;
    run(guest, "core")?;
    wrong_files(guest)
}

/// Files that are wrong end nothing that runs, and take no other file with them: a line that podman's generator
/// cannot read, the name of a built-in service, and too much of a user.
fn wrong_files(guest: &Guest) -> Result<()> {
    let much = "mkdir -p .config/systemd/user && cd .config/systemd/user && \
                for n in 1 2 3 4 5; do head -c 1000000 /dev/zero | tr '\\0' '#' >$n.service; done";
    guest.sh_as("core", much)?;
    guest.sh(&format!(
        "cd {DIR} && echo stray >>bad.container && printf '[Container]\nImage=x\n' >time.container && \
         printf '[Volume]\n' >late.volume && systemctl daemon-reload && systemctl start late-volume"
    ))?;
    let said = guest.sh("grep ^quadlet: /run/boot2podman/degraded")?;
    for right in [
        "bad.container",
        "the machine has a service time",
        "of core: ",
    ] {
        ensure!(said.contains(right), "{right}: {said}");
    }
    run(guest, "core")?;
    guest.sh_as("core", "rm -r .config/systemd/user")?;
    guest.sh(&format!(
        "cd {DIR} && rm time.container late.volume && sed -i /stray/d bad.container"
    ))?;
    guest.sh("systemctl daemon-reload")?;
    eventually(LIMIT, || {
        guest.sh("! systemctl is-active late-volume").map(drop)
    })
}

/// Expects that both containers run, as services that are ready.
pub fn run(guest: &Guest, user: &str) -> Result<()> {
    eventually(LIMIT, || {
        let units = format!("vol-volume net-network db web {user}-own");
        let said = guest.sh(&format!("systemctl is-active {units} || true"))?;
        ensure!(said.lines().eq(["active"; 5]), "{said:?}");
        Ok(())
    })?;
    let names = guest.sh("podman ps --format '{{.Names}}' | grep ^q- | sort")?;
    ensure!(names.lines().eq(["q-db", "q-web"]), "{names}");
    let cgroup = guest
        .sh("podman inspect --format '{{.State.Pid}}' q-web | xargs -I{} cat /proc/{}/cgroup")?;
    ensure!(cgroup.contains("/system/web/"), "{cgroup}");
    let pid = "podman inspect --format '{{.State.Pid}}' q-own | xargs -I{} cat /proc/{}/cgroup";
    let cgroup = guest.sh_as(user, pid)?;
    ensure!(
        cgroup.contains(&format!("/user/1000/{user}-own/")),
        "{cgroup}"
    );
    Ok(())
}

/// Expects that the end of the machine has stopped the quadlets before the other containers.
pub fn ended(guest: &Guest) -> Result<()> {
    let said = guest.vm.console();
    let line = said
        .lines()
        .find(|line| line.contains("shutdown: units took"));
    let line = line.unwrap_or_default();
    ensure!(line.contains("have ended by their stop commands"), "{line}");
    Ok(())
}

/// Number of the containers of [`write_hundred`].
const MANY: usize = 100;

/// Writes a hundred quadlets that the boot starts.
pub fn write_hundred(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let archive = std::fs::read(image::archive(guest.vm.dir())?)?;
    tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
    let text = format!(
        "[Container]\nImage={image}\nContainerName=%p\nNetwork=none\nExec=sh -c \"{LOOP}\"\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    let to = format!(
        "mkdir -p {DIR} && cd {DIR} && cat >q1.container && \
         for n in $(seq 2 {MANY}); do cp q1.container q$n.container; done && sync"
    );
    tests::text(&guest.ssh_with("root", &to, text.as_bytes())?).map(drop)
}

/// Expects that all of them run in the end, that the machine answers meanwhile, and that no process was killed
/// for lack of memory.
pub fn hundred_run(guest: &Guest) -> Result<()> {
    let begun = std::time::Instant::now();
    let mut slowest = std::time::Duration::ZERO;
    eventually(8 * LIMIT, || {
        let asked = std::time::Instant::now();
        let count = guest
            .sh("systemctl list-units --no-legend --plain 'q*' | grep -c 'active running'; true")?;
        slowest = slowest.max(asked.elapsed());
        ensure!(count == MANY.to_string(), "{count} run");
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f32();
    let said = guest.sh("free -m | sed -n 2p; b2p status | head -3; cut -d' ' -f1 /proc/uptime")?;
    println!("after {seconds:.0} s; the slowest answer took {slowest:.1?}\n{said}");
    let count = guest.sh("podman ps -q | wc -l; dmesg | grep -c 'Out of memory'; true")?;
    ensure!(count == format!("{MANY}\n0"), "{count}");
    Ok(())
}
