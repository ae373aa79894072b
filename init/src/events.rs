// SPDX-License-Identifier: Apache-2.0
//! Event loop of PID 1: sleep until an event, run the reactions, settle the services.
//!
//! Work that takes time is done by another process. PID 1 waits for such a process only with a time limit;
//! docs/design/architecture.md ("Services") lists each wait.

use services::{Input, Manager, Millis};
use sys::clock::now;

use crate::context::Context;
use crate::control_requests;
use crate::event_sources::{Event, EventSources};
use crate::reactions::conditions::Decision;
use crate::reactions::{REACTIONS, Reaction};
use crate::saved_state::SavedState;
use crate::shutdown;
use crate::state::SystemState;

/// The event loop, and the data that it works on.
pub struct EventLoop<'a> {
    context: Context<'a>,
    /// Events whose reaction is deferred ([`Decision::Defer`]), at most one for each reaction. The events are dropped
    /// with the loop: the services of a later loop have not run yet, and find the devices themselves.
    deferred: Vec<(&'static Reaction, Event)>,
}

impl<'a> EventLoop<'a> {
    /// Creates a loop over the services of `manager`.
    pub fn new(
        state: &'a mut SystemState,
        manager: &'a mut Manager,
        sources: &'a mut EventSources,
    ) -> EventLoop<'a> {
        EventLoop {
            context: Context {
                state,
                manager,
                sources,
            },
            deferred: Vec::new(),
        }
    }

    /// Runs until `done` returns true. If the machine is shut down meanwhile, the function does not return.
    pub fn run_until(&mut self, mut done: impl FnMut(&Manager) -> bool) {
        self.settle();
        while !done(self.context.manager) {
            self.run_once(None);
        }
    }

    /// Stops every service and runs until all have ended, or until `deadline`. Reactions run
    /// meanwhile, because the sources report each event once.
    pub fn stop_services(&mut self, deadline: Millis) {
        self.context.manager.note(now(), Input::StopAll);
        self.settle();
        while !self.context.manager.supervisor().at_rest() {
            self.run_once(Some(deadline));
            if now() >= deadline {
                break;
            }
        }
    }

    /// Runs until the machine is shut down.
    pub fn run_forever(&mut self) -> ! {
        self.settle();
        loop {
            self.run_once(None);
        }
    }

    /// Runs every reaction to `event` whose condition holds.
    pub fn react(&mut self, event: &Event) {
        for reaction in REACTIONS {
            if reaction
                .on
                .matches(event, self.context.manager.supervisor())
            {
                self.run_or_defer(reaction, event);
            }
        }
    }

    /// Sleeps until an event, or until `deadline` at the latest, and reacts.
    fn run_once(&mut self, deadline: Option<Millis>) {
        let Context {
            state,
            manager,
            sources,
        } = &mut self.context;
        let shutdown = state.scheduled.map(|s| s.at);
        let until = deadline.into_iter().chain(shutdown).min();
        // The loader of drivers is a child of PID 1 that belongs to no service.
        sources.wakes_for_any_child = state.loader.has_waiting();
        let events = sources.poll_once(manager, until);
        // Reactions to the ends of services read their reports before clients of the control socket get answers.
        self.settle();
        events.iter().for_each(|event| self.react(event));
        self.settle();
        self.tell_followers();
        let Context {
            state,
            manager,
            sources,
        } = &mut self.context;
        state.loader.poll(state.modules.as_mut());
        if let Some(kind) = state.due_shutdown(now()) {
            shutdown::run(kind, manager, sources);
        }
    }

    /// Reacts to changes of services and settles the services, until nothing changes any more.
    fn settle(&mut self) {
        loop {
            for change in self.context.manager.take_changes() {
                self.react(&Event::Service(change));
            }
            for (reaction, event) in std::mem::take(&mut self.deferred) {
                self.run_or_defer(reaction, &event);
            }
            if !self.context.manager.settle(now()) {
                break;
            }
        }
        self.save_state();
    }

    /// Notifies the clients of the control socket that follow the report of a change.
    fn tell_followers(&mut self) {
        let Context {
            state,
            manager,
            sources,
        } = &mut self.context;
        if let Some(server) = sources.control.as_mut().filter(|s| s.is_followed()) {
            server.notice(control_requests::report(state, manager, None));
        }
    }

    /// Saves the state for the next execution of PID 1 ([`crate::saved_state`]).
    fn save_state(&mut self) {
        let Context { state, manager, .. } = &mut self.context;
        if state.state_file.is_none() {
            return;
        }
        let text = SavedState::text(state, manager);
        if let Some(file) = &mut state.state_file {
            file.write(text);
        }
    }

    /// Runs a reaction, defers its event, or does nothing, as the condition of the reaction decides.
    fn run_or_defer(&mut self, reaction: &'static Reaction, event: &Event) {
        match reaction.when.decide(&self.context, event) {
            Decision::Run => (reaction.run)(&mut self.context, event),
            Decision::Defer => {
                self.deferred
                    .retain(|(other, _)| other.name != reaction.name);
                self.deferred.push((reaction, event.clone()));
            }
            Decision::Drop => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    #![expect(
        clippy::disallowed_methods,
        reason = "the client; nothing is forked here"
    )]
    use control::{Request, ShutdownKind};
    use services::{Pid, ServiceDef};
    use sys::signals::Signals;

    use super::*;

    /// Greater than any pid (Documentation/admin-guide/sysctl/kernel.rst, pid_max).
    const NO_PROCESS: Pid = Pid::MAX;

    /// Manager with a service whose process does not end.
    fn stubborn() -> Manager {
        let def = ServiceDef {
            name: "shell",
            ..ServiceDef::DEFAULT
        };
        let mut manager = Manager::new(vec![def], None, |_, _| {});
        let id = manager.supervisor().find("shell").unwrap();
        manager.note(0, Input::Start(id));
        let _ = manager.decide(0);
        manager.note(0, Input::Spawned(id, NO_PROCESS));
        manager
    }

    #[test]
    fn a_follower_hears_of_a_change_once() {
        let path = std::env::temp_dir().join(format!("b2p-follow-{}", std::process::id()));
        let mut sources = EventSources::new(Signals::block().unwrap());
        sources.control = Some(control::Server::bind_for(&path, |_| true).unwrap());
        let (mut state, mut manager) = (SystemState::default(), stubborn());
        let socket = path.clone();
        let limit = std::time::Duration::from_secs(10);
        let client = std::thread::spawn(move || control::Follower::connect(&socket, limit));
        let mut events = EventLoop::new(&mut state, &mut manager, &mut sources);
        while !client.is_finished() {
            events.stop_services(0);
        }
        let follower = client.join().unwrap().unwrap();
        assert_eq!(follower.take_notices(), Ok(true), "the first one");
        events.run_once(Some(0));
        assert_eq!(follower.take_notices(), Ok(false), "nothing has changed");
        events.context.state.degraded.add("net", "no address");
        events.run_once(Some(0));
        assert_eq!(follower.take_notices(), Ok(true));
        assert_eq!(follower.take_notices(), Ok(false));
        events.context.sources.close_for_shutdown();
        let ended = Err(control::RequestError::NoAnswer);
        assert_eq!(follower.take_notices(), ended);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_request_during_the_stop_of_services_is_not_lost() {
        let path = std::env::temp_dir().join(format!("b2p-stop-{}", std::process::id()));
        let server = control::Server::bind_for(&path, |_| true).unwrap();
        let mut sources = EventSources::new(Signals::block().unwrap());
        sources.control = Some(server);
        let (mut state, mut manager) = (SystemState::default(), stubborn());
        let socket = path.clone();
        let client = std::thread::spawn(move || {
            let request = Request::Shutdown(ShutdownKind::Halt, 3_600);
            control::ask(&socket, &request, std::time::Duration::from_secs(10))
        });
        let mut events = EventLoop::new(&mut state, &mut manager, &mut sources);
        while !client.is_finished() {
            // The deadline is over: each call handles the events that exist.
            events.stop_services(0);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(client.join().unwrap(), Ok(String::new()));
        assert_eq!(state.scheduled.unwrap().kind, ShutdownKind::Halt);
        assert!(!manager.supervisor().at_rest());
    }
}
