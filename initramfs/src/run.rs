// SPDX-License-Identifier: Apache-2.0
//! `make run`: boots the machine in this terminal, with ssh and podman's API on the host.

mod connect;
mod data_disk;
mod run_dir;
mod tunnel;

use crate::arch::Arch;
use crate::options::Options;
use crate::{image, paths};
use anyhow::{Context, Result};
use connect::Connect;
use nix::sys::termios::{self, SetArg};
use run_dir::RunDir;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tunnel::Tunnel;
use vmm::ssh::{self, Key};
use vmm::{Accelerator, AcceleratorChoice, Artifacts, Board, Disk, Machine, Ready, Vm};

/// Time for the guest's shutdown after a signal to this process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// Builds and boots the image and waits until the machine ends. Settings are `NAME=value` in `args`
/// or in the environment.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::read(args, |name| std::env::var(name).ok())?;
    image::build()?;
    let out = paths::out();
    let run_dir = RunDir::claim(&out)?;
    let own_key = Key::in_dir(&out)?;
    let user_key = options.user_key()?;
    let mut machine = machine(&options, &out)?
        .dir(&run_dir.dir)
        .ssh_key(&own_key.public);
    if let Some(key) = &user_key {
        machine = machine.ssh_key(&key.public);
    }
    if let Some(data) = &options.data {
        let keys: Vec<&str> = [Some(&own_key), user_key.as_ref()]
            .into_iter()
            .flatten()
            .map(|k| k.public.as_str())
            .collect();
        machine = machine.disk(data_disk(data, &keys)?);
    }
    let stop = stop_flag()?;
    let _terminal = Terminal::remember();
    let vm = machine.start()?;
    let key = user_key.as_ref().unwrap_or(&own_key);
    let connect = Connect::new(vm.port("ssh")?, &run_dir, key, &options.append);
    fs::write(
        &connect.config,
        ssh::config(
            "boot2podman",
            connect.port,
            &own_key.file,
            &run_dir.dir.join("known_hosts"),
        ),
    )?;
    watch(&vm, &connect, &stop)
}

fn machine(options: &Options, out: &Path) -> Result<Machine> {
    let boot = Artifacts::from_out_dir(out)?;
    let board = Board::of_arch(Arch::from_env()?.name);
    let accelerator = options.accel.resolve(board, Some(&boot.kernel));
    let accel = if accelerator == Accelerator::Kvm {
        AcceleratorChoice::Kvm
    } else {
        AcceleratorChoice::Tcg
    };
    let machine = Machine::new(&boot)
        .board(board)
        .accel(accel)
        .memory_mib(options.memory_mib)
        .cpus(options.cpus)
        .append("b2p.console=shell")
        .append(&options.append)
        .in_terminal();
    Ok(match options.ssh_port {
        Some(port) => machine.ssh_port(port),
        None if TcpListener::bind(("127.0.0.1", connect::DEFAULT_PORT)).is_ok() => {
            machine.ssh_port(connect::DEFAULT_PORT)
        }
        None => machine,
    })
}

fn data_disk(file: &Path, keys: &[&str]) -> Result<Disk> {
    if data_disk::make(file, keys)? {
        eprintln!(
            "{}: a new disk, which the machine will format",
            file.display()
        );
    }
    let disk = if data_disk::is_qcow2(file)? {
        Disk::qcow2(file)
    } else {
        Disk::raw(file)
    };
    Ok(disk)
}

/// Returns a flag that SIGTERM, SIGINT and SIGHUP set. The guest gets Ctrl-C in the terminal
/// instead.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("cannot handle signals")?;
    }
    Ok(stop)
}

/// Keeps the tunnel up until the machine ends, and shuts the machine down after a signal.
fn watch(vm: &Vm, connect: &Connect, stop: &AtomicBool) -> Result<()> {
    let mut tunnel: Option<Tunnel> = None;
    let mut deadline: Option<Instant> = None;
    while vm.exited()?.is_none() {
        match &mut tunnel {
            Some(tunnel) => tunnel.keep_up(),
            None => tunnel = Ready::find(&vm.console()).map(|ready| announce(connect, &ready)),
        }
        match deadline {
            None if stop.load(Ordering::Relaxed) => {
                vm.power_button()?;
                deadline = Some(Instant::now() + SHUTDOWN_TIMEOUT);
            }
            Some(deadline) if Instant::now() >= deadline => drop(vm.kill()?),
            _ => {}
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn announce(connect: &Connect, ready: &Ready) -> Tunnel {
    println!("\n{}", connect.text(ready));
    Tunnel::new(&connect.config, &connect.socket)
}

/// Settings of the terminal, restored on drop: QEMU restores the settings when it exits, but not
/// when it is killed.
struct Terminal(Option<termios::Termios>);

impl Terminal {
    fn remember() -> Self {
        Self(termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, settings);
        }
    }
}
