//! Where the kernel is built: the fetched tree as root, one directory of ours in it, and
//! nothing of the host but three devices. In a mount name space that ends with the
//! command; as who is not root, in a user name space besides.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::SUFFIX;
use crate::tools;

/// `sh -c` of it, with the tree, our directory and the command.
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

/// What the commands find in their environment. Who built it where and when is none of
/// the result's business (Documentation/kbuild/reproducible-builds.rst).
const ENVIRONMENT: &[&str] = &[
    "PATH=/usr/bin:/usr/sbin",
    "TMPDIR=/mnt",
    "LC_ALL=C",
    "TZ=UTC",
    "KBUILD_BUILD_USER=boot2podman",
    "KBUILD_BUILD_HOST=debian",
    "KBUILD_BUILD_VERSION=1",
];

/// So often a long build says how far it is.
const EVERY: Duration = Duration::from_secs(15);

/// The tree, and where the work is.
pub struct Room {
    tree: PathBuf,
    work: PathBuf,
}

impl Room {
    /// A room in `tree`, whose /mnt is `work`.
    pub fn new(tree: &Path, work: &Path) -> Result<Self> {
        let (dev, mnt) = (tree.join("dev"), tree.join("mnt"));
        for dir in [work, &dev, &mnt] {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        Ok(Room {
            tree: tree.to_path_buf(),
            work: work.to_path_buf(),
        })
    }

    /// A file of the work, on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["sh", "-c", SCRIPT, "room"]);
        command.arg(&self.tree).arg(&self.work);
        command.args(ENVIRONMENT).arg("env").args(["-C", "/mnt"]);
        command.args(arguments);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        tools::run(&mut self.command(arguments), arguments[0]).map(drop)
    }

    /// Runs the kernel's make, and tells now and then how many files it has compiled.
    /// What it says is in `make.log`; an error has its end.
    pub fn make(&self, targets: &[&str], mut progress: impl FnMut(usize)) -> Result<()> {
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
        let output = child.stdout.take().context("make's output is piped")?;
        let (mut files, mut said) = (0, Instant::now());
        for line in BufReader::new(output).lines() {
            files += usize::from(line?.trim_start().starts_with("CC "));
            if said.elapsed() > EVERY {
                said = Instant::now();
                progress(files);
            }
        }
        let status = child.wait().context("wait for make")?;
        if !status.success() {
            bail!("make {}: {status}: {}", targets.join(" "), end_of(&log));
        }
        Ok(())
    }
}

/// The last lines of a log.
fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
