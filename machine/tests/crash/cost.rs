// SPDX-License-Identifier: Apache-2.0
//! Cost of a start: the time of `start`, less that of the same QEMU on its own. Figures for
//! docs/measured/figures.md: `cargo test --release -p podman-machine --test crash cost -- --ignored --nocapture`.

use crate::host::{CREATE, Host};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Number of starts of each kind. The fastest counts: the others waited for other programs.
const STARTS: u32 = 20;
/// Largest cost of a start.
const LIMIT: Duration = Duration::from_millis(100);

/// Returns the arguments of a QEMU without a keeper: its console is its output.
fn bare(args: &str) -> Vec<String> {
    let replace = |arg: &str| match arg {
        arg if arg.starts_with("socket,id=qmp,") => "null,id=qmp".to_owned(),
        arg if arg.starts_with("socket,id=con,") => "stdio,id=con,signal=off".to_owned(),
        arg if arg.starts_with("socket,id=host,") => "null,id=host".to_owned(),
        arg => arg.to_owned(),
    };
    let mut args: Vec<String> = args.lines().map(replace).collect();
    for option in ["-fw_cfg", "-pidfile"] {
        while let Some(at) = args.iter().position(|arg| arg == option) {
            args.drain(at..at + 2);
        }
    }
    args
}

fn time_bare(args: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = vmm::process::spawn(qemu)?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    ensure!(lines.any(|line| line.is_ok_and(|line| line.contains("ready"))));
    let took = begun.elapsed();
    child.kill()?;
    child.wait()?;
    Ok(took)
}

#[test]
#[ignore = "a measurement, for a quiet host"]
fn a_start_costs_at_most_the_limit_over_qemu_alone() -> Result<()> {
    let host = Host::new()?;
    host.ok(CREATE)?;
    let (mut with, mut without) = (Duration::MAX, Duration::MAX);
    for _ in 0..STARTS {
        let begun = Instant::now();
        host.ok("start box")?;
        with = with.min(begun.elapsed());
        host.ok("kill box")?;
        let args = bare(&fs::read_to_string(host.file("qemu.args"))?);
        without = without.min(time_bare(&args)?);
    }
    let cost = with.saturating_sub(without);
    eprintln!("start {with:?}, QEMU alone {without:?}, cost {cost:?}");
    ensure!(cost <= LIMIT, "{cost:?}");
    Ok(())
}
