// SPDX-License-Identifier: Apache-2.0
//! Sandbox in which the slim kernel is compiled: the fetched tree as root, one directory of the
//! build in it, and three devices of the host. The mounts are made in a mount namespace, which
//! ends with the command; a caller that is not root gets a user namespace as well.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::SUFFIX;
use crate::tools;

/// Script of `sh -c`; its arguments are the tree, the directory of the build and the command.
const SCRIPT: &str = "\
set -eu
tree=$1 work=$2; shift 2
mount --bind \"$work\" \"$tree/mnt\"
mount -t tmpfs -o mode=0755 dev \"$tree/dev\"
for node in null zero urandom; do
    : > \"$tree/dev/$node\"
    mount --bind \"/dev/$node\" \"$tree/dev/$node\"
done
exec chroot \"$tree\" /usr/bin/env -i \"$@\"";

/// Environment of the commands. User, host and time of the build are fixed, because the kernel
/// contains them (Documentation/kbuild/reproducible-builds.rst).
const ENVIRONMENT: &[&str] = &[
    "PATH=/usr/bin:/usr/sbin",
    "TMPDIR=/mnt",
    "LC_ALL=C",
    "TZ=UTC",
    "KBUILD_BUILD_USER=boot2podman",
    "KBUILD_BUILD_HOST=debian",
    "KBUILD_BUILD_VERSION=1",
];

/// Time between two progress reports of a long build.
const REPORT_INTERVAL: Duration = Duration::from_secs(15);

/// Lines at the end of make's log that an error shows.
const ERROR_LINES: usize = 12;

/// Root directory and working directory of the build.
pub struct Sandbox {
    tree: PathBuf,
    work: PathBuf,
}

impl Sandbox {
    /// Returns a sandbox with `tree` as root and `work` as `/mnt`.
    pub fn new(tree: &Path, work: &Path) -> Result<Self> {
        let (dev, mnt) = (tree.join("dev"), tree.join("mnt"));
        for dir in [work, &dev, &mnt] {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        Ok(Sandbox {
            tree: tree.to_path_buf(),
            work: work.to_path_buf(),
        })
    }

    /// Returns the host's path of a file in the working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", SCRIPT, "sandbox"]);
        command.arg(&self.tree).arg(&self.work);
        command.args(ENVIRONMENT).arg("env").args(["-C", "/mnt"]);
        command.args(arguments);
        command
    }

    /// Runs a command and waits for it.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        tools::run(&mut self.command(arguments), arguments[0]).map(drop)
    }

    /// Runs the kernel's make and calls `progress` from time to time with the number of files
    /// compiled so far. Its standard error goes to `make.log`; an error shows the end of that.
    pub fn make(&self, targets: &[&str], progress: impl FnMut(usize)) -> Result<()> {
        let suffix = format!("LOCALVERSION={SUFFIX}");
        let stamp = "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970";
        let fixed = ["make", "-C", "src", "O=/mnt/o", "AWK=gawk", &suffix, stamp];
        let mut command = self.command(&[&fixed[..], targets].concat());
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
