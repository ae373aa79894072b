// SPDX-License-Identifier: Apache-2.0
use super::*;
use proptest::prelude::*;

fn read(datagram: &str) -> (u8, &str, Option<u32>, &str) {
    let m = parse(datagram.as_bytes(), b"box");
    let text = |b| std::str::from_utf8(b).expect("ASCII in, ASCII out");
    (m.priority.number(), text(m.tag), m.pid, text(m.text))
}

/// Datagrams as strace(1) shows them in sendto and write calls of the programs.
#[test]
#[rustfmt::skip]
fn datagrams_of_real_programs_are_parsed() {
    let samples = [
        // glibc syslog(3) with LOG_PID; musl; busybox logger (no pid).
        ("<38>Nov 23 20:30:38 sshd[812]: Server listening on 0.0.0.0 port 22.", (38, "sshd", Some(812), "Server listening on 0.0.0.0 port 22.")),
        ("<13>Nov  3 20:30:38 root: hello: world", (13, "root", None, "hello: world")),
        // sudo; the text begins with blanks.
        ("<85>Nov 23 20:30:38 sudo:     core : TTY=pts/0 ; PWD=/home/core ; USER=root ; COMMAND=/usr/bin/id", (85, "sudo", None, "    core : TTY=pts/0 ; PWD=/home/core ; USER=root ; COMMAND=/usr/bin/id")),
        ("<86>Nov 23 20:30:38 sudo[55]: pam_unix(sudo:session): session opened", (86, "sudo", Some(55), "pam_unix(sudo:session): session opened")),
        ("<78>Nov 23 20:30:38 CRON(pam_unix)[9]: x", (78, "CRON(pam_unix)", Some(9), "x")),
        // util-linux logger, and the same with --rfc3164 and with --rfc5424.
        ("<13>Nov 23 20:30:38 root[77]: hi", (13, "root", Some(77), "hi")),
        ("<13>Nov 23 20:30:38 box root[77]: hi", (13, "root", Some(77), "hi")),
        ("<13>1 2026-11-23T20:30:38.123456+00:00 box root 77 - [timeQuality tzKnown=\"1\" isSynced=\"0\"] hi", (13, "root", Some(77), "hi")),
        // Python's SysLogHandler sends no time and a NUL; Go's log/syslog RFC 3339.
        ("<14>myapp: started\0", (14, "myapp", None, "started")),
        ("<14>2026-11-23T20:30:38Z box prog[5]: x\n", (14, "prog", Some(5), "x")),
        // podman's conmon and others without a tag.
        ("<6>no tag here", (6, "", None, "no tag here")),
        ("plain text", (13, "", None, "plain text")),
        ("plain: text", (13, "plain", None, "text")),
        ("<192>x: y", (13, "", None, "<192>x: y")),
        ("<7>a[b]:c", (7, "a", None, "c")),
        ("<7>a[1] c", (7, "", None, "a[1] c")),
        // A tag of "-" is RFC 5424's word for no tag, in either format.
        ("<6>-: x", (6, "", None, "-: x")),
        ("<6>-[7]: x", (6, "", None, "-[7]: x")),
        ("<6>--: x", (6, "--", None, "x")),
        ("", (13, "", None, "")),
        ("<34>", (34, "", None, "")),
    ];
    for (datagram, want) in samples {
        assert_eq!(read(datagram), want, "{datagram}");
    }
}

/// Examples of RFC 5424, section 6.5.
#[test]
#[rustfmt::skip]
fn the_examples_of_the_rfc() {
    let samples = [
        ("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed", (34, "su", None, "'su root' failed")),
        ("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time", (165, "myproc", Some(8710), "%% It's time")),
        ("<165>1 2003-10-11T22:14:15.003Z m evntslog - ID47 [e@3 iut=\"3\" a=\"x]\\\"y\"] An event", (165, "evntslog", None, "An event")),
        ("<165>1 2003-10-11T22:14:15.003Z m evntslog - ID47 [a@1 b=\"1\"][c@2 d=\"2\"]", (165, "evntslog", None, "")),
        ("<165>1 - - - - - -", (165, "", None, "")),
        // A name with the end of a tag would read as the record of PID 1's service b.
        ("<14>1 - - a:\tb[1]: - - - x", (14, "a", None, "x")),
        ("<14>1 - - a[1]b - - - x", (14, "a", None, "x")),
        ("<14>1 - - :\u{fc} - - - x", (14, "", None, "x")),
        ("<165>1 - - - - - - \u{feff}text", (165, "", None, "text")),
    ];
    for (datagram, want) in samples {
        assert_eq!(read(datagram), want, "{datagram}");
    }
    // A message that is cut within its data is still a readable line.
    assert_eq!(read("<13>1 - - a - - [x y=\"1").3, "1 - - a - - [x y=\"1");
}

proptest! {
    #[test]
    fn parse_bounds_the_message_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), host in "[a-z]{0,3}") {
        let m = parse(&bytes, host.as_bytes());
        prop_assert!(m.tag.len() <= MAX_TAG && m.tag.iter().all(is_in_tag));
        prop_assert!(m.tag.len() + m.text.len() <= bytes.len());
    }

    #[test]
    fn parse_never_panics_on_nearly_valid_messages(text in "<[0-9]{1,4}>(1 )?([A-Za-z0-9\\[\\]:\"\\\\ -]|\\PC){0,80}") {
        let _ = parse(text.as_bytes(), b"box");
    }
}
