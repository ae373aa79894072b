use super::*;
use std::cell::RefCell;

/// Noon and half a minute.
const NOON: u32 = 12 * 3600 + 30;

fn ask(line: &str) -> Result<Wish, String> {
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
        assert_eq!(ask(line), Ok(Wish::Shutdown(end, delay)), "{line}");
    }
}

#[test]
fn what_is_no_orderly_end() {
    for (line, wish) in [
        ("poweroff -f", Wish::Force(ShutdownKind::PowerOff, true)),
        ("reboot --force", Wish::Force(ShutdownKind::Reboot, true)),
        ("reboot -nf", Wish::Force(ShutdownKind::Reboot, false)),
        ("halt -ff -p", Wish::Force(ShutdownKind::PowerOff, true)),
        ("shutdown -c", Wish::Cancel),
        ("shutdown -c never mind", Wish::Cancel),
        ("shutdown -k now", Wish::Nothing("nobody to warn but you")),
        ("halt -w", Wish::Nothing("there is no wtmp here")),
    ] {
        assert_eq!(ask(line), Ok(wish), "{line}");
    }
}

#[test]
fn what_is_not_understood_ends_nothing() {
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

/// Edges that keep what was asked of them, and answer as told.
struct Fake {
    answer: Result<(), RequestError>,
    signal: Result<(), Errno>,
    did: RefCell<Vec<String>>,
}

impl Edge for Fake {
    fn ask(&self, request: &Request) -> Result<(), RequestError> {
        self.did.borrow_mut().push(format!("ask {request}"));
        self.answer.clone()
    }

    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno> {
        self.did
            .borrow_mut()
            .push(format!("signal {}", kind.word()));
        self.signal
    }

    fn force(&self, kind: ShutdownKind, sync: bool) -> Errno {
        let sync = if sync { "sync " } else { "" };
        self.did
            .borrow_mut()
            .push(format!("{sync}force {}", kind.word()));
        Errno::EPERM
    }
}

fn acted(
    answer: Result<(), RequestError>,
    line: &str,
) -> (Result<bool, RequestError>, Vec<String>) {
    let fake = Fake {
        answer,
        signal: Ok(()),
        did: RefCell::new(Vec::new()),
    };
    let wish = ask(line).unwrap_or(Wish::Cancel);
    let outcome = act(&fake, wish).map(|said| said.is_some());
    (outcome, fake.did.into_inner())
}

#[test]
fn the_channel_first_and_then_the_signal() {
    let did = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        acted(Ok(()), "poweroff"),
        (Ok(false), did(&["ask poweroff"]))
    );
    for dead in [
        RequestError::NotListening,
        RequestError::NoAnswer,
        RequestError::System(Errno::ENOMEM),
    ] {
        let (outcome, steps) = acted(Err(dead), "reboot");
        assert_eq!(
            (outcome, steps),
            (Ok(false), did(&["ask reboot", "signal reboot"]))
        );
    }
}

#[test]
fn a_refusal_is_an_answer() {
    for failure in [
        RequestError::Refused("going down".into()),
        RequestError::NotRoot,
    ] {
        let (outcome, steps) = acted(Err(failure.clone()), "halt");
        assert_eq!((outcome, steps.len()), (Err(failure), 1));
    }
}

#[test]
fn a_delay_is_for_the_channel_alone() {
    assert_eq!(
        acted(Ok(()), "shutdown -r +2"),
        (Ok(true), vec!["ask reboot 120".to_owned()])
    );
    let (outcome, steps) = acted(Err(RequestError::NoAnswer), "shutdown +2");
    assert_eq!((outcome, steps.len()), (Err(RequestError::NoAnswer), 1));
    let (outcome, steps) = acted(Err(RequestError::NotListening), "shutdown -c");
    assert_eq!(
        (outcome, steps),
        (
            Err(RequestError::NotListening),
            vec!["ask cancel".to_owned()]
        )
    );
}

#[test]
fn force_asks_nobody() {
    let (outcome, steps) = acted(Ok(()), "poweroff -f");
    assert_eq!(
        (outcome, steps),
        (
            Err(RequestError::NotRoot),
            vec!["sync force poweroff".to_owned()]
        )
    );
    assert_eq!(acted(Ok(()), "reboot -fn").1, ["force reboot"]);
    assert_eq!(acted(Ok(()), "halt -w"), (Ok(true), vec![]));
}
