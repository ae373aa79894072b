// SPDX-License-Identifier: Apache-2.0
//! The loop of a keeper: events, and the steps of a stop.

use super::{Event, Keeper, Step, Stop, end, sd_notify, tunnel};
use crate::driver::VmEvent;
use crate::state::State;
use crate::store::contested_ports::ContestedPorts;
use crate::store::logfile;
use crate::store::progress::Progress;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use vmm::Ready;

/// Seconds that the guest has after the power button.
pub const STOP_SECONDS: u64 = 60;
/// Largest number of seconds that a guest may have, about 136 years: `Instant` can represent a deadline that far
/// ahead.
pub const MAX_STOP_SECONDS: u64 = u32::MAX as u64;
/// Time after which an API that has not answered is reported. The first start of podman on an emulated
/// processor of a busy host takes less.
const API_TIMEOUT: Duration = Duration::from_secs(300);
/// Pauses before the API is asked again after an error: ssh and podman's first start can fail once on a busy host.
const API_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Time between two requests to a QEMU that does not end: `quit`, then SIGKILL again and again.
const SIGNAL_INTERVAL: Duration = Duration::from_secs(5);

/// Waits for events until QEMU has ended, and its last event, which tells why, has been read.
pub(super) fn run(mut keeper: Keeper, events: &Receiver<Event>) {
    let (mut ended, mut vm_gone) = (None, false);
    loop {
        if let (Some(status), true) = (ended, vm_gone) {
            return end::end(keeper, status);
        }
        let event = match keeper.deadline() {
            None => events.recv().map_err(RecvTimeoutError::from),
            Some(deadline) => {
                events.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            }
        };
        for name in ["keeper.log", "qemu.log"] {
            logfile::bound(&keeper.machine.file(name));
        }
        match event {
            Ok(Event::Ended(status)) => ended = Some(status),
            Ok(Event::VmGone) => vm_gone = true,
            Ok(event) => keeper.handle(event),
            // The keeper itself holds a sender: only the deadline ends the wait.
            Err(_) => keeper.on_deadline(),
        }
    }
}

/// Returns true if the guest keeps its files on a disk.
fn is_on_disk(ready: &Ready) -> bool {
    ready.field("data").starts_with('/')
}

impl Keeper {
    /// Returns the moment until which events are waited for, if any.
    fn deadline(&self) -> Option<Instant> {
        let stop = self.stop.map(|stop| stop.deadline);
        let others = self.next_look.into_iter().chain(self.next_record);
        others.chain(stop).min()
    }

    fn on_deadline(&mut self) {
        let now = Instant::now();
        if self.next_look.is_some_and(|look| look <= now) {
            self.look_for_space();
        }
        if self.next_record.is_some_and(|attempt| attempt <= now) {
            self.write_record();
        }
        if self.stop.is_some_and(|stop| stop.deadline <= now) {
            self.next_step();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Vm(event) => self.on_vm_event(event),
            Event::Ready(ready) => self.ready(&ready),
            Event::Panic => {
                self.is_api_silent = false;
                self.withdraw_ports();
                self.set_trouble(
                    "the guest's kernel has stopped: the end of its console has the reason",
                );
            }
            // The question was asked before the guest restarted.
            Event::Answered(boot, _) | Event::Late(boot) if boot != self.boot => {}
            Event::Late(_) => {
                let seconds = API_TIMEOUT.as_secs();
                self.on_api_silent(&format!("the podman API has not answered for {seconds} s"));
            }
            Event::Answered(_, answer) => {
                self.asked = None;
                match answer {
                    Ok(()) => self.on_api_answer(),
                    Err(why) => self.on_api_silent(&format!("{why:#}")),
                }
            }
            Event::Terminate => self.begin_stop(STOP_SECONDS),
            Event::Request(request, client) => self.request(&request, client),
            Event::PortChecked(boot, check, bound) => {
                self.running_checks -= 1;
                // The ports of an earlier boot are gone, and so are the containers that requested them.
                if boot == self.boot {
                    self.on_checked(check, bound);
                }
            }
            Event::Ended(_) | Event::VmGone => {}
        }
    }

    fn on_vm_event(&mut self, event: VmEvent) {
        match event {
            VmEvent::Shutdown(reason) => self.shutdown = Some(reason),
            VmEvent::Restarted => self.restarted(),
            VmEvent::Resumed => self.resumed(),
            // A pause that a request has ended meanwhile is over.
            VmEvent::Paused if self.record.state == State::Running => {
                if self.vm.is_running().is_ok_and(|running| !running) {
                    self.set_state(State::Paused);
                }
            }
            VmEvent::DiskFailed(full) => self.on_disk_failed(full),
            VmEvent::Paused => {}
        }
    }

    /// Handles a resume: sends the guest the time, because its clock has stood still, and restores the
    /// state. A guest whose API has not answered in this boot is not running yet.
    pub(super) fn resumed(&mut self) {
        self.next_look = None;
        self.clock.tell();
        if self.record.state != State::Paused {
            return;
        }
        self.record.trouble = None;
        if self.api_answered {
            return self.enter_running();
        }
        self.set_state(State::Starting);
        if self.record.ready {
            self.ask_api();
        }
    }

    /// Handles a restart of the guest: its ports and connections are gone.
    fn restarted(&mut self) {
        self.withdraw_ports();
        self.tunnel.reset();
        self.is_adopted = false;
        self.boot += 1;
        self.record.ready = false;
        self.record.ready_on_disk = false;
        self.record.degraded.clear();
        self.record.trouble = None;
        self.api_answered = false;
        match self.stop {
            None => self.set_state(State::Starting),
            Some(_) => self.write_record(),
        }
    }

    /// Takes back all published ports, behind which nothing listens any more.
    fn withdraw_ports(&mut self) {
        for forward in std::mem::take(&mut self.record.forwards) {
            let _ = self.vm.withdraw(&forward);
            self.tell(&Progress::Unpublished(forward));
        }
        self.record.contested_ports = ContestedPorts::default();
    }

    fn ready(&mut self, ready: &Ready) {
        if self.record.ready {
            // Nobody has heard of a restart of the guest between two keepers.
            if self.is_adopted && !self.record.is_line(&ready.line) {
                self.is_adopted = false;
                self.restarted();
            } else if self.has_ready_line {
                // A boot has one ready line; the guest may write more of them, as many as it likes.
                return;
            }
        }
        self.has_ready_line = true;
        self.record.ready = true;
        self.record.ready_line = Some(ready.line.clone());
        self.record.ready_on_disk = is_on_disk(ready);
        self.record.degraded = ready
            .degraded
            .iter()
            .map(|d| format!("{}: {}", d.what, d.why))
            .collect();
        let mut notes = self.record.notes.clone();
        notes.append(&mut self.publish_configured());
        self.record.degraded.append(&mut notes);
        for line in self.record.degraded.clone() {
            self.tell(&Progress::Degraded(line));
        }
        self.tell(&Progress::Ready(ready.line.clone()));
        self.renew_host_key(ready);
        if let Some(stop) = self.stop {
            // A button pressed before the guest watched it had no effect.
            if stop.step == Step::Button {
                self.press_power_button();
            }
            return;
        }
        self.ask_api();
    }

    /// Prepares for a host key that is new in this boot. A guest without its disk makes one at each boot.
    fn renew_host_key(&self, ready: &Ready) {
        self.tunnel.expect_new_key();
        if ready.field("data") == "ram" {
            let _ = vmm::ssh::remove(&self.machine.file("known_hosts"));
        }
    }

    /// Asks the API for a sign of life; the answer is an event.
    pub(super) fn ask_api(&mut self) {
        // One question at a time: a guest that answers none would get a thread for each.
        if self.asked == Some(self.boot) {
            return;
        }
        self.asked = Some(self.boot);
        let (boot, socket, events) = (self.boot, self.machine.api(), self.events.clone());
        thread::spawn(move || {
            let late = || {
                let _ = events.send(Event::Late(boot));
            };
            let mut answered = tunnel::ping(&socket, API_TIMEOUT, late);
            for pause in API_PAUSES {
                if answered.is_ok() {
                    break;
                }
                thread::sleep(pause);
                answered = tunnel::ping(&socket, API_TIMEOUT, late);
            }
            let _ = events.send(Event::Answered(boot, answered));
        });
    }

    /// Asks the API again if its last answer was an error. A new follower waits for the API, and what was wrong may be
    /// over by now.
    pub(super) fn ask_api_again(&mut self) {
        let has_failed = self.is_api_silent && self.asked != Some(self.boot);
        if !has_failed || self.record.state != State::Starting || !self.record.ready {
            return;
        }
        self.is_api_silent = false;
        self.record.trouble = None;
        self.write_record();
        self.ask_api();
    }

    /// Notes that the API has answered, which it may have done just before the machine was paused.
    fn on_api_answer(&mut self) {
        if !self.api_answered {
            self.api_answered = true;
            self.config.last_up = Some(end::now());
            // An upgrade to this image has succeeded.
            self.config.previous = None;
            if let Err(error) = self.machine.save(&self.config) {
                eprintln!("{error:#}");
            }
        }
        // A machine that was adopted runs already.
        if matches!(self.record.state, State::Starting | State::Running) {
            self.enter_running();
        }
    }

    fn enter_running(&mut self) {
        if self.record.state != State::Running {
            self.record.trouble = None;
            self.set_state(State::Running);
        }
        sd_notify::ready();
    }

    /// Notes that the API does not answer.
    fn on_api_silent(&mut self, why: &str) {
        self.api_answered = false;
        match self.record.state {
            State::Starting => {}
            State::Running => self.set_state(State::Starting),
            _ => return,
        }
        self.is_api_silent = true;
        match self.tunnel.why() {
            Some(reason) => self.set_trouble(&format!("{why}: {reason}")),
            None => self.set_trouble(why),
        }
    }

    /// Begins an orderly stop; a second request changes its deadline.
    pub(super) fn begin_stop(&mut self, seconds: u64) {
        let seconds = seconds.min(MAX_STOP_SECONDS);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        if let Some(stop) = &mut self.stop {
            if stop.step == Step::Button {
                (stop.deadline, stop.seconds) = (deadline, seconds);
            }
            return;
        }
        self.stop = Some(Stop {
            step: Step::Button,
            deadline,
            seconds,
        });
        self.set_state(State::Stopping);
        self.press_power_button();
    }

    fn press_power_button(&mut self) {
        // A guest that stands still cannot see its button.
        let _ = self.vm.resume();
        if let Err(error) = self.vm.press_power_button() {
            eprintln!("{error:#}");
        }
    }

    /// Continues to the next step of a stop whose deadline has passed.
    fn next_step(&mut self) {
        let Some(stop) = self.stop else {
            return;
        };
        let step = match stop.step {
            Step::Button => Step::Quit,
            Step::Quit | Step::Kill => Step::Kill,
        };
        if step == Step::Quit {
            self.is_api_silent = false;
            let why = match self.next_look {
                Some(_) => ", because the host's disk is full",
                None => "",
            };
            let text = format!(
                "the machine did not power off within {} s{why}: QEMU is terminated",
                stop.seconds
            );
            self.set_trouble(&text);
        }
        match self.machine.qemu() {
            Ok(Some(pid)) if pid > 0 && step == Step::Kill => {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            // Its pid file is gone, or it is in another pid namespace, and this connection is not.
            _ => self.vm.quit(),
        }
        self.stop = Some(Stop {
            step,
            deadline: Instant::now() + SIGNAL_INTERVAL,
            ..stop
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_tells_where_files_are_kept() {
        for (data, expected) in [("data=/dev/vda", true), ("data=ram", false), ("", false)] {
            let line = format!("{}ssh=10.0.2.15:22 {data} init=1\n", vmm::READY);
            let ready = Ready::find(&line).expect("a ready line");
            assert_eq!(is_on_disk(&ready), expected, "{data}");
        }
    }
}
