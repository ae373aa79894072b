// SPDX-License-Identifier: Apache-2.0
//! Choice of KVM or TCG, by a trial, because a /dev/kvm that opens proves little.
//!
//! The trial boots the real kernel without an initrd. A few bytes of real-mode code would be
//! quicker, but where KVM is itself emulated the code may run while long mode, or the kernel's own
//! decompressor, does not. Without a root to mount, the kernel initializes itself and panics;
//! `panic=-1` turns that into an exit.

use crate::board::Board;
use crate::process;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Requested accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceleratorChoice {
    /// KVM where guests run under KVM, else TCG.
    #[default]
    Auto,
    /// KVM, or an error.
    Kvm,
    /// QEMU's translator, which runs everywhere.
    Tcg,
}

/// Accelerator in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The hardware's virtualization.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

/// Time limit of a trial: enough for a loaded host (a working KVM needs about a second), and
/// acceptable once per boot of the host.
const TRY: Duration = Duration::from_secs(8);

/// File beside a kernel with the result of the trial.
const MARK: &str = ".kvm";
/// Beginning of a verdict without a trial.
const SHUT: &str = "no: /dev/kvm";
/// Reason of a trial that was cut.
const HANGS: &str = "a guest under it hangs";
/// Time for which a trial that was cut counts.
const HANG_LASTS: Duration = Duration::from_secs(600);
/// Verdict of a trial that has succeeded.
const YES: &str = "yes";

impl AcceleratorChoice {
    /// Parses `kvm`, `tcg`, `auto` or an empty text, as in `ACCEL=`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => bail!("accelerator {other}: it is auto, kvm or tcg"),
        }
    }

    /// Parses the environment variable `ACCEL`.
    pub fn from_env() -> Result<Self> {
        Self::parse(&std::env::var("ACCEL").unwrap_or_default())
    }

    /// Decides. A trial boots `kernel`; its result is kept in the kernel's directory until the host
    /// boots again.
    pub fn resolve(self, board: Board, kernel: Option<&Path>) -> Accelerator {
        self.resolve_with_reason(board, kernel).0
    }

    /// Decides like [`Self::resolve`]; returns the reason against KVM, too, where TCG was not asked for.
    pub fn resolve_with_reason(
        self,
        board: Board,
        kernel: Option<&Path>,
    ) -> (Accelerator, Option<String>) {
        match (self, kernel) {
            (Self::Kvm, _) => (Accelerator::Kvm, None),
            (Self::Auto, Some(kernel)) if board.has_host_processor() => remembered(board, kernel),
            (Self::Tcg | Self::Auto, _) => (Accelerator::Tcg, None),
        }
    }
}

/// Checks that guests run under KVM, by a trial with a kernel or by the result of the last trial.
///
/// # Errors
/// The reason why guests do not run under KVM.
pub fn runs_under_kvm(board: Board, kernel: &Path) -> Result<()> {
    let (verdict, _) = verdict(board, kernel);
    match reason(&verdict) {
        None => Ok(()),
        Some(why) => bail!("{why}"),
    }
}

/// Returns the reason against KVM, if any.
fn reason(verdict: &str) -> Option<String> {
    let why = || verdict.trim_start_matches("no: ").to_owned();
    (accelerator(verdict) == Accelerator::Tcg).then(why)
}

fn remembered(board: Board, kernel: &Path) -> (Accelerator, Option<String>) {
    let (verdict, is_new) = verdict(board, kernel);
    let accelerator = accelerator(&verdict);
    if is_new {
        let text = match accelerator {
            Accelerator::Kvm => "KVM: guests run under it".to_owned(),
            Accelerator::Tcg => format!("KVM {verdict}; using TCG, which is slower"),
        };
        // A message that cannot be written is none.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    (accelerator, reason(&verdict))
}

/// Judges KVM; returns true for a verdict that this process has not given before. A lock serializes callers, because
/// many tests may ask at once.
fn verdict(board: Board, kernel: &Path) -> (String, bool) {
    static ONE: Mutex<()> = Mutex::new(());
    static WAS_SHUT: AtomicBool = AtomicBool::new(false);
    let _one = ONE.lock();
    let (verdict, is_new) = judge_host(kernel, &open_kvm, &|| try_kvm(board, kernel));
    let is_shut = verdict.starts_with(SHUT);
    let is_new = is_new && !(is_shut && WAS_SHUT.swap(true, Ordering::Relaxed));
    (verdict, is_new)
}

/// Reads the kept result of a trial, or makes one; returns true for a new verdict. A user may get the right to open
/// /dev/kvm, or load its module, at any time: this is looked at each time, and not kept.
fn judge_host(
    kernel: &Path,
    open: &dyn Fn() -> Result<()>,
    trial: &dyn Fn() -> Result<()>,
) -> (String, bool) {
    if let Err(error) = open() {
        return (format!("no: {error:#}"), true);
    }
    let file = kernel.with_file_name(MARK);
    let key = key(kernel);
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let is_kept = |verdict: &&str| !verdict.ends_with(HANGS) || is_recent(&file);
    if let Some(verdict) = recall(&kept, &key).filter(is_kept) {
        return (verdict.to_owned(), false);
    }
    let verdict = match trial() {
        Ok(()) => YES.to_owned(),
        Err(why) => format!("no: {why:#}"),
    };
    // A result that cannot be stored is determined again: slower, not wrong.
    let _ = fs::write(&file, format!("{key} {verdict}\n"));
    (verdict, true)
}

/// Returns true for a trial of the last minutes. A guest that hangs may do so for a busy host.
fn is_recent(file: &Path) -> bool {
    let written = fs::metadata(file).and_then(|meta| meta.modified()).ok();
    let age = written.and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age < HANG_LASTS)
}

fn open_kvm() -> Result<()> {
    let opened = fs::File::options().read(true).write(true).open("/dev/kvm");
    opened.map(|_| ()).context("/dev/kvm")
}

/// Returns a key that changes when the host boots, or with another kernel.
fn key(kernel: &Path) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let size = fs::metadata(kernel).map_or(0, |m| m.len());
    format!("{}/{size}", boot.trim())
}

fn recall<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.strip_prefix(key).map(str::trim)
}

fn accelerator(verdict: &str) -> Accelerator {
    match verdict == YES {
        true => Accelerator::Kvm,
        false => Accelerator::Tcg,
    }
}

/// Returns true if this QEMU's TCG may run a stale translation when one CPU patches code that
/// another one translates. A Linux guest with two CPUs patches its own text as it boots (static
/// keys), and then dies of a leftover int3, once in some hundred boots. Fixed in 8.1 ("tcg: TB
/// race: always lock pages before translation", RHBZ 2216496). One thread for all CPUs avoids the
/// bug.
pub fn loses_patches(board: Board) -> bool {
    static OF_PC: OnceLock<bool> = OnceLock::new();
    static OF_VIRT: OnceLock<bool> = OnceLock::new();
    // Each program of QEMU may have a version of its own.
    let known = match board {
        Board::Q35 | Board::Microvm => &OF_PC,
        Board::Virt => &OF_VIRT,
    };
    *known.get_or_init(|| {
        let out = Command::new(board.qemu()).arg("--version").output();
        // A QEMU that does not report its version counts as an old one.
        !out.is_ok_and(|out| is_since_8_1(&String::from_utf8_lossy(&out.stdout)))
    })
}

fn is_since_8_1(text: &str) -> bool {
    let version = text.split_once("version ").map_or("", |(_, rest)| rest);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return false;
    };
    (major, minor) >= (8_u32, 1_u32)
}

fn try_kvm(board: Board, kernel: &Path) -> Result<()> {
    let mut qemu = Command::new(board.qemu());
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-M",
        board.name(),
    ]);
    qemu.args([
        "-accel", "kvm", "-cpu", "max", "-smp", "2", "-m", "256M", "-serial", "stdio",
    ]);
    qemu.arg("-kernel")
        .arg(kernel)
        .args(["-append", &format!("console={} panic=-1", board.serial())]);
    let out = process::output(qemu, b"", TRY).map_err(|_| anyhow::anyhow!(HANGS))?;
    judge(
        &String::from_utf8_lossy(&out.stdout),
        &String::from_utf8_lossy(&out.stderr),
    )
}

/// Accepts a kernel that got as far as looking for its root file system.
fn judge(serial: &str, stderr: &str) -> Result<()> {
    if serial.contains("Unable to mount root fs") || serial.contains("No working init found") {
        return Ok(());
    }
    let last = |text: &str| {
        text.lines()
            .rev()
            .find(|l| !l.trim().is_empty())
            .map(str::to_owned)
    };
    // An emulation failure ends in a dump of registers after its message.
    let first = stderr.lines().find(|l| !l.contains("warning"));
    let why = first.map(str::to_owned).or_else(|| last(serial));
    bail!(
        "a guest under it ends early ({})",
        why.as_deref().unwrap_or("without a word").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerator_names_are_parsed() {
        assert_eq!(
            AcceleratorChoice::parse("").expect("ok"),
            AcceleratorChoice::Auto
        );
        assert_eq!(
            AcceleratorChoice::parse("kvm").expect("ok"),
            AcceleratorChoice::Kvm
        );
        assert!(AcceleratorChoice::parse("xen").is_err());
        assert_eq!(
            AcceleratorChoice::Tcg.resolve(Board::Q35, None),
            Accelerator::Tcg
        );
    }

    #[test]
    fn versions_that_lose_patches() {
        assert!(!is_since_8_1(
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"
        ));
        assert!(!is_since_8_1("QEMU emulator version 8.0.0"));
        assert!(is_since_8_1("QEMU emulator version 8.1.0"));
        assert!(is_since_8_1("QEMU emulator version 10.0.2 (Debian)"));
        assert!(!is_since_8_1("") && !is_since_8_1("version ten"));
    }

    #[test]
    fn a_verdict_holds_for_this_boot_and_kernel() {
        let recalled = |text| recall(text, "boot/5").map(accelerator);
        assert_eq!(recalled("boot/5 yes\n"), Some(Accelerator::Kvm));
        assert_eq!(recalled("boot/5 no: it hangs\n"), Some(Accelerator::Tcg));
        assert_eq!(recalled("other/5 yes\n"), None);
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_looked_at_again() {
        let tmp = tempfile::tempdir().expect("a directory");
        let kernel = tmp.path().join("vmlinuz");
        fs::write(&kernel, "k").expect("written");
        let right = || -> Result<()> { Ok(()) };
        let failed = || -> Result<()> { bail!("/dev/kvm: Permission denied") };
        let never = || -> Result<()> { panic!("no trial") };
        let judged = |open: &dyn Fn() -> Result<()>, trial: &dyn Fn() -> Result<()>| {
            judge_host(&kernel, open, trial).0
        };
        assert_eq!(judged(&failed, &never), "no: /dev/kvm: Permission denied");
        assert_eq!(judged(&right, &right), YES);
        assert_eq!(judged(&right, &never), YES);
        assert_eq!(judged(&failed, &never), "no: /dev/kvm: Permission denied");
        let hangs = || -> Result<()> { bail!(HANGS) };
        fs::remove_file(tmp.path().join(MARK)).expect("removed");
        assert_eq!(judged(&right, &hangs), format!("no: {HANGS}"));
        assert_eq!(judged(&right, &never), format!("no: {HANGS}"));
        let file = fs::File::open(tmp.path().join(MARK)).expect("there");
        let old = std::time::SystemTime::now() - HANG_LASTS;
        file.set_modified(old).expect("set");
        assert_eq!(judged(&right, &right), YES);
    }

    #[test]
    fn only_a_kernel_that_ran_counts() {
        assert!(
            judge(
                "[ 1.0] VFS: Unable to mount root fs on unknown-block(0,0)",
                ""
            )
            .is_ok()
        );
        let err = judge(
            "",
            "qemu: warning: x\nerror: failed to set MSR 0x10a to 0x0\n",
        );
        assert!(err.expect_err("dead").to_string().contains("MSR 0x10a"));
        assert!(judge("Decompressing Linux...", "").is_err());
    }
}
