// SPDX-License-Identifier: Apache-2.0
//! `init run`, and the same binary under the names of tini, dumb-init and catatonit: the
//! expectations of the test suites of the first two (tini test/run_inner_tests.py, dumb-init
//! tests/), and podman's use of the third.
#![expect(unsafe_code, reason = "signals, and what a child inherits of them")]

mod catatonit;
mod live;

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use initramfs::paths;
use live::{BOTH, Live, ORPHANS, TELLS, called, kill, run};
use tests::eventually;
use tests::ns::{End, LIMIT, Namespace};

#[test]
fn the_status_is_the_command_s() -> Result<()> {
    for name in BOTH {
        for code in 0..=255 {
            let got = run(name, &["sh", "-c", &format!("exit {code}")])?.0;
            ensure!(got == code, "{name}: {got} for {code}");
        }
        for signal in [1, 3, 9, 15, 40] {
            let got = run(
                name,
                &["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")],
            )?
            .0;
            ensure!(got == 128 + signal, "{name}: {got} for signal {signal}");
        }
    }
    ensure!(
        run("init", &["run", "sh", "-c", "exit 5"])?.0 == 5,
        "init run"
    );
    Ok(())
}

#[test]
fn a_status_can_count_as_success() -> Result<()> {
    for code in [1, 7, 143, 255] {
        let (ends, all) = (format!("exit {code}"), code.to_string());
        ensure!(
            run("tini", &["-e", &all, "--", "sh", "-c", &ends])?.0 == 0,
            "{code}"
        );
        let other = (code - 1).to_string();
        ensure!(
            run("tini", &["-e", &other, "--", "sh", "-c", &ends])?.0 == code,
            "{code}"
        );
    }
    ensure!(
        run("tini", &["-e143", "sh", "-c", "kill -TERM $$"])?.0 == 0,
        "SIGTERM"
    );
    Ok(())
}

#[test]
fn commands_that_cannot_be_executed_are_named() -> Result<()> {
    for name in BOTH {
        for words in [&["/doesnotexist"][..], &["--", "/doesnotexist"]] {
            let (status, said) = run(name, words)?;
            let line = format!("[{name}] /doesnotexist: No such file or directory\n");
            ensure!(status == 127 && said.contains(&line), "{status}: {said}");
        }
        ensure!(run(name, &["/etc/passwd"])?.0 == 126, "not a program");
        let (status, said) = run(name, &[])?;
        ensure!(
            status == 1 && said.starts_with(&format!("Usage: {name} ")),
            "{status}: {said}"
        );
        let (status, said) = run(name, &["--yolo", "true"])?;
        let line = format!("{name}: unrecognized option '--yolo'\n");
        ensure!(status == 1 && said == line, "{status}: {said}");
        ensure!(
            run(name, &["-h"])?.0 == 0 && run(name, &["--version"])?.0 == 0,
            "help"
        );
    }
    Ok(())
}

#[test]
fn signals_are_handed_on() -> Result<()> {
    for (name, options) in [
        ("tini", &[][..]),
        ("tini", &["-g"]),
        ("dumb-init", &[]),
        ("dumb-init", &["-c"]),
    ] {
        let mut live = Live::start(name, &[options, &["sh", "-c", TELLS]].concat())?;
        live.leader()?;
        for (signal, word) in [
            (1, "HUP"),
            (2, "INT"),
            (3, "QUIT"),
            (15, "TERM"),
            (10, "USR1"),
            (12, "USR2"),
            (28, "WINCH"),
        ] {
            live.signal(signal);
            let got = live.line()?;
            ensure!(got == word, "{name} {options:?}: {got} for {word}");
        }
        live.signal(libc::SIGKILL);
    }
    Ok(())
}

#[test]
fn signals_can_be_rewritten() -> Result<()> {
    let words = [
        "-r",
        "15:2",
        "--rewrite",
        "2:15",
        "-r",
        "28:0",
        "sh",
        "-c",
        TELLS,
    ];
    let mut live = Live::start("dumb-init", &words)?;
    live.leader()?;
    for (signal, word) in [(15, "INT"), (2, "TERM"), (3, "QUIT")] {
        live.signal(28); // dropped, by -r 28:0
        live.signal(signal);
        ensure!(live.line()? == word, "{word}");
    }
    Ok(())
}

/// dumb-init stops together with its command, so that a shell's job control works.
#[test]
fn tstp_ttin_and_ttou_stop_the_init_and_the_command() -> Result<()> {
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let mut live = Live::start("dumb-init", &["sh", "-c", TELLS])?;
        let (own, child) = (live.child.id(), live.leader()?);
        live.signal(signal);
        let stopped = |pid| Live::state(pid).map(|s| s == 'T');
        eventually(LIMIT, || {
            ensure!(stopped(own)? && stopped(child)?, "not stopped by {signal}");
            Ok(())
        })?;
        live.signal(libc::SIGCONT);
        ensure!(live.line()? == "CONT", "it is not woken up");
        ensure!(!stopped(own)? && !stopped(child)?, "still stopped");
    }
    Ok(())
}

/// A command ignores a signal that its child does not ignore.
#[test]
fn option_g_signals_the_whole_process_group() -> Result<()> {
    let script = "trap '' USR1; sh -c 'trap - USR1; echo up; exec sleep 60' & wait";
    // An ignored signal stays ignored in a child: a trap cannot reset it there.
    let script = &script
        .replace("trap '' USR1", "trap : USR1")
        .replace("& wait", "& wait $!; wait $!; exit 9");
    for words in [&["-g"][..], &[]] {
        let mut command = called("tini")?;
        command
            .args(words)
            .args(["sh", "-c", script])
            .stdout(Stdio::piped());
        if words.is_empty() {
            command.env("TINI_KILL_PROCESS_GROUP", "1");
        }
        let mut live = Live::spawn(&mut command)?;
        ensure!(live.line()? == "up", "it does not start");
        live.signal(libc::SIGUSR1);
        ensure!(live.child.wait()?.code() == Some(9), "{words:?}");
    }
    Ok(())
}

#[test]
fn orphans_are_reaped() -> Result<()> {
    let (words, env) = (["-s", "sh", "-c", ORPHANS], "TINI_SUBREAPER");
    for (words, env) in [(&words[..], None), (&words[1..], Some(env))] {
        let mut command = called("tini")?;
        command.args(words).envs(env.map(|e| (e, "")));
        let out = command.output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let left = said.lines().count();
        ensure!(
            out.status.success() && left == 1 && !said.contains('Z'),
            "{said}"
        );
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(said.is_empty(), "{said}");
    }
    let said = run("tini", &["-s", "-w", "sh", "-c", ORPHANS])?.1;
    ensure!(
        said.matches("Reaped zombie process with pid=").count() == 5,
        "{said}"
    );
    let said = run("tini", &["true"])?.1;
    ensure!(said.contains("zombie reaping won't work"), "{said}");
    Ok(())
}

/// tini passes on its inherited signal mask, dumb-init starts the command with no signal blocked.
#[test]
fn the_command_s_signals_are_in_order() -> Result<()> {
    for (name, blocked) in [("tini", true), ("dumb-init", false)] {
        let mut command = called(name)?;
        command.args(["cat", "/proc/self/status"]);
        // SAFETY: async-signal-safe calls in the child.
        unsafe {
            command.pre_exec(|| {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigaddset(&raw mut set, libc::SIGTERM);
                libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                libc::signal(libc::SIGINT, libc::SIG_IGN);
                libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                Ok(())
            })
        };
        let out = command.output()?;
        ensure!(
            out.status.success(),
            "{name}: the status was lost: {}",
            out.status
        );
        let text = String::from_utf8(out.stdout)?;
        let set = |key: &str| -> Result<u64> {
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix(key))
                .context("no such line")?;
            Ok(u64::from_str_radix(line.trim(), 16)?)
        };
        ensure!(
            set("SigBlk:")? == u64::from(blocked) << 14,
            "{name}\n{text}"
        );
        let ignored = set("SigIgn:")?;
        ensure!(
            ignored & 2 != 0 && ignored & (1 << 16) != 0,
            "{name}\n{text}"
        );
    }
    Ok(())
}

#[test]
fn option_p_ends_the_init_with_its_parent() -> Result<()> {
    let tini = called("tini")?.get_program().to_owned();
    let up = paths::out().join(format!("subreaper/up.{}", std::process::id()));
    let mut parent = Command::new("sh");
    // The parent ends once the command runs; tini has then requested to end with its parent.
    parent.args([
        "-c",
        "\"$0\" -s -p SIGTERM -- sh -c 'echo $$; echo >\"$0\"; exec sleep 60' \"$1\" &
         until [ -s \"$1\" ]; do sleep 0.02; done; kill -9 $$",
    ]);
    let out = parent
        .arg(tini)
        .arg(&up)
        .stdout(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    fs::remove_file(up)?;
    ensure!(out.status.signal() == Some(9), "{}", out.status);
    // The output was read to its end: the sleep that held the pipe has ended.
    ensure!(!out.stdout.is_empty(), "it did not start");
    Ok(())
}

/// dumb-init ends, together with its command, the rest of its session.
#[test]
fn remaining_processes_of_a_session_are_ended() -> Result<()> {
    // The command ends once its remaining child has set its trap.
    let script = "trap 'up=1' USR1
        sh -c 'trap \"echo TERM; exit\" TERM; echo $$; kill -USR1 $PPID; while :; do sleep 0.02; done' &
        until [ \"$up\" ]; do sleep 0.02; done";
    let mut live = Live::start("dumb-init", &["sh", "-c", script])?;
    live.line()?;
    ensure!(live.line()? == "TERM", "not ended");
    let mut live = Live::start("dumb-init", &["-c", "sh", "-c", script])?;
    let left = live.line()?.parse()?;
    ensure!(live.child.wait()?.success(), "status");
    std::thread::sleep(Duration::from_millis(100));
    ensure!(Live::state(left).is_ok_and(|s| s != 'Z'), "ended, with -c");
    kill(left, libc::SIGKILL);
    Ok(())
}

#[test]
fn the_working_directory_is_the_command_s() -> Result<()> {
    for name in BOTH {
        let script = "readlink /proc/$PPID/cwd; readlink /proc/$$/cwd";
        let out = called(name)?
            .args(["sh", "-c", script])
            .current_dir("/usr")
            .output()?;
        ensure!(out.stdout == b"/\n/usr\n", "{name}: {out:?}");
    }
    Ok(())
}

/// The name decides, also as PID 1 of a container.
#[test]
fn as_pid_1_only_the_name_selects_the_mode() -> Result<()> {
    let mut ns = Namespace::new()?;
    // Two processes are left when the orphans have ended and are reaped: PID 1 and the shell.
    let script = "for i in 1 2 3; do (sleep 0.05 &); done
        for i in $(seq 300); do
            set -- /proc/[0-9]*; [ $# = 2 ] && break; sleep 0.1
        done
        [ $# = 2 ] || echo \"$@\"; exit 3";
    for name in ["tini", "dumb-init", "/sbin/catatonit", "podman-init"] {
        ns.argv = [name, "--", "sh", "-c", script].map(str::to_owned).to_vec();
        let pid1 = ns.start()?;
        let end = pid1.end(LIMIT)?;
        let said = pid1.output();
        ensure!(
            end == End::Exited(3) && said.is_empty(),
            "{name}: {end:?} {said}"
        );
    }
    ns.argv = ["dumb-init", "sleep", "60"].map(str::to_owned).to_vec();
    let pid1 = ns.start()?;
    // PID 1 has the words of its command among its own.
    eventually(LIMIT, || {
        let said = String::from_utf8(pid1.sh("ps -o args")?.stdout)?;
        ensure!(said.lines().any(|line| line == "sleep 60"), "{said}");
        Ok(())
    })?;
    pid1.signal(libc::SIGTERM)?;
    ensure!(pid1.end(LIMIT)? == End::Exited(143), "{}", pid1.output());
    Ok(())
}
