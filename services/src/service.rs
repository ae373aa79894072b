//! One service, as a row of a table.

/// When a service counts as ready, so that what needs it may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// As soon as its program runs: it has nothing others wait for. A start that
    /// fails before or in execve(2) is never ready.
    Exec,
    /// When it says `READY=1` on `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
    /// When it has ended with status 0: a one-shot.
    Exit,
    /// When it writes a newline to this descriptor, which is open for it (s6's
    /// `notification-fd`). Not below 3, not 3 where there is a socket.
    Fd(i32),
}

/// What happens when it ends by itself. With exit status 125 it is left, whatever
/// is said here: so a program says that another start is no use (gokrazy's word).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Start again, with a growing delay.
    Always,
    /// Start again only after a failure; ending well is its purpose.
    OnFailure,
    /// Leave it.
    Never,
}

/// Whom a stop reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillMode {
    /// Its first process alone: sshd's sessions and podman's conmon live on.
    Process,
    /// Everything in its cgroup; and when its first process ends, in whatever
    /// way, what is left there is killed before the next start.
    Cgroup,
}

/// Who a service is. Numbers: PID 1 asks no name service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The other groups; none is inherited.
    pub groups: &'static [u32],
    /// For `USER` and `LOGNAME`.
    pub name: &'static str,
    /// For `HOME`.
    pub home: &'static str,
    /// For `SHELL`.
    pub shell: &'static str,
}

/// A Unix socket that PID 1 holds on behalf of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where it is bound, an absolute path.
    pub path: &'static str,
    /// Its permission bits.
    pub mode: u32,
    /// The group that owns it, a number: PID 1 asks no name service.
    pub gid: u32,
    /// `true`: of datagrams, as `/dev/log` is; `false`: a stream, listened on.
    pub datagram: bool,
    /// `true`: start the service on the first connection or datagram; `false`: with the boot.
    pub on_demand: bool,
}

/// A terminal that a service takes as its controlling one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tty {
    /// The device, such as `/dev/ttyS0`. Never `/dev/console`, which cannot be
    /// a controlling terminal (tty_io.c, `tty_open_proc_set_tty`).
    pub path: &'static str,
}

/// A service: what it is, what it needs, how it lives and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceDef {
    /// Its name in logs and in the cgroup tree.
    pub name: &'static str,
    /// Why the machine runs it.
    pub why: &'static str,
    /// Program (an absolute path) and arguments.
    pub argv: &'static [&'static str],
    /// `NAME=value` beside the constant environment of [`crate::spawn`].
    pub env: &'static [&'static str],
    /// Names of services that must be ready before it starts.
    pub needs: &'static [&'static str],
    /// Names of services that it lets go first: where they are asked for, they are
    /// ready, have failed or are late before it starts. Its own lateness counts from
    /// then on. Not for services whose `after` leads back to it.
    pub after: &'static [&'static str],
    /// When it is ready.
    pub ready: ReadyWhen,
    /// What happens when it ends by itself.
    pub restart: Restart,
    /// The socket that PID 1 listens on for it.
    pub socket: Option<Socket>,
    /// The terminal it talks to; without one its output goes to the log.
    pub tty: Option<Tty>,
    /// Started only when the machine is ready: what shows its state.
    pub after_ready: bool,
    /// The machine is not ready before this is, or has failed.
    pub gates_ready: bool,
    /// Milliseconds after which not being ready is said; `gates` then lets go.
    pub late_ms: u64,
    /// Reason that is given for lateness, with `{}` for `late_ms` in seconds; empty: a general one.
    pub late_hint: &'static str,
    /// The signal that asks it to end; with a terminal it gets SIGHUP as well.
    pub stop_signal: i32,
    /// Milliseconds between that and SIGKILL.
    pub grace_ms: u64,
    /// Whom both reach.
    pub kill: KillMode,
    /// Who it is; without one it is root.
    pub user: Option<User>,
    /// Its working directory, an absolute path.
    pub dir: &'static str,
    /// Its umask(2).
    pub umask: u32,
    /// Open files (`RLIMIT_NOFILE`), soft and hard.
    pub nofile: (u64, u64),
    /// Files of its cgroup and what is written to them before each start
    /// (cgroup-v2.rst), such as `("memory.max", "64M")`.
    pub limits: &'static [(&'static str, &'static str)],
    /// `oom_score_adj` (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: i32,
}

impl ServiceDef {
    /// What a row need not say.
    pub const DEFAULT: ServiceDef = ServiceDef {
        name: "",
        why: "",
        argv: &[],
        env: &[],
        needs: &[],
        after: &[],
        ready: ReadyWhen::Exec,
        restart: Restart::Always,
        socket: None,
        tty: None,
        after_ready: false,
        gates_ready: false,
        late_ms: 10_000,
        late_hint: "",
        stop_signal: libc::SIGTERM,
        grace_ms: 3_000,
        kill: KillMode::Process,
        user: None,
        dir: "/",
        umask: 0o022,
        // The soft limit that select(2) users survive, the hard one that
        // container engines raise theirs to.
        nofile: (1_024, 1_048_576),
        limits: &[],
        oom_score_adj: 0,
    };

    /// Definition of a program that runs once, and is ready when it has ended with status 0.
    pub const ONE_SHOT: ServiceDef = ServiceDef {
        ready: ReadyWhen::Exit,
        restart: Restart::Never,
        ..ServiceDef::DEFAULT
    };

    /// Returns the reason why the service is not ready `late_ms` after its start.
    #[must_use]
    pub fn late_reason(&self) -> String {
        let seconds = (self.late_ms / 1000).to_string();
        match self.late_hint {
            "" => format!("not ready within {seconds} s"),
            hint => hint.replace("{}", &seconds),
        }
    }

    /// Whether it waits for a connection before it is started.
    #[must_use]
    pub fn on_demand(&self) -> bool {
        self.socket.is_some_and(|s| s.on_demand)
    }
}
