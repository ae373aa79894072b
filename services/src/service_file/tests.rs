// SPDX-License-Identifier: Apache-2.0
//! Tests of the parser: every key, every fault, and definitions that are printed and read back.

mod names;

use super::*;
use crate::service::Socket;
use crate::service::User;
use proptest::prelude::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000::/home/core:/bin/bash\n";
const GROUP: &str = "podman:x:982:core\nsudo:x:27:core\ncore:x:1000:\n";

fn read(text: &str) -> Result<ServiceDef, FileErrors> {
    parse("demo", text.as_bytes(), PASSWD, GROUP).map(Parsed::leak)
}

/// The messages about the faults of a file.
fn errors(text: &str) -> Vec<String> {
    let errors = read(text).expect_err(text);
    errors.0.iter().map(ToString::to_string).collect()
}

#[test]
fn exec_alone_defines_a_service() {
    let expected = ServiceDef {
        name: "demo",
        why: "the program of a service file runs",
        argv: &["/bin/true"],
        kill: KillMode::Cgroup,
        ..ServiceDef::DEFAULT
    };
    assert_eq!(read("exec /bin/true"), Ok(expected));
}

#[test]
fn the_older_word_for_the_cgroup_is_understood() {
    for word in ["cgroup", "group"] {
        let kill = read(&format!("exec /bin/true\nkill {word}")).map(|def| def.kill);
        assert_eq!(kill, Ok(KillMode::Cgroup), "{word}");
    }
}

#[test]
fn every_key_is_understood() {
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
final 3 78
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
        why: "the program of a service file runs",
        argv: &["/usr/bin/demo", "--name", "a b"],
        final_statuses: &[3, 78],
        env: &["A=1", "B=x y", "C="],
        needs: &["net", "podman", "sshd"],
        ready: ReadyWhen::Fd(5),
        restart: Restart::OnFailure,
        socket: Some(Socket {
            path: "/run/demo.sock",
            mode: 0o660,
            uid: 0,
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
        cgroup_files: &[("memory.max", "64M"), ("cpu.max", "50000 100000")],
        oom_score_adj: -500,
        ..ServiceDef::DEFAULT
    };
    assert_eq!(read(text), Ok(expected));
    assert_eq!(read(&text.replace('\n', "\r\n")), Ok(expected));
}

#[test]
fn each_value_of_ready_is_parsed() {
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
    assert!(ready("ready exit\nrestart on-success").is_err());
    let success = Ok((ReadyWhen::Exec, Restart::OnSuccess));
    assert_eq!(ready("restart on-success"), success);
    assert!(ready("ready fd 3").is_ok());
    assert!(ready("ready fd 3\nsocket /run/s").is_err());
}

/// Every wrong file is refused with its line and the form that would be right.
#[test]
fn each_fault_of_a_service_file_has_its_message() {
    let table = [
        ("exec demo", "absolute path"),
        ("exec", "absolute path"),
        ("exec /x\nexec /y", "a second time"),
        ("exec /x\nlimits a b", "unknown keyword"),
        ("exec /x\nExec /y", "unknown keyword"),
        ("exec /x\nuser nobody", "/etc/passwd"),
        ("exec /x\nuser", "one value"),
        ("exec /x\nenv 1A=2", "a name of letters"),
        ("exec /x\nenv A", "NAME=value"),
        ("exec /x\nenv A=1 A=2", "once"),
        ("exec /x\nenv LISTEN_FDS=1", "another name"),
        ("exec /x\nenv NOTIFY_SOCKET=/x", "another name"),
        ("exec /x\nat noon", "03:30"),
        ("exec /x\nat", "03:30"),
        ("exec /x\nneeds ../x", "names of services"),
        ("exec /x\nafter a ../x", "names of services"),
        ("exec /x\nafter", "names of services"),
        ("exec /x\ndelay soon", "a time"),
        ("exec /x\nready soon", "notify"),
        ("exec /x\nready fd 2", "3 to 255"),
        ("exec /x\nready fd 256", "3 to 255"),
        ("exec /x\nready fd x", "3 to 255"),
        ("exec /x\nrestart maybe", "on-failure"),
        ("exec /x\nfinal", "exit statuses"),
        ("exec /x\nfinal 256", "0 to 255"),
        ("exec /x\nbinds ../x", "names of services"),
        ("exec /x\nfinal 1 x", "0 to 255"),
        ("exec /x\nsocket run", "below /run"),
        ("exec /x\nsocket /run/s mode 0999", "octal"),
        ("exec /x\nsocket /run/s mode +7", "octal"),
        ("exec /x\nsocket /run/s mode", "octal"),
        ("exec /x\nsocket /run/s group none", "/etc/group"),
        ("exec /x\nsocket /run/s later", "datagram"),
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
        ("exec /x\ndir srv", "absolute path"),
        ("exec /x\numask 9", "octal"),
        ("exec /x\numask 1777", "octal"),
        ("exec /x\noom 1001", "-1000 to 1000"),
        ("exec /x\nnofile 10", "two numbers"),
        ("exec /x\nnofile 10 5", "not lower"),
        ("exec /x\nnofile 0 5", "not lower"),
        ("exec /x\nnofile 1 1048577", "not lower"),
        ("exec /x\nkill all", "cgroup, mixed or process"),
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
fn faults_have_a_type_and_one_text() {
    let errors = read("exec /x\nready soon\nlater 1").expect_err("two faults");
    let faults: Vec<_> = errors.0.iter().map(|e| (e.line, e.fault.clone())).collect();
    let value = Fault::Value {
        key: "ready",
        given: "soon".into(),
        expected: Expected("exec, notify, exit, or fd and a number"),
    };
    assert_eq!(faults, [(2, value), (3, Fault::UnknownKey("later".into()))]);
    let text = "demo:2: ready: soon: exec, notify, exit, or fd and a number; \
        demo:3: later: unknown keyword: one of exec at user ready restart final done delay socket stop grace \
        late dir umask oom nofile kill env needs after binds limit";
    assert_eq!(errors.to_string(), text);
}

#[test]
fn the_number_of_reported_faults_is_limited() {
    assert_eq!(errors("oom x\n\numask x\nkill x").len(), 4); // and no exec
    assert_eq!(errors(&"x\n".repeat(5_000)).len(), MAX_FAULTS + 1);
    assert_eq!(errors("# nothing"), errors("#"));
}

/// Prints a definition as a service file.
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
    out += &format!("delay {}ms\n", s.restart_ms);
    out += &format!("umask {:o}\noom {}\n", s.umask, s.oom_score_adj);
    out += &format!(
        "nofile {} {}\ndir {}\n",
        s.nofile.0,
        s.nofile.1,
        quote(&s.dir)
    );
    out += match s.kill {
        KillMode::Cgroup => "kill cgroup\n",
        KillMode::Mixed => "kill mixed\n",
        KillMode::Process => "kill process\n",
    };
    out += match s.restart {
        Restart::Always => "restart always\n",
        Restart::OnFailure => "restart on-failure\n",
        Restart::OnSuccess => "restart on-success\n",
        Restart::Never => "restart never\n",
    };
    out += &match s.ready {
        ReadyWhen::Exec => "ready exec\n".to_owned(),
        ReadyWhen::Notify => "ready notify\n".to_owned(),
        ReadyWhen::Exit => "ready exit\n".to_owned(),
        ReadyWhen::Fd(n) => format!("ready fd {n}\n"),
    };
    for status in s.final_statuses.iter().take(1) {
        out += &format!("final {status}\n");
    }
    for e in s.env {
        out += &format!("env {}\n", quote(e));
    }
    if !s.needs.is_empty() {
        out += &format!("needs {}\n", s.needs.join(" "));
    }
    if !s.after.is_empty() {
        out += &format!("after {}\n", s.after.join(" "));
    }
    for (file, value) in s.cgroup_files {
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
        after in prop::collection::vec("[a-z0-9][a-z0-9-]{0,31}", 0..4),
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
            after: leaked(after),
            cgroup_files: limits.leak(),
            dir: leak(&dir),
            ..ServiceDef::DEFAULT
        }
    }
}

prop_compose! {
    fn definitions()(
        text in commands(),
        ready in prop_oneof![
            Just(ReadyWhen::Exec), Just(ReadyWhen::Notify), Just(ReadyWhen::Exit), (4i32..=255).prop_map(ReadyWhen::Fd)
        ],
        restart in prop_oneof![Just(Restart::OnFailure), Just(Restart::Never)],
        times in (0u64..3_600_001, 0u64..3_600_001, 0u64..3_600_001),
        numbers in (0u32..0o1000, -1000i32..=1000, 1u64..1000, 1000u64..1_048_577),
        socket in prop::option::of(("/run/[^\\x00-\\x1f\\x7f-\\u{9f}'./]{1,20}", 0u32..0o1000, any::<(bool, bool)>())),
        choices in (0..3, any::<bool>(), any::<bool>()),
    ) -> ServiceDef {
        let socket = socket.map(|(path, mode, (datagram, on_demand))| Socket {
            path: leak(&path), mode, uid: 0, gid: 982, datagram, on_demand,
        });
        let core = User {
            uid: 1000, gid: 1000, groups: &[982, 27], name: "core", home: "/home/core", shell: "/bin/bash",
        };
        ServiceDef {
            name: "demo",
            why: "the program of a service file runs",
            ready, restart, socket,
            grace_ms: times.0,
            late_ms: times.1,
            restart_ms: times.2,
            umask: numbers.0,
            oom_score_adj: numbers.1,
            nofile: (numbers.2, numbers.3),
            kill: match choices.0 {
                0 => KillMode::Cgroup,
                1 => KillMode::Mixed,
                _ => KillMode::Process,
            },
            stop_signal: if choices.1 { libc::SIGHUP } else { libc::SIGTERM },
            user: choices.2.then_some(core),
            ..text
        }
    }
}

proptest! {
    #[test]
    fn a_printed_definition_comes_back(def in definitions()) {
        let text = printed(&def);
        prop_assert_eq!(read(&text), Ok(def), "{}", text);
    }

    /// No bytes cause a panic or unbounded output.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        if let Err(errors) = parse("demo", &bytes, PASSWD, GROUP) {
            prop_assert!(errors.0.len() <= MAX_FAULTS + 2);
            prop_assert!(errors.0.iter().all(|e| e.to_string().len() < 400));
        }
    }

    /// No values of known keys cause a panic.
    #[test]
    fn any_values_are_survived(lines in prop::collection::vec((0..KEYS.len(), ".{0,40}"), 0..30)) {
        let text: String = lines.iter().map(|(w, v)| format!("{} {v}\n", KEYS[*w].name)).collect();
        if let Ok(def) = read(&text) {
            prop_assert!(def.argv[0].starts_with('/'));
            prop_assert!(def.cgroup_files.iter().all(|(f, _)| !f.contains('/')));
        }
    }
}
