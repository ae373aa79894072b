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
fn nobody_waits_for_itself() {
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
fn so_many_services_and_changes_and_no_more() {
    let mut s = chain();
    let numbered = |n: usize| definition(format!("s{n}").leak(), &[]);
    let added = (0..300).filter(|n| s.add(numbered(*n)).is_ok()).count();
    assert_eq!(added, MAX_USER_SERVICES);
    let replaced = (0..2_000).filter(|_| s.add(numbered(0)).is_ok()).count();
    assert_eq!(added + replaced, MAX_ADDED);
    assert_eq!(s.add(numbered(0)), Err(DefinitionError::TooManyChanges));
    let s = Supervisor::new((0..300).map(numbered).collect());
    let invalid = s.ids().filter(|id| s.invalid(*id).is_some()).count();
    assert_eq!(invalid, 300 - graph::MAX_SERVICES);
}

/// The texts of a definition that is refused are never freed either.
#[test]
fn refused_definitions_count() {
    let mut s = chain();
    for _ in 0..MAX_ADDED {
        let refused = s.add(definition("loop", &["loop"]));
        assert_eq!(refused, Err(DefinitionError::NeedsItself));
    }
    assert_eq!(s.may_add("mine"), Err(DefinitionError::TooManyChanges));
}

#[test]
fn a_definition_is_revised_until_it_starts_and_one_more_is_taken() {
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
    assert!(s.revise(new) && s.definition(id(1)) == Some(&new));
    let needy = ServiceDef {
        needs: &["disk"],
        ..late
    };
    assert!(!s.revise(needy), "what it needs is known from the start");
    s.handle(0, Input::Spawned(id(0), 7));
    let other_disk = ServiceDef {
        argv: &["/x"],
        ..disk
    };
    assert!(!s.revise(other_disk), "it runs");
    let more = ServiceDef {
        name: "more",
        ..late
    };
    assert_eq!(s.extend(more), Ok(id(2)));
    assert_eq!(s.extend(more), Err(DefinitionError::NameTaken));
    assert!(!s.is_user_service(id(2)));
    let actions = s.handle(1, Input::Exited(7, EXIT_0));
    assert_eq!(actions, [Action::Spawn(id(1))]);
    assert!(!s.revise(late), "it begins");
    assert_eq!(s.add(definition("mine", &[])), Ok(id(3)));
    assert_eq!(
        s.extend(definition("x", &[])),
        Err(DefinitionError::TooLate)
    );
}
