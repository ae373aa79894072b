// SPDX-License-Identifier: Apache-2.0
use super::super::options::Options;
use super::*;
use crate::common::testing::Temp;
use crate::helpers::quadlet::specifiers::Owner;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::net::UnixStream;

/// Returns a ring with records, and the end that further records are written to.
fn ring(records: &[&str]) -> (Ring, File) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
    let (ours, theirs) = pair.expect("a socket pair");
    let mut kernel = File::from(theirs);
    for record in records {
        kernel.write_all(record.as_bytes()).expect("there is room");
    }
    (Ring::of(File::from(ours)), kernel)
}

/// Returns the output of `b2p log LINE` if the kernel started at 00:00:00 UTC.
fn show(line: &str, temp: &Temp, records: &[&str]) -> String {
    show_before(line, temp, records, &[])
}

/// Like [`show`], with the records that are logged after the command has begun.
fn show_before(line: &str, temp: &Temp, records: &[&str], later: &[&str]) -> String {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let options = Options::parse(&words).expect("right words");
    shown(options, temp, records, later).expect("it is shown")
}

/// Returns the output of `journalctl LINE`.
fn journal(line: &str, temp: &Temp, records: &[&str]) -> io::Result<String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let options = super::super::journalctl::parse(&words, &Owner::default());
    shown(options.expect("right words"), temp, records, &[])
}

fn shown(
    mut options: Options,
    temp: &Temp,
    records: &[&str],
    later: &[&str],
) -> io::Result<String> {
    options.dir = temp.path("log");
    let (mut reader, _kernel) = ring(&[records, later].concat());
    let (later, _kernel2) = ring(later);
    let mut present = Present::of(later);
    let path = temp.path("out");
    let mut out = File::create(&path).expect("a file");
    let style = Style {
        format: options.format,
        utc: true,
        dated: options.boots != Choice::This,
        host: "box".to_owned(),
        boot: "now".to_owned(),
        offset: Some(0),
        ..Style::default()
    };
    run(
        &options,
        style,
        &here(),
        (&mut reader, &mut present),
        &mut out,
    )?;
    fs::read_to_string(&path)
}

fn here() -> Here {
    Here {
        boot: "now".into(),
        offset: 0,
    }
}

const RECORDS: [&str; 4] = [
    "6,0,1000,-;Linux version 6.12\n SUBSYSTEM=x\n",
    "14,1,2000,-;boot2podman: starts\n",
    "12,2,3000,-;sshd: slow\n",
    "38,3,1500000,-;sshd[812]: Accepted\n",
];

fn files(temp: &Temp, log1: &str, log: &str) {
    let dir = temp.path("log");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("log.1"), log1).expect("a file");
    fs::write(dir.join("log"), log).expect("a file");
}

#[test]
fn records_of_this_boot_are_filtered_by_name_level_and_count() {
    let temp = Temp::new();
    let all = "00:00:00.001 kernel: Linux version 6.12\n00:00:00.002 boot2podman: starts\n00:00:00.003 sshd: slow\n00:00:01.500 sshd[812]: Accepted\n";
    assert_eq!(show("", &temp, &RECORDS), all);
    assert_eq!(
        show("sshd", &temp, &RECORDS),
        all[all.len() - 65..]
            .trim_start_matches(|c| c != '\n')
            .trim_start()
    );
    assert_eq!(
        show("-p warn", &temp, &RECORDS),
        "00:00:00.003 sshd: slow\n"
    );
    assert_eq!(
        show("-n 1", &temp, &RECORDS),
        "00:00:01.500 sshd[812]: Accepted\n"
    );
    assert_eq!(
        show("-n 1 init kernel", &temp, &RECORDS),
        "00:00:00.002 boot2podman: starts\n"
    );
    assert_eq!(show("-n 0", &temp, &RECORDS), "");
    assert_eq!(show("nobody", &temp, &RECORDS), "");
    assert_eq!(show("", &temp, &[]), "");
}

#[test]
fn records_written_after_the_query_are_left_out() {
    let temp = Temp::new();
    // The kernel's clock for records is ahead of or behind the clock of programs.
    let before = ["6,0,59999999,-;early\n", "6,1,99999999,-;now\n"];
    let late = ["6,2,60000001,-;late\n", "6,3,60000002,-;later\n"];
    let shown = "00:00:59.999 kernel: early\n00:01:39.999 kernel: now\n";
    assert_eq!(show_before("", &temp, &before, &late), shown);
    assert_eq!(show_before("", &temp, &[], &late), "");
}

#[test]
fn records_that_the_ring_lost_are_read_from_the_files() {
    let temp = Temp::new();
    let at = |second: u32, text: &str| format!("1970-01-01T00:00:{second:02}.000000Z {text}\n");
    let log1 = format!(
        "--- boot old kernel 6.11 ---\n{}{}{}{}",
        at(1, "kern.info from the old boot"),
        "--- boot now kernel 6.12 ---\n",
        at(2, "0 kern.info r0"),
        at(3, "1 user.info x: r1")
    );
    let log = format!(
        "--- boot now kernel 6.12 ---\n--- 3 records lost: full ---\n{}{}{}torn",
        at(4, "5 user.info x: r5"),
        at(5, "6 user.info x: r6"),
        at(6, "7 user.info x: r7")
    );
    files(&temp, &log1, &log);
    let records = ["14,7,7000000,-;x: r7\n", "14,8,8000000,-;x: r8\n"];
    let got = show("", &temp, &records);
    let want = "00:00:02.000 kernel: r0\n00:00:03.000 x: r1\n… 3 earlier records are no longer in the kernel log\n00:00:04.000 x: r5\n00:00:05.000 x: r6\n00:00:07.000 x: r7\n00:00:08.000 x: r8\n";
    assert_eq!(got, want);
    let got = show("-a x", &temp, &records);
    assert!(
        got.starts_with("--- boot old kernel 6.11 ---\n--- boot now kernel 6.12 ---\n1970-01-01 00:00:03.000 x: r1\n"),
        "{got}"
    );
    assert_eq!(got.lines().count(), 8);
    assert_eq!(
        show("-n 3", &temp, &[]),
        "00:00:04.000 x: r5\n00:00:05.000 x: r6\n00:00:06.000 x: r7\n"
    );
}

#[test]
fn missing_records_are_counted_in_a_line() {
    let temp = Temp::new();
    let got = show(
        "x",
        &temp,
        &["14,7,7000000,-;x: r7\n", "14,9,8000000,-;x: r9\n"],
    );
    let says = |n| format!("… {n} earlier records are no longer in the kernel log\n");
    assert_eq!(
        got,
        format!(
            "{}00:00:07.000 x: r7\n{}00:00:08.000 x: r9\n",
            says(7),
            says(1)
        )
    );
}

#[test]
fn following_ends_with_its_reader() {
    let temp = Temp::new();
    let words = ["-f", "-n1", "sshd"].map(str::to_owned);
    let mut options = Options::parse(&words).expect("right words");
    options.dir = temp.path("none");
    let (mut ring, mut kernel) = ring(&RECORDS);
    let (mut reader, mut writer) = UnixStream::pair().expect("a pair");
    let style = Style {
        utc: true,
        ..Style::default()
    };
    let following = std::thread::spawn(move || {
        let (past, _kernel) = self::ring(&[]);
        let mut present = Present::of(past);
        run(
            &options,
            style,
            &here(),
            (&mut ring, &mut present),
            &mut writer,
        )
    });
    let mut read = |want: &str| {
        let mut got = vec![0; want.len()];
        reader.read_exact(&mut got).expect("more to come");
        assert_eq!(String::from_utf8_lossy(&got), want);
    };
    read("00:00:01.500 sshd[812]: Accepted\n");
    for record in ["6,4,2000000,-;other\n", "14,5,120000000,-;sshd: later\n"] {
        kernel.write_all(record.as_bytes()).expect("there is room");
    }
    read("00:02:00.000 sshd: later\n");
    drop(reader);
    let ended = following.join().expect("no panic");
    assert!(ended.is_ok(), "{ended:?}");
}

const OLD: &str = "--- boot one kernel 6 ---\n\
    1970-01-01T00:00:05.000000Z 0 user.debug web: <4>old\n\
    --- 3 records lost: slow disk ---\n\
    --- boot now kernel 6 ---\n";

#[test]
fn boots_of_journalctl() {
    let temp = Temp::new();
    files(&temp, "", OLD);
    let journal = |line: &str| journal(line, &temp, &RECORDS).expect("it is shown");
    // Only records are objects, each with its own boot.
    let json = journal("-b all -o json");
    let lines: Vec<&str> = json.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with('{')), "{json}");
    assert!(
        lines[0].contains("\"_BOOT_ID\":\"one\"") && !lines[0].contains("MONOTONIC"),
        "{json}"
    );
    assert!(lines[0].contains("\"PRIORITY\":\"4\"") && lines[0].contains("\"MESSAGE\":\"old\""));
    assert!(
        lines[1].contains("\"__MONOTONIC_TIMESTAMP\":\"1000\",\"_BOOT_ID\":\"now\""),
        "{json}"
    );
    assert!(journal("-b -1 -o json").contains("\"_BOOT_ID\":\"one\""));
    let sshd = "Jan 01 00:00:00 box sshd: slow\nJan 01 00:00:01 box sshd[812]: Accepted\n";
    let web = "Jan 01 00:00:05 box web: old\n";
    let lost = "--- 3 records lost: slow disk ---\n";
    assert_eq!(
        journal("-b all -u web -u sshd"),
        format!("{web}{lost}-- Boot now --\n{sshd}")
    );
    assert_eq!(journal("-b all -u web -u sshd -q"), format!("{web}{sshd}"));
    assert_eq!(journal("-b all -o cat -u web -t web"), "old\n");
    assert_eq!(
        journal("-b all -r -q -t web -t sshd -n 2"),
        "Jan 01 00:00:01 box sshd[812]: Accepted\nJan 01 00:00:00 box sshd: slow\n"
    );
    // A time without -b is one of any boot.
    assert_eq!(journal("--since 1970-01-01T00:00:04Z -q"), web);
    assert_eq!(journal("-u web"), "-- No entries --\n");
    assert_eq!(journal("-u web -q"), "");
    assert_eq!(journal("-u web -o json"), "");
}

#[test]
fn records_are_selected_by_options_of_journalctl() {
    let temp = Temp::new();
    let records = [
        "15,0,1000,-;web: an Error\n",
        "15,1,2000,-;web: <3>bad\n",
        "14,2,3000,-;q-web[7]: GET /\n",
        "6,3,4000,-;Linux\n",
    ];
    let text = |line: &str| {
        let shown = journal(&format!("-q -o cat {line}"), &temp, &records);
        shown.map_err(|why| why.to_string())
    };
    for (line, right) in [
        ("-u web -p info", "an Error\nbad\n"),
        ("-u web -p err", "bad\n"),
        ("-g error", "an Error\n"),
        ("-g ERROR", ""),
        ("-g ^get|bad", "bad\nGET /\n"),
        ("CONTAINER_NAME=q-web", "GET /\n"),
        ("_PID=7", "GET /\n"),
        ("_SYSTEMD_UNIT=web.service -r", "bad\nan Error\n"),
        ("-u w*", "an Error\nbad\n"),
        ("-k", "Linux\n"),
        ("-t q-web -n 1", "GET /\n"),
        ("-b 1 -k", "Linux\n"),
    ] {
        assert_eq!(text(line).as_deref(), Ok(right), "{line}");
    }
    assert!(text("-g a(").is_err() && text("-b -1").is_err() && text("-b 2").is_err());
}
