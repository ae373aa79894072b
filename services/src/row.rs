//! One service, as a row of a table.

/// When a service counts as ready, so that what needs it may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// As soon as it is running: it has nothing others wait for.
    Forked,
    /// When it says `READY=1` on `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
    /// When it has ended with status 0: a one-shot.
    Exit,
}

/// What happens when it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Start again, with a growing delay.
    Always,
    /// Start again only after a failure; ending well is its purpose.
    OnFailure,
    /// Leave it.
    Never,
}

/// A listening Unix socket that PID 1 holds on behalf of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where it is bound, an absolute path.
    pub path: &'static str,
    /// Its permission bits.
    pub mode: u32,
    /// The group that owns it, a number: PID 1 asks no name service.
    pub gid: u32,
    /// `true`: start the service on the first connection; `false`: with the boot.
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
#[derive(Clone, Copy, Debug)]
pub struct Service {
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
    /// When it is ready.
    pub ready: Ready,
    /// What happens when it ends by itself.
    pub restart: Restart,
    /// The socket that PID 1 listens on for it.
    pub socket: Option<Socket>,
    /// The terminal it talks to; without one its output goes to the log.
    pub tty: Option<Tty>,
    /// Started only when the machine is ready: what shows its state.
    pub after_ready: bool,
    /// The machine is not ready before this is, or has failed.
    pub gates: bool,
    /// Milliseconds after which not being ready is said; `gates` then lets go.
    pub late_ms: u64,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// `oom_score_adj` (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: i32,
}

impl Service {
    /// What a row need not say.
    pub const DEFAULT: Service = Service {
        name: "",
        why: "",
        argv: &[],
        env: &[],
        needs: &[],
        ready: Ready::Forked,
        restart: Restart::Always,
        socket: None,
        tty: None,
        after_ready: false,
        gates: false,
        late_ms: 10_000,
        grace_ms: 3_000,
        oom_score_adj: 0,
    };

    /// Whether it waits for a connection before it is started.
    #[must_use]
    pub fn on_demand(&self) -> bool {
        self.socket.is_some_and(|s| s.on_demand)
    }
}
