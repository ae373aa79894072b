// SPDX-License-Identifier: Apache-2.0
//! Definition of a service, and the types of its fields.

/// Condition under which a service is ready, so that services that need it may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// The program runs: execve(2) succeeded.
    Exec,
    /// The service sends `READY=1` to `NOTIFY_SOCKET` (sd_notify(3)).
    Notify,
    /// The process has ended with status 0: the service is a one-shot.
    Exit,
    /// The service writes a newline to this descriptor, which it inherits (s6's
    /// `notification-fd`). The number is at least 3, or 4 if the service has a socket.
    Fd(i32),
}

/// Restart policy for a service that ends by itself. The policy does not apply to the exit statuses
/// that the definition declares final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Start the service again, with a growing delay.
    Always,
    /// Start the service again after a failure, but not after success.
    OnFailure,
    /// Start the service again after success, but not after a failure.
    OnSuccess,
    /// Do not start the service again.
    Never,
}

impl Restart {
    /// Returns true if a service starts again after a success, or after a failure.
    #[must_use]
    pub fn applies(self, success: bool) -> bool {
        match self {
            Restart::Always => true,
            Restart::OnFailure => !success,
            Restart::OnSuccess => success,
            Restart::Never => false,
        }
    }
}

/// Processes that a stop reaches (KillMode= of systemd.kill(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillMode {
    /// The main process only: sessions of sshd and podman's conmon continue to run.
    Process,
    /// The main process is signalled; when that ends, or does not end in time, the processes that are
    /// left in the cgroup are killed.
    Mixed,
    /// Every process of the cgroup. When the main process ends, in any way, the others are killed
    /// before the next start.
    Cgroup,
}

/// User of a service, as numbers: PID 1 uses no name service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; none is inherited.
    pub groups: &'static [u32],
    /// Value of `USER` and `LOGNAME`.
    pub name: &'static str,
    /// Value of `HOME`.
    pub home: &'static str,
    /// Value of `SHELL`.
    pub shell: &'static str,
}

/// A Unix socket that PID 1 binds for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Absolute path of the socket.
    pub path: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Owner of the socket. For a user other than root, the directory of the socket is the user's,
    /// and PID 1 does nothing there that the user may not do.
    pub uid: u32,
    /// Group that owns the socket.
    pub gid: u32,
    /// True for a datagram socket such as `/dev/log`, false for a listening stream socket.
    pub datagram: bool,
    /// True if the first connection or datagram starts the service, false if the boot does.
    pub on_demand: bool,
}

/// Controlling terminal of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tty {
    /// Path of the device, such as `/dev/ttyS0`. `/dev/console` cannot be a controlling terminal
    /// (tty_open() in drivers/tty/tty_io.c skips tty_open_proc_set_tty() for this device).
    pub path: &'static str,
}

/// Definition of a service: its start, run and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceDef {
    /// Name in logs, in the cgroup tree and to users.
    pub name: &'static str,
    /// Purpose of the service: a sentence that is true once the service is ready.
    pub why: &'static str,
    /// Program (an absolute path) and arguments.
    pub argv: &'static [&'static str],
    /// `NAME=value`, added to the constant environment of [`crate::spawn`].
    pub env: &'static [&'static str],
    /// Names of services that must be ready or done before this one starts (Requires= with After= of
    /// systemd.unit(5), but a restart is not propagated). The end of a needed service does not end this one; `binds`
    /// does. If a needed service has failed, this service waits until that service is started again.
    pub needs: &'static [&'static str],
    /// Names of services that this service is ordered after (After= of systemd.unit(5)). The service waits while one of
    /// them is waiting, spawning or starting, and not late. The names must not form a cycle with `needs`:
    /// `Supervisor::add` and `Supervisor::revise` refuse one, and `Supervisor::new` has its services fail.
    pub after: &'static [&'static str],
    /// Names of services whose end is also the end of this service, which starts again if they do
    /// (BindsTo= of systemd.unit(5)). The names are also among `needs`.
    pub binds: &'static [&'static str],
    /// Condition under which the service is ready.
    pub ready: ReadyWhen,
    /// Restart policy.
    pub restart: Restart,
    /// Minimum delay in milliseconds of a restart (RestartSec= of systemd.service(5)): the delay is this value or
    /// that of the backoff, whichever is longer.
    pub restart_ms: u64,
    /// Exit statuses with which the service is never started again (RestartPreventExitStatus= of
    /// systemd.service(5)), the key `final` of a service file. By default no status is final. s6-supervise treats status
    /// 125 of ./finish so, but podman and docker use 125 for any error of their own (podman-run(1)).
    pub final_statuses: &'static [u8],
    /// Exit statuses that count as success and end restarts under any policy (SuccessExitStatus= of systemd.service(5)
    /// only counts them as success), the key `done` of a service file.
    pub done_statuses: &'static [u8],
    /// Socket that PID 1 binds for the service.
    pub socket: Option<Socket>,
    /// Controlling terminal; the output of a service without one is logged.
    pub tty: Option<Tty>,
    /// Start the service only when the machine is ready.
    pub after_ready: bool,
    /// The machine becomes ready only when this service is ready, has failed or is late.
    pub gates_ready: bool,
    /// Time in milliseconds after which a service that is not ready is late. The time begins when no service in
    /// `after` delays this one any longer.
    pub late_ms: u64,
    /// Text of the degraded line of the late service; `{}` stands for the seconds of `late_ms`. An empty text stands
    /// for a general one.
    pub late_text: &'static str,
    /// Signal that asks the service to end. A service with a terminal is sent SIGHUP too.
    pub stop_signal: i32,
    /// Time in milliseconds between `stop_signal` and SIGKILL (TimeoutStopSec= of systemd.service(5)).
    pub grace_ms: u64,
    /// Processes that `stop_signal` and SIGKILL reach.
    pub kill: KillMode,
    /// User of the service; root if there is none.
    pub user: Option<User>,
    /// Working directory, an absolute path.
    pub dir: &'static str,
    /// File mode creation mask (umask(2)).
    pub umask: u32,
    /// Soft and hard limit of open files (`RLIMIT_NOFILE`, setrlimit(2)).
    pub nofile: (u64, u64),
    /// Files of the cgroup and the values that are written to them before each start
    /// (cgroup-v2.rst), such as `("memory.max", "64M")`.
    pub cgroup_files: &'static [(&'static str, &'static str)],
    /// `oom_score_adj` (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: i32,
}

impl ServiceDef {
    /// Values that a definition need not give.
    pub const DEFAULT: ServiceDef = ServiceDef {
        name: "",
        why: "",
        argv: &[],
        env: &[],
        needs: &[],
        after: &[],
        binds: &[],
        ready: ReadyWhen::Exec,
        restart: Restart::Always,
        restart_ms: 0,
        final_statuses: &[],
        done_statuses: &[],
        socket: None,
        tty: None,
        after_ready: false,
        gates_ready: false,
        late_ms: 10_000,
        late_text: "",
        stop_signal: libc::SIGTERM,
        grace_ms: 3_000,
        kill: KillMode::Process,
        user: None,
        dir: "/",
        umask: 0o022,
        // Programs that use select(2) survive the soft limit; container engines raise theirs to
        // the hard one.
        nofile: (1_024, 1_048_576),
        cgroup_files: &[],
        oom_score_adj: 0,
    };

    /// Definition of a program that runs once, and is ready when it has ended with status 0.
    pub const ONE_SHOT: ServiceDef = ServiceDef {
        ready: ReadyWhen::Exit,
        restart: Restart::Never,
        ..ServiceDef::DEFAULT
    };

    /// Returns the text of the degraded line for a service that is late.
    #[must_use]
    pub fn late_reason(&self) -> String {
        let seconds = (self.late_ms / 1000).to_string();
        match self.late_text {
            "" => format!("still not ready after {seconds} s"),
            text => text.replace("{}", &seconds),
        }
    }

    /// Returns true if the service runs with the uid of root.
    #[must_use]
    pub fn runs_as_root(&self) -> bool {
        self.user.is_none_or(|user| user.uid == 0)
    }

    /// Returns true if a connection starts the service.
    #[must_use]
    pub fn on_demand(&self) -> bool {
        self.socket.is_some_and(|s| s.on_demand)
    }
}
