// SPDX-License-Identifier: Apache-2.0
//! The loop that PID 1 spends its life in: sleep, react, move the services.
//!
//! The loop waits in no other place. Work that takes time is done by another process, and every
//! wait for a process has a deadline.

use services::Manager;
use sys::clock::now;

use crate::context::Context;
use crate::event_sources::{Event, EventSources};
use crate::reactions::{REACTIONS, Reaction, When};
use crate::shutdown;
use crate::state::SystemState;

/// The loop, with everything that it works on.
pub struct EventLoop<'a> {
    context: Context<'a>,
    /// Events whose reaction has to wait for another event, at most one for each reaction.
    waiting: Vec<(&'static Reaction, Event)>,
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
            waiting: Vec::new(),
        }
    }

    /// Runs until `done` returns true. A shutdown does not return.
    pub fn run_until(&mut self, mut done: impl FnMut(&Manager) -> bool) {
        self.settle();
        while !done(self.context.manager) {
            self.run_once();
        }
    }

    /// Runs until the machine is shut down.
    pub fn run_forever(&mut self) -> ! {
        self.settle();
        loop {
            self.run_once();
        }
    }

    /// Runs every reaction to `event` whose condition holds.
    pub fn react(&mut self, event: &Event) {
        for reaction in REACTIONS {
            if reaction
                .on
                .matches(event, self.context.manager.supervisor())
            {
                self.decide(reaction, event);
            }
        }
    }

    fn run_once(&mut self) {
        let Context {
            state,
            manager,
            sources,
        } = &mut self.context;
        let events = sources.poll_once(manager, state.scheduled.map(|s| s.at));
        // Before clients get answers: a service that has ended has a report that was read.
        self.settle();
        events.iter().for_each(|event| self.react(event));
        self.settle();
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

    /// Reacts to changes of services and moves the services, until nothing changes any more.
    fn settle(&mut self) {
        loop {
            for change in self.context.manager.take_changes() {
                self.react(&Event::Service(change));
            }
            for (reaction, event) in std::mem::take(&mut self.waiting) {
                self.decide(reaction, &event);
            }
            if !self.context.manager.settle(now()) {
                break;
            }
        }
        self.record();
    }

    /// Records what the services are to do, for the program after a crash.
    fn record(&mut self) {
        let Context { state, manager, .. } = &mut self.context;
        if let Some(mut record) = state.record.take() {
            record.update(state, manager);
            state.record = Some(record);
        }
    }

    fn decide(&mut self, reaction: &'static Reaction, event: &Event) {
        match (reaction.when)(&self.context, event) {
            When::Now => (reaction.run)(&mut self.context, event),
            When::Later => {
                self.waiting
                    .retain(|(other, _)| !std::ptr::eq(*other, reaction));
                self.waiting.push((reaction, event.clone()));
            }
            When::Never => {}
        }
    }
}
