//! The manager with real children, in a loop as PID 1's is. A program of its own:
//! what is reaped here is every child of the process.
#![expect(unsafe_code, reason = "poll(2)")]
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "a child that is none of its own")]

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Instant;

use services::manager::LoadError;
use services::service_file::FileErrors;
use services::supervisor::DefinitionError;
use services::{
    Event, KillMode, Manager, Millis, ReadyWhen, Restart, ServiceDef, ServiceId, ServiceStatus,
    Socket, State, reap,
};

static ONE: Mutex<()> = Mutex::new(());
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> Millis {
    1_000_000 + START.elapsed().as_millis() as Millis
}

fn sink(name: &str, line: &[u8]) {
    let line = format!("{name}: {}", String::from_utf8_lossy(line));
    SAID.lock().unwrap().push(line);
}

/// What the manager itself says, beside what the services do.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        SAID.lock().unwrap().push(format!("{}", record.args()));
    }

    fn flush(&self) {}
}

fn said(text: &str) -> bool {
    SAID.lock().unwrap().iter().any(|l| l == text)
}

/// One manager at a time, and a directory that looks like a cgroup's.
struct World {
    m: Manager,
    turns: usize,
    groups: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl World {
    fn new(rows: Vec<ServiceDef>) -> World {
        let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
        SAID.lock().unwrap().clear();
        if log::set_logger(&Log).is_ok() {
            log::set_max_level(log::LevelFilter::Warn);
        }
        let groups = std::env::temp_dir().join(format!("manager-{}", std::process::id()));
        let _ = fs::remove_dir_all(&groups);
        World::within(one, groups, rows)
    }

    fn within(one: MutexGuard<'static, ()>, groups: PathBuf, rows: Vec<ServiceDef>) -> World {
        let real = groups.join("cgroup.procs").exists();
        for row in rows.iter().filter(|_| !real) {
            fs::create_dir_all(groups.join(row.name)).unwrap();
            for file in ["cgroup.procs", "cgroup.kill", "cgroup.freeze", "memory.max"] {
                fs::write(groups.join(row.name).join(file), "").unwrap();
            }
        }
        let m = Manager::new(rows, Some(&groups), sink);
        World {
            m,
            turns: 0,
            groups,
            _one: one,
        }
    }

    fn event(&mut self, event: Event) {
        self.m.note(now(), event);
        self.m.settle_all(now());
    }

    fn report(&self) -> Vec<ServiceStatus> {
        let s = &self.m.supervisor;
        s.ids().map(|id| ServiceStatus::of(s, id)).collect()
    }

    fn state(&self, id: ServiceId) -> State {
        self.m.supervisor.state(id)
    }

    /// One turn, no longer than `most` milliseconds.
    fn turn(&mut self, most: Millis) {
        self.turns += 1;
        let wait = self
            .m
            .deadline()
            .map_or(most, |at| at.saturating_sub(now()) + 1);
        let (tokens, mut fds): (Vec<_>, Vec<_>) = self
            .m
            .watched()
            .iter()
            .map(|(token, fd)| {
                let fd = libc::pollfd {
                    fd: fd.as_raw_fd(),
                    events: libc::POLLIN,
                    revents: 0,
                };
                (*token, fd)
            })
            .unzip();
        // There is no signalfd here, so children are looked for every few ms.
        let wait = wait.min(most).min(5) as i32;
        // SAFETY: the array outlives the call.
        unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, wait) };
        let readable = tokens
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.revents != 0);
        for (token, _) in readable.collect::<Vec<_>>() {
            self.m.readable(now(), token);
        }
        while reap::drain(|pid, status| {
            self.m.exited(now(), pid, status);
        }) {}
        self.m.tick(now());
        self.m.settle_all(now());
    }

    /// Turns until it is so; not for ever.
    fn until(&mut self, what: &str, so: impl Fn(&World) -> bool) {
        let end = now() + 20_000;
        while !so(self) {
            assert!(now() < end, "{what}: {:?}", self.report());
            self.turn(50);
        }
    }

    fn stop_all(&mut self) {
        self.event(Event::StopAll);
        self.until("all stopped", |w| w.m.supervisor.at_rest());
    }

    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.groups.join(path)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.event(Event::StopAll);
        for id in self.m.supervisor.ids() {
            if let Some(pid) = self.state(id).pid() {
                // SAFETY: our own child, not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
        let end = now() + 5_000;
        while !self.m.supervisor.at_rest() && now() < end {
            self.turn(50);
        }
        let _ = fs::remove_dir_all(&self.groups);
    }
}

fn id(index: usize) -> ServiceId {
    ServiceId::new(index)
}

fn up(id: ServiceId) -> impl Fn(&World) -> bool {
    move |w| matches!(w.state(id), State::Up { .. })
}

fn is(id: ServiceId, state: State) -> impl Fn(&World) -> bool {
    move |w| w.state(id) == state
}

fn shell(name: &'static str, script: &str) -> ServiceDef {
    let script: &'static str = script.to_owned().leak();
    ServiceDef {
        name,
        argv: vec!["/bin/sh", "-c", script].leak(),
        ..ServiceDef::DEFAULT
    }
}

#[test]
fn forked_is_ready_when_its_program_runs_and_not_before() {
    let there = shell("there", "exec sleep 100");
    let gone = ServiceDef {
        name: "gone",
        argv: &["/nonexistent"],
        ..ServiceDef::DEFAULT
    };
    let mut w = World::new(vec![there, gone]);
    w.event(Event::Start(id(0)));
    w.event(Event::Start(id(1)));
    assert!(matches!(w.state(id(0)), State::Starting { .. }), "not yet");
    w.until("up", up(id(0)));
    w.until("tried again", |w| w.m.supervisor.restarts(id(1)) >= 2);
    let lines = SAID.lock().unwrap().clone();
    let start = "gone: Exec of /nonexistent: ENOENT";
    assert!(lines[0].starts_with(start), "the reason first: {lines:?}");
    let end = "gone: exited with status 127; starts again in 100 ms";
    assert_eq!(lines[1], end);
    let line = w.report()[1];
    assert_eq!(
        line.ready, None,
        "a program that is not there never was ready"
    );
    assert!(line.spawned.is_some() && line.last.is_some());
    let line = w.report()[0];
    assert!(line.asked <= line.spawned && line.spawned <= line.ready);
    assert_eq!((line.state, line.name), (control::State::Up, "there"));
    w.stop_all();
}

/// Its end may be seen before its word on the reason is.
#[test]
fn the_reason_comes_before_the_end() {
    let mut w = World::new(vec![ServiceDef {
        name: "gone",
        argv: &["/nonexistent"],
        ..ServiceDef::DEFAULT
    }]);
    w.event(Event::Start(id(0)));
    let stat = format!("/proc/{}/stat", w.state(id(0)).pid().unwrap());
    while !fs::read_to_string(&stat).unwrap().contains(") Z") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = reap::drain(|pid, status| assert!(w.m.exited(now(), pid, status)));
    let lines = SAID.lock().unwrap().clone();
    assert!(
        lines[0].starts_with("gone: Exec of /nonexistent"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("gone: exited with status 127"));
    assert_eq!(w.report()[0].ready, None);
}

#[test]
fn a_newline_on_its_descriptor_makes_it_ready() {
    let row = |name, script| ServiceDef {
        ready: ReadyWhen::Fd(7),
        ..shell(name, script)
    };
    let mut w = World::new(vec![
        row("says", "sleep 0.1; echo >&7; exec sleep 100"),
        row("closes", "exec 7>&-; exec sleep 100"),
        row(
            "babbles",
            "trap '' PIPE; while printf x >&7; do :; done; exec sleep 100",
        ),
    ]);
    (0..3).for_each(|n| w.event(Event::Start(id(n))));
    w.until("up", up(id(0)));
    for _ in 0..20 {
        w.turn(10);
    }
    for id in [1, 2].map(id) {
        assert!(matches!(w.state(id), State::Starting { .. }));
    }
    let tokens = w.m.watched().len();
    assert_eq!(tokens, 3, "outputs; readiness is heard no more");
    w.stop_all();
}

#[test]
fn one_that_floods_costs_a_bounded_share_and_says_how_much_was_lost() {
    let flood = shell("flood", "echo begin; exec yes");
    let quiet = shell("quiet", "exec sleep 100");
    let mut w = World::new(vec![flood, quiet]);
    (0..2).for_each(|n| w.event(Event::Start(id(n))));
    w.until("over", |w| w.m.deadline().is_some());
    let (start, turns) = (now(), w.turns);
    let mut rested = 0;
    w.until("a report", |w| {
        SAID.lock()
            .unwrap()
            .iter()
            .any(|l| l.ends_with("lines dropped"))
            && w.turns > 0
    });
    while now() < start + 2_000 {
        rested += usize::from(w.m.watched().len() == 1);
        w.turn(1_000);
    }
    let turns = w.turns - turns;
    // Each 5 ms the test looks for children; each 10 ms it hears the flood.
    let took = (now() - start) as usize;
    assert!(turns < took / 2, "{turns} turns in {took} ms");
    assert!(
        rested > turns / 10,
        "not polled meanwhile: {rested} of {turns}"
    );
    let lines = SAID.lock().unwrap().clone();
    assert!(
        lines.len() < 500 + 50 * (took / 1_000 + 2),
        "{}",
        lines.len()
    );
    assert_eq!(lines[0], "flood: begin");
    let lost: u64 = lines
        .iter()
        .filter_map(|l| l.strip_prefix("flood: ")?.strip_suffix(" lines dropped"))
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    // It was held up no longer than its pipe takes to be emptied each 10 ms.
    assert!(lost > 100_000, "{lost} lines: it is not blocked");
    w.stop_all();
    w.until("the last report", |w| w.m.deadline().is_none());
}

#[test]
fn a_flood_of_empty_lines_is_a_flood() {
    let flood = shell("flood", "exec yes ''");
    let mut w = World::new(vec![flood]);
    w.event(Event::Start(id(0)));
    w.until("over", |w| w.m.deadline().is_some());
    let (start, turns) = (now(), w.turns);
    while now() < start + 500 {
        w.turn(1_000);
    }
    let (turns, took) = (w.turns - turns, (now() - start) as usize);
    assert!(turns < took / 2, "{turns} turns in {took} ms");
    let lines = SAID.lock().unwrap().clone();
    assert!(!lines.iter().any(|l| l == "flood: "), "nothing was said");
    w.stop_all();
}

#[test]
fn what_it_said_last_is_heard() {
    let mut w = World::new(vec![ServiceDef {
        restart: Restart::Never,
        ..shell("once", "printf 'one\\ntwo'; exit 3")
    }]);
    w.event(Event::Start(id(0)));
    w.until("ended", is(id(0), State::Failed));
    assert!(said("once: one") && said("once: two"));
    assert_eq!(w.m.deadline(), None);
}

#[test]
fn a_group_is_limited_told_and_killed() {
    let row = ServiceDef {
        kill: KillMode::Cgroup,
        limits: &[("memory.max", "64M"), ("nothing.max", "1")],
        ..shell("demo", "exec sleep 100")
    };
    let process = shell("alone", "exec sleep 100");
    let mut w = World::new(vec![row, process]);
    (0..2).for_each(|n| w.event(Event::Start(id(n))));
    w.until("up", |w| up(id(0))(w) && up(id(1))(w));
    assert_eq!(w.file("demo/memory.max"), "64M");
    let lines = SAID.lock().unwrap().clone();
    assert!(lines.iter().any(|l| l.contains("nothing.max")), "a warning");
    assert_eq!(w.file("demo/cgroup.procs"), "0", "it joined");
    // What it left in its group.
    let mut other = std::process::Command::new("/bin/sleep")
        .arg("100")
        .spawn()
        .unwrap();
    fs::write(w.groups.join("demo/cgroup.procs"), other.id().to_string()).unwrap();
    w.event(Event::StopAll);
    for name in ["demo", "alone"] {
        let freeze = w.file(&format!("{name}/cgroup.freeze"));
        assert_eq!(freeze, "0", "{name}: a frozen one would not hear");
    }
    w.until("stopped", |w| w.m.supervisor.at_rest());
    assert_eq!(w.file("demo/cgroup.kill"), "1");
    assert_eq!(w.file("alone/cgroup.kill"), "", "its sessions live on");
    // It was told, and the loop reaps it.
    let there = format!("/proc/{}", other.id());
    w.until("the other has ended", |_| fs::metadata(&there).is_err());
    assert!(other.try_wait().is_err());
}

#[test]
fn stop_has_its_signal_and_then_no_mercy() {
    let polite = ServiceDef {
        stop_signal: libc::SIGINT,
        ..shell(
            "polite",
            "trap 'echo bye; exit 0' INT; trap '' TERM; echo on; while :; do sleep 0.01; done",
        )
    };
    let deaf = ServiceDef {
        grace_ms: 100,
        ..shell(
            "deaf",
            "trap '' TERM; echo on; while :; do sleep 0.01; done",
        )
    };
    let mut w = World::new(vec![polite, deaf]);
    (0..2).for_each(|n| w.event(Event::Start(id(n))));
    w.until("both listen", |_| said("polite: on") && said("deaf: on"));
    w.stop_all();
    assert!(said("polite: bye"));
    assert_eq!(
        w.m.supervisor.last_exit(id(0)),
        Some(services::ExitStatus::Exited(0))
    );
    assert_eq!(
        w.m.supervisor.last_exit(id(1)),
        Some(services::ExitStatus::Killed(9))
    );
}

#[test]
fn a_restart_is_another_process() {
    let mut w = World::new(vec![shell("demo", "exec sleep 100")]);
    w.event(Event::Start(id(0)));
    w.until("up", up(id(0)));
    let first = w.state(id(0)).pid();
    w.event(Event::Restart(id(0)));
    w.until("up again", |w| {
        up(id(0))(w) && w.state(id(0)).pid() != first
    });
    assert_eq!(w.report()[0].restarts, 0);
    w.stop_all();
}

#[test]
fn exit_125_is_the_last_word() {
    let mut w = World::new(vec![shell("demo", "exit 125")]);
    w.event(Event::Start(id(0)));
    w.until("failed", is(id(0), State::Failed));
    assert_eq!(w.m.deadline(), None);
}

#[test]
fn a_datagram_wakes_its_service() {
    let path: &'static str = format!("/tmp/manager-{}.sock", std::process::id()).leak();
    let socket = Some(Socket {
        path,
        mode: 0o600,
        gid: 0,
        datagram: true,
        on_demand: true,
    });
    let log = ServiceDef {
        socket,
        ..shell("log", "head -c 6 <&3; exec sleep 100")
    };
    let mut w = World::new(vec![log]);
    let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
    assert!(client.send_to(b"early\n", path).is_err());
    w.event(Event::Start(id(0)));
    assert_eq!(w.state(id(0)), State::Armed);
    assert_eq!(w.m.watched().len(), 1);
    client.send_to(b"hello\n", path).unwrap();
    w.until("up", up(id(0)));
    w.until("heard", |_| said("log: hello"));
    // Without its name nobody comes: the next start makes it again.
    fs::remove_file(path).unwrap();
    let first = w.state(id(0)).pid();
    w.event(Event::Restart(id(0)));
    w.until("armed or up again", |w| w.state(id(0)).pid() != first);
    w.until("reached", |_| client.send_to(b"again\n", path).is_ok());
    w.until("heard again", |_| said("log: again"));
    w.stop_all();
    // Nobody reads it any more, so nobody is to wait for room in it: but for `head`,
    // if that was at its end when its shell was.
    w.until("refused", |_| client.send_to(b"late\n", path).is_err());
    fs::remove_file(path).unwrap();
}

#[test]
fn a_socket_that_cannot_be_is_tried_again_when_asked() {
    let dir = format!("/tmp/manager-{}-dir", std::process::id());
    let path: &'static str = format!("{dir}/x.sock").leak();
    fs::write(&dir, "in the way").unwrap();
    let socket = Some(Socket {
        path,
        mode: 0o600,
        gid: 0,
        datagram: false,
        on_demand: true,
    });
    let mut w = World::new(vec![ServiceDef {
        socket,
        ..shell("api", "exec sleep 100")
    }]);
    w.event(Event::Start(id(0)));
    assert_eq!(w.state(id(0)), State::Failed);
    fs::remove_file(&dir).unwrap();
    w.event(Event::Start(id(0)));
    assert_eq!(w.state(id(0)), State::Armed);
    let client = || std::os::unix::net::UnixStream::connect(path);
    assert!(client().is_ok());
    w.stop_all();
    assert!(client().is_err(), "nobody is to wait for an answer");
    w.event(Event::Start(id(0)));
    assert!(client().is_ok());
    w.stop_all();
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_service_file_is_taken_while_it_runs() {
    let mut w = World::new(vec![shell("builtin", "exec sleep 100")]);
    let load = |w: &mut World, name: &str, text: &str| w.m.load(name, text.as_bytes(), "", "");
    let text = "exec /bin/sh -c \"echo one; exec sleep 100\"\nneeds builtin\n";
    assert_eq!(load(&mut w, "mine", text), Ok(id(1)));
    w.event(Event::Start(id(1)));
    w.until("up", |w| up(id(0))(w) && up(id(1))(w) && said("mine: one"));
    let refused = load(&mut w, "mine", text).unwrap_err();
    let in_use = LoadError::Definition("mine".into(), DefinitionError::InUse);
    assert_eq!(refused, in_use);
    assert!(load(&mut w, "builtin", text).is_err());
    let wrong = load(&mut w, "wrong", "exec x\noom y").unwrap_err();
    assert!(matches!(wrong, LoadError::File(FileErrors(errors)) if errors.len() == 2));
    w.event(Event::Stop(id(1)));
    w.until("stopped", is(id(1), State::Off));
    assert_eq!(load(&mut w, "mine", &text.replace("one", "two")), Ok(id(1)));
    w.event(Event::Start(id(1)));
    w.until("up", |w| up(id(1))(w) && said("mine: two"));
    w.stop_all();
}

/// Where a cgroup can be made.
fn real_groups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is = |l: &&str| l.split(' ').nth(2) == Some("cgroup2");
    let mount = mounts.lines().find(is).expect("no cgroup2 is mounted");
    let dir = PathBuf::from(mount.split(' ').nth(1).unwrap());
    let dir = dir.join(format!("manager-{}", std::process::id()));
    fs::create_dir(&dir).expect("no cgroup can be made here");
    dir
}

#[test]
#[ignore = "needs root and a cgroup2 to write to"]
fn a_real_group_frozen_or_left_behind_does_not_outlive_its_service() {
    let one = ONE.lock().unwrap_or_else(|e| e.into_inner());
    let groups = real_groups();
    let row = |row| ServiceDef {
        kill: KillMode::Cgroup,
        ..row
    };
    let tree = "trap 'exit 0' TERM; (trap '' TERM; setsid sleep 1000 & exec sleep 1000) & \
        sleep 1000 & echo on; wait";
    let leaves = "(trap '' TERM; exec sleep 1000) & exit 1";
    let rows = vec![row(shell("tree", tree)), row(shell("leaves", leaves))];
    let mut w = World::within(one, groups.clone(), rows);
    let procs = |w: &World, name: &str| w.file(&format!("{name}/cgroup.procs")).lines().count();
    w.event(Event::Start(id(0)));
    w.until("all there", |w| said("tree: on") && procs(w, "tree") == 4);
    fs::write(groups.join("tree/cgroup.freeze"), "1").unwrap();
    let start = now();
    w.event(Event::Stop(id(0)));
    w.until("stopped", is(id(0), State::Off));
    assert!(now() - start < 2_000, "thawed, it heard the TERM");
    w.until("nobody is left", |w| procs(w, "tree") == 0);

    w.event(Event::Start(id(1)));
    w.until("started thrice", |w| w.m.supervisor.restarts(id(1)) >= 2);
    assert!(procs(&w, "leaves") <= 2, "those of earlier lives are gone");
    w.stop_all();
    w.until("nobody is left", |w| procs(w, "leaves") == 0);
    drop(w);
    for dir in ["tree", "leaves", ""] {
        fs::remove_dir(groups.join(dir)).unwrap();
    }
}
