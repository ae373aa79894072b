//! A panic in PID 1: said in one line, and PID 1 goes on as itself. Here in a
//! namespace of processes; the example is built and linked as PID 1 is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use initramfs::programs::{Target, build_example};

const SAYS: &str = "boot2podman: PID 1 panicked: panicked at init/examples/panic.rs";

/// Also where a child of PID 1 panics first, which ends that child alone.
#[test]
fn a_panic_in_pid_1_is_said_and_pid_1_goes_on() -> Result<()> {
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

/// std puts a message together before it calls the hook, and aborts where there
/// is no memory for it: by way of the signal PID 1 goes on all the same.
#[test]
fn without_memory_for_the_message_pid_1_goes_on() -> Result<()> {
    let (output, log) = run("starved")?;
    let all = format!("{output:?} {log}");
    let says = format!("boot2podman: PID 1 got signal {}", libc::SIGABRT);
    ensure!(all.contains(&says), "{all}");
    ensure!(output.stdout == b"again 1\n", "{all}");
    ensure!(output.status.success(), "{all}");
    Ok(())
}

/// Runs it as PID 1, with a file as its kernel log. With backtraces asked for:
/// nothing may look for frames whose tables are not there.
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
