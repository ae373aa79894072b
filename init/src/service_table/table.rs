// SPDX-License-Identifier: Apache-2.0
//! The core rows of the service table. [`super::rows`] joins these rows with those of the other files.

use config::{Net, Podman, Role};
use services::{KillMode, ReadyWhen, Restart, ServiceDef};
use sys::paths::{B2P, HEALTH_SOCKET, INIT, PODMAN_SOCKET};
use sys::service_names::EX_CONFIG;

use super::names::*;
use super::{Row, adapt, stream_socket, wants_cloud, wants_data_disk};

/// `oom_score_adj` of small services whose loss cuts the machine off or loses its log: the OOM killer selects larger
/// processes first (proc_pid_oom_score_adj(5)). `b2p sshd` sets the value of sshd (b2p/src/helpers/sshd/limit.rs).
pub(super) const OOM_PROTECTED: i32 = -900;

/// Environment of podman, also of each `podman container cleanup`, which inherits it. By default Go's first garbage
/// collection starts at a heap of 4 MB; collections then take a fifth of the 90 ms in which podman starts. GOGC
/// postpones them, and GOMEMLIMIT bounds the heap (pkg.go.dev/runtime, "Environment Variables").
pub(super) const GO_ENV: &[&str] = &["GOGC=400", "GOMEMLIMIT=128MiB"];

/// Core rows: the data disk, its configuration and extensions, the network, ssh, podman, and the start of user services
/// and containers.
///
/// The ready line is the message `ready ssh=… api=…` on every console (ready.rs). A service with `gates_ready` is a
/// gate of the ready line: the ready line waits until each gate is ready, has failed or is late. Services that name a
/// late service in `after` stop waiting as well; services that name it in `needs` still wait. A late service continues
/// to run.
pub const CORE: &[Row] = &[
    // `b2p data` ends e2fsck(8) after two minutes. Formatting may take longer than `late_ms`: services that are ordered
    // after this service then start without the disk, and keep their files in RAM.
    Row {
        def: ServiceDef {
            name: DATA,
            why: "the disk that keeps containers, keys and settings is found, formatted or repaired, and mounted",
            argv: &[B2P, "data"],
            gates_ready: true,
            late_ms: 130_000,
            late_hint: "still looking for a disk, checking or mounting it after {} s; `b2p log data` says more",
            kill: KillMode::Cgroup,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_data_disk,
        adapt: adapt::slow_disk,
        ..Row::DEFAULT
    },
    // The mounts and commands of `b2p cloud` end within a minute (b2p/src/helpers/cloud/mod.rs). A daemon that
    // `bootcmd` starts continues to run after the service has ended.
    Row {
        def: ServiceDef {
            name: CLOUD,
            why: "a disk labelled cidata configures the machine, in the format of cloud-init's NoCloud",
            argv: &[B2P, "cloud"],
            after: DATA_DISK_SERVICES,
            gates_ready: true,
            late_ms: 80_000,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_cloud,
        ..Row::DEFAULT
    },
    // The network service is a separate process, so that PID 1 parses no data of a network. `late_ms` is five seconds,
    // because dnsmasq probes an address for three seconds before its offer. Without a lease by then, a degraded line
    // reports the delay, the ready line appears, and the service continues.
    Row {
        def: ServiceDef {
            name: NET,
            oom_score_adj: OOM_PROTECTED,
            why: "the machine has addresses, routes and DNS servers",
            argv: &[B2P, "net"],
            ready: ReadyWhen::Notify,
            gates_ready: true,
            late_ms: 5_000,
            late_hint: "no address by DHCP after {} s; still asking",
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.net != Net::Off,
        adapt: adapt::network,
        ..Row::DEFAULT
    },
    Row {
        def: ServiceDef {
            name: HOSTKEY,
            why: "sshd has a host key: that of the data disk, else a new key, which is stored on the data disk if there is one",
            argv: &[B2P, "hostkey"],
            after: DATA_DISK_SERVICES,
            restart: Restart::OnFailure,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.sshd,
        ..Row::DEFAULT
    },
    // sshd needs a host key. The program does not read `[listener]`: with this argument, ps(1) shows the process as it
    // shows OpenSSH's own listener.
    Row {
        def: ServiceDef {
            name: SSHD,
            why: "people log in, copy files, and reach the API from other machines",
            argv: &[B2P, "sshd", "[listener]"],
            needs: &[HOSTKEY],
            after: CONFIGURATION_SERVICES,
            ready: ReadyWhen::Notify,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.sshd,
        ..Row::DEFAULT
    },
    // The process ends after idle time; PID 1 keeps the socket. Killing podman ends no container:
    // each has a conmon of its own.
    Row {
        def: ServiceDef {
            name: PODMAN,
            why: "podman --remote, docker and the libraries of podman reach the API",
            env: GO_ENV,
            socket: stream_socket(PODMAN_SOCKET, 0o660),
            argv: &["/usr/bin/podman", "system", "service"],
            after: ENGINE_PREREQUISITES,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.podman != Podman::Off,
        adapt: adapt::podman,
        ..Row::DEFAULT
    },
    // The boot menu reports by `b2p.slot=` that the version is on trial, or that a trial has failed. During a trial
    // `b2p upgrade-commit` waits for the ready line; after a failed trial the ready line waits for the service
    // (`adapt::upgrade`). The program takes less than `late_ms` (b2p/src/helpers/upgrade/commit.rs).
    Row {
        def: ServiceDef {
            name: "upgrade",
            why: "a new version is kept once the machine is ready, else the machine returns to the previous one",
            argv: &[B2P, "upgrade-commit"],
            late_ms: 300_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.slot.is_some_and(|slot| slot.role != Role::Confirmed),
        adapt: adapt::upgrade,
        ..Row::DEFAULT
    },
    // On a machine without a vsock device, `b2p vsock` reports the lack and ends with EX_CONFIG, after which PID 1
    // does not start it again. When `b2p vsock` ends, ssh sessions continue, because each is a process of its own;
    // connections to the API end, because each is a thread.
    Row {
        def: ServiceDef {
            name: "vsock",
            why: "the host of the virtual machine reaches ssh and the API without a network",
            argv: &[B2P, "vsock"],
            final_statuses: &[EX_CONFIG],
            after: &[DATA, CLOUD, IGNITION, HOSTKEY],
            ready: ReadyWhen::Notify,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, platform| config.vsock && !platform.in_container,
        ..Row::DEFAULT
    },
    Row {
        def: ServiceDef {
            name: "swap",
            why: "the machine swaps to the zram device, partitions and files that flags name",
            argv: &[B2P, "swap"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.asks_for_swap(),
        adapt: adapt::swap,
        ..Row::DEFAULT
    },
    // A file server that does not answer blocks this service only. The limit of `b2p share`
    // is less than `late_ms` (b2p/src/helpers/share/mod.rs).
    Row {
        def: ServiceDef {
            name: SHARE,
            why: "the folders of the host that flags name are mounted, also if the host adds a folder later",
            argv: &[B2P, "share"],
            after: DATA_DISK_SERVICES,
            gates_ready: true,
            late_ms: 20_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, platform| !config.shares.is_empty() && !platform.in_container,
        ..Row::DEFAULT
    },
    // podman, bootsync.sh and user services name this service in `after`, because they may run programs of an
    // extension, such as another container runtime. The service runs after cloud-init, because both rewrite
    // /etc/passwd to add users. `late_ms` is long because a CD-ROM is slow, and `b2p ext boot` reads the whole image to
    // verify it. If the program takes longer, the service is reported as late and continues.
    Row {
        def: ServiceDef {
            name: EXTENSIONS,
            why: "the extensions (images with more programs) that flags name are a part of the root, and podman uses the OCI runtime that a flag names",
            argv: &[B2P, "ext", "boot"],
            after: CONFIGURATION_SERVICES,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, platform| {
            let is_wanted = !config.extensions.is_empty() || config.runtime.is_some();
            is_wanted && !platform.in_container
        },
        adapt: adapt::slow_disk,
        ..Row::DEFAULT
    },
    Row {
        def: ServiceDef {
            name: "timezone",
            why: "the time zone that a flag names is set, and a hardware clock in local time is read as such",
            argv: &[B2P, "timezone"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.tz.is_some() || !config.utc,
        ..Row::DEFAULT
    },
    // The conversion of many quadlets may take longer than `late_ms`; the service is then reported as late and
    // continues. This row precedes `late-drivers`, because PID 1 starts services in the order of the rows, and user
    // services must not wait for drivers.
    Row {
        def: ServiceDef {
            name: USER_SERVICES,
            why: "user services, quadlets, kube files and compose projects run (docs/guide/services.md)",
            argv: &[B2P, "user-services"],
            after: ENGINE_PREREQUISITES,
            late_ms: 60_000,
            after_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // The remaining drivers are those of random-number generators, of container networks, and those of disks that
    // `b2p data` has not loaded. With `cpu.idle` (cgroup-v2.rst), programs that waited for the ready line run first.
    // PID 1 loads the drivers of devices that appear later. In a container the program ends at once, because the
    // devices belong to the container's host (`coldplug.rs`).
    Row {
        def: ServiceDef {
            name: "late-drivers",
            why: "every present device has its driver",
            argv: &[INIT, "coldplug"],
            after_ready: true,
            // The program waits up to 10 s for an idle processor.
            late_ms: 60_000,
            limits: &[("cpu.idle", "1")],
            ..ServiceDef::ONE_SHOT
        },
        ..Row::DEFAULT
    },
    // podman leaves the schedule of health checks to systemd timers, which do not exist here. A container that starts
    // wakes the service (`b2p health-hook`), and the service ends with the last container that has a health check.
    // Containers of any user may connect: the kernel reports the user (unix(7), SO_PEERCRED).
    Row {
        def: ServiceDef {
            name: "health",
            why: "health checks of containers run when they are due",
            argv: &[B2P, "health"],
            socket: stream_socket(HEALTH_SOCKET, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Row::DEFAULT
    },
    // For each file that podman refuses, the program calls podman once more without that file, for at most 40 s
    // (b2p/src/helpers/registries.rs). If many files are bad, the service is reported as late and continues.
    Row {
        def: ServiceDef {
            name: REGISTRIES,
            why: "podman uses the files of registries and mirrors that are on the data disk, except those that podman refuses",
            argv: &[B2P, "registries"],
            after: CONFIGURATION_SERVICES,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_data_disk,
        ..Row::DEFAULT
    },
    // podman waits for bootsync.sh for `late_ms` at most; the script then continues. As in Tiny Core, boot2docker and
    // the boot2podman of 2018, bootsync.sh runs once the network has an address, has failed or is late.
    Row {
        def: ServiceDef {
            name: BOOTSYNC,
            why: "bootsync.sh on the data disk runs before podman starts",
            argv: &[B2P, "boot-script", BOOTSYNC],
            after: &[DATA, CLOUD, IGNITION, REGISTRIES, EXTENSIONS, NET],
            gates_ready: true,
            late_ms: 60_000,
            late_hint: "bootsync.sh still runs after {} s; the boot continues",
            ..ServiceDef::ONE_SHOT
        },
        when: wants_data_disk,
        adapt: adapt::with_variables,
        ..Row::DEFAULT
    },
    // The service also runs without a data disk, because it reports a full store and a podman that cannot open its
    // store. PID 1 restarts the service when a data disk appears (`reactions.rs`).
    Row {
        def: ServiceDef {
            name: IMAGE_SYNC,
            why: "an image is flushed to the disk soon after podman has stored it, so that a power cut does not lose it",
            argv: &[B2P, "image-sync"],
            after: DATA_DISK_SERVICES,
            ready: ReadyWhen::Notify,
            restart: Restart::OnFailure,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, platform| {
            wants_data_disk(config, platform)
                || (config.podman != Podman::Off && !platform.in_container)
        },
        ..Row::DEFAULT
    },
    // Storage in RAM is empty at every boot: only a data disk has containers to start. `late_ms` is the limit of
    // `podman start` for one user (b2p/src/helpers/engine/start.rs).
    Row {
        def: ServiceDef {
            name: CONTAINERS,
            why: "the containers on the data disk run again if their restart policy says so",
            argv: &[B2P, "containers-start"],
            after: ENGINE_PREREQUISITES,
            late_ms: 900_000,
            after_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_data_disk,
        ..Row::DEFAULT
    },
    Row {
        def: ServiceDef {
            name: BOOTLOCAL,
            why: "bootlocal.sh on the data disk runs in parallel with the other services",
            argv: &[B2P, "boot-script", BOOTLOCAL],
            after: ENGINE_PREREQUISITES,
            restart: Restart::Never,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: wants_data_disk,
        adapt: adapt::with_variables,
        ..Row::DEFAULT
    },
    // The commands have no time limit: after `late_ms` the service is reported as late, and continues.
    Row {
        def: ServiceDef {
            name: CLOUD_SCRIPTS,
            why: "commands of the cidata disk run once for each instance, and its per-boot scripts at each boot",
            argv: &[B2P, "cloud", "scripts"],
            after: CONFIGURATION_SERVICES,
            after_ready: true,
            late_ms: 600_000,
            ..ServiceDef::ONE_SHOT
        },
        when: wants_cloud,
        ..Row::DEFAULT
    },
    // The kernel has set the clock by now (CONFIG_RTC_HCTOSYS). In a container the clock belongs
    // to the container's host.
    Row {
        def: ServiceDef {
            name: "time",
            oom_score_adj: OOM_PROTECTED,
            why: "the clock is corrected after the machine was paused, and follows the hypervisor's clock or a time server",
            argv: &[B2P, "time"],
            ready: ReadyWhen::Notify,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |_, platform| !platform.in_container,
        ..Row::DEFAULT
    },
];
