// SPDX-License-Identifier: Apache-2.0
//! The table of services.

use config::{Console, Net, Podman, Role};
use services::{KillMode, ReadyWhen, Restart, ServiceDef};
use sys::paths::{B2P, HEALTH_SOCKET, INIT, LOG_DIR, PODMAN_SOCKET};

use super::names::*;
use super::{Entry, adapt, cloud, data_disk, datagrams, stream};

/// All services of the machine. A gate delays the ready line, for `late_ms` at most.
pub const SERVICES: &[Entry] = &[
    // A process of its own: a disk takes as long as it likes. `b2p data` ends a repair after
    // two minutes; services that would wait longer go on in RAM.
    Entry {
        def: ServiceDef {
            name: DATA,
            why: "the disk that keeps containers, keys and settings is found, made or mended, and mounted",
            argv: &[B2P, "data"],
            gates_ready: true,
            late_ms: 130_000,
            kill: KillMode::Cgroup,
            ..ServiceDef::ONE_SHOT
        },
        when: data_disk,
        adapt: adapt::slow_disk,
        ..Entry::DEFAULT
    },
    // `b2p cloud` itself takes a minute at most (b2p/src/helpers/cloud/mod.rs). A daemon that
    // `bootcmd` starts lives on.
    Entry {
        def: ServiceDef {
            name: CLOUD,
            why: "a disk labelled cidata says what the machine is to be, as cloud-init's NoCloud has it",
            argv: &[B2P, "cloud"],
            after: ON_DISK,
            gates_ready: true,
            late_ms: 80_000,
            ..ServiceDef::ONE_SHOT
        },
        when: cloud,
        ..Entry::DEFAULT
    },
    // The only gate that depends on another machine, for five seconds: then the ready line says
    // so, and the asking goes on. dnsmasq and others first look for three seconds whether an
    // address is in use.
    Entry {
        def: ServiceDef {
            name: NET,
            why: "addresses, routes, DNS servers; a process of its own, so that PID 1 parses nothing from the network",
            ready: ReadyWhen::Notify,
            gates_ready: true,
            late_ms: 5_000,
            late_hint: "no DHCP server answers within {} s; still asking",
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.net != Net::Off,
        adapt: adapt::network,
        ..Entry::DEFAULT
    },
    // sshd does not start without a host key.
    Entry {
        def: ServiceDef {
            name: HOSTKEY,
            why: "the disk's key, or a new one, which the disk then keeps",
            argv: &[B2P, "hostkey"],
            after: ON_DISK,
            restart: Restart::OnFailure,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.sshd,
        ..Entry::DEFAULT
    },
    Entry {
        def: ServiceDef {
            name: SSHD,
            why: "the way in: shells, sftp, and the API for every remote client",
            argv: &["/usr/sbin/sshd", "-D", "-e"],
            needs: &[HOSTKEY],
            after: CONFIGURED,
            ready: ReadyWhen::Notify,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.sshd,
        ..Entry::DEFAULT
    },
    // The process ends after idle time; PID 1 keeps the socket. Killing it ends no container:
    // each has a conmon of its own. Go's runtime first collects garbage at 4 MB, while podman
    // starts: a fifth of its 90 ms of instructions, again in each `podman container cleanup`,
    // which inherits this environment. From 128 MB on it collects as often as it must
    // (pkg.go.dev/runtime, "Environment Variables").
    Entry {
        def: ServiceDef {
            name: PODMAN,
            why: "the API that podman --remote, docker and the bindings talk to",
            env: &["GOGC=400", "GOMEMLIMIT=128MiB"],
            socket: stream(PODMAN_SOCKET, 0o660),
            argv: &["/usr/bin/podman", "system", "service"],
            after: BEFORE_ENGINE,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.podman != Podman::Off,
        adapt: adapt::podman,
        ..Entry::DEFAULT
    },
    // Exists where the boot menu says that a version is on trial, or that its trial failed. In
    // the first case the service waits for the ready line, in the second the ready line waits
    // for the service. `b2p` itself takes less than `late_ms` (b2p/src/helpers/upgrade/commit.rs).
    Entry {
        def: ServiceDef {
            name: "upgrade",
            why: "a new version is kept once the machine is ready, else the one before comes back",
            argv: &[B2P, "upgrade-commit"],
            late_ms: 900_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.slot.is_some_and(|slot| slot.role != Role::Confirmed),
        adapt: adapt::upgrade,
        ..Entry::DEFAULT
    },
    // `b2p vsock` reports a machine without the device. A session that it has begun lives on.
    Entry {
        def: ServiceDef {
            name: "vsock",
            why: "the host reaches ssh and the API though there is no network between",
            argv: &[B2P, "vsock"],
            after: &[DATA, CLOUD, HOSTKEY],
            ready: ReadyWhen::Notify,
            gates_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, host| config.vsock && !host.in_container,
        ..Entry::DEFAULT
    },
    // A gate: swap is there at the ready line, or a degraded line says why not.
    Entry {
        def: ServiceDef {
            name: "swap",
            why: "zram, partitions and files to swap to, where a flag asks for them",
            argv: &[B2P, "swap"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.asks_for_swap(),
        adapt: adapt::swap,
        ..Entry::DEFAULT
    },
    // A server that does not answer hangs this service and no other. The limit of `b2p share`
    // is less than `late_ms` (b2p/src/helpers/share/mod.rs).
    Entry {
        def: ServiceDef {
            name: SHARE,
            why: "folders of the host, where a flag asks for them; again when one comes",
            argv: &[B2P, "share"],
            after: ON_DISK,
            gates_ready: true,
            late_ms: 20_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, host| !config.shares.is_empty() && !host.in_container,
        ..Entry::DEFAULT
    },
    // Before the engine, hooks and the owner's services, which may run programs of an extension:
    // another container runtime, for one. After cloud-init: both may add users, each in files
    // of its own copy. A disc is slow, and the whole image is read to verify it.
    Entry {
        def: ServiceDef {
            name: EXTENSIONS,
            why: "images with more programs become a part of the root, where a flag asks for them",
            argv: &[B2P, "ext", "boot"],
            after: CONFIGURED,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, host| !config.extensions.is_empty() && !host.in_container,
        adapt: adapt::slow_disk,
        ..Entry::DEFAULT
    },
    // Before the ready line, so that programs started after it have the right time.
    Entry {
        def: ServiceDef {
            name: "timezone",
            why: "the time zone, and a hardware clock that keeps it, where a flag says so",
            argv: &[B2P, "timezone"],
            gates_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: |config, _| config.tz.is_some() || !config.utc,
        ..Entry::DEFAULT
    },
    // Drivers of disks, of the power button, of the source of random numbers; a slow mount; the
    // network of containers. Runs when the processor is idle (`cpu.idle`, cgroup-v2.rst):
    // programs that waited for the ready line come before it.
    Entry {
        def: ServiceDef {
            name: "late-drivers",
            why: "every device that is there has its driver; PID 1 loads those of later devices",
            argv: &[INIT, "coldplug"],
            after_ready: true,
            limits: &[("cpu.idle", "1")],
            ..ServiceDef::ONE_SHOT
        },
        ..Entry::DEFAULT
    },
    // Apart from log-files: a disk that hangs must not stop the reading.
    Entry {
        def: ServiceDef {
            name: "syslog",
            why: "what programs say to syslog(3) joins the kernel's log",
            argv: &[B2P, "syslog"],
            socket: datagrams("/dev/log", 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Entry::DEFAULT
    },
    // Woken by a container that starts (`b2p health-hook`), ends with the last one that has a
    // health check. Any user's container may connect: the kernel says which user it is
    // (unix(7), SO_PEERCRED). Containers that the service starts again live on.
    Entry {
        def: ServiceDef {
            name: "health",
            why: "health checks of containers, when they are due; podman has no clock of its own",
            argv: &[B2P, "health"],
            socket: stream(HEALTH_SOCKET, 0o666),
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        ..Entry::DEFAULT
    },
    // podman is asked about each file, which takes it a moment.
    Entry {
        def: ServiceDef {
            name: REGISTRIES,
            why: "registries and mirrors of the data disk become podman's, if it can read them",
            argv: &[B2P, "registries"],
            after: CONFIGURED,
            gates_ready: true,
            late_ms: 60_000,
            ..ServiceDef::ONE_SHOT
        },
        when: data_disk,
        ..Entry::DEFAULT
    },
    // The engine waits for the script, `late_ms` at most; the script then goes on. It starts
    // with an address, as in Tiny Core, boot2docker and the first boot2podman.
    Entry {
        def: ServiceDef {
            name: BOOTSYNC,
            why: "bootsync.sh on the data disk: what its owner does before the engine",
            argv: &[B2P, "boot-script", BOOTSYNC],
            after: &[DATA, CLOUD, REGISTRIES, EXTENSIONS, NET],
            gates_ready: true,
            late_ms: 60_000,
            late_hint: "bootsync.sh still runs after {} s; the boot goes on",
            ..ServiceDef::ONE_SHOT
        },
        when: data_disk,
        adapt: adapt::with_variables,
        ..Entry::DEFAULT
    },
    // Ends at once while the state is in RAM; a data disk that appears later starts it again.
    Entry {
        def: ServiceDef {
            name: IMAGE_SYNC,
            why: "an image is on the disk soon after podman says that it is, should the power go",
            argv: &[B2P, "image-sync"],
            after: ON_DISK,
            restart: Restart::OnFailure,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: data_disk,
        ..Entry::DEFAULT
    },
    // Storage in RAM is new at every boot: only a disk brings containers.
    Entry {
        def: ServiceDef {
            name: CONTAINERS,
            why: "the containers on the disk whose restart policy says so run again",
            argv: &[B2P, "containers-start"],
            after: BEFORE_ENGINE,
            late_ms: 900_000,
            after_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        when: data_disk,
        ..Entry::DEFAULT
    },
    // May run for as long as the machine does.
    Entry {
        def: ServiceDef {
            name: "bootlocal",
            why: "bootlocal.sh on the data disk: what its owner does beside everything else",
            argv: &[B2P, "boot-script", "bootlocal"],
            after: BEFORE_ENGINE,
            restart: Restart::Never,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: data_disk,
        adapt: adapt::with_variables,
        ..Entry::DEFAULT
    },
    // Nothing waits for the commands. Programs that they start live on.
    Entry {
        def: ServiceDef {
            name: CLOUD_SCRIPTS,
            why: "the commands of that disk, once for each instance; its scripts of each boot",
            argv: &[B2P, "cloud", "scripts"],
            after: CONFIGURED,
            after_ready: true,
            late_ms: 600_000,
            ..ServiceDef::ONE_SHOT
        },
        when: cloud,
        ..Entry::DEFAULT
    },
    // The kernel has set the clock by now (CONFIG_RTC_HCTOSYS). In a container the clock is
    // somebody else's.
    Entry {
        def: ServiceDef {
            name: "time",
            why: "the clock is put right after the host has slept, and follows it or a time server",
            argv: &[B2P, "time"],
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |_, host| !host.in_container,
        ..Entry::DEFAULT
    },
    // Without a data disk the files are in RAM, where the kernel's ring buffer already is.
    Entry {
        def: ServiceDef {
            name: "log-files",
            why: "the log is kept in files, bounded, to be read after a reboot",
            argv: &[B2P, "log-files", LOG_DIR],
            after: ON_DISK,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.syslog,
        ..Entry::DEFAULT
    },
    // The ring buffer holds what was logged before the network was there. In a container the
    // kernel's log is the host's.
    Entry {
        def: ServiceDef {
            name: "remote-log",
            why: "the log is sent to a receiver of syslog, as it grows",
            argv: &[B2P, "remote-log"],
            after: &[NET],
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, host| config.rsyslog.is_some() && !host.in_container,
        ..Entry::DEFAULT
    },
    // Once at boot; later changes take effect with `b2p reload`.
    Entry {
        def: ServiceDef {
            name: "user-services",
            why: "the services of the machine's owner are read and started (docs/guide/services.md)",
            argv: &[B2P, "user-services"],
            after: BEFORE_ENGINE,
            late_ms: 60_000,
            after_ready: true,
            ..ServiceDef::ONE_SHOT
        },
        ..Entry::DEFAULT
    },
    Entry {
        def: ServiceDef {
            name: CONSOLE_PREFIX,
            why: "a person at a console sees the state of the machine, or gets a shell",
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        when: |config, _| config.console != Console::Off,
        adapt: adapt::console,
        each_terminal: true,
    },
    // Started by `b2p rescue` alone; the console service comes back when the shell is left.
    Entry {
        def: ServiceDef {
            name: RESCUE_PREFIX,
            why: "a person can see what is wrong and mend it while the services go on",
            argv: &[B2P, "console", "rescue"],
            restart: Restart::Never,
            after_ready: true,
            ..ServiceDef::DEFAULT
        },
        each_terminal: true,
        ..Entry::DEFAULT
    },
];
