// SPDX-License-Identifier: Apache-2.0
//! Tests of the verbs as a whole, against a PID 1 that answers and records its requests.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use control::{OK, Server, answer};

use super::*;

/// Report of a machine with one service that runs and one that has failed.
const REPORT: &str = "machine now=9 ready=5 version=1\n\
    service net up pid=7 since=6\nservice share failed last=exited:1\n";

/// Fake PID 1 that answers each request with [`REPORT`] until it is dropped.
struct Fake {
    control: ControlClient,
    root: PathBuf,
    asked: Receiver<String>,
    end: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn new(name: &str) -> Fake {
        let root = std::env::temp_dir().join(format!("b2p-ctl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let path = root.join("control");
        let mut server = Server::bind_for(&path, |_| true).unwrap();
        let ((note, asked), (end, ended)) = (channel(), channel());
        let thread = spawn(move || {
            while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                server.accept(0);
                for (client, request) in server.requests() {
                    let request = request.unwrap();
                    if request != Request::Status {
                        let _ = note.send(request.to_string());
                    }
                    answer(client, &format!("{OK}{REPORT}"));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let timeout = Duration::from_secs(20);
        Fake {
            control: ControlClient { path, timeout },
            root,
            asked,
            end,
            thread: Some(thread),
        }
    }

    /// Runs a command as root, and returns its exit status and the requests.
    fn run(&self, line: &str) -> (i32, Vec<String>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let status = run(&self.control, &[], &Options::parse(&words));
        (status, self.asked.try_iter().collect())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.end.send(());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Each verb reaches its function, with the exit statuses of systemctl(1).
#[test]
fn verbs_ask_pid_1_and_exit_as_elsewhere() {
    let fake = Fake::new("verbs");
    let nothing: &[&str] = &[];
    for (line, status, asked) in [
        ("start --no-block net", 0, &["start net"][..]),
        (
            "start --no-block net.service share",
            0,
            &["start net", "start share"],
        ),
        ("stop --no-block net", 0, &["stop net"]),
        ("restart --no-block net", 0, &["restart net"]),
        ("try-restart --no-block net share", 0, &["restart net"]),
        ("reset-failed share", 0, &["reset share"]),
        ("reset-failed net", 0, nothing),
        ("reset-failed none", 1, nothing),
        ("start none", 5, nothing),
        ("stop none", 5, nothing),
        ("start --no-block multi-user.target", 0, nothing),
        ("is-active net", 0, nothing),
        ("is-active share", 3, nothing),
        ("is-active share net", 0, nothing),
        ("is-active none", 4, nothing),
        ("is-failed share", 0, nothing),
        ("is-failed", 1, nothing),
        ("list-timers", 0, nothing),
        ("list-timers --all none*", 0, nothing),
        ("is-active none.timer", 4, nothing),
        ("show net -P TriggeredBy", 0, nothing),
        ("start none.timer", 5, nothing),
        ("is-failed net", 1, nothing),
        ("is-enabled net", 0, nothing),
        ("is-enabled none", 4, nothing),
        ("status net", 0, nothing),
        ("status share", 3, nothing),
        ("status none", 4, nothing),
        ("show net -p Id", 0, nothing),
        ("cat none", 1, nothing),
        ("disable net", 1, nothing),
        ("enable none", 1, nothing),
        ("list-units", 0, nothing),
        ("list-unit-files", 0, nothing),
        ("get-default", 0, nothing),
        ("is-system-running -q", 0, nothing),
        ("is-system-running -q --wait", 0, nothing),
        ("list-dependencies", 0, nothing),
        ("mask net", 1, nothing),
        ("status n*", 0, nothing),
        ("status [ns]*", 3, nothing),
        ("status none*", 0, nothing),
        ("show n* -p Id", 0, nothing),
        ("is-active sh*", 3, nothing),
        ("is-active none*", 4, nothing),
        ("is-failed sh*", 0, nothing),
        ("is-failed none*", 4, nothing),
        ("reset-failed s*", 0, &["reset share"]),
        ("reset-failed none*", 0, nothing),
        ("isolate rescue.target", 1, nothing),
    ] {
        let (said, requests) = fake.run(line);
        assert_eq!(
            (said, &*requests),
            (
                status,
                asked
                    .iter()
                    .map(|a| (*a).to_owned())
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            "{line}"
        );
    }
}

/// Command lines that name no work never reach PID 1.
#[test]
fn command_lines_that_name_no_work() {
    let answer = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        arguments::answer(&Options::parse(&words))
    };
    for (line, status) in [
        ("--version", Some(0)),
        ("--version list-units", Some(0)),
        ("start web --wiat", Some(1)),
        ("start", Some(1)),
        ("is-active", Some(1)),
        ("is-enabled -q", Some(1)),
        ("is-failed", None),
        ("start web", None),
        ("status", None),
        ("--help", None),
        ("", None),
    ] {
        assert_eq!(answer(line), status, "{line}");
    }
}

/// The guide names the verbs; each is known.
#[test]
fn the_verbs_of_the_guide_are_known() {
    let guide = include_str!("../../../../docs/guide/quadlets.md");
    let (_, rest) = guide.split_once("`systemctl` knows `").unwrap();
    let (verbs, _) = rest.split_once('`').unwrap();
    let changing = [
        "start",
        "stop",
        "restart",
        "try-restart",
        "reload",
        "reload-or-restart",
        "kill",
        "reset-failed",
        "enable",
        "disable",
        "mask",
        "unmask",
        "daemon-reload",
    ];
    for verb in verbs.split_whitespace() {
        assert!(
            READING.contains(&verb) || changing.contains(&verb),
            "{verb}"
        );
    }
    for verb in READING.iter().chain(&changing).filter(|verb| {
        !verb.is_empty() && !["list-jobs", "get-default", "is-system-running"].contains(verb)
    }) {
        assert!(
            verbs.split_whitespace().any(|v| v == *verb),
            "{verb} is not in the guide"
        );
    }
}

#[test]
fn a_user_of_the_command_line_is_the_owner() {
    let owner = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        owner(&Options::parse(&words)).map(|owner| owner.uid)
    };
    assert_eq!(owner("status web").unwrap(), 0);
    assert_eq!(owner("--user --machine=root@ status web").unwrap(), 0);
    let why = owner("--user -M no-such-user@ status web").unwrap_err();
    assert!(why.to_string().contains("no such user"), "{why}");
}
