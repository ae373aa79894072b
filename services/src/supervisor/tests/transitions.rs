//! Every state times every event: what comes next, and what is to be done. A new
//! state or event does not compile before it has its place in here.

use super::id;
use crate::service::{KillMode, ReadyWhen, Restart, Socket};
use crate::supervisor::*;

const NOW: Millis = 60;
const T: ServiceId = ServiceId::new(0);
const NEED: ServiceId = ServiceId::new(1);
const USER: ServiceId = ServiceId::new(2);
const ENDED: ExitStatus = ExitStatus::Exited(3);

/// What is looked at, what it needs, and what needs it.
fn rows() -> Vec<ServiceDef> {
    let row = |name, needs| ServiceDef {
        name,
        needs,
        ..ServiceDef::DEFAULT
    };
    vec![
        ServiceDef {
            kill: KillMode::Cgroup,
            ..row("t", &["need"])
        },
        row("need", &[]),
        row("user", &["t"]),
    ]
}

/// A world in which `T` is in `state`, and stays as it is but for the event:
/// `Waiting` for something that will not come, `leaving` with something that
/// still needs it.
fn world(state: State, leaving: bool) -> Supervisor {
    let mut s = Supervisor::new(rows());
    s.slots[NEED.index()].state = match state {
        State::Waiting => State::Failed,
        _ => State::Done,
    };
    if leaving {
        s.slots[USER.index()].state = State::Stopping {
            pid: 11,
            kill_at: 1_000_000,
            again: false,
        };
    }
    s.slots[T.index()].state = state;
    s.slots[T.index()].leaving = leaving;
    s
}

/// Every state, each naming the one after it.
fn after(state: Option<State>) -> Option<State> {
    let pid = 7;
    let stopping = |again| State::Stopping {
        pid,
        kill_at: 50,
        again,
    };
    Some(match state {
        None => State::Off,
        Some(State::Off) => State::Waiting,
        Some(State::Waiting) => State::Armed,
        Some(State::Armed) => State::Spawning,
        Some(State::Spawning) => State::Starting { pid, since: 5 },
        Some(State::Starting { .. }) => State::Up { pid, since: 5 },
        Some(State::Up { .. }) => stopping(false),
        Some(State::Stopping { again: false, .. }) => stopping(true),
        Some(State::Stopping { again: true, .. }) => State::Delayed { until: 50 },
        Some(State::Delayed { .. }) => State::Done,
        Some(State::Done) => State::Failed,
        Some(State::Failed) => return None,
    })
}

/// Every event, each naming the one after it.
fn next(event: Option<Event>) -> Option<Event> {
    Some(match event {
        None => Event::Start(T),
        Some(Event::Start(_)) => Event::Stop(T),
        Some(Event::Stop(_)) => Event::StopAll,
        Some(Event::StopAll) => Event::Restart(T),
        Some(Event::Restart(_)) => Event::Spawned(T, 7),
        Some(Event::Spawned(..)) => Event::SpawnFailed(T),
        Some(Event::SpawnFailed(_)) => Event::Execed(7),
        Some(Event::Execed(_)) => Event::Ready(7),
        Some(Event::Ready(_)) => Event::Connection(T),
        Some(Event::Connection(_)) => Event::Exited(7, ENDED),
        Some(Event::Exited(..)) => Event::Tick,
        Some(Event::Tick) => return None,
    })
}

fn states() -> impl Iterator<Item = State> {
    std::iter::successors(after(None), |s| after(Some(*s)))
}

fn events() -> impl Iterator<Item = Event> {
    std::iter::successors(next(None), |e| next(Some(*e)))
}

type Outcome = (State, bool, Vec<Action>);

/// The table. `leaving` comes with the four states that can be left later.
fn expected(state: State, leaving: bool, event: Event) -> Outcome {
    use Event as E;
    use State as S;
    let same = (state, leaving, vec![]);
    let begun = (S::Spawning, false, vec![Action::Spawn(T)]);
    let off = (S::Off, false, vec![]);
    let delayed = S::Delayed { until: NOW + 100 };
    let stopping = |pid, again| {
        let kill_at = NOW + 3_000;
        S::Stopping {
            pid,
            kill_at,
            again,
        }
    };
    let told = |pid, again| (stopping(pid, again), false, vec![Action::Terminate(T, pid)]);
    let ended = |status, again| Action::SayEnded(T, status, again);
    let not_run = ExitStatus::Exited(126);
    match state {
        S::Off => match event {
            E::Start(_) | E::Restart(_) => begun,
            E::Stop(_) | E::StopAll | E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) => same,
            E::Ready(_) | E::Connection(_) | E::Exited(..) | E::Tick => same,
        },
        S::Waiting => match event {
            E::Stop(_) | E::StopAll => off,
            E::Start(_) | E::Restart(_) | E::Spawned(..) | E::SpawnFailed(_) => same,
            E::Execed(_) | E::Ready(_) | E::Connection(_) | E::Exited(..) | E::Tick => same,
        },
        S::Armed => match event {
            E::Start(_) | E::Restart(_) => (state, false, vec![]),
            E::Stop(_) | E::StopAll if leaving => same,
            E::Stop(_) | E::StopAll => (S::Off, false, vec![Action::Unwatch(T)]),
            E::Connection(_) => {
                let todo = vec![Action::Unwatch(T), Action::Spawn(T)];
                (S::Spawning, leaving, todo)
            }
            E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) | E::Ready(_) => same,
            E::Exited(..) | E::Tick => same,
        },
        S::Spawning => match event {
            E::Start(_) | E::Restart(_) => (state, false, vec![]),
            E::Stop(_) | E::StopAll => (state, true, vec![]),
            E::Spawned(_, pid) => (S::Starting { pid, since: NOW }, leaving, vec![]),
            E::SpawnFailed(_) if leaving => (S::Off, false, vec![ended(not_run, None)]),
            E::SpawnFailed(_) => (delayed, false, vec![ended(not_run, Some(100))]),
            E::Execed(_) | E::Ready(_) | E::Connection(_) | E::Exited(..) | E::Tick => same,
        },
        S::Starting { pid, .. } | S::Up { pid, .. } => match event {
            E::Start(_) => (state, false, vec![]),
            E::Restart(_) => told(pid, true),
            E::Stop(_) | E::StopAll if leaving => same,
            E::Stop(_) | E::StopAll => told(pid, false),
            E::Execed(_) if matches!(state, S::Starting { .. }) => {
                let up = S::Up { pid, since: 5 };
                (up, leaving, vec![Action::SayReady(T)])
            }
            E::Exited(_, status) if leaving => {
                let todo = vec![Action::Clean(T), ended(status, None)];
                (S::Off, false, todo)
            }
            E::Exited(_, status) => {
                let todo = vec![Action::Clean(T), ended(status, Some(100))];
                (delayed, false, todo)
            }
            E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) | E::Ready(_) => same,
            E::Connection(_) | E::Tick => same,
        },
        S::Stopping {
            pid,
            kill_at,
            again,
        } => {
            let with = |again| {
                let state = S::Stopping {
                    pid,
                    kill_at,
                    again,
                };
                (state, false, vec![])
            };
            match event {
                E::Start(_) | E::Restart(_) => with(true),
                E::Stop(_) | E::StopAll => with(false),
                E::Exited(_, status) if again => {
                    let end = ended(status, Some(0));
                    let todo = vec![Action::Clean(T), end, Action::Spawn(T)];
                    (S::Spawning, false, todo)
                }
                E::Exited(_, status) => {
                    let todo = vec![Action::Clean(T), ended(status, None)];
                    (S::Off, false, todo)
                }
                E::Tick => (stopping(pid, again), false, vec![Action::Kill(T, pid)]),
                E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) | E::Ready(_) => same,
                E::Connection(_) => same,
            }
        }
        S::Delayed { .. } => match event {
            E::Start(_) | E::Restart(_) | E::Tick => begun,
            E::Stop(_) | E::StopAll => off,
            E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) | E::Ready(_) => same,
            E::Connection(_) | E::Exited(..) => same,
        },
        S::Done | S::Failed => match event {
            E::Start(_) | E::Restart(_) => begun,
            E::Stop(_) => off,
            E::StopAll | E::Spawned(..) | E::SpawnFailed(_) | E::Execed(_) => same,
            E::Ready(_) | E::Connection(_) | E::Exited(..) | E::Tick => same,
        },
    }
}

fn check(state: State, leaving: bool, event: Event) {
    let mut s = world(state, leaving);
    let todo = s.handle(NOW, event);
    let outcome = (s.state(T), s.slots[T.index()].leaving, todo);
    let expected = expected(state, leaving, event);
    assert_eq!(outcome, expected, "{state:?}, {leaving}, {event:?}");
    assert_eq!(s.deadline().is_some_and(|at| at <= NOW), {
        // Only the tick takes what is due.
        let due = matches!(
            outcome.0,
            State::Stopping { kill_at: 50, .. } | State::Delayed { until: 50 }
        );
        due && event != Event::Tick
    });
}

#[test]
fn every_state_and_every_event() {
    let mut cases = 0;
    for state in states() {
        for event in events() {
            check(state, false, event);
            cases += 1;
        }
    }
    assert_eq!(cases, 11 * 11);
}

#[test]
fn every_event_for_one_that_is_to_leave() {
    let stays = |s: &State| s.active() && !matches!(s, State::Stopping { .. });
    let mut cases = 0;
    for state in states().filter(stays) {
        for event in events() {
            check(state, true, event);
            cases += 1;
        }
    }
    assert_eq!(cases, 4 * 11);
}

/// And when nothing needs it any more, it does.
#[test]
fn the_last_user_takes_it_along() {
    for state in states().filter(|s| s.active() && s.pid().is_none_or(|p| p == 7)) {
        let mut s = world(state, true);
        let todo = s.handle(NOW, Event::Exited(11, ENDED));
        let gone = Action::SayEnded(USER, ENDED, None);
        let (next, more) = match state {
            State::Armed => (State::Off, vec![Action::Unwatch(T)]),
            State::Starting { pid, .. } | State::Up { pid, .. } => {
                let next = State::Stopping {
                    pid,
                    kill_at: NOW + 3_000,
                    again: false,
                };
                (next, vec![Action::Terminate(T, pid)])
            }
            _ => (state, vec![]),
        };
        let todo_expected: Vec<_> = [gone].into_iter().chain(more).collect();
        if !matches!(state, State::Stopping { .. }) {
            assert_eq!((s.state(T), todo), (next, todo_expected), "{state:?}");
        }
    }
}

#[test]
fn what_concerns_nobody_changes_nothing() {
    let strangers = [
        Event::Start(id(99)),
        Event::Stop(id(99)),
        Event::Restart(id(99)),
        Event::Spawned(id(99), 7),
        Event::SpawnFailed(id(99)),
        Event::Execed(8),
        Event::Ready(8),
        Event::Connection(id(99)),
        Event::Exited(8, ENDED),
        Event::Exited(0, ENDED),
        Event::Exited(-1, ENDED),
    ];
    for state in states() {
        for event in strangers {
            let mut s = world(state, false);
            assert_eq!(s.handle(NOW, event), [], "{state:?} {event:?}");
            assert_eq!(s.state(T), state, "{event:?}");
        }
    }
}

/// Kind of readiness, what was heard, whether it is ready then.
#[test]
fn who_is_ready_by_what() {
    let table = [
        (ReadyWhen::Exec, Event::Execed(7), true),
        (ReadyWhen::Exec, Event::Ready(7), false),
        (ReadyWhen::Notify, Event::Execed(7), false),
        (ReadyWhen::Notify, Event::Ready(7), true),
        (ReadyWhen::Fd(4), Event::Execed(7), false),
        (ReadyWhen::Fd(4), Event::Ready(7), true),
        (ReadyWhen::Exit, Event::Execed(7), false),
        (ReadyWhen::Exit, Event::Ready(7), false),
    ];
    for (ready, event, up) in table {
        let mut s = world(State::Starting { pid: 7, since: 5 }, false);
        s.slots[T.index()].def.ready = ready;
        let said = s.handle(NOW, event).contains(&Action::SayReady(T));
        let is_up = matches!(s.state(T), State::Up { .. });
        assert_eq!((said, is_up), (up, up), "{ready:?} {event:?}");
    }
}

/// How it ended, and what becomes of it by its row.
#[test]
fn what_becomes_of_one_that_ended() {
    const SOCKET: Option<Socket> = Some(Socket {
        path: "/x",
        mode: 0o600,
        gid: 0,
        datagram: false,
        on_demand: true,
    });
    let [good, bad, killed] = [
        ExitStatus::Exited(0),
        ExitStatus::Exited(1),
        ExitStatus::Killed(34),
    ];
    let no_more = ExitStatus::Exited(125);
    let (idle, soon) = (1_000, 999);
    let table = [
        // restart, status, ready, socket, ran; state
        (
            Restart::Always,
            good,
            ReadyWhen::Exec,
            None,
            idle,
            "delayed",
        ),
        (Restart::Always, bad, ReadyWhen::Exec, None, idle, "delayed"),
        (
            Restart::Always,
            killed,
            ReadyWhen::Exec,
            None,
            idle,
            "delayed",
        ),
        (
            Restart::Always,
            no_more,
            ReadyWhen::Exec,
            None,
            idle,
            "failed",
        ),
        (
            Restart::OnFailure,
            good,
            ReadyWhen::Exec,
            None,
            idle,
            "done",
        ),
        (
            Restart::OnFailure,
            bad,
            ReadyWhen::Exec,
            None,
            idle,
            "delayed",
        ),
        (
            Restart::OnFailure,
            killed,
            ReadyWhen::Exec,
            None,
            idle,
            "delayed",
        ),
        (
            Restart::OnFailure,
            no_more,
            ReadyWhen::Exec,
            None,
            idle,
            "failed",
        ),
        (Restart::Never, good, ReadyWhen::Exec, None, idle, "done"),
        (Restart::Never, bad, ReadyWhen::Exec, None, idle, "failed"),
        (
            Restart::Never,
            killed,
            ReadyWhen::Exec,
            None,
            idle,
            "failed",
        ),
        (
            Restart::Never,
            no_more,
            ReadyWhen::Exec,
            None,
            idle,
            "failed",
        ),
        (
            Restart::OnFailure,
            good,
            ReadyWhen::Exit,
            None,
            soon,
            "done",
        ),
        (
            Restart::OnFailure,
            bad,
            ReadyWhen::Exit,
            None,
            soon,
            "delayed",
        ),
        (Restart::Never, good, ReadyWhen::Exit, None, soon, "done"),
        (
            Restart::Never,
            killed,
            ReadyWhen::Exit,
            None,
            soon,
            "failed",
        ),
        (
            Restart::Always,
            good,
            ReadyWhen::Exec,
            SOCKET,
            idle,
            "armed",
        ),
        (
            Restart::Always,
            good,
            ReadyWhen::Exec,
            SOCKET,
            soon,
            "delayed",
        ),
        (
            Restart::Always,
            bad,
            ReadyWhen::Exec,
            SOCKET,
            idle,
            "delayed",
        ),
        (
            Restart::Always,
            no_more,
            ReadyWhen::Exec,
            SOCKET,
            idle,
            "failed",
        ),
        (Restart::Never, good, ReadyWhen::Exec, SOCKET, idle, "done"),
    ];
    for (restart, status, ready, socket, ran, word) in table {
        let mut s = world(State::Starting { pid: 7, since: NOW }, false);
        let row = &mut s.slots[T.index()].def;
        (row.restart, row.ready, row.socket) = (restart, ready, socket);
        let todo = s.handle(NOW + ran, Event::Exited(7, status));
        let case = format!(
            "{restart:?} {status:?} {ready:?} {ran} {}",
            socket.is_some()
        );
        assert_eq!(s.state(T).word(), word, "{case}");
        let ready_now = todo.contains(&Action::SayReady(T));
        let good = word == "armed" || (word == "done" && ready == ReadyWhen::Exit);
        assert_eq!(ready_now, good, "{case}");
        assert_eq!(s.last_exit(T), Some(status), "{case}");
    }
}

#[test]
fn every_state_has_a_word_of_its_own() {
    let mut words: Vec<_> = states().map(State::word).collect();
    words.dedup(); // Stopping is there twice
    assert_eq!(words.len(), 10);
    assert!(states().all(|s| !(s.active() && s.at_rest())));
}
