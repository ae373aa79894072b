// SPDX-License-Identifier: Apache-2.0
//! Time to the first answer of the podman API: from a saved state, and from nothing. Figures for
//! docs/measured/figures.md:
//! `cargo test --release -p podman-machine --test machine speed -- --ignored --nocapture`.

use super::Host;
use anyhow::{Context, Result, ensure};
use nix::unistd::{SysconfVar, sysconf};
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// Part of the cold start's time that a start from a saved state may take.
const PART: f64 = 0.25;

/// Cost of a start: of QEMU's processor time, which other programs of the host lengthen little, and
/// of the command.
struct Cost {
    processor: Duration,
    wall: Duration,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (processor, wall) = (self.processor.as_secs_f64(), self.wall.as_secs_f64());
        write!(f, "{processor:.2} s of processor, {wall:.2} s")
    }
}

/// Starts the machine, whose API has answered afterwards.
fn start(host: &Host) -> Result<Cost> {
    let begun = Instant::now();
    host.ok(&["start", "box"])?;
    let wall = begun.elapsed();
    let pid = fs::read_to_string(host.run_file("qemu.pid")?)?;
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.trim()))?;
    // utime and stime are the 14th and 15th field (proc_pid_stat(5)); the second one may have blanks.
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map_while(|field| field.parse::<u64>().ok()).sum();
    let rate = sysconf(SysconfVar::CLK_TCK)?.context("no clock")?;
    let seconds = ticks as f64 / rate as f64;
    Ok(Cost {
        processor: Duration::from_secs_f64(seconds),
        wall,
    })
}

fn is_a_part(what: &str, saved: &Cost, cold: &Cost) -> Result<()> {
    let part = saved.processor.as_secs_f64() / cold.processor.as_secs_f64();
    eprintln!("{what}: {saved}; cold: {cold}; {part:.3} of the processor time");
    ensure!(part <= PART, "{what}: {part:.3}");
    Ok(())
}

#[test]
#[ignore = "a measurement, with two boots and a template: make test-all"]
fn a_saved_state_answers_in_a_quarter_of_a_cold_start() -> Result<()> {
    let host = Host::new()?;
    let out = initramfs::paths::out();
    let out = out.to_str().context("a path of UTF-8")?;
    let create = [
        "create",
        "--no-start",
        "--image",
        out,
        "--cpus",
        "1",
        "--memory",
        "1G",
    ];
    host.ok(&[&create[..], &["--saved", "box"]].concat())?;
    let template = start(&host)?;
    host.ok(&["rm", "-f", "box"])?;
    host.ok(&[&create[..], &["box"]].concat())?;
    let first = start(&host)?;
    host.ok(&["stop", "box"])?;
    let boot = start(&host)?;
    host.ok(&["suspend", "box"])?;
    let suspended = start(&host)?;
    let template = is_a_part("first start, from a template", &template, &first);
    is_a_part("later start, suspended", &suspended, &boot)?;
    template
}
