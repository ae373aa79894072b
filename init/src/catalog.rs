//! Every service of the machine, a row each, and why it is there. Which of them a
//! configuration asks for, and what it changes in a row, is in `table.rs`.

use services::{KillMode, ReadyWhen, Restart, ServiceDef, Socket};

use crate::data_disk;
use sys::paths::{B2P, HEALTH_SOCKET, INIT, LOG_DIR, PODMAN_SOCKET};
use sys::service_names::REGISTRIES;

/// A process of its own: a disk takes as long as it likes. Its repair may take two
/// minutes (`b2p data` ends it then); whoever waits longer goes on in RAM.
pub(crate) const DATA: ServiceDef = ServiceDef {
    name: data_disk::NAME,
    why: "the disk that keeps containers, keys and settings is found, made or mended, and mounted",
    argv: &[B2P, "data"],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    late_ms: 130_000,
    kill: KillMode::Cgroup,
    ..ServiceDef::DEFAULT
};

/// What is on the data disk, or must not be written beside it.
pub(crate) const KEPT: &[&str] = &[data_disk::NAME];

/// And what its owner does before the engine, by hook or by cloud-init's way; and what
/// containers are given.
pub(crate) const BEFORE_THE_ENGINE: &[&str] = &[
    data_disk::NAME,
    CLOUD.name,
    REGISTRIES,
    "bootsync",
    SHARES,
    EXTENSIONS.name,
];

/// The name of the service that mounts folders of the host.
pub const SHARES: &str = "share";

/// A row only where a flag asks. A server that is gone hangs it, and nobody else.
pub(crate) const SHARE: ServiceDef = ServiceDef {
    name: SHARES,
    why: "folders of the host, where a flag asks for them; again when one comes",
    argv: &[B2P, "share"],
    after: KEPT,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    // Its own limit is less (b2p/src/share/mod.rs).
    late_ms: 20_000,
    ..ServiceDef::DEFAULT
};

/// A row only where a flag asks. Another runtime may be in one, so the engine lets it go
/// first; so do hooks and the owner's services, which may run what is in one.
pub(crate) const EXTENSIONS: ServiceDef = ServiceDef {
    name: "ext",
    why: "images with more programs become a part of the root, where a flag asks for them",
    argv: &[B2P, "ext", "boot"],
    // Both may add users, each in files of its own copy.
    after: SETTLED,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    // A disc is slow, and all of an image is read to know that it is whole.
    late_ms: 60_000,
    ..ServiceDef::DEFAULT
};

/// Before what depends on who may log in and who is trusted. Its own limit is a minute
/// (b2p/src/cloud/mod.rs). A daemon that `bootcmd` starts lives on.
pub(crate) const CLOUD: ServiceDef = ServiceDef {
    name: "cloud",
    why: "a disk labelled cidata says what the machine is to be, as cloud-init's NoCloud has it",
    argv: &[B2P, "cloud"],
    after: KEPT,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    late_ms: 80_000,
    kill: KillMode::Process,
    ..ServiceDef::DEFAULT
};

/// As long as they like: nobody waits for them. What they start lives on.
pub(crate) const CLOUD_SCRIPTS: ServiceDef = ServiceDef {
    name: "cloud-scripts",
    why: "the commands of that disk, once for each instance; its scripts of each boot",
    argv: &[B2P, "cloud", "scripts"],
    after: SETTLED,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    after_ready: true,
    late_ms: 600_000,
    kill: KillMode::Process,
    ..ServiceDef::DEFAULT
};

/// What both of them have had their say about.
pub(crate) const SETTLED: &[&str] = &[data_disk::NAME, CLOUD.name];

/// Cards get addresses. It alone may keep the ready line waiting without being
/// local: five seconds, then the line says so and the asking goes on. dnsmasq and
/// others first look for three seconds whether an address is taken.
pub(crate) const NET: ServiceDef = ServiceDef {
    name: "net",
    why: "addresses, routes, DNS servers; a process of its own, so that PID 1 parses nothing from the network",
    ready: ReadyWhen::Notify,
    gates_ready: true,
    late_ms: 5_000,
    ..ServiceDef::DEFAULT
};

/// A row only where the boot menu says that a version is on trial, or was. It waits for
/// the ready line in the first case, and has its say before it in the second.
pub(crate) const UPGRADE: ServiceDef = ServiceDef {
    name: "upgrade",
    why: "a new version is kept once the machine is ready, else the one before comes back",
    argv: &[B2P, "upgrade-commit"],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    // Its own limit is less (b2p/src/upgrade/trial.rs).
    late_ms: 900_000,
    ..ServiceDef::DEFAULT
};

/// What the other services do not wait for: drivers of disks, of the power
/// button, of the source of random numbers; a slow mount; the network of containers.
/// When the processor has nothing else to do: whoever has read the ready line comes first.
pub(crate) const LATE_DRIVERS: ServiceDef = ServiceDef {
    name: "late-drivers",
    why: "every device that is there has its driver; what comes later, PID 1 hears of",
    argv: &[INIT, "coldplug"],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    after_ready: true,
    limits: &[("cpu.idle", "1")],
    ..ServiceDef::DEFAULT
};

/// It gates: what was asked for is there when the machine is ready, or a degraded
/// line says why not.
pub(crate) const SWAP: ServiceDef = ServiceDef {
    name: "swap",
    why: "zram, partitions and files to swap to, where a flag asks for them",
    argv: &[B2P, "swap"],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    ..ServiceDef::DEFAULT
};

/// Before the ready line, so that what follows it has the time that was asked for.
pub(crate) const TIMEZONE: ServiceDef = ServiceDef {
    name: "timezone",
    why: "the time zone, and a hardware clock that keeps it, where a flag says so",
    argv: &[B2P, "timezone"],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    ..ServiceDef::DEFAULT
};

/// The kernel has set the clock by then (CONFIG_RTC_HCTOSYS).
pub(crate) const TIME: ServiceDef = ServiceDef {
    name: "time",
    why: "the clock is put right after the host has slept, and follows it or a time server",
    argv: &[B2P, "time"],
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// sshd does not start without one.
pub(crate) const HOSTKEY: ServiceDef = ServiceDef {
    name: "hostkey",
    why: "the disk's key, or a new one, which the disk then keeps",
    argv: &[B2P, "hostkey"],
    after: KEPT,
    ready: ReadyWhen::Exit,
    restart: Restart::OnFailure,
    ..ServiceDef::DEFAULT
};

pub(crate) const SSHD: ServiceDef = ServiceDef {
    name: "sshd",
    why: "the way in: shells, sftp, and the API for every remote client",
    argv: &["/usr/sbin/sshd", "-D", "-e"],
    needs: &["hostkey"],
    after: SETTLED,
    ready: ReadyWhen::Notify,
    gates_ready: true,
    ..ServiceDef::DEFAULT
};

/// What programs connect to: `b2p vsock` says what to do without a device.
pub(crate) const VSOCK: ServiceDef = ServiceDef {
    name: "vsock",
    why: "the host reaches ssh and the API though there is no network between",
    argv: &[B2P, "vsock"],
    after: &[data_disk::NAME, CLOUD.name, "hostkey"],
    ready: ReadyWhen::Notify,
    gates_ready: true,
    // A session that it began lives on.
    kill: KillMode::Process,
    ..ServiceDef::DEFAULT
};

/// Go's runtime collects garbage at 4 MB first, while podman starts: a fifth of its 90 ms
/// of instructions, again in each `podman container cleanup`, which inherits this. From
/// 128 MB on it collects as often as it must (pkg.go.dev/runtime, "Environment Variables").
pub(crate) const GO: &[&str] = &["GOGC=400", "GOMEMLIMIT=128MiB"];

/// The service leaves after idle time; PID 1 keeps the socket. Killing it ends
/// no container: each has a conmon of its own.
pub(crate) const PODMAN: ServiceDef = ServiceDef {
    name: "podman",
    why: "the API that podman --remote, docker and the bindings talk to",
    env: GO,
    socket: Some(Socket {
        path: PODMAN_SOCKET,
        mode: 0o660,
        gid: 0,
        datagram: false,
        on_demand: true,
    }),
    argv: &["/usr/bin/podman", "system", "service"],
    after: BEFORE_THE_ENGINE,
    gates_ready: true,
    ..ServiceDef::DEFAULT
};

/// A container that begins wakes it (`b2p health-hook`); with the last that has a
/// health check it ends. Containers that it starts again live on.
pub(crate) const HEALTH_CHECKS: ServiceDef = ServiceDef {
    name: "health",
    why: "health checks of containers, when they are due; podman has no clock of its own",
    argv: &[B2P, "health"],
    socket: Some(Socket {
        path: HEALTH_SOCKET,
        // A container of anybody's begins; who says so, the kernel says.
        mode: 0o666,
        gid: 0,
        datagram: false,
        on_demand: true,
    }),
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// Not the one that writes files: a disk that hangs must not stop the reading.
pub(crate) const SYSLOG: ServiceDef = ServiceDef {
    name: "syslog",
    why: "what programs say to syslog(3) joins the kernel's log",
    argv: &[B2P, "syslog"],
    socket: Some(Socket {
        path: "/dev/log",
        mode: 0o666,
        gid: 0,
        datagram: true,
        on_demand: true,
    }),
    after_ready: true,
    ..ServiceDef::DEFAULT
};

pub(crate) const LOG_FILES: ServiceDef = ServiceDef {
    name: "log-files",
    why: "the log is kept in files, bounded, to be read after a reboot",
    argv: &[B2P, "log-files", LOG_DIR],
    after: KEPT,
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// podman begins for each question, which takes it a moment.
pub(crate) const REGISTRY: ServiceDef = ServiceDef {
    name: REGISTRIES,
    why: "registries and mirrors of the data disk become podman's, if it can read them",
    argv: &[B2P, "registries"],
    after: SETTLED,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    late_ms: 60_000,
    ..ServiceDef::DEFAULT
};

/// The engine waits for it, as long as `late_ms`: it is left to end then.
pub(crate) const BOOTSYNC: ServiceDef = ServiceDef {
    name: "bootsync",
    why: "bootsync.sh on the data disk: what its owner does before the engine",
    argv: &[B2P, "boot-script", "bootsync"],
    // The ancestors asked for an address first.
    after: &[
        data_disk::NAME,
        CLOUD.name,
        REGISTRIES,
        EXTENSIONS.name,
        "net",
    ],
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    gates_ready: true,
    late_ms: 60_000,
    ..ServiceDef::DEFAULT
};

/// It may go on for ever.
pub(crate) const BOOTLOCAL: ServiceDef = ServiceDef {
    name: "bootlocal",
    why: "bootlocal.sh on the data disk: what its owner does beside everything else",
    argv: &[B2P, "boot-script", "bootlocal"],
    after: BEFORE_THE_ENGINE,
    restart: Restart::Never,
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// Who is told what the profile exports, and the proxies.
pub(crate) const TOLD: &[&str] = &["podman", "bootsync", "bootlocal"];

/// Once: later, `b2p reload` by hand.
pub(crate) const USER_SERVICES: ServiceDef = ServiceDef {
    name: "user-services",
    why: "the services of the machine's owner are read and started (docs/guide/services.md)",
    argv: &[B2P, "user-services"],
    after: BEFORE_THE_ENGINE,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    late_ms: 60_000,
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// Ends at once where the state is in RAM; a disk that comes later wakes it.
pub(crate) const IMAGE_SYNC: ServiceDef = ServiceDef {
    name: data_disk::IMAGE_SYNC,
    why: "an image is on the disk soon after podman says that it is, should the power go",
    argv: &[B2P, "image-sync"],
    after: KEPT,
    restart: Restart::OnFailure,
    after_ready: true,
    ..ServiceDef::DEFAULT
};

/// What is in RAM is new at every boot: only a disk brings containers.
pub(crate) const CONTAINERS: ServiceDef = ServiceDef {
    name: data_disk::CONTAINERS,
    why: "the containers on the disk whose restart policy says so run again",
    argv: &[B2P, "containers-start"],
    after: BEFORE_THE_ENGINE,
    ready: ReadyWhen::Exit,
    restart: Restart::Never,
    late_ms: 900_000,
    after_ready: true,
    ..ServiceDef::DEFAULT
};
