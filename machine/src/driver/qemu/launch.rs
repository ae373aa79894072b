// SPDX-License-Identifier: Apache-2.0
//! Start of QEMU for a machine. QEMU outlives the process that starts it.

use super::QEMU;
use super::arguments::{self, Resolved};
use super::findings::SLOW;
use super::monitor::Monitor;
use super::proxy::{self, Proxies};
use super::session::unsignalled;
use super::settings;
use super::shares::{Attempt, Served};
use crate::driver::{Announce, Launched, Start};
use crate::owner;
use crate::store::Machine;
use crate::store::config::MachineConfig;
use crate::store::image::Image;
use crate::store::lock;
use crate::store::machine::LIFE;
use crate::store::{files, logfile, quadlet};
use anyhow::{Context, Result, anyhow};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use vmm::{Accelerator, AcceleratorChoice, Board};

/// Number of ports that are tried where another program takes the one that was free.
const TRIES: u32 = 5;

/// Returns the accelerator that a machine with this configuration has on this host, and the reason for TCG if it was not
/// asked for.
pub fn accelerator(cache: &Path, config: &MachineConfig) -> Result<(Accelerator, Option<String>)> {
    let image = Image::open(cache, &config.image)?;
    let choice = AcceleratorChoice::parse(&config.accel)?;
    Ok(choice.resolve_with_reason(Board::Q35, Some(&image.kernel())))
}

/// Returns the accelerator, and a note if a machine is slow without having been asked to be.
fn noted_accelerator(
    machine: &Machine,
    config: &MachineConfig,
) -> Result<(Accelerator, Option<String>)> {
    let (accelerator, against_kvm) = accelerator(&machine.cache, config)?;
    let note = against_kvm.map(|why| format!("accel: no KVM, because {why}: {SLOW}"));
    Ok((accelerator, note))
}

/// Starts QEMU, and returns when it answers. `announce`
/// records the port and the shortcomings before there is a QEMU that they describe.
pub fn launch(
    machine: &Machine,
    config: &MachineConfig,
    start: Start,
    announce: Announce<'_>,
) -> Result<Launched> {
    let image = Image::open(&machine.cache, &config.image)?;
    let key = public_key(machine)?;
    let (accelerator, note) = noted_accelerator(machine, config)?;
    let mut tries = TRIES;
    let mut attempts = vec![Attempt::Best; config.shares.len()];
    let proxies = proxies(config);
    let mut notes: Vec<String> = proxies.notes.into_iter().chain(note).collect();
    loop {
        let mut served = Served::start(machine, &config.shares, &attempts);
        let entries = settings::entries(config, &key, &served.folders, &proxies.flags);
        for (name, content) in &entries {
            files::replace(&settings::file(&machine.run, name), content.as_bytes())?;
        }
        let at = resolve(machine, config, &image, accelerator, start, &served)?;
        tries -= 1;
        announce(at.ssh_port, &[&notes[..], &served.notes].concat())?;
        let error = match attempt(machine, config, start, at, &entries) {
            Ok(launched) => {
                notes.append(&mut served.notes);
                return Ok(Launched { notes, ..launched });
            }
            Err(error) => error,
        };
        let lost = lost_a_port(&error);
        let stepped_down = match lost {
            true => served.step_down("", &[], &mut []),
            false => served.step_down(&format!("{error:#}"), &config.shares, &mut attempts),
        };
        if stepped_down.is_empty() && (!lost || tries == 0 || config.ssh_port_fixed) {
            return Err(error);
        }
        notes.extend(stepped_down);
    }
}

fn public_key(machine: &Machine) -> Result<String> {
    let path = machine.file("id_ed25519.pub");
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// Returns the facts of the host that QEMU's arguments depend on, with a port that is free now.
fn resolve(
    machine: &Machine,
    config: &MachineConfig,
    image: &Image,
    accelerator: Accelerator,
    start: Start,
    served: &Served,
) -> Result<Resolved> {
    let saved = match start {
        Start::Load => machine.saved()?,
        Start::Boot | Start::Template => None,
    };
    Ok(Resolved {
        former: saved.map(|saved| saved.hardware).unwrap_or_default(),
        dir: machine.dir.clone(),
        run: machine.run.clone(),
        kernel: image.kernel(),
        initrd: image.initrd(),
        linux: cfg!(target_os = "linux"),
        kvm: accelerator == Accelerator::Kvm,
        one_thread: accelerator == Accelerator::Tcg && vmm::loses_patches(Board::Q35),
        ssh_port: free_port(config)?,
        qmp_fd: -1,
        stopped: start == Start::Load,
        folders: served.folders.clone(),
        document: Some(machine.file(quadlet::FILE)).filter(|file| file.exists()),
        program: std::env::current_exe().context("path of this program")?,
    })
}

/// Returns the proxies of the host's environment, if the machine uses them.
fn proxies(config: &MachineConfig) -> Proxies {
    match config.proxy_env {
        true => proxy::of_host(|name| std::env::var_os(name)),
        false => Proxies::default(),
    }
}

fn lost_a_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("Could not set up host forwarding rule")
}

/// Returns the port that the user has chosen if it is free, else the port of the last start, else any free port.
fn free_port(config: &MachineConfig) -> Result<u16> {
    let bind = |port| TcpListener::bind(("127.0.0.1", port)).and_then(|socket| socket.local_addr());
    let kept = bind(config.ssh_port);
    let address = match config.ssh_port_fixed {
        true => kept.map_err(|error| fixed_port(config, &error))?,
        false => kept
            .or_else(|_| bind(0))
            .context("a free port of 127.0.0.1")?,
    };
    Ok(address.port())
}

/// Describes the port of the user's choice that is not free.
fn fixed_port(config: &MachineConfig, error: &std::io::Error) -> anyhow::Error {
    let (name, port) = (&config.name, config.ssh_port);
    let why = match owner::of("tcp", Ipv4Addr::LOCALHOST, port) {
        Some(owner) => owner.to_string(),
        None => error.to_string(),
    };
    anyhow!(
        "port {port} of 127.0.0.1, which --ssh-port asks for: {why}; without a port of its own \
         (ssh-port=0) machine \"{name}\" takes any free one"
    )
}

fn attempt(
    machine: &Machine,
    config: &MachineConfig,
    start: Start,
    mut at: Resolved,
    entries: &[(String, String)],
) -> Result<Launched> {
    // A socket that exists before QEMU does: connecting needs no repetition, and fails when QEMU
    // ends early.
    let path = machine.run_file("qmp.sock");
    vmm::ssh::remove(&path)?;
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).context("F_SETFD")?;
    at.qmp_fd = listener.as_raw_fd();
    let args = arguments::arguments(config, &at, entries)?;
    let lines = args.join("\n") + "\n";
    files::replace(&machine.file("qemu.args"), lines.as_bytes())?;
    let log = machine.file("qemu.log");
    let life = lock::hand_over(&machine.file(LIFE))?;
    let kept = lock::hand_over_dir(&machine.run)?;
    let child = spawn(&args, &log, start);
    // From here on QEMU alone has all three.
    drop((listener, life, kept));
    let child = child?;
    let connected = UnixStream::connect(&path)
        .map_err(anyhow::Error::from)
        .and_then(Monitor::connect);
    match connected {
        Ok(monitor) => Ok(Launched {
            child,
            vm: Box::new(monitor),
            accelerator: if at.kvm { "kvm" } else { "tcg" },
            ssh_port: at.ssh_port,
            notes: Vec::new(),
        }),
        Err(error) => Err(reason_of(child, &log, &error)?),
    }
}

/// Time that a QEMU whose connection has ended has for its last calls.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// Pause between two looks at a QEMU that ends.
const PAUSE: Duration = Duration::from_millis(10);

/// Ends a QEMU to which there is no connection, and returns the reason.
fn reason_of(mut child: Child, log: &Path, error: &anyhow::Error) -> Result<anyhow::Error> {
    let deadline = Instant::now() + LAST_CALLS;
    let mut status = child.try_wait()?;
    while status.is_none() && Instant::now() < deadline {
        thread::sleep(PAUSE);
        status = child.try_wait()?;
    }
    if status.is_none() {
        let _ = child.kill();
        child.wait()?;
    }
    let output = fs::read_to_string(log).unwrap_or_default();
    Ok(anyhow!("{}", reason(&output, status, error)))
}

/// Returns a line of QEMU without its name, and without the time before that (`-msg timestamp=on`).
fn without_name(line: &str) -> &str {
    match line.split_once(&format!("{QEMU}: ")) {
        Some((time, rest)) if !time.trim_end().contains(' ') => rest,
        _ => line,
    }
}

/// Describes the end of a QEMU in one line: by its output, by its status if it has ended by itself, or by `error`.
fn reason(output: &str, status: Option<ExitStatus>, error: &anyhow::Error) -> String {
    let prefix = format!("{QEMU}: ");
    let lines = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let said: Vec<&str> = lines.map(without_name).collect();
    match (said.as_slice(), status) {
        ([], Some(status)) => format!("{QEMU} has ended at once, without a word: {status}"),
        ([], None) => format!("{QEMU} does not answer: {error:#}"),
        (said, _) => vmm::without_controls(&(prefix + &said.join("; "))),
    }
}

/// Starts QEMU in a process group of its own, so that a signal for this one's does not end it.
fn spawn(args: &[String], log: &Path, start: Start) -> Result<Child> {
    let stderr = logfile::begin(log)?;
    let mut qemu = Command::new(QEMU);
    qemu.args(args).process_group(0).stdin(Stdio::null());
    qemu.stdout(stderr.try_clone()?).stderr(stderr);
    let spawned = match start {
        Start::Template => vmm::process::spawn(qemu),
        Start::Boot | Start::Load => unsignalled(|| qemu.spawn())?,
    };
    spawned.with_context(|| format!("cannot start {QEMU}: is it installed?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn the_end_of_qemu_has_one_line() {
        let error = anyhow!("no greeting");
        let status = Some(ExitStatus::from_raw(11));
        for (output, status, expected) in [
            (
                "qemu-system-x86_64: -m: bad\n",
                status,
                "qemu-system-x86_64: -m: bad",
            ),
            (
                "a\r\n\nqemu-system-x86_64: b\n",
                None,
                "qemu-system-x86_64: a; b",
            ),
            (
                "\n",
                status,
                "qemu-system-x86_64 has ended at once, without a word: signal: 11 (SIGSEGV)",
            ),
            ("", None, "qemu-system-x86_64 does not answer: no greeting"),
        ] {
            assert_eq!(reason(output, status, &error), expected);
        }
    }
}
