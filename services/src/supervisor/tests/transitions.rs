// SPDX-License-Identifier: Apache-2.0
//! Table of every state and every input, phase by phase: the state, the changes and the request for
//! a stop after the note; the state and the actions after settling. A new state or input does not
//! compile without a row of the table.

use super::*;
use crate::service::KillMode;

pub(super) const NOW: Millis = 60;
pub(super) const TESTED: ServiceId = ServiceId::new(0);
const NEED: ServiceId = ServiceId::new(1);
const DEPENDENT: ServiceId = ServiceId::new(2);
const STATUS: ExitStatus = ExitStatus::Exited(3);

/// The tested service, a service that it needs, and a service that needs it.
fn definitions() -> Vec<ServiceDef> {
    vec![
        ServiceDef {
            kill: KillMode::Cgroup,
            ..definition("tested", &["need"])
        },
        definition("need", &[]),
        definition("dependent", &["tested"]),
    ]
}

/// A supervisor in which `TESTED` is in `state` and settling alone changes nothing: a `Waiting`
/// service waits for a failed service, and with `stop_requested` a stopping service still needs the
/// tested one.
pub(super) fn supervisor(state: State, stop_requested: bool) -> Supervisor {
    let mut s = Supervisor::new(definitions());
    s.records[NEED.index()].state = match state {
        State::Waiting => State::Failed,
        _ => State::Done,
    };
    if stop_requested {
        s.records[DEPENDENT.index()].state = State::Stopping {
            pid: 11,
            kill_at: 1_000_000,
            again: false,
        };
    }
    s.records[TESTED.index()].state = state;
    s.records[TESTED.index()].stop_requested = stop_requested;
    s
}

fn stopping(kill_at: Millis, again: bool) -> State {
    State::Stopping {
        pid: 7,
        kill_at,
        again,
    }
}

/// Every state, each naming the next one.
fn next_state(state: Option<State>) -> Option<State> {
    Some(match state {
        None => State::Off,
        Some(State::Off) => State::Waiting,
        Some(State::Waiting) => State::Armed,
        Some(State::Armed) => State::Spawning,
        Some(State::Spawning) => State::Starting { pid: 7, started: 5 },
        Some(State::Starting { pid, started }) => State::Up { pid, started },
        Some(State::Up { .. }) => stopping(50, false),
        Some(State::Stopping { again: false, .. }) => stopping(50, true),
        Some(State::Stopping { again: true, .. }) => State::Delayed { until: 50 },
        Some(State::Delayed { .. }) => State::Done,
        Some(State::Done) => State::Failed,
        Some(State::Failed) => return None,
    })
}

/// Every input, each naming the next one.
fn next_input(input: Option<Input>) -> Option<Input> {
    Some(match input {
        None => Input::Start(TESTED),
        Some(Input::Start(_)) => Input::Stop(TESTED),
        Some(Input::Stop(_)) => Input::StopAll,
        Some(Input::StopAll) => Input::Restart(TESTED),
        Some(Input::Restart(_)) => Input::ResetFailed(TESTED),
        Some(Input::ResetFailed(_)) => Input::Unload(TESTED),
        Some(Input::Unload(_)) => Input::Spawned(TESTED, 7),
        Some(Input::Spawned(..)) => Input::SpawnFailed(TESTED),
        Some(Input::SpawnFailed(_)) => Input::Watching(TESTED),
        Some(Input::Watching(_)) => Input::WatchFailed(TESTED),
        Some(Input::WatchFailed(_)) => Input::Unwatched(TESTED),
        Some(Input::Unwatched(_)) => Input::Execed(7),
        Some(Input::Execed(_)) => Input::Ready(7),
        Some(Input::Ready(_)) => Input::Connection(TESTED),
        Some(Input::Connection(_)) => Input::Exited(7, STATUS),
        Some(Input::Exited(..)) => Input::Tick,
        Some(Input::Tick) => return None,
    })
}

fn states() -> impl Iterator<Item = State> {
    std::iter::successors(next_state(None), |s| next_state(Some(*s)))
}

fn inputs() -> impl Iterator<Item = Input> {
    std::iter::successors(next_input(None), |e| next_input(Some(*e)))
}

/// Result of an input for the tested service.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    noted: State,
    changes: Vec<Change>,
    stop_requested: bool,
    settled: State,
    actions: Vec<Action>,
}

impl Outcome {
    /// The note leads to `state`, which settling leaves alone.
    fn noted(state: State) -> Outcome {
        Outcome {
            noted: state,
            changes: vec![],
            stop_requested: false,
            settled: state,
            actions: vec![],
        }
    }

    fn changes(self, changes: &[Change]) -> Outcome {
        let changes = changes.to_vec();
        Outcome { changes, ..self }
    }

    fn actions(self, actions: &[Action]) -> Outcome {
        let actions = actions.to_vec();
        Outcome { actions, ..self }
    }

    fn settled(self, settled: State) -> Outcome {
        Outcome { settled, ..self }
    }

    fn stop_requested(self, stop_requested: bool) -> Outcome {
        Outcome {
            stop_requested,
            ..self
        }
    }
}

/// The note leads to `Waiting`, and settling starts the service.
fn started() -> Outcome {
    let waiting = Outcome::noted(State::Waiting);
    waiting
        .settled(State::Spawning)
        .actions(&[Action::Spawn(TESTED)])
}

fn delayed(status: ExitStatus) -> Outcome {
    let changes = [Change::AutoRestart {
        id: TESTED,
        status,
        delay_ms: 15,
    }];
    Outcome::noted(State::Delayed { until: NOW + 15 }).changes(&changes)
}

fn ended(status: ExitStatus) -> Outcome {
    Outcome::noted(State::Off).changes(&[Change::Ended(TESTED, status)])
}

/// The table. `stop_requested` occurs with the four states that can be stopped later.
fn expected(state: State, stop_requested: bool, input: Input) -> Outcome {
    use Input as I;
    use State as S;
    let same = Outcome::noted(state).stop_requested(stop_requested);
    let kept = Outcome::noted(state);
    let cancelled = Outcome::noted(S::Off).changes(&[Change::Cancelled(TESTED)]);
    let clean = Action::KillRemaining(TESTED);
    match state {
        S::Off => match input {
            I::Start(_) | I::Restart(_) => started(),
            I::Stop(_) | I::StopAll | I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) => same,
            I::Ready(_) | I::Connection(_) | I::Exited(..) | I::Tick => same,
            I::Watching(_) | I::WatchFailed(_) | I::ResetFailed(_) | I::Unload(_) => same,
            I::Unwatched(_) => cancelled,
        },
        S::Waiting => match input {
            I::Stop(_) | I::StopAll => cancelled,
            I::Start(_) | I::Restart(_) | I::Spawned(..) | I::SpawnFailed(_) => same,
            I::Execed(_) | I::Ready(_) | I::Connection(_) | I::Exited(..) | I::Tick => same,
            I::Watching(_) | I::WatchFailed(_) | I::ResetFailed(_) | I::Unload(_) => same,
            I::Unwatched(_) => same,
        },
        S::Armed => match input {
            I::Start(_) | I::Restart(_) => kept,
            I::Stop(_) | I::StopAll if stop_requested => same,
            I::Stop(_) | I::StopAll => {
                // [`Change::Cancelled`] follows the answer to the action.
                let requested = kept.stop_requested(true);
                requested
                    .settled(S::Off)
                    .actions(&[Action::Unwatch(TESTED)])
            }
            I::Connection(_) => Outcome::noted(S::Spawning)
                .stop_requested(stop_requested)
                .actions(&[Action::Unwatch(TESTED), Action::Spawn(TESTED)]),
            I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) | I::Ready(_) | I::Unload(_) => same,
            I::Watching(_) | I::WatchFailed(_) | I::Exited(..) | I::Tick => same,
            I::ResetFailed(_) | I::Unwatched(_) => same,
        },
        S::Spawning => match input {
            I::Start(_) | I::Restart(_) => kept,
            I::Stop(_) | I::StopAll => kept.stop_requested(true),
            I::Spawned(_, pid) => {
                let starting = S::Starting { pid, started: NOW };
                Outcome::noted(starting).stop_requested(stop_requested)
            }
            I::SpawnFailed(_) | I::WatchFailed(_) if stop_requested => {
                Outcome::noted(S::Off).changes(&[Change::NotStarted(TESTED)])
            }
            I::SpawnFailed(_) | I::WatchFailed(_) => Outcome::noted(S::Delayed { until: NOW + 15 })
                .changes(&[Change::StartDelayed {
                    id: TESTED,
                    delay_ms: 15,
                }]),
            I::Watching(_) => Outcome::noted(S::Armed)
                .stop_requested(stop_requested)
                .changes(&[Change::Ready(TESTED)]),
            I::Execed(_) | I::Ready(_) | I::Connection(_) | I::Exited(..) => same,
            I::Tick | I::ResetFailed(_) | I::Unload(_) | I::Unwatched(_) => same,
        },
        S::Starting { pid, .. } | S::Up { pid, .. } => match input {
            I::Start(_) => kept,
            I::Restart(_) => {
                let restarting = Outcome::noted(stopping(NOW + 3_000, true));
                restarting.actions(&[Action::Terminate(TESTED, pid)])
            }
            I::Stop(_) | I::StopAll if stop_requested => same,
            I::Stop(_) | I::StopAll => kept
                .stop_requested(true)
                .settled(stopping(NOW + 3_000, false))
                .actions(&[Action::Terminate(TESTED, pid)]),
            I::Execed(_) if matches!(state, S::Starting { .. }) => {
                Outcome::noted(S::Up { pid, started: 5 })
                    .stop_requested(stop_requested)
                    .changes(&[Change::Ready(TESTED)])
            }
            I::Exited(_, status) if stop_requested => ended(status).actions(&[clean]),
            I::Exited(_, status) => delayed(status).actions(&[clean]),
            I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) | I::Ready(_) | I::Unload(_) => same,
            I::Watching(_) | I::WatchFailed(_) | I::Connection(_) | I::Tick => same,
            I::ResetFailed(_) | I::Unwatched(_) => same,
        },
        S::Stopping {
            pid,
            kill_at,
            again,
        } => match input {
            I::Start(_) | I::Restart(_) => Outcome::noted(stopping(kill_at, true)),
            I::Stop(_) | I::StopAll => Outcome::noted(stopping(kill_at, false)),
            I::Exited(_, status) if again => started()
                .changes(&[Change::PlannedRestart(TESTED, status)])
                .actions(&[clean, Action::Spawn(TESTED)]),
            I::Exited(_, status) => ended(status).actions(&[clean]),
            I::Tick => {
                let killed = Outcome::noted(stopping(NOW + 3_000, again));
                killed.actions(&[Action::Kill(TESTED, pid)])
            }
            I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) | I::Ready(_) | I::Unload(_) => same,
            I::Watching(_) | I::WatchFailed(_) | I::Connection(_) | I::ResetFailed(_) => same,
            I::Unwatched(_) => same,
        },
        S::Delayed { .. } => match input {
            I::Start(_) | I::Restart(_) | I::Tick => started(),
            I::Stop(_) | I::StopAll => cancelled,
            I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) | I::Ready(_) | I::Unload(_) => same,
            I::Watching(_) | I::WatchFailed(_) | I::Connection(_) | I::Exited(..) => same,
            I::ResetFailed(_) | I::Unwatched(_) => same,
        },
        S::Done | S::Failed => match input {
            I::Start(_) | I::Restart(_) => started(),
            I::Stop(_) => cancelled,
            I::ResetFailed(_) if state == S::Failed => cancelled,
            I::StopAll | I::Spawned(..) | I::SpawnFailed(_) | I::Execed(_) => same,
            I::Ready(_) | I::Connection(_) | I::Exited(..) | I::Tick => same,
            I::Watching(_) | I::WatchFailed(_) | I::ResetFailed(_) | I::Unload(_) => same,
            I::Unwatched(_) => same,
        },
    }
}

fn check(state: State, stop_requested: bool, input: Input) {
    let mut s = supervisor(state, stop_requested);
    assert_eq!(s.settle(NOW), [], "{state:?} is at rest before the input");
    let changes = s.note(NOW, input);
    let (noted, stop_noted) = (s.state(TESTED), s.records[0].stop_requested);
    let actions = s.settle(NOW);
    let outcome = Outcome {
        noted,
        changes,
        stop_requested: stop_noted,
        settled: s.state(TESTED),
        actions,
    };
    let expected = expected(state, stop_requested, input);
    assert_eq!(outcome, expected, "{state:?}, {stop_requested}, {input:?}");
    assert_eq!(s.settle(NOW), [], "{state:?}, {input:?}: settled");
    // Only a tick handles due deadlines.
    let due = matches!(
        outcome.settled,
        State::Stopping { kill_at: 50, .. } | State::Delayed { until: 50 }
    );
    let overdue = s.deadline().is_some_and(|at| at <= NOW);
    assert_eq!(overdue, due && input != Input::Tick);
}

#[test]
fn every_state_and_every_event() {
    let mut cases = 0;
    for state in states() {
        for input in inputs() {
            check(state, false, input);
            cases += 1;
        }
    }
    assert_eq!(cases, 11 * 16);
}

#[test]
fn every_event_in_each_state_with_a_requested_stop() {
    let stoppable = |s: &State| s.uses_needs() && !matches!(s, State::Stopping { .. });
    let mut cases = 0;
    for state in states().filter(stoppable) {
        for input in inputs() {
            check(state, true, input);
            cases += 1;
        }
    }
    assert_eq!(cases, 4 * 16);
}

/// A service whose stop is requested stops with its last dependent.
#[test]
fn a_requested_stop_is_carried_out_after_the_last_dependent() {
    let stoppable = |s: &State| s.uses_needs() && !matches!(s, State::Stopping { .. });
    for state in states().filter(stoppable) {
        let mut s = supervisor(state, true);
        let changes = s.note(NOW, Input::Exited(11, STATUS));
        assert_eq!(changes, [Change::Ended(DEPENDENT, STATUS)]);
        assert_eq!(s.state(TESTED), state);
        let (next, actions) = match state {
            State::Armed => (State::Off, vec![Action::Unwatch(TESTED)]),
            State::Starting { pid, .. } | State::Up { pid, .. } => {
                let terminate = vec![Action::Terminate(TESTED, pid)];
                (stopping(NOW + 3_000, false), terminate)
            }
            _ => (state, vec![]),
        };
        assert_eq!(s.settle(NOW), actions, "{state:?}");
        assert_eq!(s.state(TESTED), next, "{state:?}");
    }
}

#[test]
fn inputs_of_unknown_services_and_processes_change_nothing() {
    let nobody = ServiceId::new(99);
    let strangers = [
        Input::Start(nobody),
        Input::Stop(nobody),
        Input::Restart(nobody),
        Input::ResetFailed(nobody),
        Input::Unload(nobody),
        Input::Spawned(nobody, 7),
        Input::SpawnFailed(nobody),
        Input::Watching(nobody),
        Input::WatchFailed(nobody),
        Input::Unwatched(nobody),
        Input::Execed(8),
        Input::Ready(8),
        Input::Connection(nobody),
        Input::Exited(8, STATUS),
        Input::Exited(0, STATUS),
        Input::Exited(-1, STATUS),
    ];
    for state in states() {
        for input in strangers {
            let mut s = supervisor(state, false);
            assert_eq!(s.note(NOW, input), [], "{state:?} {input:?}");
            assert_eq!(s.settle(NOW), [], "{state:?} {input:?}");
            assert_eq!(s.state(TESTED), state, "{input:?}");
        }
    }
}

#[test]
fn every_state_has_a_word_of_its_own() {
    let mut words: Vec<_> = states().map(State::word).collect();
    words.dedup(); // `Stopping` occurs twice
    assert_eq!(words.len(), 10);
    assert!(states().all(|s| !(s.uses_needs() && s.at_rest())));
}
