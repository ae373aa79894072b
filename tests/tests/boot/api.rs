// SPDX-License-Identifier: Apache-2.0
//! The podman socket: PID 1 holds the socket, and podman runs only during its use.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Checks, Guest, eventually, http};

/// Time limit for podman's end: podman exits after five idle seconds, and TCG is slow.
const LEAVES: Duration = Duration::from_secs(180);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("no podman runs before anyone asks", || idle(guest));
    checks.check("no process is core's before core logs in", || {
        let all = guest.sh("ps -u core -o args= ; true")?;
        ensure!(all.is_empty(), "{all}");
        let socket = guest.sh("stat -c '%a %U %F' /run/user/1000/podman/podman.sock")?;
        ensure!(socket == "600 core socket", "{socket}");
        Ok(())
    });
    checks.check("the sockets' modes and owners", || sockets(guest));
    let socket = guest.forward_socket("core", "/run/podman/podman.sock", "podman.sock");
    let socket = || -> Result<PathBuf> {
        Ok(socket
            .as_ref()
            .map_err(|e| anyhow::anyhow!("{e:#}"))?
            .clone())
    };
    checks.check("the API answers the first connection", || pings(&socket()?));
    checks.check("podman got the socket as a service should", || {
        activated(guest, &socket()?)
    });
    checks.check("podman leaves when idle, and comes again", || {
        eventually(LEAVES, || idle(guest))?;
        pings(&socket()?)
    });
    checks.check("the docker socket answers too", || {
        pings(&guest.forward_socket("core", "/var/run/docker.sock", "docker.sock")?)
    });
    checks.check("a killed podman comes again", || killed(guest, &socket()?));
    checks.check("an idle socket costs nothing", || {
        eventually(LEAVES, || idle(guest))?;
        quiet(guest)
    });
}

/// Part of the command line of the API service.
const SERVICE: &str = "podman system service";

fn idle(guest: &Guest) -> Result<()> {
    let pids = guest.pids(SERVICE)?;
    ensure!(pids.is_empty(), "podman runs as {pids:?}");
    Ok(())
}

fn sockets(guest: &Guest) -> Result<()> {
    let modes = guest.sh("stat -c '%a %U:%G %F' /run/podman/podman.sock")?;
    ensure!(modes == "660 root:podman socket", "{modes}");
    for link in ["/run/docker.sock", "/var/run/docker.sock"] {
        let end = guest.sh(&format!("readlink -f {link}"))?;
        ensure!(end == "/run/podman/podman.sock", "{link} leads to {end}");
    }
    Ok(())
}

fn pings(socket: &Path) -> Result<()> {
    let answer = http::get_unix(socket, "/_ping")?;
    ensure!(
        answer.status == 200 && answer.body.contains("OK"),
        "{answer:?}"
    );
    let version = answer
        .header("Libpod-API-Version")
        .context("no Libpod-API-Version")?;
    ensure!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "version {version}"
    );
    Ok(())
}

/// Connects a client that stays: without a client, podman leaves after five seconds, in which not
/// even a command of the test may have ended.
fn stays(socket: &Path) -> Result<http::Followed> {
    http::follow_unix(socket, "/events")
}

fn activated(guest: &Guest, socket: &Path) -> Result<()> {
    let _client = stays(socket)?;
    let pids = guest.pids(SERVICE)?;
    let [pid] = pids[..] else {
        anyhow::bail!("podman runs as {pids:?}")
    };
    let env = guest.sh(&format!("tr '\\0' '\\n' </proc/{pid}/environ"))?;
    for line in ["LISTEN_FDS=1".to_owned(), format!("LISTEN_PID={pid}")] {
        ensure!(env.lines().any(|l| l == line), "{line} is not in\n{env}");
    }
    let groups = guest.sh(&format!("cat /proc/{pid}/cgroup /proc/1/cgroup"))?;
    let groups: Vec<&str> = groups.lines().collect();
    ensure!(
        groups.len() == 2 && groups[0] != groups[1] && groups[0] != "0::/",
        "{groups:?}"
    );
    Ok(())
}

fn killed(guest: &Guest, socket: &Path) -> Result<()> {
    let _client = stays(socket)?;
    for pid in guest.pids(SERVICE)? {
        guest.sh(&format!("kill -9 {pid}"))?;
    }
    eventually(LEAVES, || pings(socket))
}

/// Number of times that PID 1 may wake up in five idle seconds, for the test's own logins.
const WAKE_UPS: u64 = 50;
/// Processor time, in hundredths of a second, that PID 1 may use then. An emulated processor charges a
/// process for the time in which the host runs another program, so that only a loop that never sleeps
/// is distinguished.
const TICKS: u64 = 250;

fn quiet(guest: &Guest) -> Result<()> {
    let numbers =
        "awk '{print $14+$15}' /proc/1/stat; awk '/^voluntary/ {print $2}' /proc/1/status";
    let used = || -> Result<(u64, u64)> {
        let said = guest.sh(numbers)?;
        let (ticks, wake_ups) = said.split_once('\n').with_context(|| said.clone())?;
        Ok((ticks.parse()?, wake_ups.parse()?))
    };
    let before = used()?;
    std::thread::sleep(Duration::from_secs(5));
    let after = used()?;
    let (ticks, wake_ups) = (after.0 - before.0, after.1 - before.1);
    println!("PID 1: {ticks} ticks, {wake_ups} wake-ups in five idle seconds");
    ensure!(wake_ups <= WAKE_UPS, "PID 1 woke up {wake_ups} times");
    ensure!(ticks <= TICKS, "PID 1 used {ticks} ticks");
    Ok(())
}
