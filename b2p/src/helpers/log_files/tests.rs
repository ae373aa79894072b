// SPDX-License-Identifier: Apache-2.0
//! The service as a process: its ring, its files, its end.
#![expect(unsafe_code, reason = "descriptors known by their numbers")]

use super::*;
use crate::common::testing::{self, Running, Temp, nonblocking, packet_pair, wait_until};
use files::Bounds;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

const NAME: &str = "helpers::log_files::tests::helper_process_not_a_test";

/// Runs the service with 3 as the ring; not a test of its own.
#[test]
#[ignore = "the program that the other tests run"]
fn helper_process_not_a_test() {
    let dir = std::env::var_os(testing::DIR).expect("run by a test");
    // SAFETY: `Running::start` has put the descriptor there, for this function alone.
    let ring = unsafe { OwnedFd::from_raw_fd(3) };
    let bounds = Bounds::DEFAULT;
    let (folder, size) = Folder::open(Path::new(&dir), bounds).expect("it opens");
    let boot = Boot {
        id: "b".into(),
        release: "k".into(),
    };
    let stop = Stop::new().expect("handlers");
    let mut service = Service {
        ring: Ring::of(File::from(ring)),
        journal: Journal::new(folder, size, bounds, boot, 0),
    };
    service.run(&stop);
    std::process::exit(0);
}

#[test]
fn records_are_kept_and_idle_means_asleep() {
    let temp = Temp::new();
    let (kernel, ring) = packet_pair();
    nonblocking(&ring);
    let mut running = Running::start(NAME, temp.dir(), &[ring]);
    let mut kernel = File::from(kernel);
    let mut write = |record: &str| kernel.write_all(record.as_bytes()).expect("it reads");
    let kept = || fs::read_to_string(format::path(temp.dir(), 0)).unwrap_or_default();
    write("6,0,1,-;first\n");
    write("14,1,2,-;x: second\n KEY=1\n");
    write("11,2,3,-;x: urgent\n");
    wait_until("the urgent record is in the file", || {
        kept().contains("user.err x: urgent\n")
    });
    let ends = [
        " ---",
        " kern.info first",
        " user.info x: second",
        " user.err x: urgent",
    ];
    let text = kept();
    let mut lines = text.lines().zip(ends);
    assert!(lines.all(|(line, end)| line.ends_with(end)), "{text}");
    running.settle();
    let before = running.sleeps();
    std::thread::sleep(Duration::from_millis(2_500));
    let after = running.sleeps();
    assert_eq!(after, before, "nothing is to be done, and it wakes");
    write("14,5,9,-;x: last words\n");
    running.end();
    let text = kept();
    assert!(text.ends_with(" user.info x: last words\n"), "{text}");
    assert!(text.contains("--- 2 records lost: overwritten"), "{text}");
}
