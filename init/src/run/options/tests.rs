// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn parsed(name: &str, line: &str) -> Result<Options, Stop> {
    let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
    parse(name, &words)
}

#[test]
fn options_end_where_the_command_begins() {
    let o = parsed("tini", "-sg -e143 -e 1 -vv cat -s --help").unwrap();
    assert!(o.subreaper && o.group && o.good[143] && o.good[1] && !o.good[2]);
    assert_eq!((o.verbosity, o.command), (3, 5));
    assert_eq!(parsed("tini", "-- -x").unwrap().command, 1);
    assert_eq!(parsed("tini", "- x").unwrap().command, 0);
}

#[test]
fn without_a_command_there_is_a_word_on_how_to_give_one() {
    for line in ["", "-s", "-s --", "-e 3"] {
        assert_eq!(parsed("tini", line), Err(Stop::Usage), "{line}");
    }
    assert_eq!(parsed("tini", "-h"), Err(Stop::Help));
    assert_eq!(parsed("dumb-init", "--version"), Err(Stop::Version));
}

#[test]
fn bad_values_are_refused() {
    for line in [
        "-e 256 x",
        "-e -1 x",
        "-e abc x",
        "-e",
        "-p SIGNOPE x",
        "-p 65 x",
        "-p 0 x",
        "-r 1 x",
        "-r 0:1 x",
        "-r 65:1 x",
        "-r 1:65 x",
        "-r a:b x",
        "--yolo x",
        "-z x",
    ] {
        assert!(matches!(parsed("tini", line), Err(Stop::Bad(_))), "{line}");
    }
}

#[test]
fn signals_by_name_and_number() {
    assert_eq!(signal("SIGKILL"), Some(9));
    assert_eq!(signal("USR1"), Some(10));
    assert_eq!(signal("34"), Some(34));
    assert_eq!(signal("SIG"), None);
}

#[test]
fn a_session_turns_what_suspends_into_a_stop() {
    let mut o = parsed("dumb-init", "-r 20:1 x").unwrap();
    environment(&mut o, |_| None);
    assert_eq!((o.rewrite[20], o.rewrite[21], o.rewrite[15]), (1, 19, -1));
    let mut o = parsed("dumb-init", "-c x").unwrap();
    environment(&mut o, |_| None);
    assert_eq!(o.rewrite[21], -1);
}

#[test]
fn variables_count_as_options() {
    let mut o = parsed("tini", "x").unwrap();
    environment(&mut o, |name| {
        (name != "DUMB_INIT_SETSID").then(|| "2".to_owned())
    });
    assert!(o.subreaper && o.group && o.verbosity == 2);
    let mut o = parsed("dumb-init", "x").unwrap();
    environment(&mut o, |name| {
        (name == "DUMB_INIT_SETSID").then(|| "0".to_owned())
    });
    assert!(o.dialect == Dialect::DumbInit && !o.session && !o.group);
}

#[test]
fn catatonit_is_a_subreaper_and_can_pause() {
    for name in ["catatonit", "podman-init"] {
        let o = parsed(name, "-- sh -c").unwrap();
        assert!(o.subreaper && !o.group && !o.session && !o.pause, "{name}");
        assert_eq!((o.command, o.dialect), (1, Dialect::Catatonit));
        assert!(JOB.iter().all(|s| o.rewrite[*s as usize] == 0), "{name}");
        assert_eq!(o.rewrite[15], -1, "{name}");
        assert!(parsed(name, "-g x").unwrap().group);
        for line in ["-P", "-gP", "-P x", "-P --"] {
            assert!(parsed(name, line).unwrap().pause, "{name} {line}");
        }
        assert_eq!(parsed(name, "-L"), Err(Stop::Licence));
        assert_eq!(parsed(name, "-V"), Err(Stop::Version));
        assert_eq!(parsed(name, "--"), Err(Stop::Usage));
    }
    for name in ["tini", "dumb-init", "run"] {
        for line in ["-P", "-L x"] {
            assert!(
                matches!(parsed(name, line), Err(Stop::Bad(_))),
                "{name} {line}"
            );
        }
    }
}
