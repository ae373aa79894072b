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
use crate::degraded::CONTROL;
use crate::event_sources::Event;
use crate::net_interface::missing_interface;
use crate::service_table::names::*;
use crate::{
    boot, control_requests, data_disk, disk_config, ready, ready_report, template, virtio_ports,
};
use EventKind::*;
use conditions::Condition::{self, Always, Deferred, If};
use conditions::*;

pub mod conditions;

/// One reaction to an event.
pub struct Reaction {
    /// Name, by which the event loop keeps at most one deferred event of the reaction.
    pub name: &'static str,
    /// Kind of event that triggers the reaction.
    pub on: EventKind,
    /// Condition under which the reaction runs.
    pub when: Condition,
    /// Work of the reaction.
    pub run: fn(&mut Context<'_>, &Event),
    /// Purpose of the reaction: a sentence that is true after the reaction.
    pub why: &'static str,
}

/// Kind of event. A kind about devices also matches the loss of uevents ([`Uevent::Overrun`]): any device may have
/// appeared or vanished then. The exceptions are `DriverNeeded` and `NewInputDevice`, for which `UeventsLost` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The service of this name has come to rest: it has ended or could not be started, and is not started again.
    AtRest(&'static str),
    /// A service is ready, late, has ended, could not be started, will be restarted after an end by itself, or has
    /// written its file of degraded lines; or its start was cancelled.
    ServiceChanged,
    /// All gates of the ready line are ready, have failed, or are late.
    NoGatePending,
    /// A device that needs a driver appeared (MODALIAS of its uevent).
    DriverNeeded,
    /// The node of an input device appeared.
    NewInputDevice,
    /// A disk or a partition appeared.
    NewDisk,
    /// A folder of the host appeared or vanished.
    FoldersChanged,
    /// A CD drive appeared.
    NewCdDrive,
    /// The kernel knows the name of a virtio port (/sys/class/virtio-ports).
    NewVirtioPort,
    /// A disk or a partition vanished.
    DiskRemoved,
    /// A network interface appeared.
    NewInterface,
    /// The kernel dropped uevents.
    UeventsLost,
    /// The child that loads early drivers has ended, after the time limit of its phase.
    EarlyDriversLoaded,
    /// A request has arrived on the control socket.
    ControlRequest,
    /// A power button was pressed.
    PowerButton,
    /// A signal requests a shutdown.
    ShutdownSignal,
    /// PID 1 received any signal, including SIGCHLD.
    AnySignal,
}

/// All reactions, in the order in which they run.
#[rustfmt::skip]
pub const REACTIONS: &[Reaction] = &[
    // Ends and changes of services. Order of the rows: `apply-disk-config` runs before `read-data-report`, because
    // `is_first_report` is true only until the report is read. The rows with `data_disk_came_after_ready` follow, because
    // they need the new report.
    Reaction { name: "apply-disk-config",               on: AtRest(DATA),       when: If(is_first_report),                       run: disk_config::apply,                                          why: "services that wait for the data disk start with its configuration" },
    Reaction { name: "add-ignition",                    on: AtRest(DATA),       when: If(ignition_disk_lacks_service),           run: disk_config::add_ignition,                                   why: "the document on a disk labelled ignition is applied before sshd starts" },
    Reaction { name: "read-data-report",                on: AtRest(DATA),       when: Always,                                    run: data_disk::read_report,                                      why: "`state.data_report` has the newest report of `b2p data`: of this run, or, if this run failed, of an earlier one" },
    Reaction { name: "restart-image-sync",              on: AtRest(DATA),       when: If(data_disk_came_after_ready),            run: |context, _| restart_if_enabled(context, IMAGE_SYNC),        why: "images are synced to a disk that appeared while the machine runs" },
    Reaction { name: "start-containers",                on: AtRest(DATA),       when: If(data_disk_came_after_ready),            run: |context, _| start_if_enabled(context, &[CONTAINERS]),       why: "the containers on a data disk that appeared while the machine runs are started, as their restart policies ask" },
    Reaction { name: "apply-cloud-document",            on: AtRest(CLOUD),      when: Always,                                    run: disk_config::apply_document,                                 why: "services that wait for cloud-init start with the user of its document" },
    Reaction { name: "apply-ignition-document",         on: AtRest(IGNITION),   when: Always,                                    run: disk_config::apply_document,                                 why: "services that wait for Ignition start with the user of its document" },
    Reaction { name: "report-late-ready-on-vsock",      on: AtRest(IGNITION),   when: If(is_ready),                              run: ready_report::report_on_vsock,                               why: "a host whose Ignition document was applied after the ready line learns that the machine is ready" },
    Reaction { name: "leave-template",                  on: AtRest(TEMPLATE),   when: Always,                                    run: leave_template,                                              why: "a copy of a template has its own identity, devices, flags and services" },
    Reaction { name: "update-service-lines",            on: ServiceChanged,     when: If(is_ready),                              run: ready::update_degraded_lines_of_service,                     why: "the degraded lines match the state of each service" },
    Reaction { name: "report-unknown-services",         on: ServiceChanged,     when: Deferred(after_user_services),             run: ready::report_unknown_services,                              why: "a name in `b2p.off=` or `b2p.on=` that no service has is listed as degraded, until a service has that name" },

    // The ready line.
    Reaction { name: "update-all-lines",                on: NoGatePending,      when: Always,                                    run: ready::update_all_degraded_lines,                            why: "each gate that has failed or is late is listed as degraded, and so is each line that a service has written to its file of degraded lines" },
    Reaction { name: "announce-ready",                  on: NoGatePending,      when: Always,                                    run: ready::announce,                                             why: "the ready line reports how to reach the machine" },
    Reaction { name: "report-ready-on-virtio-port",     on: NoGatePending,      when: Always,                                    run: ready_report::report_on_virtio_port,                         why: "podman machine, which waits for the line `Ready` on a virtio port, continues" },
    Reaction { name: "link-virtio-ports",               on: NoGatePending,      when: Always,                                    run: virtio_ports::link,                                          why: "virtio ports that existed before PID 1 received uevents have links by their names as well" },
    Reaction { name: "report-ready-on-vsock",           on: NoGatePending,      when: Always,                                    run: ready_report::report_on_vsock,                               why: "podman machine on Apple's and libkrun's hypervisors, which waits for the line `Ready` on vsock, continues" },
    Reaction { name: "end-boot-settings",               on: NoGatePending,      when: If(outside_container),                     run: ready::end_boot_settings,                                    why: "RCU grace periods are normal again, the console shows warnings only, and the read-ahead of the image is larger" },
    Reaction { name: "start-after-ready",               on: NoGatePending,      when: Always,                                    run: ready::start_after_ready,                                    why: "the services that do not delay the ready line start" },

    // Devices.
    Reaction { name: "add-driver",                      on: DriverNeeded,       when: If(pid1_loads_driver),                     run: add_driver,                                                  why: "a device that is plugged in works" },
    Reaction { name: "open-button",                     on: NewInputDevice,     when: Always,                                    run: open_button,                                                 why: "a power button that is plugged in works" },
    Reaction { name: "examine-new-disk",                on: NewDisk,            when: Deferred(after_data_if_disk_is_new),       run: |context, _| start_if_enabled(context, &[DATA]),             why: "a data disk that appears later is used" },
    Reaction { name: "update-shares",                   on: FoldersChanged,     when: Deferred(after_share),                     run: |context, _| start_if_enabled(context, &[SHARE]),            why: "mounts and degraded lines match the folders that the host shares" },
    Reaction { name: "start-cloud-init",                on: NewCdDrive,         when: Deferred(after_cloud_init_without_source), run: |context, _| start_if_enabled(context, CLOUD_INIT_SERVICES), why: "a cloud-init configuration on a CD drive that appears later is applied" },
    Reaction { name: "link-new-virtio-port",            on: NewVirtioPort,      when: Always,                                    run: virtio_ports::link,                                          why: "guest agents find a virtio port by its name, as udev's links show it" },
    Reaction { name: "report-ready-on-new-virtio-port", on: NewVirtioPort,      when: If(is_ready),                              run: ready_report::report_on_virtio_port,                         why: "a host whose virtio port appears after the ready line learns that the machine is ready" },
    Reaction { name: "report-removal",                  on: DiskRemoved,        when: If(data_disk_is_gone),                     run: data_disk::report_removal,                                   why: "the loss of the data disk is reported" },
    Reaction { name: "examine-disks-again",             on: DiskRemoved,        when: Deferred(after_data_if_fault_is_listed),   run: |context, _| start_if_enabled(context, &[DATA]),             why: "a fault of a disk that is gone is no longer listed" },
    Reaction { name: "update-network-line",             on: NewInterface,       when: If(card_was_missing),                      run: update_network_line,                                         why: "a network card that has appeared is no longer listed as missing" },
    Reaction { name: "remove-early-drivers-line",       on: EarlyDriversLoaded, when: Always,                                    run: remove_early_drivers_line,                                   why: "the degraded line about early drivers is removed" },
    Reaction { name: "rescan-devices",                  on: UeventsLost,        when: Always,                                    run: rescan_devices,                                              why: "after lost uevents, every device has its driver, and every power button is open" },

    // Requests from outside.
    Reaction { name: "serve-control-requests",          on: ControlRequest,     when: Always,                                    run: control_requests::serve,                                     why: "clients of the control socket get answers" },
    Reaction { name: "power-off",                       on: PowerButton,        when: Always,                                    run: power_off,                                                   why: "the machine shuts down in order at the request of a person, or of a hypervisor by ACPI" },
    Reaction { name: "shut-down-by-signal",             on: ShutdownSignal,     when: Always,                                    run: shut_down_by_signal,                                         why: "the machine shuts down in order at the request of busybox's commands, Ctrl-Alt-Del or a container engine" },
    Reaction { name: "rebind-control-socket",           on: AnySignal,          when: Always,                                    run: rebind_control,                                              why: "the path of the control socket exists: if it was removed, PID 1 binds the socket again at the next signal" },
];

impl EventKind {
    /// Returns true if `event` is of this kind.
    #[must_use]
    pub fn matches(self, event: &Event, supervisor: &Supervisor) -> bool {
        match (self, event) {
            (AtRest(name), Event::Service(Change::Ended(id, _) | Change::NotStarted(id))) => {
                supervisor
                    .definition(*id)
                    .is_some_and(|def| def.name == name)
            }
            (ServiceChanged, Event::Service(change)) => matches!(
                change,
                Change::Ready(_)
                    | Change::Late(_)
                    | Change::Ended(..)
                    | Change::AutoRestart { .. }
                    | Change::NotStarted(_)
                    | Change::StartDelayed { .. }
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

/// Starts each of the named services that is at rest, except those that do not start at boot.
fn start_if_enabled(context: &mut Context<'_>, names: &[&str]) {
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

/// Restarts a service, unless it does not start at boot.
fn restart_if_enabled(context: &mut Context<'_>, name: &str) {
    let id = context.manager.supervisor().find(name);
    if let Some(id) = id.filter(|_| context.state.starts_at_boot(name)) {
        context.manager.note(now(), services::Input::Restart(id));
    }
}

/// Runs [`boot::CONFIGURATION_PHASES`] again, now not as a template, and adds the services that a template does not have.
fn leave_template(context: &mut Context<'_>, _: &Event) {
    context
        .state
        .degraded
        .set_err(TEMPLATE, template::mark_left());
    let before = context.state.config.clone();
    boot::configure_machine(context.state, context.sources);
    disk_config::revise(context, &before);
}

fn add_driver(context: &mut Context<'_>, event: &Event) {
    if let Event::Device(Uevent::Modalias(alias)) = event {
        let pid1_loads = context.state.drivers_of_pid1();
        context.state.loader.add(alias.clone(), pid1_loads);
    }
}

/// Updates the degraded lines of the network after an interface has appeared; the interface may be a container's.
/// [`ready::update_degraded_lines_of_service`] removes the lines when the service `net` is ready.
fn update_network_line(context: &mut Context<'_>, _: &Event) {
    let missing = missing_interface(&context.state.config.net);
    let supervisor = context.manager.supervisor();
    let id = supervisor.find(NET);
    // The service itself reports its faults once it has started or failed.
    let has_outcome =
        |id: &ServiceId| matches!(supervisor.state(*id), State::Up { .. } | State::Failed);
    match (missing, id.filter(has_outcome)) {
        (None, Some(id)) => ready::update_degraded_lines(context, id),
        (missing, _) => {
            let why = missing.unwrap_or_else(|| "the card has no address yet".to_owned());
            context.state.degraded.set(NET, [(NET, why.as_str())]);
        }
    }
}

/// Removes the degraded line about early drivers that are still being loaded.
fn remove_early_drivers_line(context: &mut Context<'_>, _: &Event) {
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
        context.state.degraded.set(CONTROL, []);
    }
}

#[cfg(test)]
mod tests;
