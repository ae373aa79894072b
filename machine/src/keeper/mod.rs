// SPDX-License-Identifier: Apache-2.0
//! Keeper: the one process that a running machine has beside its driver's program, QEMU.
//!
//! Each source of events has a thread that sleeps in the kernel; the keeper itself waits for their
//! channel, without a time limit unless a stop has a deadline. QEMU outlives a keeper that is
//! killed: the next command starts another one, which adopts it.

pub mod answer;
mod bind_sources;
mod bound;
mod clock;
pub mod console;
pub mod control;
mod end;
mod full_disk;
mod guest_ports;
mod life;
mod memory;
pub mod ports;
pub mod relay;
mod requests;
mod sd_notify;
mod start;
pub mod template;
pub mod tunnel;

use crate::driver::{Shutdown, Vm, VmEvent};
use crate::state::State;
use crate::store::Machine;
use crate::store::config::MachineConfig;
use crate::store::progress::Progress;
use crate::store::record::RunRecord;
use clock::Clock;
use guest_ports::PortCheck;
use serde_json::Value;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tunnel::Tunnel;
use vmm::Ready;

/// Time between two attempts to write the record to a full file system.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);

pub use end::{killed, now};
pub use life::{MAX_STOP_SECONDS, STOP_SECONDS};
pub use start::{Purpose, go_back, run};

/// Event that the keeper waits for.
#[derive(Debug)]
pub enum Event {
    /// Event of the driver's program.
    Vm(VmEvent),
    /// The driver's program sends no more events.
    VmGone,
    /// The driver's program has ended, with this status if it was a child.
    Ended(Option<ExitStatus>),
    /// The guest has written its ready line.
    Ready(Box<Ready>),
    /// The guest's kernel has stopped.
    Panic,
    /// The API has not answered yet, in the boot of this number.
    Late(u32),
    /// The API has answered, or not, in the boot of this number.
    Answered(u32, anyhow::Result<()>),
    /// A signal that asks for an orderly stop.
    Terminate,
    /// A request, and the connection for its answer.
    Request(Value, UnixStream),
    /// A check of a port, in the boot of this number, has found a socket of the guest that is bound to the port, or none.
    PortChecked(u32, PortCheck, anyhow::Result<bool>),
}

/// Step of a stop that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The power button is pressed.
    Button,
    /// QEMU was asked to end.
    Quit,
    /// QEMU has got SIGKILL.
    Kill,
}

/// Stop that is under way.
#[derive(Clone, Copy, Debug)]
struct Stop {
    step: Step,
    deadline: Instant,
    seconds: u64,
}

/// State of a keeper.
struct Keeper {
    machine: Machine,
    config: MachineConfig,
    record: RunRecord,
    vm: Box<dyn Vm>,
    /// The driver's program; `None` if it was adopted, or once a thread waits for its end.
    child: Option<Child>,
    events: Sender<Event>,
    tunnel: Arc<Tunnel>,
    /// Connections that are notified of events.
    followers: Vec<Box<dyn Write>>,
    stop: Option<Stop>,
    /// Number of restarts of the guest that this keeper has seen.
    boot: u32,
    /// Boot in which the API is being asked.
    asked: Option<u32>,
    /// True if QEMU was adopted, and this keeper has heard of no restart of the guest.
    is_adopted: bool,
    /// True if this keeper has read the ready line of this boot.
    has_ready_line: bool,
    /// True if the API has answered in this boot of the guest.
    api_answered: bool,
    /// True if the trouble of the record is that the API does not answer.
    is_api_silent: bool,
    /// Reason that the driver's program gave for its end.
    shutdown: Option<Shutdown>,
    /// True if QEMU ends because a command pulls its plug.
    killed: bool,
    /// True if QEMU ends because its memory is saved.
    suspended: bool,
    /// Port of the guest's time service.
    clock: Clock,
    /// Time of the next look for space, while the machine stands still because the host's disk is full.
    next_look: Option<Instant>,
    /// Number of port checks that run.
    running_checks: usize,
    /// Time of the next attempt to write the record, while its file system is full.
    next_record: Option<Instant>,
}

impl Keeper {
    /// Tells the followers, and forgets those that are gone.
    fn tell(&mut self, progress: &Progress) {
        let line = progress.to_json();
        self.followers
            .retain_mut(|follower| control::send(follower, &line));
    }

    /// Changes the state, on disk first.
    fn set_state(&mut self, state: State) {
        self.record.state = state;
        self.write_record();
        self.tell(&Progress::State(state));
    }

    fn write_record(&mut self) {
        let was_late = self.next_record.is_some();
        self.next_record = match self.machine.save_run_record(&self.record) {
            Ok(()) => None,
            Err(error) => {
                if !was_late {
                    eprintln!("{error:#}");
                }
                Some(Instant::now() + RECORD_INTERVAL)
            }
        };
    }

    fn set_trouble(&mut self, text: &str) {
        // It may have words of the guest, of its API or its ssh server.
        let text = text.replace('\n', " ");
        let text = vmm::without_controls(&text);
        let text = text.as_str();
        eprintln!("{text}");
        self.record.trouble = Some(text.to_owned());
        self.write_record();
        let progress = self.trouble(text.to_owned());
        self.tell(&progress);
    }

    /// Returns the line of a trouble. The API is only late if it may still answer the question that it was asked.
    fn trouble(&self, text: String) -> Progress {
        match self.is_api_silent && self.asked == Some(self.boot) {
            true => Progress::ApiLate(text),
            false if self.record.state == State::Paused => Progress::Paused(text),
            false => Progress::Trouble(text),
        }
    }
}
