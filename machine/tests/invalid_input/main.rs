// SPDX-License-Identifier: Apache-2.0
//! Invalid input: names, numbers, labels, URLs, homes and configurations. Each is refused in one line that
//! says what is wrong, and leaves every other machine as it is.
#![allow(clippy::unwrap_used)]

mod archives;
mod lacking;
mod places;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use machine::store::config::MachineConfig;

/// Directory with a home, in which no machine runs.
struct Host(tempfile::TempDir);

/// End of a command: its status, and what it wrote.
struct End {
    status: Option<i32>,
    out: String,
    errors: String,
}

/// Runs the program in `dir` after a shell script has made its mounts, which end with their namespace, for users as well
/// (user_namespaces(7)). The first argument of the script is `place`; the others are the program and `args`.
fn after_mounts(script: &str, place: &Path, args: &[&str], dir: &Path, home: &Path) -> End {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", script, "sh"])
        .arg(place)
        .arg(env!("CARGO_BIN_EXE_podman-machine"))
        .args(args)
        .current_dir(dir)
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", dir);
    for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "MACHINE_STORAGE_PATH"] {
        command.env_remove(name);
    }
    end(&mut command)
}

/// Returns a configuration with an image, which is not in the cache.
fn whole(name: &str) -> MachineConfig {
    MachineConfig {
        image: format!("sha256-{}", "0".repeat(64)),
        ..MachineConfig::new(name)
    }
}

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().unwrap());
        host.write("good", &whole("good").text());
        host
    }

    fn machine(&self, name: &str) -> PathBuf {
        let store = self.0.path().join(".local/share/podman-machine");
        store.join("machines").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.machine(name)).unwrap();
        fs::write(self.machine(name).join("config.json"), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podman-machine"));
        command.args(args).current_dir(self.0.path());
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "MACHINE_STORAGE_PATH"] {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command.env("HOME", self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> End {
        end(&mut self.command(args))
    }

    /// Runs a command that is refused with this status, in one line with these words.
    fn refuses(&self, args: &[&str], status: i32, words: &str) {
        refuses(&mut self.command(args), status, words);
        assert!(self.machine("good").join("config.json").exists());
    }
}

fn end(command: &mut Command) -> End {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    End {
        status: output.status.code(),
        out: text(&output.stdout),
        errors: text(&output.stderr),
    }
}

fn refuses(command: &mut Command, status: i32, words: &str) {
    let end = end(command);
    let line = end.errors.trim_end();
    assert_eq!(end.status, Some(status), "{command:?}: {line}");
    assert!(
        line.contains(words) && !line.contains('\n'),
        "{command:?}: {line}"
    );
}

#[test]
fn invalid_machine_names_are_refused() {
    let host = Host::new();
    let victim = host.0.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let long = "x".repeat(300);
    let names = [
        "",
        "..",
        ".",
        "a/b",
        "../../victim",
        "/etc",
        "-x",
        "a_b",
        "a b",
        "é",
        "a\nb",
        "a\tb",
        "*",
        &long,
    ];
    for name in names {
        host.refuses(&["create", "--", name], 1, "Invalid hostname specified");
        host.refuses(
            &["clone", "good", "--", name],
            1,
            "Invalid hostname specified",
        );
        host.refuses(
            &["rename", "good", "--", name],
            1,
            "Invalid hostname specified",
        );
        for command in ["status", "start", "stop", "kill", "url", "upgrade"] {
            let end = host.run(&[command, "--", name]);
            assert_eq!(end.status, Some(1), "{command} {name:?}");
            assert!(
                end.errors.contains("does not exist"),
                "{command} {name:?}: {}",
                end.errors
            );
        }
        host.run(&["rm", "-f", "--", name]);
        assert!(victim.is_dir() && host.machine("good").is_dir(), "{name:?}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let host = Host::new();
    #[rustfmt::skip]
    let rows: [(&[&str], i32, &str); 17] = [
        (&["--cpus", "0"], 1, "1..=512"),
        (&["--cpus", "513"], 1, "1..=512"),
        (&["--cpus=-1"], 1, "-1"),
        (&["--cpus", "two"], 1, "two"),
        (&["--cpus", "99999999999999999999"], 1, "99999999999999999999"),
        (&["--memory", "0"], 3, "at least 256 MiB"),
        (&["--memory=-1"], 3, "-1"),
        (&["--memory", "1.5.5G"], 3, "1.5.5G"),
        (&["--memory", ""], 3, "a size is a number"),
        (&["--memory", "18446744073709551616"], 3, "18446744073709551616"),
        (&["--disk", "0"], 3, "from 256 MiB"),
        (&["--disk=-5G"], 3, "-5G"),
        (&["--disk", "1Q"], 3, "1Q"),
        (&["--ssh-port", "0"], 1, "1..=65535"),
        (&["--ssh-port", "65536"], 1, "1..=65535"),
        (&["--publish-on", "256.0.0.1"], 1, "256.0.0.1"),
        (&["--timeout=-1"], 1, "-1"),
    ];
    for (args, status, words) in rows {
        let line = [&["create"], args, &["new"]].concat();
        let end = host.run(&line);
        assert_eq!(end.status, Some(status), "{line:?}: {}", end.errors);
        assert!(end.errors.contains(words), "{line:?}: {}", end.errors);
        assert!(!host.machine("new").exists(), "{line:?}");
    }
}

#[test]
fn a_configuration_that_is_broken_is_an_error_of_its_own() {
    let good = whole("bad").text();
    let cut = &good[..good.len() / 2];
    let later = good.replace("\"version\": 1", "\"version\": 99");
    let texts = [
        "",
        "{",
        cut,
        "null",
        "[]",
        "\"x\"",
        "{}",
        "\0",
        "{\"version\": \"1\"}",
        later.as_str(),
    ];
    let number = good.replace("\"cpus\": 2", "\"cpus\": -2");
    let user = good.replace("\"core\"", "\"core\\n  ProxyCommand x\"");
    let image = good.replace("sha256-", "../");
    let kind = good.replace("\"memory_mib\": 2048", "\"memory_mib\": [1]");
    assert!(
        [&number, &kind, &later, &user, &image]
            .iter()
            .all(|text| **text != good)
    );
    let edited = [&number, &kind, &user, &image].map(String::as_str);
    for text in texts.into_iter().chain(edited) {
        let host = Host::new();
        host.write("bad", text);
        is_error(&host, text);
    }
    type Break = fn(&Path);
    let kinds: [(&str, Break); 5] = [
        ("missing", |_| ()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a link to nothing", |path| {
            symlink("nothing", path).unwrap()
        }),
        ("a link to itself", |path| {
            symlink("config.json", path).unwrap()
        }),
        ("a fifo that nobody writes to", |path| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(path, mode).unwrap();
        }),
    ];
    for (name, make) in kinds {
        let host = Host::new();
        fs::create_dir(host.machine("bad")).unwrap();
        make(&host.machine("bad").join("config.json"));
        is_error(&host, name);
    }
}

/// Tells that `bad` is an error, that `good` is not, and that `bad` can be removed.
fn is_error(host: &Host, about: &str) {
    let list = host.run(&["ls", "--format", "{{.Name}}:{{.State}}:{{.Error}}"]);
    let lines: Vec<&str> = list.out.lines().collect();
    assert_eq!(
        (list.status, lines.len()),
        (Some(0), 2),
        "{about}: {}",
        list.out
    );
    assert!(
        lines[0].starts_with("bad:Error:") && lines[0].contains("config.json"),
        "{about}: {}",
        list.out
    );
    assert_eq!(lines[1], "good:Stopped:", "{about}");
    for command in ["start", "inspect", "set"] {
        let end = host.run(&[command, "bad"]);
        assert_eq!(end.status, Some(1), "{about}: {command}");
        assert!(
            end.errors.contains("config.json"),
            "{about}: {command}: {}",
            end.errors
        );
        assert_eq!(
            end.errors.lines().count(),
            1,
            "{about}: {command}: {}",
            end.errors
        );
    }
    let removed = host.run(&["rm", "-f", "bad"]);
    assert_eq!(removed.status, Some(0), "{about}: {}", removed.errors);
    assert_eq!(host.run(&["ls", "-q"]).out, "good\n", "{about}");
}

#[test]
fn an_output_that_cannot_be_written_is_no_crash() {
    let host = Host::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let output = host.command(&["version"]).stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("standard output: No space left on device") && said.lines().count() == 1,
        "{said}"
    );
    let status = host.command(&["version"]).stderr(full()).status().unwrap();
    assert!(status.success());
    // A reader that has gone.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = host.command(&["version"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
}
