// SPDX-License-Identifier: Apache-2.0
//! Tests of the programs of units.
#![allow(clippy::unwrap_used)]

use super::*;

fn read(text: &str) -> Result<Program> {
    let specifiers = Specifiers {
        unit: "web.service".to_owned(),
        ..Specifiers::default()
    };
    Program::of(&Unit::parse(&format!("[Service]\n{text}\n")), &specifiers)
}

#[test]
fn a_container_of_podmans_generator() {
    let program = read(
        "Environment=PODMAN_SYSTEMD_UNIT=%n\nKillMode=mixed\nExecStop=/usr/bin/podman rm -f -i --cidfile=%t/%N.cid\n\
         ExecStopPost=-/usr/bin/podman rm -f -i --cidfile=%t/%N.cid\nType=notify\n\
         ExecStart=/usr/bin/podman run --name web -d x\nTimeoutStartSec=5min\nSuccessExitStatus=143 TEMPFAIL FAILURE SIGUSR1\n",
    );
    let program = program.unwrap();
    let Commands {
        pre,
        start,
        stop,
        stop_post,
        ..
    } = &program.commands;
    assert!(pre.is_empty() && start[0].argv[1] == "run");
    assert_eq!(stop[0].argv[4], "--cidfile=/run/web.cid");
    assert!(!stop[0].ignores_failure && stop_post[0].ignores_failure);
    assert_eq!(program.plan.ignores_failure.stop_post, [true]);
    assert_eq!(program.plan.kind, Kind::Notify);
    assert_eq!(
        (program.plan.start_ms, program.plan.stop_ms),
        (Some(300_000), Some(90_000))
    );
    let success = [143, 75, 1].map(Exit::Code);
    let success = [success.to_vec(), vec![Exit::Signal(nix::libc::SIGUSR1)]].concat();
    assert_eq!(program.plan.success, success);
    assert_eq!(
        program.env,
        [("PODMAN_SYSTEMD_UNIT".to_owned(), "web.service".to_owned())]
    );
}

#[test]
fn reload_watchdog_output_and_limits() {
    let program = read(
        "ExecStart=/a\nExecReload=/bin/kill -HUP $MAINPID\nWatchdogSec=3\nStandardOutput=append:/var/log/%N\n\
         StandardError=null\nKillSignal=SIGINT\nStartLimitBurst=3",
    );
    let program = program.unwrap();
    assert_eq!(program.commands.reload[0].argv[2], "$MAINPID");
    assert_eq!(program.plan.watchdog_ms, Some(3_000));
    assert_eq!(
        program.stdout,
        Output::parse("append:/var/log/web").unwrap()
    );
    assert_eq!(
        (program.stderr, program.kill_signal),
        (Output::Null, nix::libc::SIGINT)
    );
    assert_eq!(program.start_limit, Some((3, 10_000)));
    let program = read("ExecStart=/a\nPIDFile=a.pid\nSendSIGKILL=no\nReloadSignal=USR1").unwrap();
    assert_eq!(program.pid_file.as_deref(), Some("/run/a.pid"));
    assert_eq!((program.plan.kills, program.reload_signal), (false, 10));
    let program = read("ExecStart=/a\nKillSignal=2").unwrap();
    assert_eq!(program.kill_signal, nix::libc::SIGINT);
    let program = read("ExecStart=/a\nStandardOutput=null\nStandardError=inherit").unwrap();
    assert_eq!(program.stderr, Output::Null);
    let program = read("ExecStart=/a\nStandardOutput=null\nStartLimitInterval=0").unwrap();
    assert_eq!((program.stderr, program.start_limit), (Output::Null, None));
}

#[test]
fn some_values_of_restart_name_the_failures_after_which_it_applies() {
    for (value, after) in [
        ("on-failure", None),
        ("on-abnormal", Some(&["signal", "timeout", "watchdog"][..])),
        ("on-abort", Some(&["signal"][..])),
        ("on-watchdog", Some(&["watchdog"][..])),
    ] {
        let program = read(&format!("ExecStart=/a\nRestart={value}")).unwrap();
        assert_eq!(program.plan.restarts_after, after, "{value}");
    }
}

/// A unit without the socket could not feed its watchdog, and would be killed for ever.
#[test]
fn a_unit_with_a_watchdog_can_send_messages() {
    for (text, right) in [
        ("", false),
        ("NotifyAccess=none", false),
        ("NotifyAccess=all", true),
        ("WatchdogSec=3", true),
        ("WatchdogSec=0", false),
        ("Type=notify", true),
        ("Type=forking\nNotifyAccess=exec", true),
    ] {
        let program = read(&format!("ExecStart=/a\n{text}"));
        assert_eq!(program.unwrap().notifies, right, "{text}");
    }
}

#[test]
fn faults_say_what_would_be_right() {
    for (text, right) in [
        ("", "ExecStart: one command"),
        ("ExecStart=/a\nExecStart=/b", "more with Type=oneshot"),
        (
            "ExecStart=/a\nType=dbus",
            "notify-reload, forking or oneshot",
        ),
        ("ExecStart=bin/a", "whole path"),
        (
            "ExecStart=/a\nStandardOutput=frob",
            "StandardOutput: frob: journal",
        ),
        ("ExecStop=/a", "ExecStart: one command"),
        (
            "ExecStop=/a\nType=simple\nRemainAfterExit=yes",
            "ExecStart: one command",
        ),
        ("ExecStart=/a\nKillSignal=9x", "KillSignal: 9x: a signal"),
        (
            "ExecStart=/a\nStartLimitBurst=x",
            "StartLimitBurst: x: a number",
        ),
        ("ExecStart=/a \"b", "not closed"),
        ("ExecStart=/a %d", "%d"),
        (
            "ExecStart=/a\nTimeoutStopSec=soon",
            "TimeoutStopSec: soon: a time",
        ),
        ("ExecStart=/a\nEnvironmentFile=x", "whole path"),
        ("ExecStart=/a\nSuccessExitStatus=256", "to 255"),
        (
            "ExecStart=/a\nRestartPreventExitStatus=FROB",
            "RestartPreventExitStatus: FROB",
        ),
    ] {
        let why = read(text).unwrap_err().to_string();
        assert!(why.contains(right), "{text}: {why}");
    }
    assert!(read("ExecStart=podman run x").is_ok(), "by PATH");
    // systemd ignores what is no variable.
    let program = read("ExecStart=/a\nEnvironment=A 1=2 B=3").unwrap();
    assert_eq!(program.env, [("B".to_owned(), "3".to_owned())]);
    let program = read("ExecStop=/a\nRemainAfterExit=yes").unwrap();
    assert_eq!(
        (program.plan.kind, program.plan.ends_alone),
        (Kind::Oneshot, false)
    );
    assert!(
        read("ExecStart=/a\nExecStart=\nExecStart=/b").is_ok(),
        "withdrawn"
    );
}

#[test]
fn table_of_units_that_remain_after_their_exit() {
    for (text, remains) in [
        ("Type=oneshot", (false, false)),
        ("Type=oneshot\nRemainAfterExit=yes", (true, true)),
        (
            "Type=oneshot\nRemainAfterExit=yes\nExecStopPost=/b",
            (true, false),
        ),
        (
            "Type=oneshot\nRemainAfterExit=no\nExecStop=/b",
            (false, false),
        ),
        ("RemainAfterExit=on", (true, false)),
    ] {
        let plan = read(&format!("ExecStart=/a\n{text}")).unwrap().plan;
        assert_eq!((plan.remains, plan.ends_alone), remains, "{text}");
    }
}

#[test]
fn time_spans_are_parsed_in_all_units() {
    for (text, ms) in [
        ("90", Some(Span::Ms(90_000))),
        ("5min 20s", Some(Span::Ms(320_000))),
        ("1h30m", Some(Span::Ms(5_400_000))),
        ("500ms", Some(Span::Ms(500))),
        ("2 s", Some(Span::Ms(2_000))),
        ("0.5", Some(Span::Ms(500))),
        ("1.5min .25s", Some(Span::Ms(90_250))),
        ("1h 2.345678901 ms", Some(Span::Ms(3_600_002))),
        ("1month 1 M", Some(Span::Ms(2 * 2_629_800_000))),
        ("1y", Some(Span::Ms(31_557_600_000))),
        ("1000\u{b5}s 2000\u{3bc}s", Some(Span::Ms(3))),
        ("1.", None),
        ("1. s", None),
        (".", None),
        ("12.34.56", None),
        ("infinity", Some(Span::Infinity)),
        ("", None),
        ("s", None),
        ("1 fortnight", None),
        ("-1", None),
        ("99999999999999999999", None),
        ("9999999999999999w", None),
    ] {
        assert_eq!(span(text), ms, "{text:?}");
    }
}

#[test]
fn a_file_of_variables() {
    let text = "# a\n;b\nA=1\n B = \"x y\" \nC='z'\nA=2\nD=a\\\nb\n1E=3\nnothing\n";
    let pairs = crate::helpers::quadlet::variables::env_file(text);
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(pairs, [("B", "x y"), ("C", "z"), ("A", "2"), ("D", "ab")]);
}

/// The default of systemd would end the pull of an image.
#[test]
fn the_time_of_a_start_without_a_pull_is_limited() {
    const MS: Option<Millis> = Some(90_000);
    for (text, start, ready) in [
        ("ExecStart=/a", MS, None),
        ("Type=notify\nExecStart=/a", MS, None),
        ("Type=oneshot\nExecStart=/a", None, None),
        ("Type=notify\nExecStart=/usr/bin/podman run x", None, MS),
        (
            "Type=forking\nExecStartPre=podman pull x\nExecStart=/a",
            None,
            MS,
        ),
        (
            "ExecStart=podman run x\nTimeoutStartSec=5",
            Some(5_000),
            None,
        ),
        (
            "Type=notify\nExecStart=podman run x\nTimeoutStartSec=infinity",
            None,
            None,
        ),
    ] {
        let plan = read(text).unwrap().plan;
        assert_eq!((plan.start_ms, plan.ready_ms), (start, ready), "{text}");
    }
}
