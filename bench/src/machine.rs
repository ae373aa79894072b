// SPDX-License-Identifier: Apache-2.0
//! `podman-machine start`, of a machine that is off and of one whose memory was saved, each with a container.
//!
//! The tool is the shipped one. A script before QEMU in `PATH` adds the instruction clock and a second monitor, whose
//! query-replay returns the number of instructions that the guest has executed (docs/devel/replay.rst in QEMU's source).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ::tests::image;
use anyhow::{Context, Result, ensure};
use initramfs::fsutil;
use initramfs::programs::{self, Target};
use initramfs::progress::Step;

use crate::figures::{Figures, MACHINE, Spread};

/// Name of the case, for `CASE=`.
pub const NAME: &str = "podman-machine";
/// Name of QEMU's program, as the tool starts it.
const QEMU: &str = "qemu-system-x86_64";
/// Interval at which the counter is read while the memory is loaded.
const POLL: Duration = Duration::from_millis(1);
/// Functions of the C library to which std refers weakly (initramfs/src/install.rs).
const FUNCTIONS: &[&str] = &["copy_file_range"];
/// Ticks per second of proc_pid_stat(5): USER_HZ of the x86 and ARM kernels.
const TICKS: u64 = 100;

/// Measures the starts, and returns the figures of each kind.
pub fn measure(
    image: &Path,
    runs: usize,
    dir: &Path,
    step: &Step,
) -> Result<BTreeMap<String, Figures>> {
    let host = Host::new(image, dir)?;
    let mut all: BTreeMap<&str, Vec<[u64; 3]>> = BTreeMap::new();
    for run in 1..=runs {
        for (kind, end) in [("cold", "stop"), ("saved", "suspend")] {
            host.run(&[end, "box"])?;
            let cost = host.start()?;
            step.note(&format!(
                "{NAME} {kind} {run}/{runs}: {} ms of instructions, QEMU's processor time {} ms, {} ms",
                cost[0] / 1_000_000,
                cost[1] / 1_000,
                cost[2] / 1_000
            ));
            all.entry(kind).or_default().push(cost);
        }
    }
    Ok(all
        .into_iter()
        .map(|(kind, costs)| (kind.to_owned(), figures(&costs)))
        .collect())
}

/// Returns the figures of some starts, each with the values of [`MACHINE`] in its order.
fn figures(costs: &[[u64; 3]]) -> Figures {
    let values = |at: usize| {
        costs
            .iter()
            .filter_map(|cost| cost.get(at).copied())
            .collect()
    };
    let named = MACHINE.iter().enumerate();
    named
        .filter_map(|(at, figure)| Some((figure.name.to_owned(), Spread::of(values(at))?)))
        .collect()
}

/// Directories and program of the case. Dropping it removes the machine.
struct Host {
    program: PathBuf,
    /// Directory with a short path: the names of sockets are limited (unix(7)).
    dir: PathBuf,
}

impl Host {
    /// Makes the machine, which runs with one container afterwards.
    fn new(image: &Path, log: &Path) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("b2p-bench-{}", std::process::id()));
        fsutil::remove(&dir)?;
        let host = Host {
            program: programs::build_program(Target::choose(), NAME, FUNCTIONS)?,
            dir,
        };
        let bin = host.dir.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("make {}", bin.display()))?;
        host.wrap(&bin.join(QEMU))?;
        let image = image.to_string_lossy();
        host.run(&[
            "create", "--image", &image, "--cpus", "1", "--memory", "1G", "box",
        ])?;
        let archive = image::archive(&host.dir)?;
        let run = format!(
            "podman load -q >&2 && podman run -d --restart=always --name kept {} sleep 100000",
            image::NAME
        );
        let mut ssh = host.command(&["ssh", "box", &run]);
        succeeds(&ssh.stdin(File::open(&archive)?).output()?, "a container")?;
        fs::write(
            log.join("podman-machine.txt"),
            host.run(&["inspect", "box"])?,
        )?;
        Ok(host)
    }

    /// Writes the script that starts QEMU. Calls that start no machine, for its version, are unchanged.
    fn wrap(&self, script: &Path) -> Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        let text = format!(
            "#!/bin/sh\ncase \" $* \" in\n*' -kernel '*) set -- \"$@\" -icount shift=0,sleep=on \
             -qmp unix:{},server=on,wait=off ;;\nesac\nPATH='{path}'\nexec {QEMU} \"$@\"\n",
            self.monitor().display(),
        );
        fs::write(script, text).with_context(|| format!("write {}", script.display()))?;
        Ok(fs::set_permissions(
            script,
            fs::Permissions::from_mode(0o755),
        )?)
    }

    fn monitor(&self) -> PathBuf {
        self.dir.join("second.sock")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(args).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", self.dir.join("bin").display()));
        command.env("XDG_RUNTIME_DIR", &self.dir);
        for (name, below) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("DOCKER_CONFIG", "docker"),
        ] {
            command.env(name, self.dir.join(below));
        }
        command
    }

    /// Runs a command that succeeds, and returns its output.
    fn run(&self, args: &[&str]) -> Result<Vec<u8>> {
        let out = self
            .command(args)
            .output()
            .context("start podman-machine")?;
        succeeds(&out, &args.join(" "))?;
        Ok(out.stdout)
    }

    /// Starts the machine, whose API has answered afterwards. Returns the values of [`MACHINE`].
    fn start(&self) -> Result<[u64; 3]> {
        let begun = Instant::now();
        let mut start = self
            .command(&["start", "box"])
            .stdout(Stdio::null())
            .spawn()?;
        // A saved machine continues with the count that was saved with it.
        let mut first = None;
        while start.try_wait()?.is_none() {
            first = first.or_else(|| self.executed().ok().filter(|count| *count > 0));
            thread::sleep(POLL);
        }
        let wall = begun.elapsed();
        let last = self.executed()?;
        ensure!(start.wait()?.success(), "podman-machine start has failed");
        let first = first.context("the second monitor has not answered during the start")?;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Ok([last.saturating_sub(first), self.processor()?, micros(wall)])
    }

    /// Returns the number of instructions that the guest has executed.
    fn executed(&self) -> Result<u64> {
        let stream = UnixStream::connect(self.monitor()).context("second monitor")?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut stream = stream;
        let mut last = lines.next().context("no greeting")??;
        for command in ["qmp_capabilities", "query-replay"] {
            writeln!(stream, "{{\"execute\": \"{command}\"}}")?;
            last = lines.next().context("no answer")??;
        }
        counted(&last).with_context(|| format!("not the answer of query-replay: {last}"))
    }

    /// Returns QEMU's processor time in microseconds.
    fn processor(&self) -> Result<u64> {
        let machines = self.dir.join("pm");
        let machine = fs::read_dir(&machines)?
            .flatten()
            .next()
            .context("no machine")?;
        let pid = fs::read_to_string(machine.path().join("qemu.pid"))?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()))?;
        let ticks = ticks(&stat).with_context(|| format!("not a process's stat: {stat}"))?;
        Ok(ticks * 1_000_000 / TICKS)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "-f", "box"]);
        let _ = fsutil::remove(&self.dir);
    }
}

fn succeeds(out: &Output, what: &str) -> Result<()> {
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success(),
        "{what}: {}: {}",
        out.status,
        text.trim()
    );
    Ok(())
}

/// Returns the count in an answer of query-replay.
fn counted(line: &str) -> Option<u64> {
    let answer: serde_json::Value = serde_json::from_str(line).ok()?;
    answer.get("return")?.get("icount")?.as_u64()
}

/// Returns the sum of utime and stime, the 14th and 15th field of proc_pid_stat(5); the second field may have blanks.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_in_the_answer_of_query_replay() {
        let line = r#"{"return": {"icount": 123456, "mode": "none"}}"#;
        assert_eq!(counted(line), Some(123_456));
        assert_eq!(counted(r#"{"event": "RESUME"}"#), None);
    }

    #[test]
    fn the_time_of_a_process_is_that_of_user_and_system() {
        let stat = "1 (a b) c) S 1 1 1 0 -1 4 5 6 7 8 30 12 0 0 20 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("1 (a) S 1"), None);
    }

    #[test]
    fn each_value_has_its_name() {
        let all = figures(&[[3, 20, 100], [1, 30, 300], [2, 10, 200]]);
        let median = |name: &str| all.get(name).map(|spread| spread.median);
        assert_eq!(median("instructions"), Some(2));
        assert_eq!((median("processor"), median("wall")), (Some(20), Some(200)));
    }
}
