// SPDX-License-Identifier: Apache-2.0
//! Tests of the options, and of the order of the steps.

use super::*;
use std::cell::RefCell;

/// Noon and half a minute.
const NOON: u32 = 12 * 3600 + 30;

fn ask(line: &str) -> Result<Action, Problem> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let name = words.next().unwrap_or_default();
    parse(&name, &words.collect::<Vec<_>>(), NOON)
}

#[test]
fn names_and_options() {
    use ShutdownKind::{Halt, PowerOff, Reboot};
    for (line, end, delay) in [
        ("poweroff", PowerOff, 0),
        ("reboot", Reboot, 0),
        ("halt", Halt, 0),
        ("halt -p", PowerOff, 0),
        ("poweroff now", PowerOff, 0),
        ("poweroff +5", PowerOff, 300),
        ("reboot 5", Reboot, 300),
        ("reboot -d 7", Reboot, 7),
        ("halt -d -i -h", Halt, 0),
        ("poweroff --reboot", Reboot, 0),
        ("reboot --no-wall -d", Reboot, 0),
        ("poweroff --halt +1", Halt, 60),
        ("shutdown", PowerOff, 60),
        ("shutdown now", PowerOff, 0),
        ("shutdown -h now", PowerOff, 0),
        ("shutdown -P +10 good night", PowerOff, 600),
        ("shutdown -r now", Reboot, 0),
        ("shutdown -rf now", Reboot, 0),
        ("shutdown --halt +0", Halt, 0),
        ("shutdown -t 3 -r +1", Reboot, 60),
        ("shutdown -H 12:01", Halt, 30),
        ("shutdown 13:00", PowerOff, 3_570),
        ("shutdown 12:00 tomorrow", PowerOff, 86_370),
    ] {
        assert_eq!(ask(line), Ok(Action::Shutdown(end, delay)), "{line}");
    }
}

#[test]
fn force_cancel_and_no_op_options() {
    for (line, action) in [
        ("poweroff -f", Action::Force(ShutdownKind::PowerOff, true)),
        ("reboot --force", Action::Force(ShutdownKind::Reboot, true)),
        ("reboot -nf", Action::Force(ShutdownKind::Reboot, false)),
        ("halt -ff -p", Action::Force(ShutdownKind::PowerOff, true)),
        ("shutdown -c", Action::Cancel),
        ("shutdown -c never mind", Action::Cancel),
        ("shutdown -k now", Action::Nothing("nobody to warn but you")),
        ("halt -w", Action::Nothing("there is no wtmp here")),
    ] {
        assert_eq!(ask(line), Ok(action), "{line}");
    }
}

#[test]
fn wrong_arguments_shut_nothing_down() {
    for line in [
        "poweroff -x",
        "poweroff --later",
        "reboot firmware",
        "halt -fx",
        "poweroff +5 +6",
        "shutdown tomorrow",
        "shutdown 24:00",
        "shutdown 12:60",
        "shutdown +",
        "shutdown ++5",
        "shutdown -1",
        "shutdown 1:2:3",
        "shutdown +9999999",
        "shutdown --force now",
        "poweroff -",
        "poweroff +x",
        "shutdown :",
        "shutdown \u{664}",
    ] {
        assert!(ask(line).is_err(), "{line}: {:?}", ask(line));
    }
}

/// Effects that record every call and give a fixed answer.
struct Fake {
    answer: Result<(), RequestError>,
    calls: RefCell<Vec<String>>,
}

impl Fake {
    fn note(&self, call: String) {
        self.calls.borrow_mut().push(call);
    }
}

impl Effects for Fake {
    fn request(&self, request: &Request) -> Result<(), RequestError> {
        self.note(format!("ask {request}"));
        self.answer.clone()
    }

    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno> {
        self.note(format!("signal {}", kind.word()));
        Ok(())
    }

    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno {
        let sync = if sync { "sync " } else { "" };
        self.note(format!("{sync}force {}", kind.word()));
        Errno::EPERM
    }

    fn audit(&self, action: &str) {
        let action = action
            .split_once(" at ")
            .map_or(action, |(action, _)| action);
        self.note(format!("audit {action}"));
    }
}

/// Performs the request in `line`. Returns true if there is a line for the user, and the calls.
fn performed(
    answer: Result<(), RequestError>,
    line: &str,
) -> (Result<bool, RequestError>, Vec<String>) {
    let fake = Fake {
        answer,
        calls: RefCell::new(Vec::new()),
    };
    let action = ask(line).unwrap_or(Action::Cancel);
    let outcome = perform(&fake, action).map(|line| line.is_some());
    (outcome, fake.calls.into_inner())
}

#[test]
fn the_channel_first_and_then_the_signal() {
    let (outcome, calls) = performed(Ok(()), "poweroff");
    assert_eq!(outcome, Ok(false));
    assert_eq!(calls, ["ask poweroff", "audit poweroff"]);
    for dead in [
        RequestError::NotListening,
        RequestError::NoAnswer,
        RequestError::System(Errno::ENOMEM),
    ] {
        let (outcome, calls) = performed(Err(dead), "reboot");
        assert_eq!(outcome, Ok(false));
        assert_eq!(calls, ["ask reboot", "signal reboot", "audit reboot"]);
    }
}

#[test]
fn a_refusal_is_an_answer() {
    for error in [
        RequestError::Refused("going down".into()),
        RequestError::NotRoot,
    ] {
        let (outcome, calls) = performed(Err(error.clone()), "halt");
        assert_eq!((outcome, calls.len()), (Err(error), 1));
    }
}

#[test]
fn a_delayed_shutdown_is_never_sent_as_a_signal() {
    let (outcome, calls) = performed(Ok(()), "shutdown -r +2");
    assert_eq!(outcome, Ok(true));
    assert_eq!(calls, ["ask reboot 120", "audit reboot"]);
    let (outcome, calls) = performed(Err(RequestError::NoAnswer), "shutdown +2");
    assert_eq!((outcome, calls.len()), (Err(RequestError::NoAnswer), 1));
    let (outcome, calls) = performed(Err(RequestError::NotListening), "shutdown -c");
    assert_eq!(outcome, Err(RequestError::NotListening));
    assert_eq!(calls, ["ask cancel"]);
}

#[test]
fn poweroff_f_does_not_contact_pid_1() {
    let (outcome, calls) = performed(Ok(()), "poweroff -f");
    assert_eq!(outcome, Err(RequestError::NotRoot));
    assert_eq!(calls, ["sync force poweroff"]);
    assert_eq!(performed(Ok(()), "reboot -fn").1, ["force reboot"]);
    assert_eq!(performed(Ok(()), "halt -w"), (Ok(true), vec![]));
}
