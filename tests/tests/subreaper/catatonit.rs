// SPDX-License-Identifier: Apache-2.0
//! The names by which podman executes the program: catatonit(1)'s options and podman's use of them.

use std::os::unix::process::CommandExt;

use anyhow::{Result, ensure};
use tests::eventually;
use tests::ns::{End, LIMIT, Namespace};

use crate::live::{Live, ORPHANS, PODMANS, TELLS, called, run};

#[test]
fn podmans_init_ends_as_the_command_does() -> Result<()> {
    for name in PODMANS {
        for (script, status) in [
            ("exit 0", 0),
            ("exit 5", 5),
            ("kill -TERM $$", 143),
            ("ulimit -c 0; kill -ABRT $$", 134),
        ] {
            let got = run(name, &["--", "sh", "-c", script])?;
            ensure!(got == (status, String::new()), "{name} {script}: {got:?}");
        }
        ensure!(run(name, &["--", "/doesnotexist"])?.0 == 127, "{name}");
        ensure!(run(name, &["--"])?.0 == 1, "{name}: no command");
        for option in ["-h", "-L", "-V", "--version"] {
            ensure!(run(name, &[option])?.0 == 0, "{name} {option}");
        }
        let version = called(name)?.arg("--version").output()?.stdout;
        ensure!(version.starts_with(b"tini version "), "{version:?}");
    }
    Ok(())
}

#[test]
fn orphans_are_reaped_without_an_option() -> Result<()> {
    let out = called("catatonit")?
        .args(["--", "sh", "-c", ORPHANS])
        .output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let left = said.lines().count();
    ensure!(
        out.status.success() && left == 1 && !said.contains('Z'),
        "{said}"
    );
    ensure!(out.stderr.is_empty(), "{:?}", out.stderr);
    Ok(())
}

/// A signal of job control is for the process in the foreground, which is the command.
#[test]
fn signals_are_handed_on_but_those_of_job_control() -> Result<()> {
    let mut live = Live::start("podman-init", &["--", "sh", "-c", TELLS])?;
    let child = live.leader()?;
    for (signal, word) in [
        (1, "HUP"),
        (2, "INT"),
        (15, "TERM"),
        (10, "USR1"),
        (28, "WINCH"),
    ] {
        for job in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            live.signal(job);
        }
        live.signal(signal);
        let got = live.line()?;
        ensure!(got == word, "{got} for {word}");
        for pid in [live.child.id(), child] {
            ensure!(Live::state(pid)? != 'T', "{pid} is stopped");
        }
    }
    Ok(())
}

/// podman ignores most signals before the execution of its pause process.
#[test]
fn a_pause_ends_at_sigterm_or_sigint_only() -> Result<()> {
    for (end, ignored) in [
        (libc::SIGTERM, false),
        (libc::SIGINT, false),
        (libc::SIGINT, true),
    ] {
        let mut command = called("catatonit")?;
        command.arg("-P");
        if ignored {
            // SAFETY: an async-signal-safe call in the child.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGINT, libc::SIG_IGN);
                    Ok(())
                })
            };
        }
        let mut live = Live::spawn(&mut command)?;
        // The signals of the process are blocked before the change of the directory.
        eventually(LIMIT, || {
            let dir = std::fs::read_link(format!("/proc/{}/cwd", live.child.id()))?;
            ensure!(dir.as_os_str() == "/", "{}", dir.display());
            Ok(())
        })?;
        for other in [
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGUSR1,
            libc::SIGTSTP,
            libc::SIGCHLD,
        ] {
            live.signal(other);
        }
        ensure!(
            live.child.try_wait()?.is_none() && Live::state(live.child.id())? != 'T',
            "it ended"
        );
        live.signal(end);
        ensure!(live.child.wait()?.code() == Some(0), "{end}");
    }
    Ok(())
}

/// The infra container of a pod whose containers share a pid namespace.
#[test]
fn a_pause_as_pid_1_reaps_and_starts_nothing() -> Result<()> {
    for (name, signal) in [("/catatonit", libc::SIGTERM), ("podman-init", libc::SIGINT)] {
        let mut ns = Namespace::new()?;
        ns.argv = [name, "-P"].map(str::to_owned).to_vec();
        let pid1 = ns.start()?;
        let script = "for i in 1 2 3; do (sleep 0.05 &); done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status; ps -o pid,comm";
        let mut said = String::new();
        eventually(LIMIT, || {
            said = String::from_utf8(pid1.sh(script)?.stdout)?;
            ensure!(!said.contains("/proc/"), "zombies: {said}");
            Ok(())
        })?;
        ensure!(
            !said.contains("b2p") && !said.contains("sleep 0.05"),
            "{said}"
        );
        pid1.signal(signal)?;
        ensure!(
            pid1.end(LIMIT)? == End::Exited(0),
            "{name}: {}",
            pid1.output()
        );
        ensure!(pid1.output().is_empty(), "{name}: {}", pid1.output());
    }
    Ok(())
}

/// A descriptor for the command is closed when the command closes it.
#[test]
fn descriptors_are_the_command_s_alone() -> Result<()> {
    let inner = "for i in $(seq 200); do held=$(ls /proc/$PPID/fd | tr '\\n' ' '); \
                 [ \"$held\" = '0 1 2 ' ] && break; sleep 0.02; done; echo \"$held\"; readlink /proc/$$/fd/9";
    let mut outer = std::process::Command::new("sh");
    outer.args(["-c", "exec 9</dev/null; exec \"$@\"", "sh"]);
    outer.arg(called("catatonit")?.get_program());
    let out = outer.args(["--", "sh", "-c", inner]).output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(said == "0 1 2 \n/dev/null\n", "{said}");
    Ok(())
}

/// sd_listen_fds(3) compares the variable with the caller's pid.
#[test]
fn passed_sockets_become_the_command_s() -> Result<()> {
    let program = called("catatonit")?.get_program().to_owned();
    for (set, expect) in [("LISTEN_PID=$$", "$$"), ("LISTEN_PID=7777777", "7777777")] {
        let script = format!("export {set}; exec \"$0\" -- sh -c '[ $LISTEN_PID = {expect} ]'");
        let status = std::process::Command::new("sh")
            .args(["-c", &script])
            .arg(&program)
            .status()?;
        ensure!(status.success(), "{set}");
    }
    Ok(())
}
