// SPDX-License-Identifier: Apache-2.0
//! Reactions of PID 1 to events, in one table: [`REACTIONS`].
//!
//! All reactions to the end of a service run before the services that waited for that end start: the supervisor notes
//! an input, PID 1 runs the reactions, then the supervisor settles.

use control::ShutdownKind;
use services::state::Change;
use services::{ServiceId, State, Supervisor};
use sys::clock::now;
use sys::uevent::Uevent;

use crate::boot::EARLY_DRIVERS;
use crate::context::Context;
use crate::event_sources::Event;
use crate::net_interface::missing_interface;
use crate::service_table::names::*;
use crate::{boot, control_requests, data_disk, disk_config, ready, ready_report, template};
use Trigger::*;
use conditions::Condition::{self, Always, Deferred, If};
use conditions::*;

pub mod conditions;

/// One reaction to an event.
pub struct Reaction {
    /// Kind of event that triggers the reaction.
    pub on: Trigger,
    /// Condition under which the reaction runs.
    pub when: Condition,
    /// Work of the reaction.
    pub run: fn(&mut Context<'_>, &Event),
    /// Purpose of the reaction: a sentence that is true after the reaction.
    pub why: &'static str,
}

/// Kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The service of this name has ended, or could not be started, and is not restarted.
    Ended(&'static str),
    /// A service is ready, late, has ended, could not be started, will be restarted after an end by itself, or has
    /// written its file of degraded lines; or its start was cancelled.
    ServiceChanged,
    /// All gates of the ready line are ready, have failed, or are late.
    NoGatePending,
    /// A device that needs a driver appeared (MODALIAS of its uevent).
    DriverNeeded,
    /// The node of an input device appeared.
    NewInputDevice,
    /// A disk or a partition appeared, or may have, because uevents were lost.
    NewDisk,
    /// A folder of the host appeared or vanished, or may have, because uevents were lost.
    FoldersChanged,
    /// A CD drive appeared, or may have, because uevents were lost.
    NewCdDrive,
    /// The kernel knows the name of a virtio port (/sys/class/virtio-ports), or may, because uevents were lost.
    NewVirtioPort,
    /// A disk or a partition vanished, or may have, because uevents were lost.
    DiskRemoved,
    /// A network interface appeared, or may have, because uevents were lost.
    NewInterface,
    /// The child that loads early drivers has ended, after the time limit of its phase.
    EarlyDriversLoaded,
    /// The kernel dropped uevents.
    UeventsLost,
    /// A client of the control channel waits for an answer.
    ControlRequest,
    /// A power button was pressed.
    PowerButton,
    /// A signal requests a shutdown.
    ShutdownSignal,
    /// PID 1 received a signal, also SIGCHLD.
    AnySignal,
}

/// All reactions, in the order in which they run. The event loop tells rows apart by their addresses, so the table is
/// a static: a constant may have several addresses.
#[rustfmt::skip]
pub static REACTIONS: &[Reaction] = &[
    // Order of the rows: `disk_config::apply` runs before `read_report`, because `is_first_report` is true only until
    // `read_report` has run. The rows with `data_disk_came_after_ready` follow, because they need the new report.
    Reaction { on: Ended(DATA),        when: If(is_first_report),                       run: disk_config::apply,                why: "services that wait for the data disk start with its configuration" },
    Reaction { on: Ended(DATA),        when: If(is_ignition_disk),                      run: disk_config::add_ignition,         why: "the document on a disk labelled ignition is applied before sshd starts" },
    Reaction { on: Ended(DATA),        when: Always,                                    run: data_disk::read_report,            why: "`state.data_report` has the newest report of `b2p data`: of this run, or, if this run failed, of an earlier one" },
    Reaction { on: Ended(DATA),        when: If(data_disk_came_after_ready),            run: |c, _| restart(c, IMAGE_SYNC),     why: "images are synced to a disk that appeared while the machine runs" },
    Reaction { on: Ended(DATA),        when: If(data_disk_came_after_ready),            run: |c, _| start(c, &[CONTAINERS]),    why: "the containers on a data disk that appeared while the machine runs are started, as their restart policies ask" },
    Reaction { on: Ended(CLOUD),       when: Always,                                    run: disk_config::apply_document,       why: "services that wait for cloud-init start with the user of its document" },
    Reaction { on: Ended(IGNITION),    when: Always,                                    run: disk_config::apply_document,       why: "services that wait for Ignition start with the user of its document" },
    Reaction { on: Ended(IGNITION),    when: If(is_ready),                              run: ready_report::tell_by_vsock,       why: "a host whose Ignition document was applied after the ready line learns that the machine is ready" },
    Reaction { on: Ended(TEMPLATE),    when: Always,                                    run: leave_template,                    why: "a copy of a template has its own identity, devices, flags and services" },
    Reaction { on: ServiceChanged,     when: If(is_ready),                              run: ready::update_degraded_of_event,   why: "the degraded lines match the state of each service" },
    Reaction { on: ServiceChanged,     when: Deferred(after_user_services),             run: ready::report_unknown_services,    why: "a name in `b2p.off=` or `b2p.on=` that no service has is listed as degraded, until a service has that name" },

    Reaction { on: NoGatePending,      when: Always,                                    run: ready::update_all_degraded,        why: "each gate that has failed or is late is listed as degraded, and so is each line that a service has written to its file of degraded lines" },
    Reaction { on: NoGatePending,      when: Always,                                    run: ready::announce,                   why: "the ready line reports how to reach the machine" },
    Reaction { on: NoGatePending,      when: Always,                                    run: ready_report::tell_by_virtio_port, why: "podman machine, which waits for the line `Ready` on a virtio port, continues" },
    Reaction { on: NoGatePending,      when: Always,                                    run: ready_report::link_virtio_ports,   why: "virtio ports that existed before PID 1 received uevents have links by their names as well" },
    Reaction { on: NoGatePending,      when: Always,                                    run: ready_report::tell_by_vsock,       why: "podman machine on Apple's and libkrun's hypervisors, which waits for the line `Ready` on vsock, continues" },
    Reaction { on: NoGatePending,      when: If(outside_container),                     run: ready::end_boot_settings,          why: "RCU grace periods are normal again, the console shows warnings only, and the read-ahead of the image is larger" },
    Reaction { on: NoGatePending,      when: Always,                                    run: ready::start_after_ready,          why: "the services that do not delay the ready line start" },

    Reaction { on: DriverNeeded,       when: If(pid1_loads_driver),                     run: add_driver,                        why: "a device that is plugged in works" },
    Reaction { on: NewInputDevice,     when: Always,                                    run: open_button,                       why: "a power button that is plugged in works" },
    Reaction { on: NewDisk,            when: Deferred(after_data_if_disk_is_new),       run: |c, _| start(c, &[DATA]),          why: "a data disk that appears later is used" },
    Reaction { on: FoldersChanged,     when: Deferred(after_share),                     run: |c, _| start(c, &[SHARE]),         why: "mounts and degraded lines match the folders that the host shares" },
    Reaction { on: NewCdDrive,         when: Deferred(after_cloud_init_without_source), run: |c, _| start(c, CLOUD_INIT),       why: "a cloud-init configuration on a CD drive that appears later is applied" },
    Reaction { on: NewVirtioPort,      when: Always,                                    run: ready_report::link_virtio_ports,   why: "guest agents find a virtio port by its name, as udev's links show it" },
    Reaction { on: NewVirtioPort,      when: If(is_ready),                              run: ready_report::tell_by_virtio_port, why: "a host whose virtio port appears after the ready line learns that the machine is ready" },
    Reaction { on: DiskRemoved,        when: If(data_disk_is_gone),                     run: data_disk::report_removal,         why: "the loss of the data disk is reported" },
    Reaction { on: DiskRemoved,        when: Deferred(after_data_if_fault_is_listed),   run: |c, _| start(c, &[DATA]),          why: "a fault of a disk that is gone is no longer listed" },
    Reaction { on: NewInterface,       when: If(card_was_missing),                      run: update_network_degraded,           why: "a network card that has appeared is no longer listed as missing" },
    Reaction { on: EarlyDriversLoaded, when: Always,                                    run: clear_early_drivers_degraded,      why: "the degraded line about early drivers is removed" },
    Reaction { on: UeventsLost,        when: Always,                                    run: rescan_devices,                    why: "after lost uevents, every device has its driver, and every power button is open" },

    Reaction { on: ControlRequest,     when: Always,                                    run: control_requests::serve,           why: "clients of the control channel get answers" },
    Reaction { on: PowerButton,        when: Always,                                    run: power_off,                         why: "the machine shuts down in order at the request of a person, or of a hypervisor by ACPI" },
    Reaction { on: ShutdownSignal,     when: Always,                                    run: shut_down_by_signal,               why: "the machine shuts down in order at the request of busybox's commands, Ctrl-Alt-Del or a container engine" },
    Reaction { on: AnySignal,          when: Always,                                    run: rebind_control,                    why: "the path of the control socket exists: if it was removed, PID 1 binds the socket again at the next signal" },
];

/// Services that apply cloud-init's configuration.
const CLOUD_INIT: &[&str] = &[CLOUD, CLOUD_SCRIPTS];

impl Trigger {
    /// Returns true if `event` is of this kind.
    #[must_use]
    pub fn matches(self, event: &Event, supervisor: &Supervisor) -> bool {
        match (self, event) {
            (Ended(name), Event::Service(Change::Ended(id, _) | Change::NotStarted(id))) => {
                supervisor
                    .definition(*id)
                    .is_some_and(|def| def.name == name)
            }
            (ServiceChanged, Event::Service(change)) => matches!(
                change,
                Change::Ready(_)
                    | Change::Late(_)
                    | Change::Ended(..)
                    | Change::AutoRestart(..)
                    | Change::NotStarted(_)
                    | Change::StartDelayed(..)
                    | Change::Cancelled(_)
                    | Change::DegradedWritten(_)
            ),
            (NewDisk, Event::Device(Uevent::BlockAdded(_) | Uevent::Overrun))
            | (NoGatePending, Event::NoGatePending)
            | (DriverNeeded, Event::Device(Uevent::Modalias(_)))
            | (NewInterface, Event::Device(Uevent::NetworkInterface | Uevent::Overrun))
            | (EarlyDriversLoaded, Event::EarlyDriversLoaded)
            | (NewInputDevice, Event::Device(Uevent::InputNode(_)))
            | (FoldersChanged, Event::Device(Uevent::SharedFolder | Uevent::Overrun))
            | (NewCdDrive, Event::Device(Uevent::CdDrive | Uevent::Overrun))
            | (NewVirtioPort, Event::Device(Uevent::VirtioPort | Uevent::Overrun))
            | (DiskRemoved, Event::Device(Uevent::BlockRemoved(_) | Uevent::Overrun))
            | (UeventsLost, Event::Device(Uevent::Overrun))
            | (ControlRequest, Event::ControlRequest)
            | (PowerButton, Event::PowerButton)
            | (ShutdownSignal, Event::ShutdownSignal(_))
            | (AnySignal, Event::Signal) => true,
            _ => false,
        }
    }
}

/// Starts each of the named services that starts at boot and is at rest.
fn start(context: &mut Context<'_>, names: &[&str]) {
    for name in names {
        let supervisor = context.manager.supervisor();
        let id = supervisor
            .find(name)
            .filter(|id| supervisor.state(*id).at_rest());
        if let Some(id) = id.filter(|_| context.state.starts_at_boot(name)) {
            context.manager.note(now(), services::Input::Start(id));
        }
    }
}

/// Restarts a service that starts at boot.
fn restart(context: &mut Context<'_>, name: &str) {
    let id = context.manager.supervisor().find(name);
    if let Some(id) = id.filter(|_| context.state.starts_at_boot(name)) {
        context.manager.note(now(), services::Input::Restart(id));
    }
}

/// Runs the phases that a template leaves out, and adds the services that a template does not have.
fn leave_template(context: &mut Context<'_>, _: &Event) {
    context
        .state
        .degraded
        .set_err("template", template::mark_left());
    let before = context.state.config.clone();
    boot::configure_machine(context.state, context.sources);
    disk_config::revise(context, &before);
}

fn add_driver(context: &mut Context<'_>, event: &Event) {
    if let Event::Device(Uevent::Modalias(alias)) = event {
        let wanted = context.state.loaded_by_pid1();
        context.state.loader.add(alias.clone(), wanted);
    }
}

/// Updates the degraded lines of the network after an interface has appeared; the interface may be a container's.
/// [`ready::update_degraded_of_event`] removes the lines when the service `net` is ready.
fn update_network_degraded(context: &mut Context<'_>, _: &Event) {
    let missing = missing_interface(&context.state.config.net);
    let supervisor = context.manager.supervisor();
    let id = supervisor.find(NET);
    // The service itself reports its faults once it has started or failed.
    let has_outcome =
        |id: &ServiceId| matches!(supervisor.state(*id), State::Up { .. } | State::Failed);
    match (missing, id.filter(has_outcome)) {
        (None, Some(id)) => ready::update_degraded(context, id),
        (missing, _) => {
            let why = missing.unwrap_or_else(|| "the card has no address yet".to_owned());
            context.state.degraded.set(NET, [(NET, why.as_str())]);
        }
    }
}

/// Removes the degraded line about early drivers that are still being loaded.
fn clear_early_drivers_degraded(context: &mut Context<'_>, _: &Event) {
    context.state.degraded.set(EARLY_DRIVERS, []);
}

fn open_button(context: &mut Context<'_>, event: &Event) {
    if let Event::Device(Uevent::InputNode(name)) = event {
        context.sources.buttons.open(name);
    }
}

fn rescan_devices(context: &mut Context<'_>, _: &Event) {
    context.state.load_missing_drivers();
    context.sources.buttons.open_all();
}

fn power_off(context: &mut Context<'_>, _: &Event) {
    context.state.shutdown = Some(ShutdownKind::PowerOff);
}

fn shut_down_by_signal(context: &mut Context<'_>, event: &Event) {
    if let Event::ShutdownSignal(kind) = event {
        context.state.shutdown = Some(*kind);
    }
}

fn rebind_control(context: &mut Context<'_>, _: &Event) {
    context.sources.rebind_control();
    if context.sources.control.is_some() {
        context.state.degraded.set("control", []);
    }
}

#[cfg(test)]
mod tests;
