// SPDX-License-Identifier: Apache-2.0
//! Runs mmdebstrap(1) and unpacks its tar archive.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fsutil;
use crate::package_metadata::{self, VERSIONS};
use crate::progress::{Step, megabytes};

/// Attempts before giving up; apt itself retries each file too.
const ATTEMPTS: u32 = 3;

/// Debian's archive keys on the host, named explicitly because mmdebstrap does not find them by
/// itself on Ubuntu.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Prefixes of paths that are not unpacked: half of the files, which nothing uses. Copyright files
/// are unpacked nevertheless ([`package_metadata::is_copyright`]).
const SKIPPED: &[&str] = &[
    "dev/",
    "proc/",
    "sys/",
    "tmp/",
    "run/",
    "var/cache/",
    "var/lib/apt/",
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/i18n/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/lib/udev/",
    "usr/libexec/podman/podman-testing",
];

/// Signs in mmdebstrap's log of common causes, each with the remedy.
const HINTS: &[(&str, &str)] = &[
    (
        "NO_PUBKEY",
        "; the host's debian-archive-keyring is too old for this suite: install a newer one",
    ),
    (
        "is not signed",
        "; is the mirror really Debian's? See also the host's debian-archive-keyring",
    ),
    (
        "does not have a Release file",
        "; does a suite of this name exist?",
    ),
    (
        "/etc/subuid",
        "; without root, mmdebstrap needs a line for you in /etc/subuid and /etc/subgid",
    ),
    (
        "unshare",
        "; without root, mmdebstrap needs user namespaces, which this host refuses",
    ),
];

/// Packages to fetch, and the paths of them to unpack.
pub struct Request<'a> {
    /// Debian release.
    pub suite: &'a str,
    /// Debian's name of the architecture.
    pub arch: &'a str,
    /// Mirror to use instead of the default one.
    pub mirror: Option<&'a str>,
    /// Names of the packages; apt adds their dependencies.
    pub packages: &'a [&'a str],
    /// Prefixes of the paths to unpack; all paths if empty.
    pub only: &'a [&'a str],
    /// Prefixes of paths to unpack although [`SKIPPED`] lists them.
    pub also: &'a [&'a str],
}

/// Fetches the packages and unpacks them into the directory `to`, with several attempts.
///
/// # Errors
/// Every attempt failed; the error is that of the last one.
pub fn fetch(request: &Request<'_>, to: &Path, step: &Step) -> Result<()> {
    for attempt in 1..ATTEMPTS {
        match fetch_once(request, to) {
            Ok(bytes) => return report(bytes, step),
            Err(error) => {
                step.note(&format!("try {attempt} of {ATTEMPTS} failed: {error:#}"));
                fsutil::remove(to)?;
                std::thread::sleep(Duration::from_secs(2 << attempt));
            }
        }
    }
    report(fetch_once(request, to)?, step)
}

fn report(bytes: u64, step: &Step) -> Result<()> {
    step.note(&format!("unpacked {}", megabytes(bytes)));
    Ok(())
}

/// Runs mmdebstrap once and unpacks its output on arrival. Returns the bytes of the files.
fn fetch_once(request: &Request<'_>, to: &Path) -> Result<u64> {
    // Several trees are fetched at the same time.
    let log = to.with_file_name(format!("{}.log", fsutil::file_name(to)?));
    let mut child = command(request)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).with_context(|| format!("write {}", log.display()))?)
        .spawn()
        .context("start mmdebstrap")?;
    let mut output = child
        .stdout
        .take()
        .context("mmdebstrap's output is piped")?;
    let unpacked = unpack(&mut output, to, request);
    // The output is read to its end in any case: a broken pipe would end mmdebstrap before the
    // cause of an error is logged.
    let _ = io::copy(&mut output, &mut io::sink());
    let status = child.wait().context("wait for mmdebstrap")?;
    if !status.success() {
        bail!("mmdebstrap ended with {status}; {}", explain(&log));
    }
    let bytes = unpacked.context("unpack what mmdebstrap made")?;
    let versions = to.join(VERSIONS);
    if fs::metadata(&versions).map_or(0, |m| m.len()) == 0 {
        bail!(
            "mmdebstrap left no list of versions at {}",
            versions.display()
        );
    }
    fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
    Ok(bytes)
}

fn command(request: &Request<'_>) -> Command {
    // The owner of each file is recorded only for trees that are unpacked whole: of a kernel's
    // packages, only the kernel is unpacked.
    let hook = package_metadata::hook(request.only.is_empty());
    let mut command = Command::new("mmdebstrap");
    // /tmp is often a small tmpfs, and the subordinate users of mmdebstrap's unshare mode have
    // no access to a home directory; /var/tmp has neither problem.
    if std::env::var_os("TMPDIR").is_none() {
        command.env("TMPDIR", "/var/tmp");
    }
    command.args(["--variant=extract", "--format=tar"]);
    command
        .arg(format!("--architectures={}", request.arch))
        .arg("--aptopt=Acquire::Retries \"3\"")
        .arg(format!("--extract-hook={hook}"));
    if Path::new(KEYRING).exists() {
        command.arg(format!("--keyring={KEYRING}"));
    }
    command.arg(format!("--include={}", request.packages.join(",")));
    command.args([request.suite, "-"]).args(request.mirror);
    command
}

/// Returns apt's first error in the log, with a hint at its usual cause.
fn explain(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let error = text
        .lines()
        .find(|l| l.starts_with("E:"))
        .unwrap_or("it logged no error");
    let hint = HINTS
        .iter()
        .find(|(sign, _)| text.contains(sign))
        .map_or("", |(_, hint)| hint);
    format!("{error}{hint} (the whole log: {})", log.display())
}

/// Unpacks the tar archive without owners, devices and setuid bits: the image has its own table
/// of modes (`userland/table.rs`). Returns the bytes of the files.
fn unpack(from: &mut impl Read, to: &Path, request: &Request<'_>) -> Result<u64> {
    fs::create_dir_all(to)?;
    let mut archive = tar::Archive::new(from);
    let mut bytes = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry
            .path()?
            .to_string_lossy()
            .trim_start_matches("./")
            .to_string();
        let kind = entry.header().entry_type();
        let device = kind.is_character_special() || kind.is_block_special() || kind.is_fifo();
        if device || !request.includes(&path) {
            continue;
        }
        entry.set_preserve_mtime(false);
        entry.set_preserve_permissions(false);
        bytes += entry.size();
        entry
            .unpack_in(to)
            .with_context(|| format!("unpack {path}"))?;
    }
    Ok(bytes)
}

impl Request<'_> {
    /// Returns true if the path is to be unpacked.
    fn includes(&self, path: &str) -> bool {
        let starts_with_any = |prefixes: &[&str]| prefixes.iter().any(|p| path.starts_with(p));
        let skipped = starts_with_any(SKIPPED)
            && !starts_with_any(self.also)
            && !package_metadata::is_copyright(path);
        !skipped && (self.only.is_empty() || starts_with_any(self.only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_selected_by_their_prefixes() {
        let request = |only, also| Request {
            suite: "trixie",
            arch: "amd64",
            mirror: None,
            packages: &[],
            only,
            also,
        };
        for (only, also, path, expected) in [
            (&[][..], &[][..], "usr/bin/podman", true),
            (&[], &[], "usr/share/man/man1/podman.1.gz", false),
            (&[], &[], "usr/share/doc/podman/copyright", true),
            (&[], &[], "usr/lib/udev/rules.d/50-udev.rules", false),
            (&[], &["usr/lib/udev/"], "usr/lib/udev/udevd", true),
            (&["boot/"], &[], "boot/vmlinuz", true),
            (&["boot/"], &[], "usr/bin/podman", false),
        ] {
            assert_eq!(request(only, also).includes(path), expected, "{path}");
        }
    }
}
