// SPDX-License-Identifier: Apache-2.0
//! Tests against a fake PID 1: the server's half of the channel, and for each read of the status
//! the state that a real PID 1 would report.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use control::{OK, RequestError, Server, ShutdownKind, answer, refusal};
use nix::errno::Errno;

use super::*;
use crate::client::power::{self, Effects};
use crate::client::service::{load_main, main};
use crate::client::status;
use crate::common::control_client::ControlClient;
use crate::common::service_loading::reload;

mod units;
mod user_files;

/// A fake PID 1 that answers until it is dropped, and keeps its requests.
struct Fake {
    env: Environment,
    root: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Reports after the first request, one for each read of the status; the last one stays.
type Script = &'static [&'static str];

impl Fake {
    fn new(name: &str, before: &'static str, after: Script) -> Fake {
        let root = std::env::temp_dir().join(format!("b2p-svc-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let path = root.join("control");
        let mut server = Server::bind_for(&path, |_| true).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let (list, stop) = (Arc::clone(&asked), Arc::clone(&end));
        let thread = spawn(move || {
            let (mut looks, mut turns) = (None, 0);
            while !stop.load(Ordering::Relaxed) {
                server.accept(0);
                for (client, request) in server.requests() {
                    match request.unwrap() {
                        Request::Follow => server.follow(client),
                        request => {
                            let reply = reply(&request, before, after, &mut looks, &list);
                            answer(client, &reply);
                        }
                    }
                }
                // A report that differs from the last one: each look shows the next.
                turns += 1;
                if server.is_followed() {
                    server.notice(format!("machine now={turns}"));
                }
                sleep(Duration::from_millis(1));
            }
        });
        let control = ControlClient {
            path,
            timeout: Duration::from_secs(20),
        };
        let env = Environment {
            control,
            user_files: root.join("own"),
            loaded_files: root.join("staged"),
            poll_interval: Duration::from_millis(1),
            are_units: false,
        };
        Fake {
            env,
            root,
            asked,
            end,
            thread: Some(thread),
        }
    }

    fn own(&self, name: &str, text: &str) {
        fs::create_dir_all(&self.env.user_files).unwrap();
        fs::write(self.env.user_files.join(name), text).unwrap();
    }

    /// Changes one service and waits for the result, as `main` does.
    fn run(&self, verb: Verb, name: &str) -> Result<String, String> {
        let outcome = change(&self.env, verb, Name::new(name).unwrap());
        outcome.map_err(|error| error.to_string())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn reply(
    request: &Request,
    before: &str,
    after: Script,
    looks: &mut Option<usize>,
    asked: &Mutex<Vec<String>>,
) -> String {
    if *request == Request::Status {
        let shown = match looks {
            None => before,
            Some(at) => {
                *at += 1;
                after[(*at - 1).min(after.len() - 1)]
            }
        };
        return format!("{OK}{shown}\n");
    }
    let text = request.to_string();
    let refuse = text.ends_with("refused");
    // A load changes nothing that is looked at.
    if !refuse && !text.starts_with("load") {
        looks.get_or_insert(0);
    }
    asked.lock().unwrap().push(text);
    if refuse {
        refusal("not now")
    } else {
        OK.to_owned()
    }
}

#[test]
fn a_start_is_waited_for() {
    let fake = Fake::new(
        "start",
        "service web off",
        &[
            "service web waiting",
            "service web spawning",
            "service web starting pid=7 since=5",
            "service web up pid=7 since=6",
        ],
    );
    let line = fake.run(Verb::Start, "web").unwrap();
    assert!(
        line.starts_with("up after ") && line.ends_with(" ms (pid 7)"),
        "{line}"
    );
    assert_eq!(fake.asked(), ["start web"]);
}

#[test]
fn each_failed_start_has_its_message() {
    for (at, (state, why)) in [
        (
            "failed last=exited:1",
            "exited with status 1; `b2p log web` may say why",
        ),
        (
            "failed",
            "it could not be started; `b2p log web` may say why",
        ),
        (
            "delayed last=killed:11",
            "killed by SIGSEGV; it is started again",
        ),
        ("off", "has been stopped"),
    ]
    .into_iter()
    .enumerate()
    {
        let last: &'static str = format!("service web {state} since=9").leak();
        let after: Script = vec!["service web starting pid=7", last].leak();
        let fake = Fake::new(&format!("bad{at}"), "service web off", after);
        assert_eq!(fake.run(Verb::Start, "web"), Err(format!("web: {why}")));
    }
}

#[test]
fn start_of_an_up_armed_or_done_service_succeeds_at_once() {
    let up = "service web up pid=7 since=6";
    let fake = Fake::new("up", up, &["service web up pid=7 since=6"]);
    assert_eq!(
        fake.run(Verb::Start, "web").as_deref(),
        Ok("was up already (pid 7)")
    );
    let fake = Fake::new("armed", "service web off", &["service web armed since=9"]);
    assert!(
        fake.run(Verb::Start, "web")
            .unwrap()
            .starts_with("its socket listens")
    );
    let fake = Fake::new("done", "service web off", &["service web done since=9"]);
    assert_eq!(
        fake.run(Verb::Start, "web").as_deref(),
        Ok("has done its work")
    );
}

#[test]
fn a_restart_is_over_with_the_new_life_only() {
    let fake = Fake::new(
        "restart",
        "service web up pid=7 since=6",
        &[
            "service web up pid=7 since=6",
            "service web stopping pid=7 since=8",
            "service web off since=9",
            "service web starting pid=9 since=10",
            "service web up pid=9 since=11",
        ],
    );
    let line = fake.run(Verb::Restart, "web").unwrap();
    assert!(line.ends_with("(pid 9)"), "{line}");
    assert_eq!(fake.asked(), ["restart web"]);
}

#[test]
fn a_stop_ends_with_the_end() {
    let fake = Fake::new(
        "stop",
        "service web up pid=7 since=6",
        &[
            "service web stopping pid=7 since=8",
            "service web off since=9",
        ],
    );
    assert!(
        fake.run(Verb::Stop, "web")
            .unwrap()
            .starts_with("stopped after ")
    );
}

#[test]
fn the_wait_for_a_start_ends_when_the_service_is_late() {
    let fake = Fake::new(
        "late",
        "service web off",
        &["service web starting pid=7 late=0"],
    );
    let mut change = begin(&fake.env, Verb::Start, Name::new("web").unwrap()).unwrap();
    change.start = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
    let why = wait(&fake.env, &change).unwrap_err().to_string();
    assert!(why.starts_with("web: still starting after 6.0 s"), "{why}");
}

#[test]
fn the_wait_ends_when_its_client_is_gone() {
    let fake = Fake::new("gone", "service web off", &["service web starting pid=7"]);
    let looks = std::cell::Cell::new(0);
    let is_wanted = || {
        looks.set(looks.get() + 1);
        looks.get() < 3
    };
    let name = Name::new("web").unwrap();
    let outcome = change_while(&fake.env, Verb::Start, name, &is_wanted);
    assert_eq!(outcome.unwrap_err().to_string(), "web: nobody waits");
    assert_eq!(fake.asked(), ["start web"]);
}

#[test]
fn an_unknown_service_and_a_refusal_are_reported() {
    let fake = Fake::new(
        "none",
        "service web off\nservice refused off",
        &["service web off\nservice refused off"],
    );
    let why = fake.run(Verb::Start, "wb").unwrap_err();
    assert_eq!(why, "wb: no such service; did you mean web?");
    assert_eq!(
        fake.run(Verb::Stop, "refused"),
        Err("refused: not now".into())
    );
    let words = |w: &str| w.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(main(&fake.env, Verb::Start, &words("")), 2);
    assert_eq!(main(&fake.env, Verb::Start, &words("Web")), 2);
    assert_eq!(main(&fake.env, Verb::Stop, &words("web refused")), 1);
    assert_eq!(fake.asked(), ["stop refused", "stop web", "stop refused"]);
}

#[test]
fn a_former_name_stands_for_the_service_unless_the_user_has_one() {
    let after = &[
        "service image-sync up since=9",
        "service image-sync up since=9",
    ];
    let fake = Fake::new("former", "service image-sync off", after);
    assert!(fake.run(Verb::Start, "store").is_ok());
    assert_eq!(fake.asked(), ["start image-sync"]);
    let fake = Fake::new(
        "former-own",
        "service image-sync off",
        &["service store up"],
    );
    fake.own("store", "exec /bin/store\n");
    assert!(fake.run(Verb::Start, "store").is_ok());
    assert_eq!(fake.asked(), ["load store", "start store"]);
}

#[test]
fn the_other_commands_ask_the_same_pid_1() {
    use crate::client::boot;
    use crate::client::systemctl;
    let before = "machine now=9 started=1 ready=5\nservice web up\nservice job failed";
    let fake = Fake::new("others", before, &[""]);
    let link = &fake.env.control;
    let words = |line: &str| {
        let words = line.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    for (line, code) in [
        ("", 0),
        ("--json", 0),
        ("web", 0),
        ("web job", 1),
        ("--json job", 1),
        ("none", 1),
        ("--jsno", 2),
    ] {
        assert_eq!(status::main(link, &words(line)), code, "{line}");
    }
    assert_eq!(boot::main(link, &[]), 0);
    assert_eq!(boot::main(link, &words("--json")), 0);
    for (line, code) in [
        ("is-active web.service", 0),
        ("is-active job", 3),
        ("status job", 3),
        ("status", 0),
        ("is-system-running", 0),
        ("is-active none", 4),
        ("is-failed job", 0),
        ("is-failed web", 1),
        ("is-enabled none", 4),
        ("show none", 0),
        ("list-units --all", 0),
        ("list-dependencies web", 0),
        ("kill none", 1),
        ("enable none", 1),
        ("stop none", 5),
        ("restart none", 5),
        ("reload web", 1),
        ("frob", 1),
    ] {
        assert_eq!(systemctl::main(link, &[], &words(line)), code, "{line}");
    }
    assert!(fake.asked().is_empty());
}

/// Effects of which only the control socket is real: the others would end the machine that runs
/// the test.
struct ChannelOnly<'a>(&'a ControlClient);

impl Effects for ChannelOnly<'_> {
    fn request(&self, request: &Request) -> Result<(), RequestError> {
        self.0.ask(request).map(drop)
    }

    fn signal(&self, kind: ShutdownKind) -> Result<(), Errno> {
        panic!("a signal for {}", kind.word())
    }

    fn force(&self, kind: ShutdownKind, _: bool) -> Errno {
        panic!("force for {}", kind.word())
    }

    fn audit(&self, _: &str) {}
}

#[test]
fn the_end_is_asked_for_on_the_channel() {
    let fake = Fake::new("power", "", &[""]);
    let edge = ChannelOnly(&fake.env.control);
    let words = |line: &str| {
        let words = line.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    assert_eq!(power::main(&edge, &[], "shutdown", &words("-r +5 bye")), 0);
    assert_eq!(power::main(&edge, &[], "poweroff", &words("now")), 0);
    assert_eq!(power::main(&edge, &[], "halt", &words("later")), 2);
    assert_eq!(power::cancel(&edge), 0);
    assert_eq!(fake.asked(), ["reboot 300", "poweroff", "cancel"]);
}
