//! Service files, with the passwd(5) and group(5) that their names are looked up in.

use services::account;
use services::service_file::{FileErrors, MAX_FILE_BYTES, Parsed, is_name, parse};
use services::{ExitStatus, ReadyWhen, Restart};

use crate::input::{one_line, some};

pub(crate) const WORDS: &[&str] = &[
    "exec /",
    "user ",
    "ready ",
    "restart ",
    "socket /run/",
    "stop ",
    "grace ",
    "late ",
    "dir /",
    "umask ",
    "oom ",
    "nofile ",
    "kill ",
    "env ",
    "needs ",
    "limit ",
    "exit",
    "notify",
    "fd ",
    "always",
    "on-failure",
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

/// Parts: the file, passwd, group, the name of the service; all but the first
/// may be left out.
///
/// - An error names file and line, and is one line that a terminal can show.
/// - What is accepted can be run: whole paths, no byte that ends a string or a
///   line, limits that are files of the cgroup and not its processes.
/// - Written again in the plainest form, it is the same service.
pub fn service_file(data: &[u8]) {
    let [file, passwd, group, name] = some(data);
    let text = |part: Option<&[u8]>, default: &str| match part {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => default.to_owned(),
    };
    let (passwd, group) = (text(passwd, PASSWD), text(group, GROUP));
    let name = text(name, "web");
    let file = file.unwrap_or(&[]);
    match parse(&name, file, &passwd, &group) {
        Err(errors) => refused(&name, &errors),
        Ok(parsed) => {
            assert!(is_name(&name) && parsed.name == name && file.len() <= MAX_FILE_BYTES);
            sound(&parsed);
            same(&parsed, &passwd, &group);
        }
    }
}

fn refused(name: &str, errors: &FileErrors) {
    assert!((1..=17).contains(&errors.0.len()));
    for error in &errors.0 {
        let error = &error.to_string();
        assert!(one_line(error), "{error:?}");
        assert!(error.len() < 600, "{error:?}");
        let mut parts = error.splitn(3, ':');
        let (whose, line, why) = (parts.next(), parts.next(), parts.next());
        assert!(whose == Some(name) || !is_name(name), "{error:?}");
        let numbered = line.is_some_and(|l| l.parse::<usize>().is_ok());
        assert!(
            !is_name(name) || (numbered && why.is_some_and(|w| w.len() > 3)),
            "{error:?}"
        );
    }
}

fn sound(parsed: &Parsed<'_>) {
    let row = &parsed.def;
    let paths = [parsed.dir, parsed.socket];
    let texts = parsed.argv.iter().chain(&parsed.env).chain(&paths);
    for text in texts.chain(parsed.limits.iter().map(|(_, value)| value)) {
        assert!(one_line(&text.replace('\t', "")), "{text:?}");
    }
    assert!(parsed.argv.first().is_some_and(|p| p.starts_with('/')));
    assert!(parsed.argv.len() < 64 && parsed.dir.starts_with('/'));
    assert_eq!(parsed.socket.starts_with('/'), row.socket.is_some());
    assert!(parsed.socket.len() < 108);
    assert!(parsed.needs.iter().all(|n| is_name(n)));
    let limit = |f: &str| !f.contains('/') && f.contains('.') && !f.starts_with("cgroup.");
    assert!(parsed.limits.iter().all(|(file, _)| limit(file)));
    environment(&parsed.env);
    let mode = row.socket.map_or(0, |s| s.mode);
    assert!(mode <= 0o777 && row.umask <= 0o777);
    assert!((1..32).contains(&row.stop_signal) && (-1_000..=1_000).contains(&row.oom_score_adj));
    assert!(row.nofile.0 >= 1 && row.nofile.0 <= row.nofile.1 && row.nofile.1 <= 1_048_576);
    assert!(row.grace_ms <= 3_600_000 && row.late_ms <= 3_600_000);
    assert!(row.ready != ReadyWhen::Exit || row.restart != Restart::Always);
    if let ReadyWhen::Fd(fd) = row.ready {
        assert!((3..=255).contains(&fd) && (fd > 3 || row.socket.is_none()));
    }
}

fn environment(env: &[&str]) {
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

/// Written again, unless that is longer than a file may be, or has more words.
fn same(parsed: &Parsed<'_>, passwd: &str, group: &str) {
    let Some(text) = written(parsed, group) else {
        return;
    };
    if text.len() <= MAX_FILE_BYTES {
        let again = parse(parsed.name, text.as_bytes(), passwd, group);
        assert_eq!(again.as_ref(), Ok(parsed), "{text}");
    }
}

/// The plainest file of a service; none where its group has no name.
fn written(parsed: &Parsed<'_>, group: &str) -> Option<String> {
    let row = &parsed.def;
    let quoted = |word: &&str| match word.contains('"') {
        true => format!(" '{word}'"),
        false => format!(" \"{word}\""),
    };
    let mut text = String::from("exec");
    text.extend(parsed.argv.iter().map(quoted));
    let mut line = |words: String| {
        text.push('\n');
        text.push_str(&words);
    };
    parsed
        .user
        .iter()
        .for_each(|u| line(format!("user{}", quoted(&u.name))));
    line(format!("dir{}", quoted(&parsed.dir)));
    parsed
        .env
        .iter()
        .for_each(|e| line(format!("env{}", quoted(e))));
    parsed.needs.iter().for_each(|n| line(format!("needs {n}")));
    for (file, value) in &parsed.limits {
        line(format!("limit {file}{}", quoted(value)));
    }
    if let Some(socket) = row.socket {
        let mut words = format!("socket{} mode {:o}", quoted(&parsed.socket), socket.mode);
        if socket.gid != 0 {
            // One that the words of a file can hold.
            let fits = |n: &&str| one_line(n) && !(n.contains('"') && n.contains('\''));
            let names = group.lines().filter_map(|l| l.split(':').next());
            let mut names = names.filter(fits);
            let name = names.find(|n| account::gid(group, n) == Some(socket.gid))?;
            words += &format!(" group{}", quoted(&name));
        }
        words += if socket.on_demand { "" } else { " boot" };
        words += if socket.datagram { " datagram" } else { "" };
        line(words);
    }
    line(match row.ready {
        ReadyWhen::Exec => "ready exec".to_owned(),
        ReadyWhen::Notify => "ready notify".to_owned(),
        ReadyWhen::Exit => "ready exit".to_owned(),
        ReadyWhen::Fd(n) => format!("ready fd {n}"),
    });
    line(match row.restart {
        Restart::Always => "restart always".to_owned(),
        Restart::OnFailure => "restart on-failure".to_owned(),
        Restart::Never => "restart never".to_owned(),
    });
    line(match row.kill {
        services::KillMode::Cgroup => "kill group".to_owned(),
        services::KillMode::Process => "kill process".to_owned(),
    });
    let stop = ExitStatus::Killed(row.stop_signal).to_string();
    line(format!("stop {}", stop.strip_prefix("killed by ")?));
    line(format!("grace {}ms\nlate {}ms", row.grace_ms, row.late_ms));
    line(format!("umask {:o}\noom {}", row.umask, row.oom_score_adj));
    line(format!("nofile {} {}", row.nofile.0, row.nofile.1));
    Some(text)
}
