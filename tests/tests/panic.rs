//! A panic in PID 1: said in one line, and PID 1 goes on as itself. Here in a
//! namespace of processes; the example is built and linked as PID 1 is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use initramfs::init::{Target, build_example};

const SAYS: &str = "boot2podman: PID 1 panicked: panicked at init/examples/panic.rs";

#[test]
fn a_panic_in_pid_1_is_said_and_pid_1_goes_on() -> Result<()> {
    let example = build_example(Target::choose(), "init", "panic")?;
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic.log");
    fs::write(&log, "")?;
    let output = in_namespace(&example, &log)?;
    let all = format!("{output:?} {}", fs::read_to_string(&log)?);
    ensure!(all.contains(SAYS) && all.contains("index is 7"), "{all}");
    ensure!(output.stdout == b"again 1\n", "{all}");
    ensure!(output.status.success(), "{all}");
    Ok(())
}

/// Runs it as PID 1, with a file as its kernel log. With backtraces asked for:
/// nothing may look for frames whose tables are not there.
fn in_namespace(program: &Path, log: &Path) -> Result<Output> {
    let script = "mount --bind \"$1\" /dev/kmsg && exec \"$2\"";
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount"])
        .args(["--mount-proc", "sh", "-c", script, "sh"])
        .args([log, program])
        .env("RUST_BACKTRACE", "full")
        .output()
        .context("unshare(1) of util-linux")
}
