// SPDX-License-Identifier: Apache-2.0
//! The kernel's make, and other commands of its build, in a sandbox with the compiler's tree as
//! root and the build's directory as `/mnt`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arch::SlimBuild;
use crate::sandbox::Sandbox;
use crate::tools;

/// Working directory of the commands.
const WORK: &str = "/mnt";

/// Environment of the commands. User, host and time of the build are fixed, because the kernel
/// contains them (Documentation/kbuild/reproducible-builds.rst).
const ENVIRONMENT: &[&str] = &[
    "PATH=/mnt/bin:/usr/bin:/usr/sbin",
    "TMPDIR=/mnt",
    "LC_ALL=C",
    "TZ=UTC",
    "KBUILD_BUILD_USER=boot2podman",
    "KBUILD_BUILD_HOST=debian",
    "KBUILD_BUILD_VERSION=1",
];

/// Time of the build.
const TIMESTAMP: &str = "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970";

/// Time between two progress reports of a long build.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

/// Lines at the end of make's log that an error shows.
const ERROR_LINES: usize = 12;

/// Build of a kernel.
pub struct Build {
    sandbox: Sandbox,
    work: PathBuf,
    /// Variables of the kernel's make for this architecture and release.
    variables: Vec<String>,
    /// First part of the names of the compiler's programs.
    prefix: &'static str,
}

impl Build {
    /// Prepares a build for an architecture in the directory `work` with the tools of `tree`. The kernel's release
    /// ends with `suffix`. The compiler has the name of its architecture, which the kernel contains, on every host.
    pub fn new(tree: &Path, work: &Path, arch: &SlimBuild, suffix: &str) -> Result<Self> {
        fs::create_dir_all(work).with_context(|| format!("make {}", work.display()))?;
        Ok(Build {
            sandbox: Sandbox::new(tree)?.bind(work, WORK)?,
            work: work.to_path_buf(),
            variables: vec![
                format!("ARCH={}", arch.arch),
                format!("CROSS_COMPILE={}", arch.prefix),
                format!("LOCALVERSION={suffix}"),
            ],
            prefix: arch.prefix,
        })
    }

    /// Returns the host's path of a file in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn command(&self, argv: &[&str]) -> Command {
        self.sandbox.command(ENVIRONMENT, WORK, argv)
    }

    /// Runs a command to its end.
    pub fn run(&self, argv: &[&str]) -> Result<()> {
        tools::run(&mut self.command(argv), argv[0]).map(drop)
    }

    /// Runs a program of the compiler's to its end.
    pub fn run_tool(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let program = format!("{}{name}", self.prefix);
        self.run(&[&[program.as_str()], arguments].concat())
    }

    /// Runs the kernel's make and calls `progress` from time to time with the number of files
    /// compiled so far. Its standard error is written to `make.log`; an error shows the end of that
    /// file.
    pub fn make(&self, targets: &[&str], progress: impl FnMut(usize)) -> Result<()> {
        let make = ["make", "-C", "src", "O=/mnt/o"];
        let variables: Vec<&str> = self.variables.iter().map(String::as_str).collect();
        let mut command = self.command(&[&make[..], &variables, &[TIMESTAMP], targets].concat());
        let log = self.path("make.log");
        let errors = fs::File::create(&log).with_context(|| format!("write {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command.spawn().context("start unshare(1)")?;
        count_compiled(&mut child, progress)?;
        let status = child.wait().context("wait for make")?;
        if !status.success() {
            bail!("make {}: {status}: {}", targets.join(" "), last_lines(&log));
        }
        Ok(())
    }
}

/// Reads make's output to its end and counts the lines of the compiler.
fn count_compiled(make: &mut Child, mut progress: impl FnMut(usize)) -> Result<()> {
    let output = make.stdout.take().context("make's output is piped")?;
    let (mut files, mut last_report) = (0, Instant::now());
    for line in BufReader::new(output).lines() {
        files += usize::from(line?.trim_start().starts_with("CC "));
        if last_report.elapsed() > REPORT_INTERVAL {
            last_report = Instant::now();
            progress(files);
        }
    }
    Ok(())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n")
}
