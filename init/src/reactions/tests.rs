// SPDX-License-Identifier: Apache-2.0
use services::{ExitStatus, Manager, Millis};
use sys::signals::Signals;

use super::*;
use crate::event_sources::EventSources;
use crate::service_table::{self, Platform};
use crate::state::{DataReport, SystemState};

/// A machine in which no process is started: tests drive its supervisor.
struct Fixture {
    state: SystemState,
    manager: Manager,
    sources: EventSources,
}

impl Fixture {
    fn new(line: &[u8]) -> Fixture {
        let config = config::parse(line, &[]).0;
        let defs = service_table::select(&config, &Platform::default());
        Fixture {
            state: SystemState {
                config,
                ..SystemState::default()
            },
            manager: Manager::new(defs, None, |_, _| {}),
            sources: EventSources::new(Signals::block().expect("a signalfd")),
        }
    }

    /// The ready line has been written.
    fn ready(mut self) -> Fixture {
        self.state.ready = Some(1);
        self
    }

    fn with_data(mut self, device: Option<&str>, last_seqnum: u64) -> Fixture {
        self.state.data_report = Some(DataReport {
            device: device.map(str::to_owned),
            last_seqnum,
        });
        self
    }

    /// The service has run once and has ended.
    fn ended(mut self, name: &str) -> Fixture {
        let id = self.manager.supervisor().find(name).expect("the service");
        let pid = 100 + services::Pid::try_from(id.index()).expect("a small index");
        self.manager.note(1, services::Input::Start(id));
        let _ = self.manager.decide(1);
        self.manager.note(1, services::Input::Spawned(id, pid));
        let exited = services::Input::Exited(pid, ExitStatus::Exited(0));
        self.manager.note(2, exited);
        self
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            state: &mut self.state,
            manager: &mut self.manager,
            sources: &mut self.sources,
        }
    }

    fn unknown_services(&mut self) -> Decision {
        after_user_services(&self.context(), &Event::NoGatePending)
    }

    fn when(&mut self, on: EventKind, event: &Event) -> Decision {
        let context = self.context();
        assert!(on.matches(event, context.manager.supervisor()), "{on:?}");
        let reaction = REACTIONS.iter().find(|r| r.on == on);
        reaction.map_or(Decision::Drop, |r| r.when.decide(&context, event))
    }
}

fn device(uevent: Uevent) -> Event {
    Event::Device(uevent)
}

#[test]
fn every_reaction_has_a_reason_and_a_name_of_its_own() {
    assert!(REACTIONS.iter().all(|reaction| !reaction.why.is_empty()));
    let names: std::collections::HashSet<_> = REACTIONS.iter().map(|r| r.name).collect();
    assert_eq!(names.len(), REACTIONS.len());
}

#[test]
fn a_new_disk_is_examined_after_the_present_run_of_data() {
    let disk = |seqnum| device(Uevent::BlockAdded(seqnum));
    let mut booting = Fixture::new(b"").ended(DATA).with_data(None, 7);
    assert_eq!(booting.when(NewDisk, &disk(9)), Decision::Defer);
    let mut not_asked = Fixture::new(b"").ready();
    assert_eq!(not_asked.when(NewDisk, &disk(9)), Decision::Defer);
    let mut machine = Fixture::new(b"").ended(DATA).with_data(None, 7).ready();
    assert_eq!(machine.when(NewDisk, &disk(7)), Decision::Drop);
    assert_eq!(machine.when(NewDisk, &disk(8)), Decision::Run);
    assert_eq!(
        machine.when(NewDisk, &device(Uevent::Overrun)),
        Decision::Run
    );
    let mut has_disk = machine.with_data(Some("/dev/vda1"), 7);
    assert_eq!(has_disk.when(NewDisk, &disk(8)), Decision::Drop);
}

#[test]
fn names_in_flags_are_checked_once_the_files_of_services_were_read() {
    let mut fixture = Fixture::new(b"b2p.off=web").ready();
    assert_eq!(fixture.unknown_services(), Decision::Defer);
    let mut read = fixture.ended(USER_SERVICES);
    assert_eq!(read.unknown_services(), Decision::Run);
    let mut unread = Fixture::new(b"b2p.off=web,user-services").ready();
    assert_eq!(unread.unknown_services(), Decision::Drop);
}

#[test]
fn only_the_removal_of_the_data_disk_is_reported() {
    let removed = |name: &str| device(Uevent::BlockRemoved(name.to_owned()));
    let mut in_ram = Fixture::new(b"").with_data(None, 7);
    assert_eq!(in_ram.when(DiskRemoved, &removed("vda1")), Decision::Drop);
    let mut machine = in_ram.with_data(Some("/dev/vda1"), 7);
    assert_eq!(machine.when(DiskRemoved, &removed("vda")), Decision::Drop);
    assert_eq!(machine.when(DiskRemoved, &removed("vda1")), Decision::Run);
}

#[test]
fn a_removal_is_found_after_lost_uevents() {
    let lost = device(Uevent::Overrun);
    let mut machine = Fixture::new(b"").with_data(Some("/dev/none0"), 7);
    assert_eq!(machine.when(DiskRemoved, &lost), Decision::Run);
    let mut in_ram = machine.with_data(None, 7);
    assert_eq!(in_ram.when(DiskRemoved, &lost), Decision::Drop);
}

#[test]
fn lost_uevents_stand_for_each_kind() {
    let machine = Fixture::new(b"");
    let lost = device(Uevent::Overrun);
    let supervisor = machine.manager.supervisor();
    // The reaction to `UeventsLost` loads all drivers and opens all buttons.
    let is_covered = |on: EventKind| matches!(on, DriverNeeded | NewInputDevice);
    let of_uevents = REACTIONS.iter().filter(|r| is_of_uevents(r.on));
    for reaction in of_uevents.filter(|r| !is_covered(r.on)) {
        assert!(reaction.on.matches(&lost, supervisor), "{}", reaction.why);
    }
}

/// Returns true for a kind of event that some uevent matches.
fn is_of_uevents(on: EventKind) -> bool {
    let machine = Fixture::new(b"");
    let all = [
        Uevent::Modalias(String::new()),
        Uevent::NetworkInterface,
        Uevent::InputNode(String::new()),
        Uevent::BlockAdded(1),
        Uevent::BlockRemoved(String::new()),
        Uevent::SharedFolder,
        Uevent::CdDrive,
        Uevent::VirtioPort,
    ];
    all.into_iter()
        .any(|uevent| on.matches(&device(uevent), machine.manager.supervisor()))
}

#[test]
fn b2p_data_loads_the_drivers_of_disks_until_the_machine_is_ready() {
    let disk = device(Uevent::Modalias("virtio:d00000002v00001AF4".to_owned()));
    let card = device(Uevent::Modalias("virtio:d00000001v00001AF4".to_owned()));
    let mut booting = Fixture::new(b"");
    assert_eq!(booting.when(DriverNeeded, &disk), Decision::Drop);
    assert_eq!(booting.when(DriverNeeded, &card), Decision::Run);
    assert_eq!(booting.ready().when(DriverNeeded, &disk), Decision::Run);
}

#[test]
fn a_folder_waits_for_the_service_that_mounts_it() {
    let folder = device(Uevent::SharedFolder);
    let machine = || Fixture::new(b"b2p.share=a:/mnt/a");
    assert_eq!(machine().when(FoldersChanged, &folder), Decision::Defer);
    let mut ready = machine().ready().ended(DATA);
    assert_eq!(ready.when(FoldersChanged, &folder), Decision::Defer);
    let mut ended = ready.ended(SHARE);
    assert_eq!(ended.when(FoldersChanged, &folder), Decision::Run);
}

#[test]
fn the_end_of_a_service_is_an_event_of_that_service_only() {
    let machine = Fixture::new(b"").ended(DATA);
    let s = machine.manager.supervisor();
    let (data, net) = (s.find(DATA), s.find(NET));
    let event = |id: Option<services::ServiceId>| {
        Event::Service(Change::Ended(id.expect("an id"), ExitStatus::Exited(0)))
    };
    assert!(ServiceChanged.matches(&event(net), s));
    assert!(AtRest(DATA).matches(&event(data), s) && !AtRest(DATA).matches(&event(net), s));
}

#[test]
fn the_configuration_of_a_disk_is_applied_by_the_first_report_alone() {
    let machine = Fixture::new(b"");
    let id = machine
        .manager
        .supervisor()
        .find(DATA)
        .expect("the service");
    let ended = Event::Service(Change::Ended(id, ExitStatus::Exited(0)));
    let mut later = machine.with_data(None, 7);
    let context = later.context();
    assert!(!is_first_report(&context, &ended));
}

#[test]
fn services_of_a_late_disk_start_if_they_start_with_the_machine() {
    let mut machine = Fixture::new(b"b2p.off=containers").ready();
    let mut context = machine.context();
    restart_if_enabled(&mut context, IMAGE_SYNC);
    start_if_enabled(&mut context, &[CONTAINERS]);
    let s = context.manager.supervisor();
    let state = |name: &str| s.find(name).map(|id| s.state(id));
    assert_ne!(state(IMAGE_SYNC), Some(State::Off));
    assert_eq!(state(CONTAINERS), Some(State::Off));
}

/// Degraded lines of a machine to which events happen.
struct Lines(Fixture);

impl Lines {
    /// The boot has settled, after `wait` milliseconds, with these services on their way.
    fn of(line: &[u8], services: &[&str], wait: u64) -> Lines {
        let mut machine = Fixture::new(line);
        for (name, pid) in services.iter().zip(100..) {
            let id = machine
                .manager
                .supervisor()
                .find(name)
                .expect("the service");
            machine.manager.note(0, services::Input::Start(id));
            let _ = machine.manager.decide(0);
            machine.manager.note(0, services::Input::Spawned(id, pid));
        }
        machine.manager.note(wait, services::Input::Tick);
        let _ = machine.manager.take_changes();
        let mut lines = Lines(machine);
        lines.react(ready::update_all_degraded_lines, &Event::NoGatePending);
        lines.0.state.ready = Some(wait);
        lines
    }

    fn react(&mut self, run: fn(&mut Context<'_>, &Event), event: &Event) {
        let mut context = Context {
            state: &mut self.0.state,
            manager: &mut self.0.manager,
            sources: &mut self.0.sources,
        };
        run(&mut context, event);
    }

    /// Notes an event of a service, and updates its degraded lines as the loop does.
    fn note(&mut self, input: services::Input) {
        self.note_at(200_000, input);
    }

    fn note_at(&mut self, now: Millis, input: services::Input) {
        self.0.manager.note(now, input);
        for change in self.0.manager.take_changes() {
            let change = Event::Service(change);
            self.react(ready::update_degraded_lines_of_service, &change);
        }
    }

    fn texts(&self) -> Vec<String> {
        let lines = self.0.state.degraded.iter();
        lines
            .map(|line| format!("{}: {}", line.what, line.why))
            .collect()
    }
}

#[test]
fn a_late_service_that_becomes_ready_is_no_longer_listed() {
    let mut machine = Lines::of(b"", &[DATA, NET], 130_000);
    let late = machine.texts();
    assert!(
        late[0].starts_with("data: still looking for a disk"),
        "{late:?}"
    );
    assert!(late.iter().all(|line| line.contains("still")), "{late:?}");
    machine.note(services::Input::Ready(101));
    assert!(machine.texts().iter().all(|line| !line.starts_with("net")));
    machine.note(services::Input::Exited(100, ExitStatus::Exited(0)));
    assert_eq!(machine.texts(), [""; 0]);
}

#[test]
fn a_service_that_fails_after_the_ready_line_is_listed_until_it_works_or_is_stopped() {
    let mut machine = Lines::of(b"", &[DATA], 1);
    machine.note(services::Input::Exited(100, ExitStatus::Exited(1)));
    assert_eq!(
        machine.texts(),
        ["data: exited with status 1; the kernel log says more"]
    );
    let data = machine.0.manager.supervisor().find(DATA).expect("data");
    machine.note(services::Input::Start(data));
    assert_eq!(machine.texts().len(), 1, "it is on its way");
    let _ = machine.0.manager.decide(1);
    machine.note(services::Input::Spawned(data, 102));
    machine.note(services::Input::Exited(102, ExitStatus::Exited(0)));
    assert_eq!(machine.texts(), [""; 0]);
}

#[test]
fn only_the_network_service_removes_the_line_about_a_missing_card() {
    let mut machine = Lines::of(b"ip=:::::none0:dhcp", &[NET], 1);
    let net = machine.0.manager.supervisor().find(NET).expect("net");
    machine
        .0
        .state
        .degraded
        .add(NET, "no card none0; there is eth0");
    machine.note(services::Input::Tick);
    assert_eq!(
        machine.texts(),
        ["net: no card none0; there is eth0"],
        "it is late"
    );
    machine.note(services::Input::Ready(100));
    assert_eq!(machine.texts(), [""; 0]);
    machine
        .0
        .state
        .degraded
        .add(NET, "no card none0; there is eth0");
    machine.note(services::Input::Stop(net));
    let _ = machine.0.manager.decide(1);
    machine.note(services::Input::Exited(100, ExitStatus::Killed(15)));
    assert_eq!(machine.texts(), [""; 0], "nobody asks for it any more");
}

#[test]
fn a_socket_that_cannot_be_bound_is_listed_until_it_is_bound_or_its_service_is_stopped() {
    let mut machine = Lines::of(b"", &[], 1);
    let podman = machine.0.manager.supervisor().find(PODMAN).expect("podman");
    let lost = ["podman: not started; the kernel log says more"];
    for end in [
        services::Input::Watching(podman),
        services::Input::Stop(podman),
    ] {
        machine.note(services::Input::Start(podman));
        let mut now = 200_000;
        while machine.texts().is_empty() {
            now += 2_000;
            assert!(now < 240_000, "it is never listed");
            let _ = machine.0.manager.decide(now);
            machine.note_at(now, services::Input::WatchFailed(podman));
            machine.0.manager.note(now + 2_000, services::Input::Tick);
        }
        assert_eq!(machine.texts(), lost);
        machine.note(services::Input::Start(podman));
        let _ = machine.0.manager.decide(500_000);
        assert_eq!(machine.texts(), lost, "it is on its way");
        machine.note(end);
        machine.note(services::Input::WatchFailed(podman));
        assert_eq!(machine.texts(), [""; 0], "{end:?}");
        machine.note(services::Input::Stop(podman));
        let _ = machine.0.manager.decide(600_000);
    }
}

#[test]
fn a_card_that_appears_replaces_the_line_about_the_missing_card() {
    let new = device(Uevent::NetworkInterface);
    let mut machine = Lines::of(b"", &[NET], 1);
    let missing = |machine: &mut Lines| machine.0.state.degraded.add(NET, "no card; later");
    missing(&mut machine);
    machine.react(update_network_line, &new);
    assert_eq!(machine.texts(), ["net: the card has no address yet"]);
    machine.note(services::Input::Ready(100));
    machine.react(update_network_line, &new);
    assert_eq!(machine.texts(), [""; 0], "the network works");
}

#[test]
fn a_faulty_disk_may_be_pulled_before_its_fault_is_listed() {
    let removed = device(Uevent::BlockRemoved("vdb".to_owned()));
    let faulty = |machine: &mut Fixture| {
        let context = machine.context();
        after_data_if_fault_is_listed(&context, &removed)
    };
    let mut machine = Fixture::new(b"").with_data(None, 7).ended(DATA);
    assert_eq!(
        faulty(&mut machine),
        Decision::Defer,
        "nothing is listed yet"
    );
    let mut machine = machine.ready();
    assert_eq!(faulty(&mut machine), Decision::Drop);
    machine.state.degraded.add(DATA, "/dev/vdb: damaged");
    assert_eq!(faulty(&mut machine), Decision::Run);
}
