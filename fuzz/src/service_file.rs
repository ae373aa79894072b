// SPDX-License-Identifier: Apache-2.0
//! Target `service_file`: service files, with the passwd(5) and group(5) for their names.

use services::account;
use services::service_file::{FileErrors, MAX_FILE_BYTES, Parsed, is_name, parse};
use services::{ExitStatus, ReadyWhen, Restart, ServiceDef, Socket};

use crate::input::{is_one_line, split_array};

pub(crate) const DICTIONARY: &[&str] = &[
    "exec /",
    "at daily",
    "at Mon..Fri *-*-1/2 03:*/5",
    "user ",
    "ready ",
    "restart ",
    "socket /run/",
    "stop ",
    "grace ",
    "late ",
    "delay ",
    "dir /",
    "umask ",
    "oom ",
    "nofile ",
    "kill ",
    "env ",
    "needs ",
    "after ",
    "binds ",
    "done 3",
    "final 3",
    "limit ",
    "exit",
    "notify",
    "fd ",
    "always",
    "on-failure",
    "on-success",
    "never",
    " mode 0660",
    " group ",
    " boot",
    " datagram",
    "SIGTERM",
    "10s",
    "500ms",
    "60m",
    "memory.max 64M",
    "core",
    "podman",
    "\"",
    "'",
    "#",
    "\n",
    "\r\n",
    "=",
    "LISTEN_FDS=1",
    "NOTIFY_SOCKET=",
    "..",
    "cgroup.procs",
    "\u{9b}",
    "4294967295",
    "-1000",
];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000::/home/core:/bin/bash\n";
const GROUP: &str = "root:x:0:\npodman:x:982:core\nsudo:x:27:core\ncore:x:1000:\n";

/// Parts: the file, passwd, group, and the name of the service; all but the first are optional.
///
/// - An error names file and line, and is one line that is safe on a terminal.
/// - An accepted service can be run: its paths are absolute, no byte ends a string or a line, and
///   its limits are files of the cgroup other than its list of processes.
/// - The service is read again from its plainest file.
pub fn service_file(data: &[u8]) {
    let [file, passwd, group, name] = split_array(data);
    let text = |part: Option<&[u8]>, default: &str| match part {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => default.to_owned(),
    };
    let (passwd, group) = (text(passwd, PASSWD), text(group, GROUP));
    let name = text(name, "web");
    let file = file.unwrap_or(&[]);
    match parse(&name, file, &passwd, &group) {
        Err(errors) => check_errors(&name, &errors),
        Ok(parsed) => {
            assert!(is_name(&name) && parsed.name == name && file.len() <= MAX_FILE_BYTES);
            check_service(&parsed);
            check_plainest_file(&parsed, &passwd, &group);
        }
    }
}

fn check_errors(name: &str, errors: &FileErrors) {
    assert!((1..=17).contains(&errors.0.len()));
    for error in &errors.0 {
        let error = &error.to_string();
        assert!(is_one_line(error), "{error:?}");
        assert!(error.len() < 600, "{error:?}");
        let mut parts = error.splitn(3, ':');
        let (service, line, why) = (parts.next(), parts.next(), parts.next());
        assert!(service == Some(name) || !is_name(name), "{error:?}");
        let numbered = line.is_some_and(|l| l.parse::<usize>().is_ok());
        assert!(
            !is_name(name) || (numbered && why.is_some_and(|w| w.len() > 3)),
            "{error:?}"
        );
    }
}

fn check_service(parsed: &Parsed<'_>) {
    let def = &parsed.def;
    let paths = [parsed.dir, parsed.socket];
    let texts = parsed.argv.iter().chain(&parsed.env).chain(&paths);
    for text in texts.chain(parsed.cgroup_files.iter().map(|(_, value)| value)) {
        assert!(is_one_line(&text.replace('\t', "")), "{text:?}");
    }
    assert!(parsed.argv.first().is_some_and(|p| p.starts_with('/')));
    assert!(parsed.argv.len() < 64 && parsed.dir.starts_with('/'));
    assert_eq!(parsed.socket.starts_with('/'), def.socket.is_some());
    assert!(parsed.socket.len() < 108);
    assert!(
        [&parsed.needs, &parsed.after, &parsed.binds]
            .iter()
            .all(|names| names.iter().all(|n| is_name(n)))
    );
    let limit = |f: &str| !f.contains('/') && f.contains('.') && !f.starts_with("cgroup.");
    assert!(parsed.cgroup_files.iter().all(|(file, _)| limit(file)));
    check_environment(&parsed.env);
    let mode = def.socket.map_or(0, |s| s.mode);
    assert!(mode <= 0o777 && def.umask <= 0o777);
    assert!((1..32).contains(&def.stop_signal) && (-1_000..=1_000).contains(&def.oom_score_adj));
    assert!(def.nofile.0 >= 1 && def.nofile.0 <= def.nofile.1 && def.nofile.1 <= 1_048_576);
    assert!(def.grace_ms <= 3_600_000 && def.late_ms <= 3_600_000);
    assert!(def.ready != ReadyWhen::Exit || def.restart != Restart::Always);
    if let ReadyWhen::Fd(fd) = def.ready {
        assert!((3..=255).contains(&fd) && (fd > 3 || def.socket.is_none()));
    }
}

fn check_environment(env: &[&str]) {
    let names: Vec<&str> = env.iter().filter_map(|e| e.split('=').next()).collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!name.is_empty() && !name.starts_with("LISTEN_"), "{name:?}");
        assert!(
            !names.iter().skip(at + 1).any(|n| n == name),
            "{name:?} twice"
        );
    }
    assert!(env.iter().all(|e| e.contains('=')));
}

/// Checks the plainest file, unless the file is longer than permitted.
fn check_plainest_file(parsed: &Parsed<'_>, passwd: &str, group: &str) {
    let Some(text) = written(parsed, group) else {
        return;
    };
    if text.len() <= MAX_FILE_BYTES {
        let again = parse(parsed.name, text.as_bytes(), passwd, group);
        assert_eq!(again.as_ref(), Ok(parsed), "{text}");
    }
}

/// Returns the directives whose value is one of a few words.
fn modes(def: &ServiceDef) -> [String; 3] {
    let ready = match def.ready {
        ReadyWhen::Exec => "ready exec".to_owned(),
        ReadyWhen::Notify => "ready notify".to_owned(),
        ReadyWhen::Exit => "ready exit".to_owned(),
        ReadyWhen::Fd(n) => format!("ready fd {n}"),
    };
    let restart = match def.restart {
        Restart::Always => "restart always",
        Restart::OnFailure => "restart on-failure",
        Restart::OnSuccess => "restart on-success",
        Restart::Never => "restart never",
    };
    let kill = match def.kill {
        services::KillMode::Cgroup => "kill group",
        services::KillMode::Mixed => "kill mixed",
        services::KillMode::Process => "kill process",
    };
    [ready, restart.to_owned(), kill.to_owned()]
}

/// Returns the plainest file of a service; `None` if its group has no name.
fn written(parsed: &Parsed<'_>, group: &str) -> Option<String> {
    let def = &parsed.def;
    let mut text = String::from("exec");
    text.extend(parsed.argv.iter().map(|arg| quoted(arg)));
    let mut line = |directive: String| {
        text.push('\n');
        text.push_str(&directive);
    };
    if let Some(user) = &parsed.user {
        line(format!("user{}", quoted(user.name)));
    }
    line(format!("dir{}", quoted(parsed.dir)));
    for variable in &parsed.env {
        line(format!("env{}", quoted(variable)));
    }
    parsed.needs.iter().for_each(|n| line(format!("needs {n}")));
    parsed.binds.iter().for_each(|n| line(format!("binds {n}")));
    parsed.after.iter().for_each(|n| line(format!("after {n}")));
    let (finals, dones) = (&parsed.final_statuses, &parsed.done_statuses);
    for (word, codes) in [("final", finals), ("done", dones)] {
        let codes: String = codes.iter().map(|code| format!(" {code}")).collect();
        if !codes.is_empty() {
            line(format!("{word}{codes}"));
        }
    }
    for (file, value) in &parsed.cgroup_files {
        line(format!("limit {file}{}", quoted(value)));
    }
    if let Some(socket) = def.socket {
        line(socket_directive(parsed.socket, socket, group)?);
    }
    modes(def).into_iter().for_each(&mut line);
    let stop = ExitStatus::Killed(def.stop_signal).to_string();
    line(format!("stop {}", stop.strip_prefix("killed by ")?));
    line(format!("grace {}ms\nlate {}ms", def.grace_ms, def.late_ms));
    line(format!("delay {}ms", def.restart_ms));
    line(format!("umask {:o}\noom {}", def.umask, def.oom_score_adj));
    line(format!("nofile {} {}", def.nofile.0, def.nofile.1));
    Some(text)
}

/// Returns the directive of a socket; `None` if its group has no name that a file can contain.
fn socket_directive(path: &str, socket: Socket, group: &str) -> Option<String> {
    let mut directive = format!("socket{} mode {:o}", quoted(path), socket.mode);
    if socket.gid != 0 {
        let fits = |n: &&str| is_one_line(n) && !(n.contains('"') && n.contains('\''));
        let names = group.lines().filter_map(|l| l.split(':').next());
        let mut names = names.filter(fits);
        let name = names.find(|n| account::gid(group, n) == Some(socket.gid))?;
        directive += &format!(" group{}", quoted(name));
    }
    directive += if socket.on_demand { "" } else { " boot" };
    directive += if socket.datagram { " datagram" } else { "" };
    Some(directive)
}

/// Returns a token in quotes, after a space.
fn quoted(token: &str) -> String {
    match token.contains('"') {
        true => format!(" '{token}'"),
        false => format!(" \"{token}\""),
    }
}
