// SPDX-License-Identifier: Apache-2.0
//! The docker CLI, which knows nothing of podman.

use anyhow::{Result, ensure};
use tests::{Checks, Guest, eventually, image, text};

use crate::SOON;

pub fn all(guest: &Guest, checks: &mut Checks, archive: &str) {
    checks.check("docker version", || {
        let said = guest.docker(&["version"])?;
        ensure!(
            said.contains("Server:") && said.contains("Podman Engine"),
            "{said}"
        );
        Ok(())
    });
    checks.check("docker load", || {
        let said = guest.docker(&["load", "--input", archive])?;
        ensure!(said.contains(image::NAME), "{said}");
        Ok(())
    });
    checks.check("docker run over ssh", || {
        let echo = ["run", "--rm", image::NAME, "echo", "hello docker"];
        let said = guest.docker_over_ssh("root", "", &echo)?;
        ensure!(said == "hello docker", "{said}");
        Ok(())
    });
    checks.check("docker run -i reads its input", || {
        let out = guest.docker_out(
            &[
                "run",
                "--rm",
                "--network=none",
                "-i",
                image::NAME,
                "wc",
                "-c",
            ],
            b"12345",
        )?;
        ensure!(text(&out)?.trim() == "5", "{out:?}");
        Ok(())
    });
    checks.check("docker run -d, ps, exec, logs, stop, rm", || {
        lifecycle(guest)
    });
    checks.check("docker as core", || plain_core(guest));
    checks.check("docker as core, with the socket's path", || {
        let path = "/run/podman/podman.sock";
        let said = guest.docker_over_ssh("core", path, &["ps", "--quiet"])?;
        ensure!(said.is_empty(), "{said}");
        Ok(())
    });
}

/// Uses the form of console and README: core without a path reaches the same engine.
fn plain_core(guest: &Guest) -> Result<()> {
    let run = [
        "run",
        "--rm",
        "--network=none",
        image::NAME,
        "sh",
        "-c",
        "wc -l </proc/self/uid_map; cat /proc/self/uid_map",
    ];
    let said = guest.docker_over_ssh("core", "", &run)?;
    // One range that covers all ids belongs to root's podman, not to core's.
    ensure!(
        said.starts_with("1\n") && said.contains("4294967295"),
        "{said}"
    );
    Ok(())
}

fn lifecycle(guest: &Guest) -> Result<()> {
    let script = "echo started; exec sleep 1000";
    guest.docker(&[
        "run",
        "--detach",
        "--init",
        "--name",
        "whale",
        image::NAME,
        "sh",
        "-c",
        script,
    ])?;
    let names = guest.docker(&["ps", "--format", "{{.Names}}"])?;
    ensure!(names == "whale", "{names}");
    let said = guest.docker(&["exec", "whale", "echo", "inside"])?;
    ensure!(said == "inside", "{said}");
    eventually(SOON, || {
        let said = guest.docker(&["logs", "whale"])?;
        ensure!(said == "started", "{said}");
        Ok(())
    })?;
    guest.docker(&["stop", "whale"])?;
    let state = guest.docker(&["inspect", "--format", "{{.State.Status}}", "whale"])?;
    ensure!(state == "exited", "{state}");
    guest.docker(&["rm", "whale"]).map(drop)
}
