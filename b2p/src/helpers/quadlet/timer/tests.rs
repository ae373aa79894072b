// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::Temp;

fn timer(text: &str) -> std::result::Result<UnitTimer, String> {
    let unit = Unit::parse(&format!("[Timer]\n{text}\n"));
    UnitTimer::of(&unit, "backup.timer", &Owner::default(), "id").map_err(|why| why.to_string())
}

#[test]
fn common_timer_units_are_parsed() {
    let daily =
        timer("OnCalendar=Mon..Fri *-*-* 03:30:00\nPersistent=true\nAccuracySec=1h").unwrap();
    assert_eq!(
        daily.calendars,
        [Calendar::parse(&["Mon..Fri", "03:30"]).unwrap()]
    );
    assert!(daily.is_persistent && daily.delay == 0 && daily.spans.is_empty());
    assert_eq!((daily.service.as_str(), daily.uid), ("backup", 0));
    let often = timer("OnBootSec=15min\nOnUnitActiveSec=1w\nUnit=My_Job.service").unwrap();
    let spans = [(Event::Boot, 900), (Event::UnitActive, 604_800)];
    assert_eq!(
        (often.spans.as_slice(), often.service.as_str()),
        (&spans[..], "my-job")
    );
    assert_eq!(
        timer("OnCalendar=daily\nOnCalendar=*:0/5")
            .unwrap()
            .calendars
            .len(),
        2
    );
    let spread = timer("OnCalendar=daily\nRandomizedDelaySec=900").unwrap();
    assert!(
        (0..900).contains(&spread.delay)
            && spread == timer("OnCalendar=daily\nRandomizedDelaySec=900").unwrap()
    );
    let machines = timer("OnCalendar=daily\nUnit=podman-auto-update.service").unwrap();
    assert_eq!(machines.service.as_str(), "auto-update");
    for (text, part) in [
        ("Persistent=true", "no time"),
        (
            "OnCalendar=2027-01-01 03:00",
            "OnCalendar: 2027-01-01 03:00",
        ),
        ("OnBootSec=soon", "OnBootSec: soon"),
        ("OnCalendar=daily\nUnit=x.target", "Unit: x.target"),
    ] {
        let why = timer(text).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
    let unit = Unit::parse("[Timer]\nOnCalendar=daily\nWakeSystem=yes\nOnClockChange=yes\n");
    assert_eq!(unsupported(&unit), ["WakeSystem", "OnClockChange"]);
}

#[test]
fn a_timer_that_is_written_is_read_and_its_owner_cannot_change_its_service() {
    let temp = Temp::new();
    let (dir, active) = (temp.path("timers"), temp.path("timers/active"));
    let owner = Owner {
        uid: 1_000,
        name: "core".to_owned(),
        ..Owner::default()
    };
    let text = "[Timer]\nOnCalendar=daily\n[X-Timer]\nService=sshd\nUid=0\nName=x.timer\n\\";
    let unit = Unit::parse(text);
    let timer = UnitTimer::of(&unit, "a.timer", &owner, "id").unwrap();
    let timers = [(timer.clone(), text.to_owned())];
    write_in(&dir, &active, 1_000, &timers, &["a.timer".to_owned()]).unwrap();
    let read = || -> Vec<UnitTimer> { all_in(&dir, "id").into_iter().map(|(t, _)| t).collect() };
    assert_eq!(read(), [timer]);
    assert_eq!(read()[0].service.as_str(), "core-a");
    assert!(active.join("1000-a.timer").exists());
    // Another owner's load leaves it; its own without the file removes it.
    write_in(&dir, &active, 0, &[], &[]).unwrap();
    assert_eq!(read().len(), 1);
    write_in(&dir, &active, 1_000, &[], &[]).unwrap();
    assert!(read().is_empty() && !active.join("1000-a.timer").exists());
}

#[test]
fn time_spans_count_from_their_events() {
    let at = |text: &str, since, last, unit| {
        next_of_spans(&timer(text).unwrap(), Progress { since, last }, unit)
    };
    let never = (None, None);
    assert_eq!(at("OnBootSec=60", 5, None, never), Some(60));
    assert_eq!(at("OnBootSec=60", 100, None, never), Some(60));
    assert_eq!(at("OnBootSec=60", 5, Some(60), never), None);
    assert_eq!(at("OnActiveSec=60", 5, None, never), Some(65));
    let both = "OnBootSec=60\nOnUnitActiveSec=300";
    assert_eq!(at(both, 5, None, never), Some(60));
    assert_eq!(at(both, 5, Some(61), never), Some(361));
    // A start by hand counts as well.
    assert_eq!(at(both, 5, Some(61), (Some(100), None)), Some(400));
    assert_eq!(
        at("OnUnitInactiveSec=60", 5, Some(10), (None, Some(30))),
        Some(90)
    );
    assert_eq!(
        at("OnUnitInactiveSec=60", 5, Some(10), (Some(10), None)),
        None
    );
    assert_eq!(at("OnCalendar=daily", 5, None, never), None);
}
