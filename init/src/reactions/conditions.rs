// SPDX-License-Identifier: Apache-2.0
//! Conditions of the reactions.

use std::path::Path;

use services::State;
use sys::paths::{CLOUD_DIR, DATA_REPORT, IGNITION_DEVICES};
use sys::uevent::Uevent;

use crate::context::Context;
use crate::event_sources::Event;
use crate::service_table::{adapt, names::*};
use crate::{data_disk, root};

/// Condition of a reaction.
#[derive(Clone, Copy)]
pub enum Condition {
    /// The reaction runs at each event.
    Always,
    /// The reaction runs if the function returns true. Otherwise the event needs no reaction.
    If(fn(&Context<'_>, &Event) -> bool),
    /// The event is kept until the function permits the reaction, or drops the event.
    Deferred(fn(&Context<'_>, &Event) -> Decision),
}

/// Decision on a reaction to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The reaction runs.
    Run,
    /// The event is kept, and the condition is checked again in each round of the event loop, before the services
    /// settle. A newer event of the same reaction replaces the kept one.
    Defer,
    /// The event needs no reaction.
    Drop,
}

impl Condition {
    /// Returns the decision on a reaction to `event` in the present state of the machine.
    pub fn decide(self, context: &Context<'_>, event: &Event) -> Decision {
        match self {
            Condition::Always => Decision::Run,
            Condition::If(holds) => run_or_drop(holds(context, event)),
            Condition::Deferred(decide) => decide(context, event),
        }
    }
}

fn run_or_drop(condition: bool) -> Decision {
    match condition {
        true => Decision::Run,
        false => Decision::Drop,
    }
}

/// Returns true outside of containers ([`root::outside_container`]).
pub(super) fn outside_container(_: &Context<'_>, _: &Event) -> bool {
    root::outside_container()
}

/// Returns true after the ready line.
pub(super) fn is_ready(context: &Context<'_>, _: &Event) -> bool {
    context.state.ready.is_some()
}

/// Returns true for the first report of `b2p data`, which is written at the end of a run. The
/// configuration of a disk that a later run finds takes effect at the next boot.
pub(super) fn is_first_report(context: &Context<'_>, _: &Event) -> bool {
    context.state.data_report.is_none() && Path::new(DATA_REPORT).exists()
}

/// Returns true if `b2p data` has seen a disk with a document of Ignition, and no service `ignition` is defined yet.
pub(super) fn ignition_disk_lacks_service(context: &Context<'_>, _: &Event) -> bool {
    let is_new = context.manager.supervisor().find(IGNITION).is_none();
    is_new && Path::new(IGNITION_DEVICES).exists()
}

/// Returns true if a run of `b2p data` that ended after the ready line has reported a data disk. For an
/// earlier run, [`crate::ready::start_after_ready`] starts the services of the disk.
pub(super) fn data_disk_came_after_ready(context: &Context<'_>, _: &Event) -> bool {
    let state = &context.state;
    let has_disk = state.data_device().is_some() && data_disk::loss_of_data_disk(state).is_none();
    state.ready.is_some() && has_disk
}

/// Returns true for a driver that PID 1 loads itself; before the ready line `b2p data` loads the drivers of disks.
pub(super) fn pid1_loads_driver(context: &Context<'_>, event: &Event) -> bool {
    let Event::Device(Uevent::Modalias(alias)) = event else {
        return false;
    };
    context.state.pid1_loads(alias)
}

/// Returns true if the data disk is gone: the event names it, or sysfs has no such disk.
pub(super) fn data_disk_is_gone(context: &Context<'_>, event: &Event) -> bool {
    let device = context.state.data_device();
    let Some(name) = device.and_then(|device| device.strip_prefix("/dev/")) else {
        return false;
    };
    match event {
        Event::Device(Uevent::BlockRemoved(gone)) => gone == name,
        _ => !data_disk::is_present(name),
    }
}

/// Returns true if the network service was defined while no card existed, and its degraded line is still listed.
pub(super) fn card_was_missing(context: &Context<'_>, _: &Event) -> bool {
    let supervisor = context.manager.supervisor();
    let net = supervisor.find(NET);
    let def = net.and_then(|id| supervisor.definition(id));
    def.is_some_and(adapt::was_defined_without_card) && context.state.degraded.has(NET)
}

/// Permits the examination of a disk when `b2p data` is at rest after a run. Drops the event if a completed run of `b2p data` has
/// examined the disk, or if the machine has a data disk.
pub(super) fn after_data_if_disk_is_new(context: &Context<'_>, event: &Event) -> Decision {
    let decision = decide_at_rest(context, &[DATA]);
    if decision != Decision::Run {
        return decision;
    }
    let seen = context
        .state
        .data_report
        .as_ref()
        .map_or(0, |report| report.last_seqnum);
    let is_new = !matches!(event, Event::Device(Uevent::BlockAdded(n)) if *n <= seen);
    run_or_drop(is_new && context.state.data_device().is_none())
}

/// Permits a further run of `b2p data` after the removal of a disk when the present run has ended. Drops the event if
/// no degraded line of `b2p data` can be about the disk.
pub(super) fn after_data_if_fault_is_listed(context: &Context<'_>, _: &Event) -> Decision {
    let state = &context.state;
    let may_be_listed = state.ready.is_none() || state.degraded.has(DATA);
    match state.data_device().is_none() && may_be_listed {
        true => decide_at_rest(context, &[DATA]),
        false => Decision::Drop,
    }
}

/// Permits the check of the names in flags when `user-services` has ended: the files of user services are loaded then.
pub(super) fn after_user_services(context: &Context<'_>, _: &Event) -> Decision {
    decide_at_rest(context, &[USER_SERVICES])
}

/// Permits the reaction to a change of the host's folders when the service `share` has ended.
pub(super) fn after_share(context: &Context<'_>, _: &Event) -> Decision {
    decide_at_rest(context, &[SHARE])
}

/// Drops the event of a CD drive if the machine already has a cloud-init configuration; else permits the reaction when
/// both cloud-init services have ended.
pub(super) fn after_cloud_init_without_source(context: &Context<'_>, _: &Event) -> Decision {
    match Path::new(CLOUD_DIR).exists() {
        true => Decision::Drop,
        false => decide_at_rest(context, CLOUD_INIT_SERVICES),
    }
}

/// Returns `Drop` if none of the services starts at boot. Otherwise returns `Run` if the machine is ready and each of the
/// services that start at boot has run and is at rest, else `Defer`: before the ready line, the first run of each service
/// finds the device itself.
fn decide_at_rest(context: &Context<'_>, names: &[&str]) -> Decision {
    let supervisor = context.manager.supervisor();
    let started = names
        .iter()
        .filter(|name| context.state.starts_at_boot(name));
    let states: Vec<State> = started
        .filter_map(|name| supervisor.find(name))
        .map(|id| supervisor.state(id))
        .collect();
    if states.is_empty() {
        return Decision::Drop;
    }
    let have_run = states
        .iter()
        .all(|state| state.at_rest() && *state != State::Off);
    match context.state.ready.is_some() && have_run {
        true => Decision::Run,
        false => Decision::Defer,
    }
}
