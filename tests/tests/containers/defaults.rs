// SPDX-License-Identifier: Apache-2.0
//! Defaults that clients and images expect of any machine with podman: a profile of AppArmor, a
//! time zone to mount, processes with the columns of ps(1), and builds without a warning.

use crate::{SOON, detached, in_box};
use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest, eventually, image};

/// Command that shows the AppArmor profile of a process.
const PROFILE: &str = "cat /proc/self/attr/current";
/// Command that mounts something, which CAP_SYS_ADMIN permits and the profile does not.
const MOUNT: &str = "mkdir -p /m && busybox mount -t tmpfs none /m && echo mounted";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("containers of root have their AppArmor profile", || {
        profile(guest)
    });
    checks.check("the profile denies, and can be left off", || denies(guest));
    checks.check("no core is dumped in a container", || {
        let crash = "ulimit -c; sh -c \"kill -SEGV \\$\\$\"; ls -d core* 2>/dev/null; true";
        let said = local(guest, "", &format!("sh -c '{crash}'"))?;
        ensure!(said == "0", "{said}");
        Ok(())
    });
    checks.check("/etc/localtime in a container", || localtime(guest));
    checks.check("docker top and podman top", || top(guest));
    checks.check("ping without privilege", || ping(guest));
    checks.check("output of log-driver journald is in the log", || {
        journald(guest)
    });
    checks.check("a build prints no warning", || quiet_build(guest, "root"));
    checks.check("the known limits are as their page says", || limits(guest));
}

/// Runs a command in a container by podman in the machine, which takes longer under emulation than
/// podman in the machine that serves its API.
fn local(guest: &Guest, options: &str, command: &str) -> Result<String> {
    guest.sh(&format!(
        "podman run --rm --network none {options} {} {command}",
        image::NAME
    ))
}

/// Expects the profile in containers of all ways to start one, and in podman's output.
fn profile(guest: &Guest) -> Result<()> {
    let said = local(guest, "", PROFILE)?;
    let name = said
        .strip_suffix(" (enforce)")
        .with_context(|| said.clone())?;
    ensure!(name.starts_with("containers-default-"), "{said}");
    let loaded = guest.sh("cat /sys/kernel/security/apparmor/profiles")?;
    ensure!(loaded.contains(&said), "{loaded}");
    let enabled = ["info", "--format", "{{.Host.Security.AppArmorEnabled}}"];
    let enabled = guest.podman(&enabled)?;
    ensure!(enabled == "true", "AppArmorEnabled: {enabled}");
    let script = format!(
        "podman run -d --network none --init --name confined {} sleep 1000 >/dev/null && \
         podman exec confined {PROFILE} && podman stop --time 60 confined >/dev/null && \
         podman inspect --format '{{{{.State.ExitCode}}}}' confined && podman rm confined >/dev/null",
        image::NAME
    );
    // The profile is of the start: podman keeps none with the container.
    let id = guest.podman(&["create", image::NAME])?;
    let said_of_new = guest.podman(&["inspect", "--format", "<{{.AppArmorProfile}}>", &id])?;
    ensure!(said_of_new == "<>", "{said_of_new}");
    guest.podman(&["rm", &id])?;
    // 143: the profile lets the signal through.
    ensure!(guest.sh(&script)? == format!("{said}\n143"), "exec, stop");
    // The name that a container of another version of podman has.
    let other = format!("{}9", &name[..name.len() - 1]);
    let option = format!("apparmor={other}");
    let command: Vec<&str> = PROFILE.split(' ').collect();
    let said = in_box(guest, &["--security-opt", &option], &command)?;
    ensure!(said == format!("{other} (enforce)"), "{said}");
    Ok(())
}

fn denies(guest: &Guest) -> Result<()> {
    let script = format!("{PROFILE}; {MOUNT} || echo denied");
    let admin = "--cap-add SYS_ADMIN --security-opt seccomp=unconfined";
    let open = format!("{admin} --security-opt apparmor=unconfined");
    for (options, wanted) in [
        (admin, "denied"),
        (&open, "unconfined\nmounted"),
        ("--privileged", "unconfined\nmounted"),
    ] {
        let options: Vec<&str> = options.split(' ').collect();
        let said = in_box(guest, &options, &["sh", "-c", &script])?;
        ensure!(said.ends_with(wanted), "{options:?}: {said}");
    }
    let unknown = ["--security-opt", "apparmor=mine", image::NAME, "true"];
    let out = guest.podman_out(&[&["run", "--rm"], &unknown[..]].concat())?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        !out.status.success() && said.contains("not loaded"),
        "{said}"
    );
    Ok(())
}

/// Mounts the time zone, as many compose files do, by the API, which would make a directory if
/// there were none, and by the command line, with another zone.
fn localtime(guest: &Guest) -> Result<()> {
    let mount = "/etc/localtime:/etc/localtime:ro";
    let run = ["run", "--rm", "--network=none", "-v", mount, image::NAME];
    let said =
        guest.docker(&[&run[..], &["busybox", "head", "-c", "4", "/etc/localtime"]].concat())?;
    ensure!(said == "TZif", "docker: {said}");
    guest
        .sh("test -f /etc/localtime && ln -sfn /usr/share/zoneinfo/Europe/Berlin /etc/localtime")?;
    let said = local(
        guest,
        &format!("-v {mount}"),
        "busybox tail -n 1 /etc/localtime",
    )?;
    guest.sh("ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime")?;
    ensure!(said.starts_with("CET-1CEST"), "podman: {said}");
    Ok(())
}

fn top(guest: &Guest) -> Result<()> {
    detached(guest, "tt", &[], &["sleep", "1000"])?;
    let titles = |text: &str| text.lines().next().map(words).unwrap_or_default();
    let said = guest.docker(&["top", "tt"])?;
    let wanted = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    ensure!(
        titles(&said) == wanted && said.contains("sleep 1000"),
        "{said}"
    );
    let said = guest.docker(&["top", "tt", "-eo", "pid,comm,etime"])?;
    let wanted = ["PID", "COMMAND", "ELAPSED"];
    ensure!(titles(&said) == wanted && said.contains("sleep"), "{said}");
    let said = guest.podman(&["top", "tt", "-ef"])?;
    ensure!(titles(&said).contains(&"CMD".to_owned()), "{said}");
    let said = guest.podman(&["top", "tt", "pid", "user", "args"])?;
    ensure!(said.contains("sleep 1000"), "{said}");
    let said = guest.sh("ps aux && ps -ef && ps -eo pid,etimes,rss --sort -rss")?;
    ensure!(said.contains("/init") || said.contains("init"), "{said}");
    guest
        .podman(&["rm", "--force", "--time", "0", "tt"])
        .map(drop)
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Pings as root and as core, which has no capability.
fn ping(guest: &Guest) -> Result<()> {
    for user in ["root", "core"] {
        for target in ["127.0.0.1", "::1", "localhost", "10.0.2.2"] {
            guest.sh_as(user, &format!("ping -n -c 1 -W 10 {target}"))?;
        }
        guest.sh_as(
            user,
            "ping -4 -q -c 2 -i 0.2 -s 100 localhost && ping6 -c 1 ::1",
        )?;
    }
    let route = "unreachable 192.0.2.1";
    let script =
        format!("ip route add {route}; ping -c 1 -W 1 192.0.2.1 && echo yes; ip route del {route}");
    let said = guest.sh(&script)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// Expects the output of a container with journald's driver in the log, as text of its own, and not
/// as a message of PID 1.
fn journald(guest: &Guest) -> Result<()> {
    let script = "echo kept; printf \"a\\033[2Jb\\n\"; echo boot2podman: ready ssh=x >&2";
    let command = format!("sh -c '{script}' 2>/dev/null");
    local(guest, "--name noted --log-driver journald", &command)?;
    eventually(SOON, || {
        let log = guest.sh("b2p log noted")?;
        let text = |line: &str| Some(line.split_once("]: ")?.1.to_owned());
        let mut lines: Vec<String> = log.lines().filter_map(text).collect();
        // Standard output and standard error are two pipes.
        lines.sort();
        let wanted = ["a\\x1b[2Jb", "boot2podman: ready ssh=x", "kept"];
        ensure!(lines == wanted, "{log}");
        Ok(())
    })?;
    let ready = guest.sh("b2p log init | grep -c 'ready ssh=x' || true")?;
    ensure!(ready == "0", "a container speaks as PID 1");
    Ok(())
}

/// Expects the limits of docs/guide/limits.md for builds from repositories, and for modules.
fn limits(guest: &Guest) -> Result<()> {
    let said = guest.sh("podman build https://example.invalid/x.git 2>&1 || true")?;
    let words = r#"exec: "git": executable file not found"#;
    ensure!(said.contains(words), "{said}");
    let modules = "nfs cifs ip_vs dm_mod ipip sctp nf_conntrack_ftp";
    let script = format!("for m in {modules}; do modprobe $m 2>&1 || true; done");
    let said = guest.sh(&script)?;
    let missing = said.matches("no such module in this image").count();
    ensure!(missing == modules.split(' ').count(), "{said}");
    Ok(())
}

/// Builds an image with a RUN and expects no line of a warning.
pub fn quiet_build(guest: &Guest, user: &str) -> Result<()> {
    let file = format!("FROM {}\nRUN echo from RUN\n", image::NAME);
    let build = "podman build --tag localhost/quiet - 2>&1; podman rmi localhost/quiet >/dev/null";
    let out = guest.ssh_with(user, build, file.as_bytes())?;
    let said = tests::text(&out)?;
    ensure!(
        said.contains("from RUN") && !said.contains("level="),
        "{user}: {said}"
    );
    Ok(())
}
