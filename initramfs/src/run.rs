//! `make run`: the machine in this terminal, and the ways into it.

mod connect;
mod data_disk;
mod place;
mod tunnel;

use crate::options::Options;
use crate::{image, paths};
use anyhow::{Context, Result};
use connect::Connect;
use nix::sys::termios::{self, SetArg};
use place::Place;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tunnel::Tunnel;
use vmm::ssh::{self, Key};
use vmm::{Accel, Artifacts, Disk, Engine, Machine, Ready, Vm};

/// How long the guest may take to shut down when this process is asked to end.
const GRACE: Duration = Duration::from_secs(60);

/// Builds what is missing, boots it, and stays until the machine is gone.
/// Settings come as `NAME=value` in `args` or from the environment.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::read(args, |name| std::env::var(name).ok())?;
    image::build()?;
    let out = paths::out();
    let place = Place::claim(&out)?;
    let own = Key::in_dir(&out)?;
    let user = options.user_key()?;
    let mut machine = machine(&options, &out)?
        .dir(&place.dir)
        .ssh_key(&own.public);
    if let Some(user) = &user {
        machine = machine.ssh_key(&user.public);
    }
    if let Some(data) = &options.data {
        let keys: Vec<&str> = [Some(&own), user.as_ref()]
            .into_iter()
            .flatten()
            .map(|k| k.public.as_str())
            .collect();
        machine = machine.disk(data_disk(data, &keys)?);
    }
    let end = end_signals()?;
    let _terminal = Terminal::remember();
    let vm = machine.start()?;
    let key = user.as_ref().unwrap_or(&own);
    let connect = Connect::new(vm.port("ssh")?, &place, key, &options.append);
    fs::write(
        &connect.config,
        ssh::config(
            "boot2podman",
            connect.port,
            &own.file,
            &place.dir.join("known_hosts"),
        ),
    )?;
    watch(&vm, &connect, &end)
}

fn machine(options: &Options, out: &Path) -> Result<Machine> {
    let boot = Artifacts::from_out_dir(out)?;
    let engine = options.accel.resolve(Some(&boot.kernel));
    let accel = if engine == Engine::Kvm {
        Accel::Kvm
    } else {
        Accel::Tcg
    };
    let machine = Machine::new(&boot)
        .accel(accel)
        .memory_mib(options.memory_mib)
        .cpus(options.cpus)
        .append("b2p.console=shell")
        .append(&options.append)
        .in_terminal();
    Ok(match options.ssh_port {
        Some(port) => machine.ssh_port(port),
        None if TcpListener::bind(("127.0.0.1", connect::USUAL_PORT)).is_ok() => {
            machine.ssh_port(connect::USUAL_PORT)
        }
        None => machine,
    })
}

fn data_disk(file: &Path, keys: &[&str]) -> Result<Disk> {
    if data_disk::make(file, keys)? {
        eprintln!(
            "{}: a new disk, to be formatted by the machine",
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

/// Set by SIGTERM, SIGINT and SIGHUP. In the terminal Ctrl-C does not come here:
/// it goes to the guest.
fn end_signals() -> Result<Arc<AtomicBool>> {
    let end = Arc::new(AtomicBool::new(false));
    for signal in [
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(&end)).context("cannot handle signals")?;
    }
    Ok(end)
}

/// Looks after the machine until it is gone.
fn watch(vm: &Vm, connect: &Connect, end: &AtomicBool) -> Result<()> {
    let mut tunnel: Option<Tunnel> = None;
    let mut deadline: Option<Instant> = None;
    while vm.exited()?.is_none() {
        match &mut tunnel {
            Some(tunnel) => tunnel.keep_up(),
            None => tunnel = Ready::find(&vm.console()).map(|ready| announce(connect, &ready)),
        }
        match deadline {
            None if end.load(Ordering::Relaxed) => {
                vm.power_button()?;
                deadline = Some(Instant::now() + GRACE);
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

/// The terminal's settings as they were: QEMU puts them back when it ends by
/// itself, not when it is killed.
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
