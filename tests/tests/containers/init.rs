// SPDX-License-Identifier: Apache-2.0
//! podman's `--init`, the infra container of a pod and the process that holds a user's namespaces:
//! PID 1's binary under the name catatonit.

use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest, image};

use super::{detached, in_network};

/// Path by which podman finds its init.
const HELPER: &str = "/usr/libexec/podman/catatonit";

/// Script for a container whose orphans end within a second: the init has a minute to reap them all.
const REAP: &str = "sleep 1; n=0; while cat /proc/[0-9]*/status | grep -q zombie && [ $n -lt 300 ]; \
                    do n=$((n+1)); sleep 0.2; done";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("podman's init is PID 1's binary, and no package's", || {
        let init = tests::ns::INIT;
        guest.sh(&format!(
            "cmp {HELPER} {init} && cmp {HELPER} /usr/bin/catatonit"
        ))?;
        let packages = guest.sh("b2p version --verbose")?;
        ensure!(
            packages.contains("podman") && !packages.contains("catatonit"),
            "{packages}"
        );
        Ok(())
    });
    checks.check(
        "podman run --init: reaps, and ends as the command does",
        || reaps(guest),
    );
    checks.check("podman run --init: a signal reaches the command", || {
        signals(guest)
    });
    checks.check("a pod has an infra container that ends in order", || {
        pod(guest)
    });
}

/// Expects PID 1 of a container to be the init, without zombies as children.
fn reaps(guest: &Guest) -> Result<()> {
    let script = format!(
        "cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline; echo; \
         for i in 1 2 3 4 5; do (sleep 0.1 &); done; {REAP}; \
         cat /proc/[0-9]*/status | tr '\\n' ' '; exit 3"
    );
    let args = [
        "run",
        "--rm",
        "--network=none",
        "--init",
        image::NAME,
        "sh",
        "-c",
        &script,
    ];
    let out = guest.podman_out(&args)?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.code() == Some(3), "{out:?}");
    let begin = "podman-init\n/run/podman-init -- sh -c ";
    ensure!(said.starts_with(begin), "{said}");
    ensure!(
        said.contains("State:") && !said.contains("(zombie)"),
        "{said}"
    );
    let killed = [
        "run",
        "--rm",
        "--network=none",
        "--init",
        image::NAME,
        "sh",
        "-c",
        "kill -9 $$",
    ];
    let out = guest.podman_out(&killed)?;
    ensure!(out.status.code() == Some(137), "{out:?}");
    let missing = [
        "run",
        "--rm",
        "--network=none",
        "--init",
        image::NAME,
        "/nowhere",
    ];
    let out = guest.podman_out(&missing)?;
    ensure!(out.status.code() == Some(127), "{out:?}");
    Ok(())
}

fn signals(guest: &Guest) -> Result<()> {
    let script = "trap 'echo hup' HUP; trap 'exit 6' USR1; echo up; while :; do sleep 0.1; done";
    detached(guest, "heard", &["--init"], &["sh", "-c", script])?;
    logged(guest, "heard", "up")?;
    guest.podman(&["kill", "--signal", "HUP", "heard"])?;
    logged(guest, "heard", "hup")?;
    guest.podman(&["kill", "--signal", "USR1", "heard"])?;
    let status = guest.podman(&["wait", "heard"])?;
    ensure!(status == "6", "{status}");
    guest.podman(&["rm", "heard"]).map(drop)
}

fn logged(guest: &Guest, name: &str, line: &str) -> Result<()> {
    tests::eventually(std::time::Duration::from_secs(60), || {
        let log = guest.podman(&["logs", name])?;
        ensure!(log.lines().any(|l| l == line), "{log}");
        Ok(())
    })
}

/// The infra container holds the namespaces, reaps in the shared pid namespace, and obeys SIGTERM;
/// podman would kill another after ten seconds (status 137).
fn pod(guest: &Guest) -> Result<()> {
    guest.podman(&["pod", "create", "--share", "+pid", "--name", "pea"])?;
    let script =
        format!("cat /proc/1/comm; (sleep 0.1 &); {REAP}; cat /proc/[0-9]*/status | tr '\\n' ' '");
    let said = in_network(guest, &["--pod", "pea"], &["sh", "-c", &script])?;
    ensure!(
        said.starts_with("catatonit\n") && !said.contains("(zombie)"),
        "{said}"
    );
    let infra = guest.podman(&["pod", "inspect", "pea", "--format", "{{.InfraContainerID}}"])?;
    let state = [
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        &infra,
    ];
    guest.podman(&["pod", "start", "pea"])?;
    let running = guest.podman(&state)?;
    ensure!(running == "running 0", "{running}");
    guest.podman(&["pod", "stop", "--time", "60", "pea"])?;
    let ended = guest.podman(&state)?;
    ensure!(ended == "exited 0", "{ended}");
    guest.podman(&["pod", "rm", "pea"]).map(drop)
}

/// Expects the same of core's own podman, whose pause process is executed from the machine's root.
pub fn rootless(guest: &Guest) -> Result<()> {
    let script = format!(
        "podman run --rm --network none --init {} sh -c 'cat /proc/1/comm; (sleep 0.1 &); {REAP}; \
         cat /proc/[0-9]*/status | grep -c zombie; exit 4'; echo $?",
        image::NAME
    );
    let said = guest.sh_as("core", &script)?;
    ensure!(said == "podman-init\n0\n4", "{said}");
    let pid = guest.sh_as("core", "cat $XDG_RUNTIME_DIR/libpod/tmp/pause.pid")?;
    let process = format!(
        "tr '\\0' ' ' </proc/{pid}/cmdline; echo; ls /proc/{pid}/fd; cmp /proc/{pid}/exe {HELPER}"
    );
    let said = guest.sh(&process)?;
    let mut lines = said.lines();
    let line = lines.next().context("a command line")?;
    ensure!(line == "catatonit -P ", "{said}");
    ensure!(lines.eq(["0", "1", "2"]), "{said}");
    guest.sh_as("core", &format!("kill -TERM {pid}"))?;
    tests::eventually(std::time::Duration::from_secs(60), || {
        guest.sh(&format!("! test -e /proc/{pid}")).map(drop)
    })?;
    let again = format!(
        "podman run --rm --network none --init {} echo again",
        image::NAME
    );
    let said = guest.sh_as("core", &again)?;
    ensure!(said == "again", "{said}");
    Ok(())
}
