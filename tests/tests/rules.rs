// SPDX-License-Identifier: Apache-2.0
//! Rules of docs/design/pid1.md that no other test covers: PID 1 as a process, its traces in the
//! file system, and the order of its first steps.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::ns::inject::{Call, Plan};
use tests::ns::syscalls::name;
use tests::ns::{LIMIT, Namespace, READY, Running, Users, trial};

fn up() -> Result<Running> {
    let pid1 = Namespace::new()?.start()?;
    pid1.says(READY, LIMIT)?;
    Ok(pid1)
}

/// Returns a set of signals of /proc/PID/status.
fn set(pid1: &Running, key: &str) -> Result<u64> {
    let status = pid1.about("status")?;
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    Ok(u64::from_str_radix(
        line.context("no such line")?.trim(),
        16,
    )?)
}

fn bits(signals: &[i32]) -> u64 {
    signals.iter().map(|s| 1 << (s - 1)).sum()
}

/// Every signal but those of faults is blocked; those are caught, and none is ignored.
#[test]
fn pid_1_blocks_all_but_fault_signals() -> Result<()> {
    let pid1 = up()?;
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP};
    let faults = bits(&[SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP]);
    // The C library reserves two or three signals. No handler exists for them here, so the kernel
    // keeps them from PID 1 (signal(7), SIGNAL_UNKILLABLE).
    let own = bits(&[32, 33, 34]);
    let never = bits(&[SIGKILL, SIGSTOP]);
    for (key, wanted) in [("SigBlk:", !(faults | never)), ("SigCgt:", faults)] {
        // musl's fork(3) blocks all signals for a moment.
        tests::eventually(LIMIT, || {
            let got = set(&pid1, key)?;
            ensure!(got | own == wanted | own, "{key} {got:x}");
            Ok(())
        })?;
    }
    // This test ignores SIGPIPE, as every Rust program does, and exec preserves that.
    let ignored = set(&pid1, "SigIgn:")? & !own & !bits(&[libc::SIGPIPE]);
    ensure!(ignored == 0, "SigIgn: {ignored:x}");
    Ok(())
}

/// Descriptors 0, 1 and 2 are open, and no other would survive an exec. PID 1 has no terminal.
#[test]
fn descriptors_of_pid_1_are_close_on_exec() -> Result<()> {
    let pid1 = up()?;
    let mut count = 0;
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", pid1.pid()))? {
        let entry = entry?;
        let fd: i32 = entry.file_name().to_string_lossy().parse()?;
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue; // closed meanwhile
        };
        let flags = text.lines().find_map(|l| l.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.context("flags")?.trim(), 8)?;
        let whose = fs::read_link(format!("/proc/{}/fd/{fd}", pid1.pid())).unwrap_or_default();
        ensure!(
            (flags & libc::O_CLOEXEC != 0) == (fd > 2),
            "{fd} {whose:?}: {flags:o}"
        );
        count += 1;
    }
    ensure!(count > 5, "{count} descriptors: not all are seen");
    let stat = pid1.about("stat")?;
    let after = stat.rsplit(')').next().context("stat")?;
    // State, parent, group, session, terminal (proc_pid_stat(5)).
    let terminal = after.split_whitespace().nth(4);
    ensure!(terminal == Some("0"), "{stat}");
    let cwd = pid1.sh("readlink /proc/1/cwd")?;
    ensure!(cwd.stdout == b"/\n", "{cwd:?}");
    Ok(())
}

/// Mode and owner of files do not depend on the umask with which PID 1 was started.
#[test]
fn files_of_pid_1_have_their_modes_and_owners() -> Result<()> {
    let pid1 = up()?;
    let root = format!("/proc/{}/root", pid1.pid());
    for (path, mode) in [
        ("run/boot2podman", 0o755),
        ("run/lock", 0o1777),
        ("run/user/1000", 0o700),
        ("dev/shm", 0o1777),
        ("run/boot2podman/control", 0o600),
        ("run/boot2podman/authorized_keys", 0o644),
        ("etc/machine-id", 0o444),
    ] {
        let is = fs::symlink_metadata(Path::new(&root).join(path)).context(path)?;
        let got = is.permissions().mode() & 0o7777;
        ensure!(got == mode, "{path}: {got:o}");
    }
    for (path, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ] {
        let is = fs::read_link(Path::new(&root).join("dev").join(path)).context(path)?;
        ensure!(is == Path::new(target), "{path} -> {}", is.display());
    }
    // The file belongs to user 1000 of the mapped range.
    if Namespace::new()?.users == Users::Many {
        let map = pid1.about("uid_map")?;
        let first: u32 = map
            .split_whitespace()
            .nth(1)
            .context(map.clone())?
            .parse()?;
        let home = fs::metadata(format!("{root}/run/user/1000"))?;
        ensure!(home.uid() == first + 1000, "{}", home.uid());
    }
    Ok(())
}

/// IFF_UP is added to the existing flags (if.h).
#[test]
fn loopback_is_up() -> Result<()> {
    let flags = up()?.read("/sys/class/net/lo/flags")?;
    ensure!(flags.trim() == "0x9", "{flags}");
    Ok(())
}

/// Returns the index of the first call of this kind.
fn first(calls: &[Call], what: &str, is: impl Fn(&str, &str) -> bool) -> Result<usize> {
    let at = calls.iter().position(|c| is(&name(c.number), &c.about));
    at.with_context(|| format!("no {what}"))
}

#[test]
fn system_calls_of_the_boot_are_in_the_required_order() -> Result<()> {
    let whole = trial::run(&Namespace::new()?, Plan::Record, trial::Ending::Signal, &[])?;
    let calls = &whole.trace.calls;
    let call = |word: &'static str| first(calls, word, move |n, _| n == word);
    let about = |word: &'static str| first(calls, word, move |_, a| a.ends_with(word));
    let signals = call("signalfd4")?;
    ensure!(
        signals < call("reboot")?,
        "Ctrl-Alt-Del is a signal before signals are read"
    );
    let memory = first(calls, "memory", |n, _| ["brk", "mmap"].contains(&n))?;
    ensure!(
        signals < memory,
        "memory is asked for before signals are read"
    );
    ensure!(
        about("kernel/printk_devkmsg")? < about("/dev/kmsg")?,
        "the log is rationed"
    );
    let child = first(calls, "child", |n, _| {
        n.ends_with("fork") || n.starts_with("clone")
    })?;
    for early in ["etc/hostname.b2p-new", "etc/machine-id.b2p-new"] {
        ensure!(about(early)? < child, "{early} comes after the first child");
    }
    let names = calls.iter().filter(|c| name(c.number) == "sethostname");
    ensure!(names.count() == 1, "the host name has two owners");
    let last = calls.last().context("no calls")?;
    ensure!(name(last.number) == "reboot", "the last call is {last}");
    Ok(())
}

/// Collects every Rust file below the crates, with its path.
fn sources(dir: &Path, all: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !["target", "out", ".git", "corpus"].contains(&&*name) {
            sources(&path, all)?;
        } else if name.ends_with(".rs") {
            all.push((path.display().to_string(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Returns the possible endings of the path that the document calls `place: name`.
fn files_of(place: &str) -> Vec<String> {
    match place {
        "clean" => vec!["/services/tests/clean.rs".into()],
        "manager" => ["cgroups", "output", "readiness", "stopping"]
            .map(|theme| format!("/services/tests/manager/{theme}.rs"))
            .to_vec(),
        "channel" => ["main", "abuse"]
            .map(|theme| format!("/control/tests/channel/{theme}.rs"))
            .to_vec(),
        path if path.ends_with(".rs") => vec![path.into()],
        name => ["", "/main"]
            .map(|rest| format!("/tests/tests/{name}{rest}.rs"))
            .to_vec(),
    }
}

/// A name that no longer exists would prove nothing.
#[test]
fn every_function_that_pid1_md_names_exists() -> Result<()> {
    let root = initramfs::paths::root();
    let mut all = Vec::new();
    sources(&root, &mut all)?;
    let text = fs::read_to_string(root.join("docs/design/pid1.md"))?;
    let (_, tables) = text.split_once("## Reaping").context("a heading")?;
    let mut count = 0;
    for word in tables.split('`').skip(1).step_by(2) {
        let (places, name) = match (word.split_once(": "), word.rsplit_once("::")) {
            (Some(("fuzz", target)), _) => (files_of(&format!("fuzz/src/{target}.rs")), target),
            (Some((place, name)), _) => (files_of(place), name),
            (_, Some((_, name))) if name.starts_with(char::is_lowercase) => (files_of(".rs"), name),
            _ => continue,
        };
        let of = |path: &str| places.iter().any(|end| path.ends_with(end));
        let named = [
            format!("fn {name}("),
            format!("mod {name};"),
            format!("mod {name} "),
        ];
        let has = |text: &str| named.iter().any(|n| text.contains(n));
        let there = all.iter().any(|(path, text)| of(path) && has(text));
        ensure!(there, "{word:?} is not there");
        count += 1;
    }
    ensure!(count > 60, "only {count} names are found in the document");
    Ok(())
}
