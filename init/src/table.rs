//! The services, a row each, as the configuration wants them.

use std::fs;
use std::path::Path;

use config::{Config, Net, Podman};
use services::{Ready, Restart, Service, Socket};

use crate::console;

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
/// The API's socket.
pub const API: &str = "/run/podman/podman.sock";

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

/// Made while the network is asked for; sshd does not start without one.
const HOSTKEY: Service = Service {
    name: "hostkey",
    why: "a machine without a disk has no key yet",
    argv: &[
        "/usr/bin/ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "boot2podman",
        "-f",
        HOST_KEY,
    ],
    ready: Ready::Exit,
    restart: Restart::OnFailure,
    ..Service::DEFAULT
};

const SSHD: Service = Service {
    name: "sshd",
    why: "the way in: shells, sftp, and the API for every remote client",
    argv: &["/usr/sbin/sshd", "-D", "-e"],
    ready: Ready::Notify,
    gates: true,
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
    gates: true,
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
    after_ready: true,
    ..Service::DEFAULT
};

/// Once: later, `b2p reload` by hand.
const OWN: Service = Service {
    name: "own",
    why: "the services of the machine's owner are read and started (docs/services.md)",
    argv: &[B2P, "own"],
    ready: Ready::Exit,
    restart: Restart::Never,
    late_ms: 60_000,
    after_ready: true,
    ..Service::DEFAULT
};

/// The rows that `config` asks for.
#[must_use]
pub fn services(config: &Config) -> Vec<Service> {
    let mut rows = Vec::new();
    rows.extend(net(&config.net));
    if config.sshd {
        rows.extend(sshd(Path::new(HOST_KEY)));
    }
    rows.extend(podman(config.podman));
    let swap = swap(config);
    rows.push(Service {
        // Where swap needs it, it comes before the ready line.
        after_ready: swap.is_none_or(|s| s.needs.is_empty()),
        ..SETTLE
    });
    rows.extend(swap);
    rows.push(SYSLOG);
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
    told.map_or(!name.starts_with(RESCUE), |(_, on)| *on)
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

/// No row where nobody asks. zram needs no disk, the others their drivers.
fn swap(config: &Config) -> Option<Service> {
    let wait = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    config.asks_for_swap().then_some(Service {
        // To be "data" once that is a service: it brings the drivers of disks, and
        // a file is made on what it mounts.
        needs: match config.swaps_to_disk() {
            true => &["settle"],
            false => &[],
        },
        late_ms: SWAP.late_ms + u64::from(wait) * 1000,
        ..SWAP
    })
}

/// sshd, and before it the key, where there is none from a disk or an image.
fn sshd(key: &Path) -> Vec<Service> {
    if fs::metadata(key).is_ok_and(|m| m.len() > 0) {
        return vec![SSHD];
    }
    vec![
        HOSTKEY,
        Service {
            needs: &["hostkey"],
            ..SSHD
        },
    ]
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
    use super::*;

    #[test]
    fn every_row_says_why_and_needs_only_what_is_there() {
        let rows = services(&Config::default());
        let has = |name: &str| rows.iter().any(|r| r.name == name);
        for row in &rows {
            assert!(!row.why.is_empty() && !row.argv.is_empty(), "{}", row.name);
            assert!(row.needs.iter().all(|n| has(n)), "{}", row.name);
        }
        assert!(has("net") && has("sshd") && has("podman"));
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
            ..Config::default()
        };
        let rows = services(&off);
        let names = rows.iter().map(|r| r.name);
        let names: Vec<_> = names.filter(|n| wanted(&off, n)).collect();
        assert_eq!(names, ["settle", "syslog", "own"]);
    }

    #[test]
    fn swap_has_a_row_where_a_flag_asks() {
        let row = |line: &[u8]| {
            let rows = services(&config::parse(line, &[]).0);
            let needed = |name: &str| {
                let row = rows.iter().find(|r| r.name == name);
                row.is_some_and(|r| !r.after_ready)
            };
            let swap = rows.iter().find(|r| r.name == "swap").copied();
            assert!(swap.is_none_or(|s| s.needs.iter().all(|n| needed(n))));
            swap
        };
        assert_eq!(row(b""), None);
        assert_eq!(row(b"b2p.swap=off"), None);
        assert_eq!(row(b"b2p.swap=zram swapfile=sda1 noswap"), None);
        assert!(row(b"b2p.swap=zram").is_some_and(|r| r.needs.is_empty() && r.gates));
        assert!(row(b"b2p.swap=zram b2p.swap=64").is_some_and(|r| !r.needs.is_empty()));
        let slow = row(b"swapfile=sda1 waitusb=60");
        assert!(slow.is_some_and(|r| !r.needs.is_empty() && r.late_ms > 60_000));
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
