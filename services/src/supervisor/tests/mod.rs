// SPDX-License-Identifier: Apache-2.0
//! Tests of the supervisor, by theme, and the tables of services that they share.

mod binding;
mod histories;
mod lifecycle;
mod ordering;
mod policies;
mod recovery;
mod requests;
mod steps;
mod table;
mod transitions;

use super::*;
use crate::service::{ReadyWhen, Restart, Socket};
use crate::state::Revision;

const SOCKET: Socket = Socket {
    path: "/x",
    mode: 0o600,
    uid: 0,
    gid: 0,
    datagram: false,
    on_demand: true,
};

const KEY: ServiceId = ServiceId::new(0);
const SSHD: ServiceId = ServiceId::new(1);
const PODMAN: ServiceId = ServiceId::new(2);
const ONCE: ServiceId = ServiceId::new(3);

const EXIT_0: ExitStatus = ExitStatus::Exited(0);

fn id(index: usize) -> ServiceId {
    ServiceId::new(index)
}

fn definition(name: &'static str, needs: &'static [&'static str]) -> ServiceDef {
    ServiceDef {
        name,
        needs,
        gates_ready: true,
        ..ServiceDef::DEFAULT
    }
}

/// A one-shot, a service that needs the one-shot, a service with a socket, and a service that is
/// started once.
fn machine() -> Supervisor {
    Supervisor::new(vec![
        ServiceDef {
            ready: ReadyWhen::Exit,
            restart: Restart::OnFailure,
            ..definition("key", &[])
        },
        ServiceDef {
            ready: ReadyWhen::Notify,
            ..definition("sshd", &["key"])
        },
        ServiceDef {
            socket: Some(SOCKET),
            ..definition("podman", &[])
        },
        ServiceDef {
            restart: Restart::Never,
            ..definition("once", &[])
        },
    ])
}

/// `machine()` with sshd requested.
fn started() -> Supervisor {
    let mut s = machine();
    assert_eq!(s.handle(0, Input::Start(KEY)), [Action::Spawn(KEY)]);
    assert_eq!(s.handle(0, Input::Start(SSHD)), []);
    s
}

/// `machine()` with sshd up.
fn sshd_up() -> Supervisor {
    let mut s = started();
    s.handle(1, Input::Spawned(KEY, 10));
    s.handle(2, Input::Exited(10, EXIT_0));
    s.handle(3, Input::Spawned(SSHD, 11));
    s.handle(4, Input::Ready(11));
    assert_eq!(
        s.state(SSHD),
        State::Up {
            pid: 11,
            started: 3
        }
    );
    s
}

/// `machine()` with podman's socket watched.
fn podman_armed() -> Supervisor {
    let mut s = machine();
    assert_eq!(s.handle(0, Input::Start(PODMAN)), [Action::Watch(PODMAN)]);
    assert_eq!(s.note(0, Input::Watching(PODMAN)), [Change::Ready(PODMAN)]);
    s
}

/// `a`, `b` that needs it, `c` that needs `b`; all up, with pids from 100.
fn chain() -> Supervisor {
    let mut s = Supervisor::new(vec![
        definition("a", &[]),
        definition("b", &["a"]),
        definition("c", &["b"]),
    ]);
    s.handle(0, Input::Start(id(2)));
    for (id, pid) in [(id(0), 100), (id(1), 101), (id(2), 102)] {
        assert_eq!(s.state(id), State::Spawning);
        s.handle(1, Input::Spawned(id, pid));
        s.handle(2, Input::Execed(pid));
    }
    s
}
