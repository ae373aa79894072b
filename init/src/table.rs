//! The services, a row each, as the configuration wants them.

use std::fs;

use config::{Config, Data, Net, Podman};
use services::{Kill, Ready, Restart, Service, Socket};

use crate::{console, data, root};

/// Our own binary under the name the userland knows.
pub const SELF: &str = "/usr/lib/boot2podman/init";
/// The client and helper.
pub const B2P: &str = "/usr/bin/b2p";
/// Who may use the API besides root.
const API_GROUP: &str = "podman";
/// sshd_config names it.
pub const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// What the names of the services on consoles begin with.
pub const CONSOLE: &str = "console-";
/// And those of the shells that `b2p rescue` puts in their place.
pub const RESCUE: &str = "rescue-";
/// The log on the disk.
pub const LOG: &str = "/var/lib/boot2podman/log";
/// Where a container's runtime says that it has begun.
pub const HEALTH: &str = "/run/boot2podman/health.sock";
/// The API's socket.
pub const API: &str = "/run/podman/podman.sock";

/// A process of its own: a disk takes as long as it likes. Its repair may take two
/// minutes (`b2p data` ends it then); whoever waits longer goes on in RAM.
const DATA: Service = Service {
    name: data::NAME,
    why: "the disk that keeps containers, keys and settings is found, made or mended, and mounted",
    argv: &[B2P, "data"],
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    late_ms: 130_000,
    kill: Kill::Group,
    ..Service::DEFAULT
};

/// What is on the data disk, or must not be written beside it.
const KEPT: &[&str] = &[data::NAME];

/// And what its owner does before the engine, by hook or by cloud-init's way; and what
/// containers are given.
const BEFORE_THE_ENGINE: &[&str] = &[data::NAME, CLOUD.name, "bootsync", SHARES];

/// The name of the service that mounts folders of the host.
pub const SHARES: &str = "share";

/// A row only where a flag asks. A server that is gone hangs it, and nobody else.
const SHARE: Service = Service {
    name: SHARES,
    why: "folders of the host, where a flag asks for them; again when one comes",
    argv: &[B2P, "share"],
    after: KEPT,
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    ..Service::DEFAULT
};

/// Before what depends on who may log in and who is trusted. Its own limit is a minute
/// (b2p/src/cloud/mod.rs). A daemon that `bootcmd` starts lives on.
const CLOUD: Service = Service {
    name: "cloud",
    why: "a disk labelled cidata says what the machine is to be, as cloud-init's NoCloud has it",
    argv: &[B2P, "cloud"],
    after: KEPT,
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    late_ms: 80_000,
    kill: Kill::Process,
    ..Service::DEFAULT
};

/// As long as they like: nobody waits for them. What they start lives on.
const CLOUD_SCRIPTS: Service = Service {
    name: "cloud-scripts",
    why: "the commands of that disk, once for each instance; its scripts of each boot",
    argv: &[B2P, "cloud", "scripts"],
    after: SETTLED,
    ready: Ready::Exit,
    restart: Restart::Never,
    after_ready: true,
    late_ms: 600_000,
    kill: Kill::Process,
    ..Service::DEFAULT
};

/// What both of them have had their say about.
const SETTLED: &[&str] = &[data::NAME, CLOUD.name];

/// Cards get addresses. It alone may keep the ready line waiting without being
/// local: five seconds, then the line says so and the asking goes on. dnsmasq and
/// others first look for three seconds whether an address is taken.
const NET: Service = Service {
    name: "net",
    why: "addresses, routes, DNS servers; a process of its own, so that PID 1 parses nothing from the network",
    ready: Ready::Notify,
    gates: true,
    late_ms: 5_000,
    ..Service::DEFAULT
};

/// What the other services do not wait for: drivers of disks, of the power
/// button, of the source of random numbers; a slow mount.
const SETTLE: Service = Service {
    name: "settle",
    why: "every device that is there has its driver; what comes later, PID 1 hears of",
    argv: &[SELF, "settle"],
    ready: Ready::Exit,
    restart: Restart::Never,
    after_ready: true,
    ..Service::DEFAULT
};

/// It gates: what was asked for is there when the machine is ready, or a degraded
/// line says why not.
const SWAP: Service = Service {
    name: "swap",
    why: "zram, partitions and files to swap to, where a flag asks for them",
    argv: &[B2P, "swap"],
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    ..Service::DEFAULT
};

/// Before the ready line, so that what follows it has the time that was asked for.
const ZONE: Service = Service {
    name: "zone",
    why: "the time zone, and a hardware clock that keeps it, where a flag says so",
    argv: &[B2P, "zone"],
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    ..Service::DEFAULT
};

/// The kernel has set the clock by then (CONFIG_RTC_HCTOSYS).
const TIME: Service = Service {
    name: "time",
    why: "the clock is put right after the host has slept, and follows it or a time server",
    argv: &[B2P, "time"],
    after_ready: true,
    ..Service::DEFAULT
};

/// sshd does not start without one.
const HOSTKEY: Service = Service {
    name: "hostkey",
    why: "the disk's key, or a new one, which the disk then keeps",
    argv: &[B2P, "hostkey"],
    after: KEPT,
    ready: Ready::Exit,
    restart: Restart::OnFailure,
    ..Service::DEFAULT
};

const SSHD: Service = Service {
    name: "sshd",
    why: "the way in: shells, sftp, and the API for every remote client",
    argv: &["/usr/sbin/sshd", "-D", "-e"],
    needs: &["hostkey"],
    after: SETTLED,
    ready: Ready::Notify,
    gates: true,
    ..Service::DEFAULT
};

/// What programs connect to: `b2p vsock` says what to do without a device.
const VSOCK: Service = Service {
    name: "vsock",
    why: "the host reaches ssh and the API though there is no network between",
    argv: &[B2P, "vsock"],
    after: &[data::NAME, CLOUD.name, "hostkey"],
    ready: Ready::Notify,
    gates: true,
    // A session that it began lives on.
    kill: Kill::Process,
    ..Service::DEFAULT
};

/// The service leaves after idle time; PID 1 keeps the socket. Killing it ends
/// no container: each has a conmon of its own.
const PODMAN: Service = Service {
    name: "podman",
    why: "the API that podman --remote, docker and the bindings talk to",
    socket: Some(Socket {
        path: API,
        mode: 0o660,
        gid: 0,
        datagram: false,
        on_demand: true,
    }),
    argv: &["/usr/bin/podman", "system", "service"],
    after: BEFORE_THE_ENGINE,
    gates: true,
    ..Service::DEFAULT
};

/// A container that begins wakes it (`b2p health-hook`); with the last that has a
/// health check it ends. Containers that it starts again live on.
const HEALTH_CHECKS: Service = Service {
    name: "health",
    why: "health checks of containers, when they are due; podman has no clock of its own",
    argv: &[B2P, "health"],
    socket: Some(Socket {
        path: HEALTH,
        // A container of anybody's begins; who says so, the kernel says.
        mode: 0o666,
        gid: 0,
        datagram: false,
        on_demand: true,
    }),
    after_ready: true,
    ..Service::DEFAULT
};

/// Not the one that writes files: a disk that hangs must not stop the reading.
const SYSLOG: Service = Service {
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
    ..Service::DEFAULT
};

const KEEP: Service = Service {
    name: "keep",
    why: "the log is kept in files, bounded, to be read after a reboot",
    argv: &[B2P, "syslog", "--keep", LOG],
    after: KEPT,
    after_ready: true,
    ..Service::DEFAULT
};

/// The ancestors' hooks: files on the data disk, which `b2p data` tells of.
pub const HOOKS: &[&str] = &["bootsync", "bootlocal"];

/// The engine waits for it, as long as `late_ms`: it is left to end then.
const BOOTSYNC: Service = Service {
    name: "bootsync",
    why: "bootsync.sh on the data disk: what its owner does before the engine",
    argv: &[B2P, "hook", "bootsync"],
    after: SETTLED,
    ready: Ready::Exit,
    restart: Restart::Never,
    gates: true,
    late_ms: 60_000,
    ..Service::DEFAULT
};

/// It may go on for ever.
const BOOTLOCAL: Service = Service {
    name: "bootlocal",
    why: "bootlocal.sh on the data disk: what its owner does beside everything else",
    argv: &[B2P, "hook", "bootlocal"],
    after: BEFORE_THE_ENGINE,
    restart: Restart::Never,
    after_ready: true,
    ..Service::DEFAULT
};

/// Who is told what the profile exports, and the proxies.
const TOLD: &[&str] = &["podman", "bootsync", "bootlocal"];

/// Once: later, `b2p reload` by hand.
const OWN: Service = Service {
    name: "own",
    why: "the services of the machine's owner are read and started (docs/services.md)",
    argv: &[B2P, "own"],
    after: BEFORE_THE_ENGINE,
    ready: Ready::Exit,
    restart: Restart::Never,
    late_ms: 60_000,
    after_ready: true,
    ..Service::DEFAULT
};

/// Ends at once where the state is in RAM; a disk that comes later wakes it.
const STORE: Service = Service {
    name: data::STORE,
    why: "an image is on the disk soon after podman says that it is, should the power go",
    argv: &[B2P, "store"],
    after: KEPT,
    restart: Restart::OnFailure,
    after_ready: true,
    ..Service::DEFAULT
};

/// What is in RAM is new at every boot: only a disk brings containers.
const CONTAINERS: Service = Service {
    name: data::CONTAINERS,
    why: "the containers on the disk whose restart policy says so run again",
    argv: &[B2P, "containers-start"],
    after: BEFORE_THE_ENGINE,
    ready: Ready::Exit,
    restart: Restart::Never,
    late_ms: 900_000,
    after_ready: true,
    ..Service::DEFAULT
};

/// The rows that `config` asks for.
#[must_use]
pub fn services(config: &Config) -> Vec<Service> {
    let variables = config.variables();
    // Twice in a boot at the most, and kept for its whole life.
    let line = |(name, value): &(String, String)| &*[name, "=", value].concat().leak();
    let env: Vec<&'static str> = variables.iter().map(line).collect();
    let env: &'static [&'static str] = env.leak();
    let mut rows = plain(config);
    let told = |row: &&mut Service| TOLD.contains(&row.name);
    rows.iter_mut().filter(told).for_each(|row| row.env = env);
    rows
}

fn plain(config: &Config) -> Vec<Service> {
    let mut rows = Vec::new();
    // In a namespace the disks are somebody else's.
    let disk = config.data != Data::Off && !root::given();
    rows.extend(disk.then_some(late(config)));
    let cloud = config.cloud && !root::given();
    rows.extend(cloud.then_some(CLOUD));
    rows.extend(net(&config.net));
    if config.sshd {
        rows.extend([HOSTKEY, SSHD]);
    }
    rows.extend(podman(config.podman));
    rows.extend((config.vsock && !root::given()).then_some(VSOCK));
    rows.extend(swap(config));
    rows.extend((!config.shares.is_empty() && !root::given()).then_some(SHARE));
    rows.extend((config.tz.is_some() || !config.utc).then_some(ZONE));
    rows.extend([SETTLE, SYSLOG, HEALTH_CHECKS]);
    if disk {
        rows.extend([BOOTSYNC, STORE, CONTAINERS, BOOTLOCAL]);
    }
    rows.extend(cloud.then_some(CLOUD_SCRIPTS));
    // In a container it is somebody else's clock.
    rows.extend((!root::given()).then_some(TIME));
    // Without a disk it is in RAM, and the kernel's ring is that already.
    rows.extend(config.syslog.then_some(KEEP));
    rows.push(OWN);
    rows.extend(console::services(config.console));
    rows.extend(console::rescues());
    rows
}

/// Whether a service is started with the machine.
#[must_use]
pub fn wanted(config: &Config, name: &str) -> bool {
    let told = config.services.iter().find(|(known, _)| known == name);
    let asked = name.starts_with(RESCUE) || HOOKS.contains(&name);
    told.map_or(!asked, |(_, on)| *on)
}

fn net(net: &Net) -> Option<Service> {
    let words = crate::net::arguments(net)?;
    let argv = [B2P.to_owned(), "net".to_owned()].into_iter().chain(words);
    // Made once in a boot and kept for its whole life.
    let argv: Vec<&'static str> = argv.map(|w| &*w.leak()).collect();
    // Without a card there is nothing to wait for; one may be plugged in.
    let gates = crate::net::missing(net).is_none();
    Some(Service {
        argv: argv.leak(),
        gates,
        ..NET
    })
}

/// The data disk's row: who waits for a slow disk by flag has that time besides.
fn late(config: &Config) -> Service {
    let asked = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    Service {
        late_ms: DATA.late_ms + u64::from(asked) * 1000,
        ..DATA
    }
}

/// No row where nobody asks. A swap file is on the data disk.
fn swap(config: &Config) -> Option<Service> {
    let wait = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    config.asks_for_swap().then_some(Service {
        after: if config.swaps_to_disk() { KEPT } else { &[] },
        late_ms: SWAP.late_ms + u64::from(wait) * 1000,
        ..SWAP
    })
}

/// The API as the flag has it.
#[must_use]
pub fn podman(podman: Podman) -> Option<Service> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let gid = gid(&groups, API_GROUP).unwrap_or(0);
    let socket = |on_demand| {
        PODMAN.socket.map(|s| Socket {
            gid,
            on_demand,
            ..s
        })
    };
    match podman {
        Podman::Off => None,
        Podman::OnDemand => Some(Service {
            socket: socket(true),
            ..PODMAN
        }),
        Podman::Boot => Some(Service {
            argv: &["/usr/bin/podman", "system", "service", "--time=0"],
            socket: socket(false),
            ..PODMAN
        }),
    }
}

/// The number of a group in the text of group(5); no name service is asked.
fn gid(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_row_says_why_and_needs_only_what_is_there() {
        let all = config::parse(b"b2p.share=a:/mnt/a b2p.swap=zram tz=UTC b2p.vsock", &[]);
        let rows = services(&all.0);
        let has = |name: &str| rows.iter().any(|r| r.name == name);
        for row in &rows {
            assert!(!row.why.is_empty() && !row.argv.is_empty(), "{}", row.name);
            assert!(row.needs.iter().all(|n| has(n)), "{}", row.name);
            assert!(row.after.iter().all(|n| has(n)), "{}", row.name);
            // Or they would wait for each other.
            assert!(
                !goes_first(&rows, row.name).contains(&row.name),
                "{}",
                row.name
            );
            // Nor does one that is needed begin late without those that need it.
            let needed = rows.iter().filter(|r| row.needs.contains(&r.name));
            assert!(
                needed
                    .into_iter()
                    .all(|r| r.after.iter().all(|a| row.after.contains(a)))
            );
        }
        assert!(has("net") && has("sshd") && has("podman"));
    }

    /// All that a row lets go first, directly or not.
    fn goes_first(rows: &[Service], name: &str) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = Vec::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            let row = rows.iter().find(|r| r.name == name).copied().unwrap();
            let more = row.after.iter().chain(row.needs);
            let more: Vec<_> = more.copied().filter(|n| !all.contains(n)).collect();
            all.extend(&more);
            todo.extend(more);
        }
        all
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\npodman2:x:5:\npodman:x:982:core\n";
        assert_eq!(gid(text, "podman"), Some(982));
        assert_eq!(gid(text, "pod"), None);
    }

    #[test]
    fn flags_turn_services_off() {
        let off = Config {
            sshd: false,
            podman: Podman::Off,
            net: Net::Off,
            console: config::Console::Off,
            data: Data::Off,
            cloud: false,
            ..Config::default()
        };
        let rows = services(&off);
        let names = rows.iter().map(|r| r.name);
        let names: Vec<_> = names.filter(|n| wanted(&off, n)).collect();
        assert_eq!(names, ["settle", "syslog", "health", "time", "own"]);
    }

    #[test]
    fn swap_has_a_row_where_a_flag_asks() {
        let row = |line: &[u8]| {
            let rows = services(&config::parse(line, &[]).0);
            rows.iter().find(|r| r.name == "swap").copied()
        };
        assert_eq!(row(b""), None);
        assert_eq!(row(b"b2p.swap=off"), None);
        assert_eq!(row(b"b2p.swap=zram swapfile=sda1 noswap"), None);
        assert!(row(b"b2p.swap=zram").is_some_and(|r| r.after.is_empty() && r.gates));
        assert!(row(b"b2p.swap=zram b2p.swap=64").is_some_and(|r| r.after == KEPT));
        let slow = row(b"swapfile=sda1 waitusb=60");
        assert!(slow.is_some_and(|r| r.after == KEPT && r.late_ms > 60_000));
    }

    #[test]
    fn the_zone_has_a_row_where_a_flag_asks() {
        let has = |line: &[u8]| {
            let rows = services(&config::parse(line, &[]).0);
            rows.iter().any(|r| r.name == "zone" && r.gates)
        };
        assert!(!has(b"") && has(b"tz=Europe/Berlin") && has(b"noutc"));
    }

    #[test]
    fn podman_at_boot_has_no_idle_end() {
        let boot = Config {
            podman: Podman::Boot,
            ..Config::default()
        };
        let rows = services(&boot);
        let row = rows.iter().find(|r| r.name == "podman");
        assert!(row.is_some_and(|r| !r.on_demand() && r.argv.contains(&"--time=0")));
    }
}
