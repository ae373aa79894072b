// SPDX-License-Identifier: Apache-2.0
//! Tests of `b2p status`: tables, details and JSON.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::terminal::Glyphs;

const REPORT: &str = "\
machine version=0.1.0 now=190000 started=1790 ready=1980 data=ram
degraded net: no DHCP server answers within 5 s; still asking
service net up since=1900 pid=61 restarts=0
service hostkey done since=1930 restarts=0 last=exited:0
service sshd up since=9970 pid=75 restarts=12 last=killed:9
service podman armed since=1820 restarts=0
service web delayed since=189000 restarts=3 last=exited:1 next=193200
service odd failed since=100000 restarts=0 last=killed:64
service settle off
";

fn plain(width: Option<usize>) -> Terminal {
    Terminal {
        width,
        colour: false,
        glyphs: Glyphs::Ascii,
    }
}

fn usage(service: &Service<'_>) -> Usage {
    let name = service.name;
    match name {
        "sshd" => Usage {
            memory: Some(5_662_310),
            cpu_us: Some(44_000),
        },
        "net" => Usage {
            memory: Some(258_048),
            cpu_us: Some(1_200),
        },
        _ => Usage::default(),
    }
}

#[test]
fn the_whole_table() {
    let text = machine_text(&Report::parse(REPORT), "box", &usage, &plain(None));
    assert_eq!(
        text,
        "\
boot2podman 0.1.0 on box: degraded, up 3 min, data in RAM
  degraded net: no DHCP server answers within 5 s; still asking

SERVICE  STATE          PID    FOR  RESTARTS  LAST        MEMORY    CPU
net      up              61  3 min         0  -          252 KiB   1 ms
hostkey  done             -  3 min         0  exit 0           -      -
sshd     up              75  3 min        12  SIGKILL    5.4 MiB  44 ms
podman   armed            -  3 min         0  -                -      -
web      delayed 3.2 s    -  1.0 s         3  exit 1           -      -
odd      failed           -  1 min         0  signal 64        -      -
settle   off              -      -         -  -                -      -
"
    );
}

#[test]
fn a_narrow_terminal_drops_columns_and_never_wraps() {
    for width in [30, 40, 50, 60, 80] {
        let text = machine_text(&Report::parse(REPORT), "box", &usage, &plain(Some(width)));
        let table = text.split("\n\n").nth(1).unwrap();
        assert!(table.lines().all(|l| l.len() <= width), "{width}\n{table}");
        assert!(table.starts_with("SERVICE  STATE"));
    }
}

#[test]
fn status_of_a_machine_that_shuts_down() {
    let text = "machine version=1 now=1000 started=0 ready=100\nshutdown reboot at=301000\n";
    let shown = machine_text(&Report::parse(text), "box", &usage, &plain(None));
    assert_eq!(
        shown,
        "boot2podman 1 on box: running, up 1.0 s\n  reboot in 5 min; `b2p cancel` cancels it\n"
    );
    let begun = Report::parse("machine now=1000 ready=5\nshutdown halt at=999\n");
    assert_eq!(machine_state(&begun), "stopping");
    assert!(machine_text(&begun, "box", &usage, &plain(None)).contains("  halt has begun\n"));
}

#[test]
fn service_text_shows_one_service_in_full() {
    let report = Report::parse(REPORT);
    let text = service_text(
        &report,
        &report.services[2],
        usage(&report.services[2]),
        &plain(None),
    );
    assert_eq!(
        text,
        "\
sshd
  state        up
  since        3 min ago
  pid          75
  restarts     12
  last end     killed by SIGKILL
  memory       5.4 MiB
  cpu          44 ms
"
    );
    assert_eq!(
        unknown_service(&report, "shd").to_string(),
        "shd: no such service; did you mean sshd?"
    );
    let unknown = unknown_service(&report, "zzzzz").to_string();
    assert_eq!(unknown, "zzzzz: no such service");
}

#[test]
fn a_former_name_finds_the_service() {
    let report =
        Report::parse("service image-sync up\nservice own up\nservice user-services off\n");
    assert_eq!(find(&report, "store").map(|s| s.name), Some("image-sync"));
    assert_eq!(find(&report, "own").map(|s| s.name), Some("own"));
    assert!(find(&report, "zone").is_none());
}

#[test]
fn json_has_every_key_and_hostile_text_is_text() {
    let report = Report::parse(
        "machine version=\"1\\ now=5\nservice x\"},{\"y up pid=3 last=killed:9\ndegraded a\": b\\\"</x>\n",
    );
    let line = machine_json(&report, "h\"\u{1b}[2J", &usage).line();
    let back: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(back["version"], "\"1\\");
    assert_eq!(back["hostname"], "h\"\u{1b}[2J");
    assert_eq!(back["state"], "starting");
    assert_eq!(back["degraded"][0]["why"], "b\\\"</x>");
    assert_eq!(back["services"][0]["name"], "x\"},{\"y");
    assert_eq!(back["services"][0]["last"]["killed"], 9);
    assert_eq!(back["services"][0]["since_ms"], serde_json::Value::Null);
    assert!(!line.contains('\u{1b}'));
    let keys: Vec<_> = back["services"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 13);
}

#[test]
fn every_documented_key_is_there() {
    let doc = include_str!("../../../../docs/reference/control.md");
    let line = machine_json(&Report::parse(REPORT), "box", &usage).line();
    let back: serde_json::Value = serde_json::from_str(&line).unwrap();
    let service = back["services"][0].as_object().unwrap().keys();
    for key in back.as_object().unwrap().keys().chain(service) {
        assert!(doc.contains(&format!("`{key}`")), "{key} is not documented");
    }
}
