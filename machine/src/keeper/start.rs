// SPDX-License-Identifier: Apache-2.0
//! Start of a keeper: it starts QEMU, or adopts one.

use super::clock::Clock;
use super::tunnel::{self, Tunnel};
use super::{Event, Keeper, console, control, end, memory};
use crate::driver::{self, Driver, Launched, Start, Vm};
use crate::state::State;
use crate::store::Machine;
use crate::store::command_lock::CommandLock;
use crate::store::config::MachineConfig;
use crate::store::files;
use crate::store::lock::{self, LifeLock};
use crate::store::progress::Progress;
use crate::store::record::{EndRecord, RunRecord};
use crate::store::saved::Saved;
use anyhow::{Context, Result};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io::{Write, stdin, stdout};
use std::os::unix::net::UnixListener;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Reason for the end of a machine whose keeper and QEMU could not write one.
const NO_END: &str = "the machine's processes, or the host, have ended without a report";

/// Machine that was started or adopted.
struct Running {
    child: Option<Child>,
    vm: Box<dyn Vm>,
    record: RunRecord,
}

/// Purpose of a keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Starts QEMU, or adopts the one that runs.
    Start,
    /// Adopts the QEMU that runs, and ends if none does: a query of the state starts nothing.
    Adopt,
}

/// Keeps a machine until its QEMU ends. Progress is written to standard output as JSON lines.
pub fn run(machine: &Machine, purpose: Purpose) -> Result<()> {
    close_inherited();
    // The keeper belongs to no terminal. setsid(2) fails if the keeper leads a process group; it has no terminal then.
    let _ = nix::unistd::setsid();
    umask(Mode::from_bits_truncate(0o077));
    unblock_signals()?;
    keep(machine, purpose).inspect_err(|error| {
        // The last line counts for a reader that has not got an end yet.
        report_end(format!("{error:#}"), false);
    })
}

/// Reports an end to the command that has started this keeper.
fn report_end(why: String, orderly: bool) {
    let ended = Progress::Ended { why, orderly };
    control::send(stdout(), &ended.to_json());
}

/// Unblocks the signals that QEMU has blocked: the keeper may have been started by a relay, which QEMU has started.
fn unblock_signals() -> Result<()> {
    SigSet::empty().thread_set_mask().context("unblock signals")
}

/// Keeps a machine until its QEMU ends; an error is the reason why there is no keeper.
fn keep(machine: &Machine, purpose: Purpose) -> Result<()> {
    let own = own_command_lock(machine, purpose)?;
    machine.make_run()?;
    let ending = || Ok(purpose == Purpose::Start && machine.is_off()?);
    let taken = LifeLock::take(&machine.run_file("keeper.pid"), ending)?;
    let Some(_lock) = taken else {
        // Another command has started a keeper in the meantime.
        return Ok(());
    };
    // Requests wait from here on until QEMU runs.
    let requests = control::bind(&machine.run_file(control::SOCKET))?;
    give_up_command_lock()?;
    let orphan = machine.lone_qemu()?.is_some();
    if !orphan && purpose == Purpose::Adopt {
        end::stopped(machine);
        return Ok(());
    }
    if orphan && machine.saved()?.is_some() {
        memory::finish(machine, driver::of(machine)?.connect(machine)?.as_mut())?;
        end::stopped(machine);
        report_end("suspended".to_owned(), true);
        return Ok(());
    }
    let begun = prepare(machine, orphan, own).and_then(|()| begin(machine, orphan, requests));
    if let Err(error) = &begun {
        give_up(machine, &format!("{error:#}"));
    }
    let (keeper, events) = begun?;
    super::life::run(keeper, &events);
    Ok(())
}

/// Closes the descriptors that the command that started this keeper has inherited: a process that waits for the end of
/// such a pipe, as bats(1) does for its descriptor 3, would wait for the end of the machine. This function must be
/// called before this process opens a file.
fn close_inherited() {
    let entries = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // One of them is the directory itself, which is closed by now.
    for fd in numbers.collect::<Vec<_>>() {
        if fd > 2 {
            let _ = nix::unistd::close(fd);
        }
    }
}

/// Takes the lock of commands for a keeper that starts a machine by itself: it has not got that of a command as
/// its standard input.
fn own_command_lock(machine: &Machine, purpose: Purpose) -> Result<Option<CommandLock>> {
    if purpose == Purpose::Adopt || CommandLock::is_shared(stdin(), &machine.file("lock"))? {
        return Ok(None);
    }
    machine.wait_lock("keeper").map(Some)
}

/// Prepares a start that no command has prepared: returns to the image before an interrupted upgrade. Only a keeper
/// that no command has started takes the lock of commands itself (`own`).
fn prepare(machine: &Machine, orphan: bool, own: Option<CommandLock>) -> Result<()> {
    match own {
        Some(_lock) if !orphan && machine.saved()?.is_none() => go_back(machine),
        _ => Ok(()),
    }
}

/// Goes back to the image before an upgrade that was cut short: its image has not become ready, and
/// no process waits for it any more. The machine is off, and this process holds its lock.
pub fn go_back(machine: &Machine) -> Result<()> {
    let mut config = machine.config()?;
    let Some(old) = config.previous.take() else {
        return Ok(());
    };
    eprintln!(
        "({}) an upgrade was interrupted before its image was ready: the machine has its old image",
        machine.name
    );
    config.image = old;
    machine.save(&config)
}

/// Closes the lock of the command that has started this keeper, which is its standard input.
fn give_up_command_lock() -> Result<()> {
    let null = fs::File::open("/dev/null").context("/dev/null")?;
    nix::unistd::dup2_stdin(&null).context("standard input")
}

/// Reports why this keeper ends at its start. The files that describe a QEMU that runs stay for the next keeper.
fn give_up(machine: &Machine, why: &str) {
    if matches!(machine.qemu(), Ok(None)) {
        end::write(machine, &not_clean(why));
        end::stopped(machine);
    }
}

fn not_clean(why: &str) -> EndRecord {
    EndRecord {
        clean: false,
        why: why.to_owned(),
        tail: Vec::new(),
        at: end::now(),
    }
}

fn begin(
    machine: &Machine,
    orphan: bool,
    requests: UnixListener,
) -> Result<(Keeper, Receiver<Event>)> {
    let mut config = machine.config()?;
    let driver = driver::named(&config.driver)?;
    let open: fn(&dyn Driver, &Machine) -> Result<Running> = if orphan { adopt } else { start };
    let running = open(driver, machine)?;
    let api_answered = running.record.state == State::Running;
    let written = write_port(machine, &mut config, running.record.ssh_port);
    match (orphan, written) {
        // A machine that runs needs neither of the files that the port is written to: its keeper must not end because
        // they cannot be written.
        (true, Err(error)) => eprintln!("{error:#}"),
        (_, written) => written?,
    }
    let (sender, events) = channel();
    let mut keeper = Keeper {
        machine: machine.clone(),
        config,
        record: running.record,
        vm: running.vm,
        child: running.child,
        events: sender.clone(),
        tunnel: Tunnel::new(machine),
        followers: vec![Box::new(stdout()) as Box<dyn Write>],
        stop: None,
        boot: 0,
        asked: None,
        is_adopted: orphan,
        has_ready_line: false,
        api_answered,
        is_api_silent: false,
        shutdown: None,
        killed: false,
        suspended: false,
        clock: Clock::connect(&machine.run_file("host.sock")),
        next_look: None,
        running_checks: 0,
        next_record: None,
    };
    if orphan && let Err(error) = keeper.compare_ports() {
        eprintln!("ports: {error:#}");
    }
    keeper.listen(sender, requests)?;
    keeper.resume_checks();
    Ok((keeper, events))
}

/// Writes the port of this run for ssh, and for the next start unless the user has chosen one for it.
fn write_port(machine: &Machine, config: &mut MachineConfig, port: u16) -> Result<()> {
    if !config.ssh_port_fixed {
        config.ssh_port = port;
    }
    files::update(&machine.file("config.json"), config.text().as_bytes())?;
    let ssh_config = tunnel::ssh_config(machine, &config.user, port);
    files::update(&machine.file("ssh_config"), ssh_config.as_bytes())
}

fn start(driver: &dyn Driver, machine: &Machine) -> Result<Running> {
    let mut record = RunRecord::new(State::Starting);
    record.console_from = fs::metadata(machine.file("console.log")).map_or(0, |meta| meta.len());
    let saved = machine.saved()?;
    let mut announce = |port: u16, notes: &[String]| {
        record.ssh_port = port;
        record.notes = notes.to_owned();
        machine.save_run_record(&record)
    };
    let config = machine.config()?;
    // The reason of an earlier end is none for the end of this run. The end itself replaces this one.
    end::write(machine, &not_clean(NO_END));
    let start = match saved {
        Some(_) => Start::Load,
        None => Start::Boot,
    };
    let mut launched = driver.launch(machine, &config, start, &mut announce)?;
    if let Err(error) = go_on(machine, &mut launched, saved.as_ref(), &mut record) {
        // A QEMU that no record describes could not be adopted.
        let _ = launched.child.kill();
        launched.child.wait()?;
        return Err(error);
    }
    memory::sweep(machine, launched.vm.as_mut());
    Ok(Running {
        child: Some(launched.child),
        vm: launched.vm,
        record,
    })
}

/// Loads the saved memory, if any, and describes the QEMU that was launched.
fn go_on(
    machine: &Machine,
    launched: &mut Launched,
    saved: Option<&Saved>,
    record: &mut RunRecord,
) -> Result<()> {
    record.ssh_port = launched.ssh_port;
    record.accelerator = Some(launched.accelerator.to_owned());
    record.notes = std::mem::take(&mut launched.notes);
    let Some(saved) = saved else {
        return machine.save_run_record(record);
    };
    memory::load(machine, launched, saved, record)?;
    // A keeper that is killed from here on leaves an orphan that the next one can adopt, as soon as
    // the memory is forgotten: the disk changes, and the memory does not fit it any more.
    machine.save_run_record(record)?;
    machine.forget_saved()?;
    launched.vm.resume()
}

/// Connects to a QEMU that has lost its keeper. Its ports are as the record of that keeper says.
fn adopt(driver: &dyn Driver, machine: &Machine) -> Result<Running> {
    let old = machine
        .run_record()
        .context("QEMU runs, and run.json, which describes it, is gone")?;
    let vm = driver.connect(machine)?;
    let record = RunRecord {
        state: match old.state {
            // The API has answered in this boot; the answer to the next question shows whether it
            // still does.
            State::Running => State::Running,
            _ => State::Starting,
        },
        trouble: None,
        ..old
    };
    let keeper = RunRecord::new(State::Starting).keeper;
    eprintln!("adopted QEMU");
    Ok(Running {
        child: None,
        vm,
        record: RunRecord { keeper, ..record },
    })
}

impl Keeper {
    /// Waits for the end of QEMU in a thread. The end of the monitor does not tell it: a QEMU whose
    /// connection is lost runs on, and the deadline of a stop still counts.
    fn watch_qemu(&mut self, sender: Sender<Event>) {
        let child = self.child.take();
        let lock = self.machine.run_file("qemu.pid");
        thread::spawn(move || {
            let status = match child {
                Some(mut child) => child.wait().map(Some).map_err(anyhow::Error::from),
                None => lock::wait_free(&lock).map(|()| None),
            };
            let status = status.unwrap_or_else(|error| {
                eprintln!("wait for QEMU: {error:#}");
                None
            });
            let _ = sender.send(Event::Ended(status));
        });
    }

    /// Starts the sources of events.
    fn listen(&mut self, sender: Sender<Event>, requests: UnixListener) -> Result<()> {
        let events = sender.clone();
        self.vm.listen(Box::new(move |event| {
            events.send(event.map_or(Event::VmGone, Event::Vm)).is_ok()
        }))?;
        self.watch_qemu(sender.clone());
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals")?;
        let terminate = sender.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                let _ = terminate.send(Event::Terminate);
            }
        });
        control::listen(requests, sender.clone());
        self.tunnel.serve()?;
        let log = self.machine.file("console.log");
        console::watch(&log, self.record.console_from, sender)?;
        // Paused, with a full disk, or with a memory that was loaded and did not continue yet.
        if !self.vm.is_running()? {
            self.note_failed_disk();
            self.set_state(State::Paused);
            return Ok(());
        }
        self.set_state(self.record.state);
        if self.record.ready {
            if !self.is_adopted {
                // The ready line of a memory that was loaded was heard before it was saved.
                for line in self.record.degraded.clone() {
                    self.tell(&Progress::Degraded(line));
                }
            }
            self.clock.tell();
            self.ask_api();
        }
        Ok(())
    }
}
