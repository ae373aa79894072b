// SPDX-License-Identifier: Apache-2.0
//! The table itself: definitions that can never start, and definitions that are added or revised
//! while the supervisor runs.

use super::definitions::{MAX_ADDED, MAX_USER_SERVICES};
use super::*;

#[test]
fn a_cycle_fails_alone() {
    let mut s = Supervisor::new(vec![
        definition("a", &["b"]),
        definition("b", &["a"]),
        definition("user", &["a"]),
        definition("free", &[]),
        definition("free", &[]),
    ]);
    for id in s.ids() {
        s.handle(0, Input::Start(id));
        s.handle(0, Input::Restart(id));
    }
    assert_eq!(s.invalid(id(0)), Some(DefinitionError::NeedsItself));
    assert_eq!(s.invalid(id(4)), Some(DefinitionError::DuplicateName));
    let states: Vec<_> = s.ids().map(|id| s.state(id).word()).collect();
    assert_eq!(
        states,
        ["failed", "failed", "waiting", "spawning", "failed"]
    );
    assert_eq!(s.readiness(id(2)), Readiness::NotReady);
    s.handle(1, Input::Stop(id(0)));
    assert_eq!(s.state(id(0)), State::Failed);
}

#[test]
fn definitions_are_added_while_it_runs() {
    use DefinitionError::*;
    let mut s = chain();
    assert_eq!(s.add(definition("a", &[])), Err(NameTaken));
    assert_eq!(s.add(definition("self", &["self"])), Err(NeedsItself));
    assert_eq!(s.add(definition("d", &["c", "e"])), Ok(id(3)));
    assert_eq!(s.state(id(3)), State::Off);
    assert_eq!(s.add(definition("e", &["d"])), Err(NeedsItself));
    assert_eq!(s.find("e"), None);
    assert_eq!(s.add(definition("e", &[])), Ok(id(4)));
    assert_eq!(s.handle(9, Input::Start(id(3))), [Action::Spawn(id(4))]);
    assert_eq!(s.add(definition("e", &[])), Err(InUse));
    s.handle(9, Input::SpawnFailed(id(4)));
    s.handle(9, Input::Stop(id(4)));
    assert_eq!(s.add(definition("e", &["a"])), Ok(id(4)));
    assert_eq!(s.definition(id(4)).map(|d| d.needs), Some(&["a"][..]));
}

#[test]
fn a_service_ordered_after_itself_is_refused() {
    let after = |name, after| ServiceDef {
        after,
        ..definition(name, &[])
    };
    let mut s = chain();
    let itself = Err(DefinitionError::WaitsForItself);
    assert_eq!(s.add(after("self", &["self"])), itself);
    assert_eq!(s.add(after("d", &["c", "e"])), Ok(id(3)));
    assert_eq!(s.add(definition("e", &["f"])), Ok(id(4)));
    // Through a need and an order, and by the service that closes the circle alone.
    assert_eq!(s.add(after("f", &["d"])), itself);
    assert_eq!((s.find("f"), s.find("e")), (None, Some(id(4))));
    assert_eq!(s.add(after("f", &["c"])), Ok(id(5)));
}

#[test]
fn the_numbers_of_services_and_definitions_are_limited() {
    let mut s = chain();
    let numbered = |n: usize| definition(format!("s{n}").leak(), &[]);
    let added = (0..300).filter(|n| s.add(numbered(*n)).is_ok()).count();
    assert_eq!(added, MAX_USER_SERVICES);
    // The same definition again uses nothing up.
    assert!((0..2 * MAX_ADDED).all(|_| s.add(numbered(0)).is_ok()));
    let other = |n: usize| ServiceDef {
        late_ms: n as Millis,
        ..numbered(0)
    };
    let replaced = (0..2_000).filter(|n| s.add(other(*n)).is_ok()).count();
    assert_eq!(added + replaced, MAX_ADDED);
    assert_eq!(s.add(numbered(0)), Err(DefinitionError::TooManyChanges));
    assert_eq!(s.add(other(replaced - 1)), Ok(id(3)));
    let s = Supervisor::new((0..300).map(numbered).collect());
    let invalid = s.ids().filter(|id| s.invalid(*id).is_some()).count();
    assert_eq!(invalid, 300 - graph::MAX_SERVICES);
}

/// The texts of a definition that is refused are never freed either.
#[test]
fn refused_definitions_count() {
    let mut s = chain();
    let needs_itself = |n: usize| ServiceDef {
        late_ms: n as Millis,
        ..definition("loop", &["loop"])
    };
    for n in 0..MAX_ADDED {
        assert_eq!(s.add(needs_itself(n)), Err(DefinitionError::NeedsItself));
        assert_eq!(s.add(needs_itself(n)), Err(DefinitionError::NeedsItself));
    }
    assert_eq!(s.may_grow(), Err(DefinitionError::TooManyChanges));
    assert_eq!(s.known("loop").count(), 1);
}

#[test]
fn a_builtin_service_that_is_ordered_after_itself_has_failed() {
    let after = |name, after| ServiceDef {
        after,
        ..definition(name, &[])
    };
    let mut s = Supervisor::new(vec![
        after("a", &["b"]),
        definition("b", &["c"]),
        after("c", &["a"]),
        after("d", &["a"]),
    ]);
    let invalid: Vec<_> = s.ids().map(|id| s.invalid(id)).collect();
    let cycle = Some(DefinitionError::WaitsForItself);
    assert_eq!(invalid, [cycle, cycle, cycle, None]);
    assert_eq!(s.handle(0, Input::Start(id(3))), [Action::Spawn(id(3))]);
}

#[test]
fn a_definition_is_revised_until_its_service_starts_and_a_service_is_added() {
    let disk = ServiceDef {
        argv: &["/bin/true"],
        ready: ReadyWhen::Exit,
        restart: Restart::Never,
        ..definition("disk", &[])
    };
    let late = ServiceDef {
        argv: &["/bin/old"],
        after: &["disk"],
        ..definition("late", &[])
    };
    let mut s = Supervisor::new(vec![disk, late]);
    s.handle(0, Input::Start(id(0)));
    s.handle(0, Input::Start(id(1)));
    let new = ServiceDef {
        argv: &["/bin/new"],
        ..late
    };
    assert_eq!(s.state(id(1)), State::Waiting);
    assert_eq!(s.revise(id(1), new), Ok(Revision::Now));
    assert_eq!(s.definition(id(1)), Some(&new));
    let needy = ServiceDef {
        needs: &["disk"],
        ..late
    };
    let refused = Err(DefinitionError::OtherNeeds);
    assert_eq!(s.revise(id(1), needy), refused, "needs are fixed");
    let cycle = ServiceDef {
        after: &["late"],
        ..disk
    };
    let refused = Err(DefinitionError::WaitsForItself);
    assert_eq!(s.revise(id(0), cycle), refused);
    s.handle(0, Input::Spawned(id(0), 7));
    let other_disk = ServiceDef {
        argv: &["/x"],
        ..disk
    };
    assert_eq!(s.revise(id(0), other_disk), Ok(Revision::AtNextStart));
    assert_eq!(s.definition(id(0)), Some(&disk), "the process has this one");
    let more = ServiceDef {
        name: "more",
        ..late
    };
    assert_eq!(s.extend(more), Ok(id(2)));
    assert_eq!(s.extend(more), Err(DefinitionError::NameTaken));
    assert!(!s.is_user_service(id(2)));
    let actions = s.handle(1, Input::Exited(7, EXIT_0));
    assert_eq!(actions, [Action::Spawn(id(1))]);
    assert_eq!(s.revise(id(1), late), Ok(Revision::AtNextStart));
    s.handle(2, Input::Start(id(0)));
    assert_eq!(s.definition(id(0)), Some(&other_disk), "the next start");
    assert_eq!(s.add(definition("mine", &[])), Ok(id(3)));
    assert_eq!(
        s.extend(definition("x", &[])),
        Err(DefinitionError::TooLate)
    );
}

#[test]
fn a_service_is_forgotten_once_it_has_ended_and_its_place_is_anothers() {
    let never = |_: &ServiceDef| false;
    let mut s = chain();
    let (d, e) = (id(3), id(4));
    assert_eq!(s.add(definition("d", &[])), Ok(d));
    assert_eq!(s.add(definition("e", &["d"])), Ok(e));
    for (id, pid) in [(d, 7), (e, 8)] {
        s.handle(0, Input::Start(id));
        s.handle(0, Input::Spawned(id, pid));
        s.handle(0, Input::Execed(pid));
    }
    // The services that need it end first. Built-in services are not unloaded.
    s.handle(1, Input::Unload(id(0)));
    assert_eq!(s.handle(1, Input::Unload(d)), [Action::Terminate(e, 8)]);
    assert_eq!(s.unload(never), []);
    assert_eq!(
        s.handle(2, Input::Exited(8, EXIT_0)),
        [Action::Terminate(d, 7)]
    );
    assert_eq!(s.unload(never), []);
    s.handle(3, Input::Exited(7, EXIT_0));
    assert_eq!(s.unload(|def| def.name == "d"), [], "it is kept");
    s.handle(4, Input::Unload(d));
    let gone = s.unload(never).into_iter().map(|(id, def)| (id, def.name));
    assert_eq!(gone.collect::<Vec<_>>(), [(d, "d")]);
    assert_eq!(
        (s.find("d"), s.definition(d), s.is_user_service(d)),
        (None, None, false)
    );
    assert!(s.ids().eq([0, 1, 2, 4].map(id)) && s.find("e") == Some(e));
    // Service `e`, which needs `d`, waits for the next service of that name.
    for input in [
        Input::Start(d),
        Input::Spawned(d, 9),
        Input::Unload(d),
        Input::Start(e),
    ] {
        assert_eq!(s.handle(5, input), [], "{input:?}");
    }
    assert_eq!((s.state(d), s.state(e)), (State::Off, State::Waiting));
    assert_eq!(s.add(definition("f", &[])), Ok(d));
    assert_eq!(s.add(definition("d", &[])), Ok(id(5)));
    assert_eq!(s.handle(6, Input::Start(e)), [Action::Spawn(id(5))]);
}

#[test]
fn a_start_cancels_a_requested_unload() {
    let mut s = chain();
    let d = id(3);
    assert_eq!(s.add(definition("d", &[])), Ok(d));
    s.handle(0, Input::Start(d));
    s.handle(0, Input::Spawned(d, 7));
    s.handle(1, Input::Unload(d));
    s.handle(2, Input::Start(d));
    assert_eq!(s.handle(3, Input::Exited(7, EXIT_0)), [Action::Spawn(d)]);
    s.handle(3, Input::SpawnFailed(d));
    assert!(s.unload(|_| false).is_empty() && s.find("d") == Some(d));
}

#[test]
fn more_names_than_places_in_one_uptime() {
    let mut s = chain();
    for n in 0..2 * MAX_USER_SERVICES {
        let added = s.add(definition(format!("s{n}").leak(), &[]));
        assert_eq!(added, Ok(id(3)));
        s.handle(0, Input::Unload(id(3)));
        assert_eq!(s.unload(|_| false).len(), 1);
    }
}
