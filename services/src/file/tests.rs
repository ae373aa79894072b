use super::*;
use proptest::prelude::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000::/home/core:/bin/bash\n";
const GROUP: &str = "podman:x:982:core\nsudo:x:27:core\ncore:x:1000:\n";

fn read(text: &str) -> Result<ServiceDef, Vec<String>> {
    parse("demo", text.as_bytes(), PASSWD, GROUP).map(Parsed::leak)
}

fn errors(text: &str) -> Vec<String> {
    read(text).expect_err(text)
}

#[test]
fn one_line_is_enough() {
    let expected = ServiceDef {
        name: "demo",
        why: "the owner of this machine wants it",
        argv: &["/bin/true"],
        kill: KillMode::Cgroup,
        ..ServiceDef::DEFAULT
    };
    assert_eq!(read("exec /bin/true"), Ok(expected));
}

#[test]
fn every_word_is_understood() {
    let text = r#"
# a service
exec /usr/bin/demo --name "a b" # and so on
user core
env A=1 "B=x y"
env C=
needs net podman
needs sshd
ready fd 5
restart on-failure
socket /run/demo.sock mode 0660 group podman boot datagram
stop SIGINT
grace 90s
late 2m
limit memory.max 64M
limit cpu.max "50000 100000"
dir /srv
umask 027
oom -500
nofile 1024 4096
kill process"#;
    let expected = ServiceDef {
        name: "demo",
        why: "the owner of this machine wants it",
        argv: &["/usr/bin/demo", "--name", "a b"],
        env: &["A=1", "B=x y", "C="],
        needs: &["net", "podman", "sshd"],
        ready: ReadyWhen::Fd(5),
        restart: Restart::OnFailure,
        socket: Some(Socket {
            path: "/run/demo.sock",
            mode: 0o660,
            gid: 982,
            datagram: true,
            on_demand: false,
        }),
        late_ms: 120_000,
        stop_signal: libc::SIGINT,
        grace_ms: 90_000,
        kill: KillMode::Process,
        user: Some(User {
            uid: 1000,
            gid: 1000,
            groups: &[982, 27],
            name: "core",
            home: "/home/core",
            shell: "/bin/bash",
        }),
        dir: "/srv",
        umask: 0o027,
        nofile: (1_024, 4_096),
        limits: &[("memory.max", "64M"), ("cpu.max", "50000 100000")],
        oom_score_adj: -500,
        ..ServiceDef::DEFAULT
    };
    assert_eq!(read(text), Ok(expected));
    assert_eq!(read(&text.replace('\n', "\r\n")), Ok(expected));
}

#[test]
fn the_ways_to_be_ready() {
    let ready = |text: &str| read(&format!("exec /x\n{text}")).map(|s| (s.ready, s.restart));
    assert_eq!(ready("ready exec"), Ok((ReadyWhen::Exec, Restart::Always)));
    assert_eq!(
        ready("ready notify"),
        Ok((ReadyWhen::Notify, Restart::Always))
    );
    assert_eq!(
        ready("ready exit"),
        Ok((ReadyWhen::Exit, Restart::OnFailure))
    );
    let once = Ok((ReadyWhen::Exit, Restart::Never));
    assert_eq!(ready("ready exit\nrestart never"), once);
    assert!(ready("ready exit\nrestart always").is_err());
    assert!(ready("ready fd 3").is_ok());
    assert!(ready("ready fd 3\nsocket /s").is_err());
}

/// Each is refused, by its line, with what would be right.
#[test]
fn what_is_wrong_is_told() {
    let table = [
        ("exec demo", "whole path"),
        ("exec", "whole path"),
        ("exec /x\nexec /y", "a second time"),
        ("exec /x\nlimits a b", "no such word"),
        ("exec /x\nExec /y", "no such word"),
        ("exec /x\nuser nobody", "/etc/passwd"),
        ("exec /x\nuser", "one value"),
        ("exec /x\nenv 1A=2", "a name of letters"),
        ("exec /x\nenv A", "NAME=value"),
        ("exec /x\nenv A=1 A=2", "once"),
        ("exec /x\nenv LISTEN_FDS=1", "another name"),
        ("exec /x\nenv NOTIFY_SOCKET=/x", "another name"),
        ("exec /x\nneeds ../x", "names of services"),
        ("exec /x\nready soon", "notify"),
        ("exec /x\nready fd 2", "3 to 255"),
        ("exec /x\nready fd 256", "3 to 255"),
        ("exec /x\nready fd x", "3 to 255"),
        ("exec /x\nrestart maybe", "on-failure"),
        ("exec /x\nsocket run", "whole path"),
        ("exec /x\nsocket /s mode 0999", "octal"),
        ("exec /x\nsocket /s mode +7", "octal"),
        ("exec /x\nsocket /s mode", "octal"),
        ("exec /x\nsocket /s group none", "/etc/group"),
        ("exec /x\nsocket /s later", "datagram"),
        ("exec /x\nstop 15", "a signal"),
        ("exec /x\nstop SIGRTMIN", "a signal"),
        ("exec /x\ngrace 10", "a time"),
        ("exec /x\ngrace 61m", "a time"),
        ("exec /x\nlate -1s", "a time"),
        ("exec /x\nlate 99999999999999999999s", "a time"),
        ("exec /x\nlimit memory.max", "memory.max 64M"),
        ("exec /x\nlimit ../x 1", "memory.max 64M"),
        ("exec /x\nlimit .. 1", "memory.max 64M"),
        ("exec /x\nlimit .x 1", "memory.max 64M"),
        ("exec /x\nlimit cgroup.procs 1", "memory.max 64M"),
        ("exec /x\ndir srv", "whole path"),
        ("exec /x\numask 9", "octal"),
        ("exec /x\numask 1777", "octal"),
        ("exec /x\noom 1001", "-1000 to 1000"),
        ("exec /x\nnofile 10", "two numbers"),
        ("exec /x\nnofile 10 5", "not below"),
        ("exec /x\nnofile 0 5", "not below"),
        ("exec /x\nnofile 1 1048577", "not below"),
        ("exec /x\nkill all", "group or process"),
        ("exec /x\nexec \"/y", "not closed"),
        ("exec /x\nenv A=\u{1b}[31m", "control character"),
    ];
    for (text, right) in table {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text:?}: {errors:?}");
        let line = text.lines().count();
        let place = format!("demo:{line}: ");
        assert!(errors[0].starts_with(&place), "{errors:?}");
        assert!(errors[0].contains(right), "{right}: {errors:?}");
    }
}

#[test]
fn all_errors_are_told_up_to_a_bound() {
    assert_eq!(errors("oom x\n\numask x\nkill x").len(), 4); // and no exec
    assert_eq!(errors(&"x\n".repeat(5_000)).len(), MOST_ERRORS + 1);
    assert_eq!(errors("# nothing"), errors("#"));
}

#[test]
fn sizes_and_names_are_bounded() {
    let long = format!("exec /x\n{}", "#".repeat(LONGEST));
    assert!(errors(&long)[0].contains("too long"));
    let fits = format!("exec /x\n{}", "#".repeat(LONGEST - 8));
    assert!(read(&fits).is_ok());
    for name in ["", "-a", "A", "a/b", "..", "a.b", &"a".repeat(33), "ä"] {
        assert!(parse(name, b"exec /x", "", "").is_err(), "{name}");
    }
    for name in ["a", "0", "a-", &"a".repeat(32)] {
        assert!(parse(name, b"exec /x", "", "").is_ok(), "{name}");
    }
    let told = parse("a\nb\u{9b}2J", b"exec /x", "", "").expect_err("no name");
    assert_eq!(told[0].split(':').next(), Some("a"));
    assert!(parse("demo", b"exec /x\xff", "", "").is_err());
    assert!(parse("demo", b"exec /x\0", "", "").is_err());
}

/// As a person would write it.
fn printed(s: &ServiceDef) -> String {
    let quote = |w: &&str| match w.contains('"') {
        true => format!("'{w}'"),
        false => format!("\"{w}\""),
    };
    let all = |ws: &[&str]| ws.iter().map(quote).collect::<Vec<_>>().join(" ");
    let mut out = format!("exec {}\n", all(s.argv));
    out += &format!(
        "stop {}\n",
        ["SIGTERM", "HUP"][usize::from(s.stop_signal == libc::SIGHUP)]
    );
    out += &format!("grace {}ms\nlate {}ms\n", s.grace_ms, s.late_ms);
    out += &format!("umask {:o}\noom {}\n", s.umask, s.oom_score_adj);
    out += &format!(
        "nofile {} {}\ndir {}\n",
        s.nofile.0,
        s.nofile.1,
        quote(&s.dir)
    );
    out += match s.kill {
        KillMode::Cgroup => "kill group\n",
        KillMode::Process => "kill process\n",
    };
    out += match s.restart {
        Restart::Always => "restart always\n",
        Restart::OnFailure => "restart on-failure\n",
        Restart::Never => "restart never\n",
    };
    out += &match s.ready {
        ReadyWhen::Exec => "ready exec\n".to_owned(),
        ReadyWhen::Notify => "ready notify\n".to_owned(),
        ReadyWhen::Exit => "ready exit\n".to_owned(),
        ReadyWhen::Fd(n) => format!("ready fd {n}\n"),
    };
    for e in s.env {
        out += &format!("env {}\n", quote(e));
    }
    if !s.needs.is_empty() {
        out += &format!("needs {}\n", s.needs.join(" "));
    }
    for (file, value) in s.limits {
        out += &format!("limit {file} {}\n", quote(value));
    }
    if let Some(k) = s.socket {
        let words = [
            ("", true),
            (" boot", !k.on_demand),
            (" datagram", k.datagram),
        ];
        let words: String = words.iter().filter(|w| w.1).map(|w| w.0).collect();
        out += &format!(
            "socket {} mode {:o} group podman{words}\n",
            quote(&k.path),
            k.mode
        );
    }
    if s.user.is_some() {
        out += "user core\n";
    }
    out
}

fn leaked(texts: Vec<String>) -> &'static [&'static str] {
    texts
        .into_iter()
        .map(|t| &*t.leak())
        .collect::<Vec<_>>()
        .leak()
}

prop_compose! {
    fn commands()(
        program in "/[^\\x00-\\x1f\\x7f-\\u{9f}']{0,12}",
        arguments in prop::collection::vec("[^\\x00-\\x1f\\x7f-\\u{9f}']{0,12}", 0..5),
        env in prop::collection::btree_map("[A-KM-Z_][A-Z0-9_]{0,5}", "[^\\x00-\\x1f\\x7f-\\u{9f}']{0,8}", 0..4),
        needs in prop::collection::vec("[a-z0-9][a-z0-9-]{0,31}", 0..4),
        limits in prop::collection::vec(("[a-b]{1,6}[.][a-z._]{1,9}", "[a-z0-9][^\\x00-\\x1f\\x7f-\\u{9f}']{0,9}"), 0..3),
        dir in "/[^\\x00-\\x1f\\x7f-\\u{9f}']{0,9}",
    ) -> ServiceDef {
        let argv = std::iter::once(program).chain(arguments).collect();
        let env = env.into_iter().filter(|(n, _)| n != "NOTIFY_SOCKET");
        let limits: Vec<_> = limits.into_iter().map(|(f, v)| (leak(&f), leak(&v))).collect();
        ServiceDef {
            argv: leaked(argv),
            env: leaked(env.map(|(n, v)| format!("{n}={v}")).collect()),
            needs: leaked(needs),
            limits: limits.leak(),
            dir: leak(&dir),
            ..ServiceDef::DEFAULT
        }
    }
}

prop_compose! {
    fn rows()(
        text in commands(),
        ready in prop_oneof![
            Just(ReadyWhen::Exec), Just(ReadyWhen::Notify), Just(ReadyWhen::Exit), (4i32..=255).prop_map(ReadyWhen::Fd)
        ],
        restart in prop_oneof![Just(Restart::OnFailure), Just(Restart::Never)],
        times in (0u64..3_600_001, 0u64..3_600_001),
        numbers in (0u32..0o1000, -1000i32..=1000, 1u64..1000, 1000u64..1_048_577),
        socket in prop::option::of(("/[^\\x00-\\x1f\\x7f-\\u{9f}']{0,20}", 0u32..0o1000, any::<(bool, bool)>())),
        choices in any::<(bool, bool, bool)>(),
    ) -> ServiceDef {
        let socket = socket.map(|(path, mode, (datagram, on_demand))| Socket {
            path: leak(&path), mode, gid: 982, datagram, on_demand,
        });
        let core = User {
            uid: 1000, gid: 1000, groups: &[982, 27], name: "core", home: "/home/core", shell: "/bin/bash",
        };
        ServiceDef {
            name: "demo",
            why: "the owner of this machine wants it",
            ready, restart, socket,
            grace_ms: times.0,
            late_ms: times.1,
            umask: numbers.0,
            oom_score_adj: numbers.1,
            nofile: (numbers.2, numbers.3),
            kill: if choices.0 { KillMode::Cgroup } else { KillMode::Process },
            stop_signal: if choices.1 { libc::SIGHUP } else { libc::SIGTERM },
            user: choices.2.then_some(core),
            ..text
        }
    }
}

proptest! {
    #[test]
    fn a_printed_row_comes_back(row in rows()) {
        let text = printed(&row);
        prop_assert_eq!(read(&text), Ok(row), "{}", text);
    }

    /// Neither panic nor endless output, whatever the bytes are.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        if let Err(errors) = parse("demo", &bytes, PASSWD, GROUP) {
            prop_assert!(errors.len() <= MOST_ERRORS + 2);
            prop_assert!(errors.iter().all(|e| e.len() < 400));
        }
    }

    /// The same with lines that begin well.
    #[test]
    fn any_values_are_survived(lines in prop::collection::vec((0..WORDS.len(), ".{0,40}"), 0..30)) {
        let text: String = lines.iter().map(|(w, v)| format!("{} {v}\n", WORDS[*w])).collect();
        if let Ok(row) = read(&text) {
            prop_assert!(row.argv[0].starts_with('/'));
            prop_assert!(row.limits.iter().all(|(f, _)| !f.contains('/')));
        }
    }
}
