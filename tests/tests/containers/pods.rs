// SPDX-License-Identifier: Apache-2.0
//! Limits of whole pods of core's, for which podman makes no cgroup.

use crate::SOON;
use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

/// Prints the cgroup of a container, and limits of the pod's cgroup and of its own.
const LIMITS: &str = r#"
cgroup=$(sed 's/^0:://' "/proc/$(podman inspect --format '{{.State.Pid}}' "$1")/cgroup")
echo "${cgroup%/*/*}"
cd "/sys/fs/cgroup${cgroup%/*}" && cat memory.max memory.swap.max cpu.max cpuset.cpus
cat "/sys/fs/cgroup$cgroup/memory.max"
"#;

/// Expects that limits of a pod hold for all its containers together, after any kind of start.
pub fn limits(guest: &Guest) -> Result<()> {
    let podman = |arguments: &str| guest.sh_as("core", &format!("podman {arguments}"));
    let shown = |name: &str| {
        let script = format!("sh -c '{}' limits {name}", LIMITS.replace('\'', r"'\''"));
        guest.sh_as("core", &script)
    };
    let name = image::NAME;
    podman(
        "pod create --network none --name own -m 64m --memory-swap 64m --cpus 0.5 --cpuset-cpus 0",
    )?;
    podman(&format!("run -d --pod own --name one {name} sleep 1000"))?;
    podman(&format!(
        "run -d --pod own --name two -m 32m {name} sleep 1000"
    ))?;
    let of_pod = "/user/1000\n67108864\n0\n50000 100000\n0";
    let is = |name: &str, limits: &str| {
        let said = shown(name)?;
        ensure!(said == limits, "{name}: {said}");
        Ok(())
    };
    is("one", &format!("{of_pod}\nmax"))?;
    is("two", &format!("{of_pod}\n33554432"))?;
    // The container itself has no limit.
    let dd =
        format!("podman run --rm --pod own {name} dd if=/dev/zero of=/dev/null bs=90M count=1");
    let out = guest.ssh("core", &dd)?;
    ensure!(out.status.code() == Some(137), "{out:?}");
    let stats = podman("stats --no-stream --format '{{.PIDs}}' two")?;
    ensure!(stats == "1", "{stats}");
    let stats = podman("pod stats --no-stream --format '{{.Name}} {{.PIDS}}' own")?;
    for line in ["one 1", "two 1"] {
        ensure!(stats.lines().any(|row| row == line), "{stats}");
    }
    podman("pod stop -t 0 own")?;
    refused(guest)?;
    podman("pod start own")?;
    is("two", &format!("{of_pod}\n33554432"))?;
    podman("pod rm -f -t 0 own")?;
    over_the_api(guest)
}

/// Expects that a podman without a cgroup of its user starts no such pod: its limits would not hold.
fn refused(guest: &Guest) -> Result<()> {
    let out = guest.ssh(
        "root",
        "sudo -iu core XDG_RUNTIME_DIR=/run/user/1000 podman start two",
    )?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(said.contains("(the reason is in b2p log)"), "{out:?}");
    // The log is written by another process.
    eventually(SOON, || {
        guest
            .sh("b2p log | grep -q 'has limits: they hold for podman over ssh'")
            .map(drop)
    })
}

fn over_the_api(guest: &Guest) -> Result<()> {
    let podman = |arguments: &str| {
        let url = "unix:///run/user/1000/podman/podman.sock";
        guest.sh_as("core", &format!("podman --remote --url {url} {arguments}"))
    };
    podman("pod create --name far -m 48m")?;
    let name = image::NAME;
    podman(&format!("run -d --pod far --name three {name} sleep 1000"))?;
    let said =
        guest.sh("cd /sys/fs/cgroup/user/1000 && cat pod-*/memory.max; ls -d pod-* | wc -l")?;
    // The cgroup of the removed pod was removed at the start of another.
    ensure!(said == "50331648\n1", "{said}");
    podman("pod rm -f -t 0 far").map(drop)
}
