// SPDX-License-Identifier: Apache-2.0
//! Reports, written and read back.
#![allow(clippy::unwrap_used)]

use control::{
    Degraded, LastExit, MachineInfo, Phase, Report, Service, Shutdown, ShutdownKind, State,
};
use proptest::prelude::*;

fn written(report: &Report<'_>) -> String {
    let mut out = String::new();
    report.write(&mut out);
    out
}

#[test]
fn every_line_of_a_report_round_trips() {
    let report = Report {
        machine: MachineInfo {
            version: "0.1.0",
            data: "ram",
            now: Some(5000),
            started: Some(1790),
            ready: Some(1980),
        },
        phases: vec![Phase {
            name: "api",
            start_us: 1_790_100,
            took_us: 2_010,
        }],
        services: vec![
            Service {
                since: Some(1960),
                pid: Some(61),
                restarts: Some(0),
                last: Some(LastExit::Killed(-9)),
                next: Some(0),
                user: Some(1000),
                ..Service::new("sshd", State::Up)
            },
            Service::new("podman", State::Armed),
        ],
        degraded: vec![Degraded {
            what: "net",
            why: "no DHCP server: still asking",
        }],
        shutdown: Some(Shutdown {
            kind: ShutdownKind::Reboot,
            at: 60_000,
        }),
        truncated: true,
    };
    let text = "machine version=0.1.0 data=ram now=5000 started=1790 ready=1980\n\
                degraded net: no DHCP server: still asking\n\
                shutdown reboot at=60000\n\
                phase api 1790100 2010\n\
                service sshd up since=1960 pid=61 restarts=0 next=0 user=1000 last=killed:-9\n\
                service podman armed\n\
                cut\n";
    assert_eq!(written(&report), text);
    assert_eq!(Report::parse(text), report);
}

#[test]
fn unknown_lines_keys_and_values_are_skipped() {
    let text = "machine now=7 colour=red now2=9 ready=soon\nweather fine\n\
                service web up pid=3 mood=good\nservice odd dancing pid=4\nservice x\nservice\n\
                phase half 3\nphase a 1 2 3\nshutdown explode at=3\nshutdown halt\n\
                degraded nothing\n\n\r\n";
    let report = Report::parse(text);
    assert_eq!(report.machine.now, Some(7));
    assert_eq!(report.machine.ready, None);
    assert_eq!(report.services.len(), 1);
    assert_eq!(report.services[0].pid, Some(3));
    assert_eq!(report.phases.len(), 1);
    assert_eq!((report.shutdown, report.degraded.len()), (None, 0));
}

#[test]
fn control_characters_break_no_line_of_a_report() {
    let report = Report {
        degraded: vec![Degraded {
            what: "a: b\nservice x up",
            why: "c\u{85}\x1b[2J\r\nd",
        }],
        services: vec![Service::new("x up\nmachine now=1", State::Off)],
        ..Report::default()
    };
    let text = written(&report);
    assert_eq!(text.lines().count(), 3);
    let back = Report::parse(&text);
    assert_eq!(back.degraded[0].what, "a? b?service x up");
    assert_eq!(back.degraded[0].why, "c??[2J??d");
    assert_eq!(back.services[0].name, "x?up?machine?now=1");
    assert_eq!(back.services[0].state, State::Off);
}

/// Random contents of one line of each sort.
#[derive(Clone, Debug)]
struct Contents {
    name: String,
    state: usize,
    numbers: [Option<u64>; 9],
    last: Option<(bool, i32)>,
    why: String,
}

fn contents() -> impl Strategy<Value = Vec<Contents>> {
    let fields = (
        "[!-9;-~]{1,20}",
        0..State::ALL.len(),
        proptest::array::uniform9(any::<Option<u64>>()),
        any::<Option<(bool, i32)>>(),
        "[ -~é€漢😀]{0,40}",
    );
    let contents = fields.prop_map(|(name, state, numbers, last, why)| Contents {
        name,
        state,
        numbers,
        last,
        why,
    });
    proptest::collection::vec(contents, 0..8)
}

fn report(contents: &[Contents]) -> Report<'_> {
    let mut report = Report::default();
    for line in contents {
        let n = line.numbers;
        report.machine = MachineInfo {
            version: &line.name,
            data: &line.name,
            now: n[0],
            started: n[1],
            ready: n[2],
        };
        report.phases.push(Phase {
            name: &line.name,
            start_us: n[0].unwrap_or(0),
            took_us: n[1].unwrap_or(u64::MAX),
        });
        report.degraded.push(Degraded {
            what: &line.name,
            why: &line.why,
        });
        report.services.push(Service {
            name: &line.name,
            state: State::ALL[line.state],
            since: n[0],
            pid: n[1],
            restarts: n[2],
            asked: n[3],
            spawned: n[4],
            ready: n[5],
            next: n[6],
            late: n[7],
            grace: n[8],
            user: n[0],
            is_user_service: n[8].is_some(),
            last: line.last.map(|(exited, number)| match exited {
                true => LastExit::Exited(number),
                false => LastExit::Killed(number),
            }),
        });
        report.shutdown = n[3].map(|at| Shutdown {
            kind: ShutdownKind::Halt,
            at,
        });
        report.truncated = line.last.is_some();
    }
    report
}

proptest! {
    #[test]
    fn report_round_trips(contents in contents()) {
        let report = report(&contents);
        let text = written(&report);
        prop_assert_eq!(Report::parse(&text), report);
    }

    #[test]
    fn any_text_gives_a_report(text in "((machine|phase|service|degraded|shutdown)?[ a-z=:0-9\\PC]{0,60}\n){0,8}") {
        let report = Report::parse(&text);
        let again = written(&report);
        let _ = Report::parse(&again);
    }

    #[test]
    fn any_names_give_one_line_each(name in any::<String>(), why in any::<String>()) {
        let report = Report {
            services: vec![Service::new(&name, State::Up)],
            degraded: vec![Degraded { what: &name, why: &why }],
            ..Report::default()
        };
        prop_assert_eq!(written(&report).split('\n').count(), 4);
    }
}
