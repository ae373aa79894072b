// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use config::{Config, Console, DiskSelector, Net, Podman};

use super::names::*;
use super::*;

fn parsed(line: &[u8]) -> Vec<ServiceDef> {
    select(&config::parse(line, &[]).0, &Platform::default())
}

fn service(name: &str, line: &[u8]) -> Option<ServiceDef> {
    parsed(line).into_iter().find(|def| def.name == name)
}

#[test]
fn every_row_is_complete_and_no_service_waits_for_itself() {
    let flags = b"b2p.share=a:/mnt/a b2p.ext=a b2p.swap=zram tz=UTC b2p.vsock b2p.ignition=disk";
    let defs = parsed(flags);
    let exists = |name: &str| defs.iter().any(|def| def.name == name);
    for def in &defs {
        let name = def.name;
        assert!(!def.why.is_empty() && !def.argv.is_empty(), "{name}");
        assert!(def.needs.iter().all(|need| exists(need)), "{name}");
        assert!(def.after.iter().all(|other| exists(other)), "{name}");
        // Services that are `after` each other would wait for ever.
        assert!(!dependencies(&defs, name).contains(&name), "{name}");
        // A needed service starts after every service in the `after` list of its dependents.
        let needed = defs.iter().filter(|other| def.needs.contains(&other.name));
        for other in needed {
            assert!(other.after.iter().all(|name| def.after.contains(name)));
        }
    }
    assert!(exists(NET) && exists(SSHD) && exists(PODMAN));
}

/// Returns the names of all services that start before `name`, directly or not.
fn dependencies(defs: &[ServiceDef], name: &str) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    let mut todo = vec![name];
    while let Some(name) = todo.pop() {
        let def = defs.iter().find(|def| def.name == name).copied().unwrap();
        let direct = def.after.iter().chain(def.needs).copied();
        let new: Vec<_> = direct.filter(|name| !found.contains(name)).collect();
        found.extend(&new);
        todo.extend(new);
    }
    found
}

/// Returns the time until the service is ready or late, if every service before it takes all of its time.
fn longest_wait(defs: &[ServiceDef], name: &str) -> u64 {
    let Some(def) = defs.iter().find(|def| def.name == name) else {
        return 0;
    };
    let before = def.after.iter().chain(def.needs);
    let longest = before.map(|name| longest_wait(defs, name)).max();
    def.late_ms + longest.unwrap_or(0)
}

/// `DISK_LIMIT_SECONDS` and `SHUTDOWN_LIMIT` of b2p/src/helpers/upgrade/commit.rs together.
const END_OF_TRIAL_MS: u64 = 60_000 + 180_000;

#[test]
fn the_limit_of_a_trial_exceeds_the_longest_gate() {
    for line in ["b2p.slot=b:trial", "b2p.slot=b:trial waitusb=3600"] {
        let platform = Platform {
            has_ignition: true,
            ..Platform::default()
        };
        let config = config::parse(line.as_bytes(), &[]).0;
        let defs = select(&config, &platform);
        let gates = defs.iter().filter(|def| def.gates_ready);
        let longest = gates.map(|gate| longest_wait(&defs, gate.name)).max();
        let limit = sys::ready_limit::ready_limit_seconds(&config) * 1000;
        assert!(
            longest.is_some_and(|longest| longest < limit),
            "{line}: {longest:?} of {limit}"
        );
        let upgrade = defs.iter().find(|def| def.name == "upgrade");
        assert!(
            upgrade.is_some_and(|def| def.late_ms > limit + END_OF_TRIAL_MS),
            "{line}"
        );
    }
}

#[test]
fn a_template_runs_only_services_without_identity() {
    let names = |is_template| -> Vec<_> {
        let platform = Platform {
            is_template,
            ..Platform::default()
        };
        let defs = select(&config::parse(b"b2p.template", &[]).0, &platform);
        defs.iter().map(|def| def.name).collect()
    };
    assert_eq!(names(true), [DATA, TEMPLATE, PODMAN]);
    let copy = names(false);
    assert!([NET, HOSTKEY, SSHD].iter().all(|name| copy.contains(name)));
    assert!(!copy.contains(&TEMPLATE));
    // A disk with a document of Ignition does not add the service either.
    let platform = Platform {
        is_template: true,
        has_ignition: true,
        ..Platform::default()
    };
    let config = config::parse(b"b2p.template", &[]).0;
    assert_eq!(find(IGNITION, &config, &platform), None);
    let is_template = false;
    let copy = Platform {
        is_template,
        ..platform
    };
    assert!(find(IGNITION, &config, &copy).is_some());
}

#[test]
fn the_ignition_service_exists_if_a_document_or_a_flag_asks() {
    let exists = |line: &[u8], has_ignition, in_container| {
        let platform = Platform {
            has_ignition,
            in_container,
            ..Platform::default()
        };
        let defs = select(&config::parse(line, &[]).0, &platform);
        defs.iter().any(|def| def.name == IGNITION)
    };
    assert!(exists(b"", true, false) && exists(b"b2p.ignition=disk", false, false));
    assert!(exists(b"b2p.ignition=vsock", false, false));
    assert!(!exists(b"", false, false) && !exists(b"b2p.ignition=off", true, false));
    assert!(!exists(b"", true, true));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = rows().map(|row| row.def.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Returns a machine with a user.
fn with_user() -> Platform {
    let passwd = "ann:x:1001:1002::/home/ann:/bin/bash\n";
    Platform {
        user: account::user(passwd, "sudo:x:27:ann\n", "ann").map(account::Account::leak),
        ..Platform::default()
    }
}

#[test]
fn podman_user_runs_as_the_user() {
    let def = find(PODMAN_USER, &Config::default(), &with_user()).unwrap();
    let socket = def.socket.unwrap();
    assert_eq!(socket.path, "/run/user/1001/podman/podman.sock");
    let rights = (socket.uid, socket.gid, socket.mode, socket.on_demand);
    assert_eq!(rights, (1001, 1002, 0o600, true));
    let user = def.user.unwrap();
    assert_eq!((user.uid, user.gid, user.groups), (1001, 1002, &[27][..]));
    assert!(def.env.contains(&"XDG_RUNTIME_DIR=/run/user/1001"));
    for off in ["b2p.rootless=off", "b2p.podman=off"] {
        let config = config::parse(off.as_bytes(), &[]).0;
        assert_eq!(find(PODMAN_USER, &config, &with_user()), None, "{off}");
    }
    let without = Platform::default();
    assert_eq!(find(PODMAN_USER, &Config::default(), &without), None);
}

#[test]
fn flags_turn_services_off() {
    let off = Config {
        sshd: false,
        podman: Podman::Off,
        net: Net::Off,
        console: Console::Off,
        data: DiskSelector::Off,
        cloud: false,
        ..Config::default()
    };
    let platform = Platform {
        terminals: vec!["/dev/ttyS0".to_owned()],
        ..Platform::default()
    };
    let names = select(&off, &platform).into_iter().map(|def| def.name);
    let at_boot: Vec<_> = names
        .filter(|name| sys::service_names::starts_at_boot(&off, name))
        .collect();
    let expected =
        "user-services health late-drivers time syslog journal varlink-resolver varlink-machine";
    assert_eq!(at_boot.join(" "), expected);
}

#[test]
fn a_container_leaves_hardware_and_clock_to_its_host() {
    let platform = Platform {
        in_container: true,
        ..Platform::default()
    };
    let flags = b"b2p.share=a:/mnt/a b2p.ext=a b2p.vsock rsyslog=a";
    let defs = select(&config::parse(flags, &[]).0, &platform);
    let exists = |name: &str| defs.iter().any(|def| def.name == name);
    let hardware = [
        DATA,
        CLOUD,
        SHARE,
        EXTENSIONS,
        "vsock",
        "time",
        "remote-log",
    ];
    assert!(hardware.iter().all(|name| !exists(name)));
    assert!(exists(NET) && exists(SSHD) && exists(PODMAN));
}

#[test]
fn each_console_gets_a_service_and_a_rescue_shell() {
    let platform = Platform {
        terminals: vec!["/dev/tty1".to_owned(), "/dev/ttyS0".to_owned()],
        ..Platform::default()
    };
    let defs = select(&config::parse(b"b2p.console=shell", &[]).0, &platform);
    let path = |name: &str| {
        let def = defs.iter().find(|def| def.name == name)?;
        def.tty.map(|tty| tty.path)
    };
    assert_eq!(path("console-tty1"), Some("/dev/tty1"));
    assert_eq!(path("console-ttys0"), Some("/dev/ttyS0"));
    assert_eq!(path("rescue-ttys0"), Some("/dev/ttyS0"));
    assert_eq!(path("rescue-ttys1"), None);
}

#[test]
fn swap_exists_where_a_flag_asks() {
    let swap = |line: &[u8]| service("swap", line);
    assert_eq!(swap(b""), None);
    assert_eq!(swap(b"b2p.swap=off"), None);
    assert_eq!(swap(b"b2p.swap=zram swapfile=sda1 noswap"), None);
    assert!(swap(b"b2p.swap=zram").is_some_and(|def| def.after.is_empty() && def.gates_ready));
    assert!(swap(b"b2p.swap=zram b2p.swap=64").is_some_and(|def| def.after == AFTER_DATA_DISK));
    let slow = swap(b"swapfile=sda1 waitusb=60");
    assert!(slow.is_some_and(|def| def.after == AFTER_DATA_DISK && def.late_ms > 60_000));
}

#[test]
fn the_log_is_sent_where_a_flag_asks() {
    let remote = |line: &[u8]| service("remote-log", line);
    assert_eq!(remote(b"syslog"), None);
    assert!(remote(b"rsyslog=10.0.2.2").is_some_and(|def| def.after == [NET] && def.after_ready));
}

#[test]
fn the_service_upgrade_is_a_gate_only_after_a_failed_trial() {
    let upgrade = |line: &[u8]| service("upgrade", line);
    assert_eq!((upgrade(b""), upgrade(b"b2p.slot=b")), (None, None));
    assert!(upgrade(b"b2p.slot=b:trial").is_some_and(|def| !def.gates_ready));
    let failed = upgrade(b"b2p.slot=a:fallback");
    assert!(failed.is_some_and(|def| def.gates_ready && def.late_ms < 60_000));
    let rescue = |line: &[u8]| crate::rescue::end_of_trial(&config::parse(line, &[]).0).len();
    assert_eq!((rescue(b"b2p.slot=b:trial"), rescue(b"b2p.slot=a")), (1, 0));
}

#[test]
fn varlink_off_removes_the_varlink_services() {
    let resolver = |line: &[u8]| service("varlink-resolver", line);
    let socket = resolver(b"").and_then(|def| def.socket).unwrap();
    assert_eq!((socket.mode, socket.on_demand), (0o666, true));
    assert_eq!(resolver(b"b2p.varlink=off"), None);
    let machine = |line: &[u8]| service("varlink-machine", line);
    let socket = machine(b"b2p.podman=off")
        .and_then(|def| def.socket)
        .unwrap();
    assert_eq!((socket.mode, socket.on_demand), (0o666, true));
    assert_eq!(machine(b"b2p.varlink=off"), None);
    let podman = |line: &[u8]| service("varlink-podman", line);
    let mode = podman(b"")
        .and_then(|def| def.socket)
        .map(|socket| socket.mode);
    assert_eq!(mode, Some(0o600));
    assert_eq!(
        (podman(b"b2p.varlink=off"), podman(b"b2p.podman=off")),
        (None, None)
    );
}

#[test]
fn the_timezone_exists_where_a_flag_asks() {
    let gates = |line: &[u8]| service("timezone", line).is_some_and(|def| def.gates_ready);
    assert!(!gates(b"") && gates(b"tz=Europe/Berlin") && gates(b"noutc"));
}

#[test]
fn podman_at_boot_does_not_end_when_idle() {
    let boot = service(PODMAN, b"b2p.podman=boot");
    assert!(boot.is_some_and(|def| !def.on_demand() && def.argv.contains(&"--time=0")));
    let on_demand = service(PODMAN, b"");
    assert!(on_demand.is_some_and(|def| def.on_demand() && !def.argv.contains(&"--time=0")));
}

#[test]
fn variables_of_the_configuration_precede_those_of_the_row() {
    let podman = service(PODMAN, b"b2p.http_proxy=http://proxy:3128/").unwrap();
    let position = |start: &str| podman.env.iter().position(|line| line.starts_with(start));
    assert!(position("http_proxy=").unwrap() < position("GOGC=").unwrap());
}
