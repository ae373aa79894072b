// SPDX-License-Identifier: Apache-2.0
//! Health checks run on time, for root and for core, and no process exists for them where no
//! container has one.

use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests::{Checks, Guest, eventually, image};

const LIMIT: Duration = Duration::from_secs(120);
/// Number of clients that connect and say nothing.
const SILENT: usize = 300;

#[test]
fn health_checks_run_on_time() -> Result<()> {
    let guest = Guest::boot("health", |machine| machine.memory_mib(1536))?;
    let mut checks = Checks::new("health");
    checks.check("the image is loaded", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        for user in ["root", "core"] {
            tests::text(&guest.ssh_with(user, "podman load", &archive)?)?;
        }
        Ok(())
    });
    checks.check("nothing runs for a container without a check", || {
        run(&guest, "root", "plain", "")?;
        eventually(LIMIT, || idle(&guest))?;
        let log = guest.sh("b2p log")?;
        ensure!(!log.contains("is looked after"), "{log}");
        Ok(())
    });
    checks.check(
        "a container that is gone at once is no failure of the service",
        || {
            let id = "5a".repeat(32);
            guest.sh(&format!("echo '{{\"id\":\"{id}\"}}' | b2p health-hook"))?;
            eventually(LIMIT, || idle(&guest))?;
            let log = guest.sh("b2p log")?;
            ensure!(!log.contains("health: exited"), "{log}");
            Ok(())
        },
    );
    checks.check("silent clients of a user do not hold back root's", || {
        let socket = guest.forward_socket("core", "/run/boot2podman/health.sock", "health")?;
        let connect = |_| UnixStream::connect(&socket);
        let silent = (0..SILENT).map(connect).collect::<Result<Vec<_>, _>>()?;
        let check = "--health-cmd true --health-interval 1s";
        run(&guest, "root", "first", check)?;
        status(&guest, "root", "first", "healthy")?;
        drop(silent);
        guest.sh("podman rm -f -t 0 first").map(drop)
    });
    checks.check("a healthy one", || {
        run(
            &guest,
            "root",
            "well",
            "--health-cmd 'test -e /etc' --health-interval 2s",
        )?;
        status(&guest, "root", "well", "healthy")?;
        let shown = guest.sh("docker ps")?;
        ensure!(shown.contains("(healthy)"), "{shown}");
        // The check runs again when due.
        let count = "podman inspect --format '{{len .State.Health.Log}}' well";
        eventually(LIMIT, || {
            ensure!(guest.sh(count)?.parse::<u32>()? >= 3);
            Ok(())
        })
    });
    checks.check("health checks of core's containers run", || {
        run(
            &guest,
            "core",
            "mine",
            // The check itself is within the limit.
            "-m 64m --health-cmd 'grep -qx 67108864 /sys/fs/cgroup/memory.max && grep -qx $$ /sys/fs/cgroup/cgroup.procs' --health-interval 2s",
        )?;
        status(&guest, "core", "mine", "healthy")?;
        // Under emulation, a check takes its container's processor for most of two seconds.
        guest.sh("podman rm -f -t 0 well").map(drop)
    });
    checks.check("the on-failure action of an unhealthy container is taken", || {
        run(
            &guest,
            "root",
            "ill",
            "--health-cmd 'test -e /tmp/ok' --health-interval 1s --health-retries 2 --health-on-failure restart",
        )?;
        let pid = "podman inspect --format '{{.State.Pid}}' ill";
        let first = guest.sh(pid)?;
        eventually(LIMIT, || {
            let now = guest.sh(pid)?;
            ensure!(now != first && now != "0", "{now}, as before");
            Ok(())
        })?;
        // The container is restarted every few seconds, and takes no command meanwhile.
        eventually(LIMIT, || guest.sh("podman exec ill touch /tmp/ok"))?;
        status(&guest, "root", "ill", "healthy")?;
        guest.sh("podman rm -f -t 0 ill").map(drop)
    });
    checks.check("a command that hangs makes it unhealthy", || {
        run(
            &guest,
            "root",
            "stuck",
            "--health-cmd 'sleep 3000' --health-interval 1s --health-retries 1 --health-timeout 2s",
        )?;
        status(&guest, "root", "stuck", "unhealthy")
    });
    checks.check("b2p health ends with the last container", || {
        guest.sh("podman rm -f -t 0 stuck")?;
        guest.sh_as("core", "podman rm -f -t 0 mine")?;
        eventually(LIMIT, || idle(&guest))
    });
    checks.finish(&guest)
}

fn run(guest: &Guest, user: &str, name: &str, options: &str) -> Result<()> {
    let script = format!(
        "podman run -d --network none --name {name} --stop-timeout 1 {options} {} sleep 10000",
        image::NAME
    );
    guest.sh_as(user, &script).map(drop)
}

fn status(guest: &Guest, user: &str, name: &str, wanted: &str) -> Result<()> {
    let script = format!("podman inspect --format '{{{{.State.Health.Status}}}}' {name}");
    eventually(LIMIT, || {
        let now = guest.sh_as(user, &script)?;
        ensure!(now == wanted, "{name}: {now}");
        Ok(())
    })
}

/// Expects that the service waits for its socket and has no process.
fn idle(guest: &Guest) -> Result<()> {
    let status = guest.sh("b2p status --json health")?;
    ensure!(status.contains("\"state\":\"armed\""), "{status}");
    let pids = guest.pids("b2p health")?;
    ensure!(pids.is_empty(), "{pids:?}");
    Ok(())
}
