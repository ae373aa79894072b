#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn every_row_says_why_and_needs_only_what_is_there() {
    let all = config::parse(
        b"b2p.share=a:/mnt/a b2p.ext=a b2p.swap=zram tz=UTC b2p.vsock",
        &[],
    );
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
fn goes_first(rows: &[ServiceDef], name: &str) -> Vec<&'static str> {
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
        data: DiskSelector::Off,
        cloud: false,
        ..Config::default()
    };
    let rows = services(&off);
    let names = rows.iter().map(|r| r.name);
    let names: Vec<_> = names
        .filter(|n| sys::service_names::starts_at_boot(&off, n))
        .collect();
    assert_eq!(
        names,
        ["late-drivers", "syslog", "health", "time", "user-services"]
    );
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
    assert!(row(b"b2p.swap=zram").is_some_and(|r| r.after.is_empty() && r.gates_ready));
    assert!(row(b"b2p.swap=zram b2p.swap=64").is_some_and(|r| r.after == KEPT));
    let slow = row(b"swapfile=sda1 waitusb=60");
    assert!(slow.is_some_and(|r| r.after == KEPT && r.late_ms > 60_000));
}

#[test]
fn a_trial_has_a_row_that_does_not_gate_and_its_end_one_that_does() {
    let row = |line: &[u8]| {
        let rows = services(&config::parse(line, &[]).0);
        rows.iter().find(|r| r.name == "upgrade").copied()
    };
    assert_eq!((row(b""), row(b"b2p.slot=b")), (None, None));
    assert!(row(b"b2p.slot=b:trial").is_some_and(|r| !r.gates_ready));
    assert!(row(b"b2p.slot=a:fallback").is_some_and(|r| r.gates_ready && r.late_ms < 60_000));
    let rescue = |line: &[u8]| crate::rescue::end_of_trial(&config::parse(line, &[]).0).len();
    assert_eq!((rescue(b"b2p.slot=b:trial"), rescue(b"b2p.slot=a")), (1, 0));
}

#[test]
fn the_zone_has_a_row_where_a_flag_asks() {
    let has = |line: &[u8]| {
        let rows = services(&config::parse(line, &[]).0);
        rows.iter().any(|r| r.name == "timezone" && r.gates_ready)
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
