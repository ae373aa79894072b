// SPDX-License-Identifier: Apache-2.0
//! A panic in PID 1 is one line in the log, and PID 1 continues. The test runs in namespaces; the
//! example is built and linked as PID 1 is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use initramfs::programs::{Target, build_example};

const SAYS: &str = "boot2podman: PID 1 panicked: panicked at init/examples/panic.rs";

/// A panic in a child of PID 1 is first, and ends only that child.
#[test]
fn a_panic_in_pid_1_is_logged_and_pid_1_continues() -> Result<()> {
    let (output, log) = run("")?;
    let all = format!("{output:?} {log}");
    ensure!(all.contains(SAYS) && all.contains("index is 7"), "{all}");
    ensure!(
        output.stdout == b"child ended by a signal: true\nagain 1\n",
        "{all}"
    );
    ensure!(output.status.success(), "{all}");
    Ok(())
}

/// Without memory, std cannot build the message for the hook, and aborts: the signal handler still
/// lets PID 1 continue.
#[test]
fn without_memory_for_the_message_pid_1_continues() -> Result<()> {
    let (output, log) = run("starved")?;
    let all = format!("{output:?} {log}");
    let says = format!("boot2podman: PID 1 got signal {}", libc::SIGABRT);
    ensure!(all.contains(&says), "{all}");
    ensure!(output.stdout == b"again 1\n", "{all}");
    ensure!(output.status.success(), "{all}");
    Ok(())
}

/// Runs the example as PID 1, with a file as its kernel log. Backtraces are requested: nothing may
/// look for unwind tables, which do not exist.
fn run(word: &str) -> Result<(Output, String)> {
    let example = build_example(Target::choose(), "init", "panic")?;
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("panic{word}.log"));
    fs::write(&log, "")?;
    let script = "mount --bind \"$1\" /dev/kmsg && exec \"$2\" $3";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount"])
        .args(["--mount-proc", "sh", "-c", script, "sh"])
        .args([&log, &example])
        .arg(word)
        .env("RUST_BACKTRACE", "full")
        .output()
        .context("unshare(1) of util-linux")?;
    Ok((output, fs::read_to_string(log)?))
}
