// SPDX-License-Identifier: Apache-2.0
//! The program that `make bench` starts in every machine, as a service beside sshd. The probe notes
//! on the guest's clock when each thing that a user waits for works, prints the results as one line
//! of the kernel log, and then waits for the power button.
//!
//! The line is `bench: result name=number …`: microseconds of CLOCK_BOOTTIME for moments, KiB for
//! memory. The first line, `bench: probe at=…`, is there because the kernel log has a clock of
//! its own: a reader of both learns the difference.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

mod memory;

/// Path of the API's socket in every machine.
const API: &str = "/run/podman/podman.sock";
/// Image on the data disk (bench/src/disk.rs).
const IMAGE: &str = "localhost/box:1";
/// Interval of the checks. A check costs about 0.02 ms.
const STEP: Duration = Duration::from_millis(2);
/// Time after the probe's start, in microseconds, at which a check is given up.
const LONGEST: u64 = 120_000_000;
/// Idle time before memory is read again: longer than podman's service stays without work (5 s).
const REST: Duration = Duration::from_secs(7);
/// Type of a key's event, and the power button's code (input-event-codes.h).
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// Size of `struct input_event`: two words of time, type, code, value.
const EVENT: usize = 24;

fn main() {
    let start = now();
    say(&format!("probe at={start}"));
    match measure(start) {
        Ok(line) => say(&format!("result {line}")),
        Err(why) => say(&format!("failed {why}")),
    }
    wait_for_the_button();
}

/// Returns microseconds since the kernel started.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    time.map_or(0, |t| u64::try_from(t.as_micros()).unwrap_or(0))
}

/// Writes one line to the kernel log, which reaches a console of any usual level (level 1 is
/// below every console's limit but 0 and 1).
fn say(text: &str) {
    let _ = fs::write("/dev/kmsg", format!("<1>bench: {text}\n"));
}

fn measure(start: u64) -> Result<String, String> {
    let mut line = format!("probe={start}");
    let mut note = |name: &str, value: u64| {
        let _ = write!(line, " {name}={value}");
    };
    first_three(start)?
        .into_iter()
        .for_each(|(name, at)| note(name, at));
    say("ready");
    note("mem_ready", memory::used()?);
    until(start, "_ping", answers)?;
    note("ping", now());
    say("the API has answered");
    for name in ["first", "second"] {
        run()?;
        note(name, now());
        say(&format!("the {name} container has run"));
    }
    thread::sleep(REST);
    note("mem_rest", memory::used()?);
    let (pss, processes) = memory::pss();
    note("pss", pss);
    note("processes", processes);
    let (rss, anonymous) = memory::of_pid1()?;
    note("pid1_rss", rss);
    note("pid1_anon", anonymous);
    Ok(line)
}

/// Waits until a route, sshd and the API's socket are there, in any order.
fn first_three(start: u64) -> Result<Vec<(&'static str, u64)>, String> {
    type Look = (&'static str, fn() -> bool);
    let mut left: Vec<Look> = vec![("net", routed), ("socket", bound), ("banner", greets)];
    let mut seen = Vec::new();
    until(start, "network, sshd and socket", || {
        left.retain(|(name, there)| {
            let there = there();
            seen.extend(there.then(|| (*name, now())));
            !there
        });
        left.is_empty()
    })?;
    Ok(seen)
}

fn until(start: u64, what: &str, mut there: impl FnMut() -> bool) -> Result<(), String> {
    while !there() {
        if now() > start + LONGEST {
            return Err(format!("{what}: not within {} s", LONGEST / 1_000_000));
        }
        thread::sleep(STEP);
    }
    Ok(())
}

/// Returns true if there is a default route, by a UDP connection to an address without a host (RFC
/// 5737). Nothing is sent.
fn routed() -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    socket.is_ok_and(|s| s.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).is_ok())
}

/// Returns true if the socket is bound. The check does not connect, because the first connection
/// may start the service.
fn bound() -> bool {
    fs::metadata(API).is_ok_and(|m| m.file_type().is_socket())
}

/// Returns true if sshd sends its banner.
fn greets() -> bool {
    let mut first = [0; 4];
    let greeting = TcpStream::connect((Ipv4Addr::LOCALHOST, 22));
    greeting.is_ok_and(|mut s| s.read_exact(&mut first).is_ok()) && first == *b"SSH-"
}

/// Returns true if the API answers.
fn answers() -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(API)?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|a| a.starts_with("HTTP/1.") && a.ends_with("OK"))
}

/// Runs a container of the image with the default network, and expects its output.
fn run() -> Result<(), String> {
    let mut podman = Command::new("/usr/bin/podman");
    podman.args(["run", "--rm", IMAGE, "echo", "here"]);
    podman
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root");
    let out = podman.stdin(Stdio::null()).output();
    let out = out.map_err(|e| format!("podman: {e}"))?;
    if out.status.success() && out.stdout == b"here\n" {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).replace('\n', " / ");
    let said: String = said.chars().take(600).collect();
    Err(format!("podman run: {}: {said}", out.status))
}

/// Waits for the power button on every input device, and prints the time of the event.
fn wait_for_the_button() {
    let entries = fs::read_dir("/dev/input").into_iter().flatten().flatten();
    let devices: Vec<_> = entries
        .filter(|e| e.file_name().to_string_lossy().starts_with("event"))
        .filter_map(|e| fs::File::open(e.path()).ok())
        .collect();
    say(&format!("listening devices={}", devices.len()));
    let ears: Vec<_> = devices
        .into_iter()
        .map(|d| thread::spawn(|| listen(d)))
        .collect();
    ears.into_iter().for_each(|ear| drop(ear.join()));
    loop {
        thread::park();
    }
}

/// Returns the age of an event in microseconds: other programs may have received the event first
/// and used the processor. The event's time is wall time (evdev's default).
fn age(event: &[u8; EVENT]) -> u64 {
    let long = |at: usize| {
        let bytes = event.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    };
    let wall = clock_gettime(ClockId::CLOCK_REALTIME).map(Duration::from);
    let then = Duration::from_secs(long(0)) + Duration::from_micros(long(8));
    let age = wall.map_or(Duration::ZERO, |wall| wall.saturating_sub(then));
    u64::try_from(age.as_micros()).unwrap_or(0)
}

fn listen(mut device: fs::File) {
    let mut event = [0; EVENT];
    while device.read_exact(&mut event).is_ok() {
        let word = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        if word(16) == EV_KEY && word(18) == KEY_POWER && word(20) == 1 {
            say(&format!("button at={}", now().saturating_sub(age(&event))));
        }
    }
}
