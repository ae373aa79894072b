// SPDX-License-Identifier: Apache-2.0
//! Tests of `b2p boot`: the chart and the JSON object.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::terminal::Glyphs;

/// Report of a boot with some of the phases.
const REPORT: &str = "\
machine version=0.1.0 now=65000 started=1790 ready=1980 data=ram
phase mount-api 1790100 2010
phase early-flags 1792150 900
phase expedite-boot 1793100 1020
phase root-modules 1794200 25100
phase root 1819400 20400
phase mounts 1839900 6020
phase cgroups 1846000 5300
phase loopback 1851350 930
phase devices 1852300 40200
phase flags 1892600 1040
phase sysctl 1893700 2100
phase hostname 1895900 80
phase machine-id 1896000 210
phase clock 1896300 40
phase keys 1896400 650
service net up since=1960 asked=1898 spawned=1899 ready=1960 pid=61
service hostkey done since=1941 asked=1898 spawned=1900 ready=1941
service sshd up since=1979 asked=1898 spawned=1941 ready=1979 pid=75
service podman armed since=1898 asked=1898 ready=1898
service late-drivers done since=2400 asked=1980 spawned=1982 ready=2400
service console-ttys0 up since=1984 asked=1980 spawned=1982 ready=1984 pid=90
service web up since=60000 asked=59000 spawned=59001 ready=60000 pid=700
";

fn terminal(width: Option<usize>, glyphs: Glyphs) -> Terminal {
    Terminal {
        width,
        colour: false,
        glyphs,
    }
}

#[test]
fn chart_of_a_complete_boot() {
    let text = chart(&Report::parse(REPORT), &terminal(Some(90), Glyphs::Eighths));
    assert_eq!(text, GOLDEN, "\n{text}");
}

const GOLDEN: &str = "\
ready 190 ms after PID 1 started, 1980 ms after the kernel did

                START     TOOK    0                        ready 190 ms            285 ms
kernel          -1790     1790    before PID 1; the scale starts at PID 1
mount-api           0.1      2.0  ▍                                   │
early-flags         2.2      0.9  ▏                                   │
expedite-boot       3.1      1.0  ▕                                   │
root-modules        4.2     25.1  ▕████▋                              │
root               29.4     20.4       ▐███▌                          │
mounts             49.9      6.0           ▐▊                         │
cgroups            56.0      5.3            ▕▊                        │
loopback           61.4      0.9             ▕                        │
devices            62.3     40.2              ███████▊                │
flags             102.6      1.0                     ▕                │
sysctl            103.7      2.1                      ▍               │
hostname          105.9      0.1                      ▏               │
machine-id        106.0      0.2                      ▏               │
clock             106.3      0.0                      ▕               │
keys              106.4      0.7                      ▕               │
podman            108        0                        ▕               │
net               109       61                        ·███████████▊   │
hostkey           110       41                        ·████████▏      │
sshd              151       38                        ·········███████▍
late-drivers      192      418                                        ·█████████████████►
console-ttys0     192        2                                        ·▍
";

#[test]
fn lines_are_narrower_than_the_terminal() {
    for glyphs in [Glyphs::Ascii, Glyphs::Halves, Glyphs::Eighths] {
        for width in [40, 60, 80, 132] {
            let text = chart(&Report::parse(REPORT), &terminal(Some(width), glyphs));
            let long = text.lines().skip(2).find(|l| l.chars().count() >= width);
            assert_eq!(long, None, "{width}\n{text}");
            assert_eq!(text.is_ascii(), glyphs == Glyphs::Ascii);
        }
    }
}

#[test]
fn chart_of_a_boot_that_is_not_ready() {
    let text = "machine now=9000 started=1000\nphase root 1000000 2000\n\
                service net starting asked=2000 spawned=2000\nservice sshd waiting asked=2000\n\
                service web failed since=4000 asked=2000 spawned=2100\nservice off off\n";
    let shown = chart(&Report::parse(text), &terminal(Some(70), Glyphs::Ascii));
    assert_eq!(shown, ONGOING, "\n{shown}");
    let none = chart(&Report::parse(""), &terminal(None, Glyphs::Ascii));
    assert_eq!(none, "PID 1 reports no start time\n");
}

const ONGOING: &str = "\
not ready yet

         START     TOOK    0                                  8000 ms
kernel   -1000     1000    before PID 1; the scale starts at PID 1
root         0.0      2.0  #
net       1000     7000+        #####################################
web       1100     failed       ###########
sshd      8000    waiting       .....................................
";

#[test]
fn the_ready_mark_is_dimmed_and_not_in_the_colour_of_the_bar() {
    let terminal = Terminal {
        colour: true,
        ..terminal(None, Glyphs::Eighths)
    };
    let text = paint_bar("█▌   │  ", Colour::Green, &terminal);
    assert_eq!(text, "\x1b[32m█▌   \x1b[0m\x1b[2m│\x1b[0m");
    assert_eq!(
        paint_bar("  █▌ ", Colour::Red, &terminal),
        "\x1b[31m  █▌\x1b[0m"
    );
}

#[test]
fn json_has_times_in_microseconds_and_documented_keys() {
    let line = boot_json(&Report::parse(REPORT)).line();
    let back: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(back["started_us"], 1_790_000);
    assert_eq!(back["ready_us"], 1_980_000);
    let rows = back["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    assert_eq!(rows[0]["name"], "mount-api");
    assert_eq!(rows[0]["end_us"], 1_792_110);
    let sshd = rows.iter().find(|r| r["name"] == "sshd").unwrap();
    assert_eq!(
        (&sshd["kind"], &sshd["start_us"]),
        (&"service".into(), &1_941_000.into())
    );
    let doc = include_str!("../../../../docs/reference/control.md");
    for key in back
        .as_object()
        .unwrap()
        .keys()
        .chain(sshd.as_object().unwrap().keys())
    {
        assert!(doc.contains(&format!("`{key}`")), "{key} is not documented");
    }
}
