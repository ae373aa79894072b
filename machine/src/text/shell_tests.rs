// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use std::process::Command;

use super::*;

/// Shells with the lines that set and unset K, as docker-machine writes them.
#[rustfmt::skip]
const LINES: &[(&str, &str, &str)] = &[
    ("bash", "export K=\"V\"\n", "unset K\n"),
    ("zsh", "export K=\"V\"\n", "unset K\n"),
    ("sh", "export K=\"V\"\n", "unset K\n"),
    ("anything", "export K=\"V\"\n", "unset K\n"),
    ("fish", "set -gx K \"V\";\n", "set -e K;\n"),
    ("powershell", "$Env:K = \"V\"\n", "Remove-Item Env:\\\\K\n"),
    ("pwsh", "$Env:K = \"V\"\n", "Remove-Item Env:\\\\K\n"),
    ("cmd", "SET K=V\n", "SET K=\n"),
    ("tcsh", "setenv K \"V\";\n", "unsetenv K;\n"),
    ("emacs", "(setenv \"K\" \"V\")\n", "(setenv \"K\" nil)\n"),
    ("nushell", "$env.K = \"V\"\n", "hide-env --ignore-errors K\n"),
    ("elvish", "set-env K \"V\"\n", "unset-env K\n"),
    ("xonsh", "$K = \"V\"\n", "${...}.pop(\"K\", None)\n"),
    ("none", "K=V\n", "K=\n"),
];

fn set_line(shell: Shell, value: &str) -> Result<String, Fault> {
    Change::Set("K", value.to_owned()).line(shell)
}

#[test]
fn each_shell_has_its_lines() {
    for (name, set, unset) in LINES {
        let shell = Shell::named(name);
        assert_eq!(set_line(shell, "V").unwrap(), *set, "{name}");
        assert_eq!(Change::Unset("K").line(shell).unwrap(), *unset, "{name}");
    }
}

#[test]
fn a_value_stays_in_its_quotes() {
    let rows = [
        (
            "bash",
            "a\"$(id)`id`'b",
            "export K=\"a\"'\"'\"\"'$'\"(id)\"'`'\"id\"'`'\"'b\"\n",
        ),
        ("bash", "a  b", "export K=\"a $(printf '\\040')b\"\n"),
        ("fish", "a\"$x\\", "set -gx K \"a\\\"\\$x\\\\\";\n"),
        (
            "pwsh",
            "a\"$x`\u{201d}",
            "$Env:K = \"a`\"`$x```\u{201d}\"\n",
        ),
        ("cmd", "a&b", "SET \"K=a&b\"\n"),
        ("cmd", "C:\\a b", "SET K=C:\\a b\n"),
        ("tcsh", "a\"$x`", "setenv K \"a\"'\"'\"\"'$'\"x\"'`'\"\";\n"),
        ("emacs", "a\"\\", "(setenv \"K\" \"a\\\"\\\\\")\n"),
        ("nushell", "a\"$x", "$env.K = \"a\\\"$x\"\n"),
        ("elvish", "a\"$x", "set-env K \"a\\\"$x\"\n"),
        ("xonsh", "a\"\\", "$K = \"a\\\"\\\\\"\n"),
        ("none", "a\"$x b", "K=a\"$x b\n"),
    ];
    for (name, value, expected) in rows {
        let line = set_line(Shell::named(name), value).unwrap();
        assert_eq!(line, expected, "{name} {value}");
    }
}

#[test]
fn a_value_that_cannot_be_passed_is_refused_with_its_reason() {
    for (name, _, _) in LINES {
        for value in ["a\nb", "\u{1b}[m", "a\u{0}b", "\u{85}"] {
            let fault = set_line(Shell::named(name), value).unwrap_err();
            assert!(!fault.text.contains(char::is_control), "{name}: {fault}");
            assert!(fault.text.starts_with("Error: K would be"), "{fault}");
        }
    }
    for (name, values) in [("cmd", "\"%!"), ("tcsh", "\\!*?[{~")] {
        for value in values.chars() {
            let value = value.to_string();
            assert!(
                set_line(Shell::named(name), &value).is_err(),
                "{name} {value}"
            );
        }
    }
    assert!(set_line(Shell::Tcsh, "a  b").is_err());
}

/// A text that a user of any shell might have in a path, and some that an attacker would like.
const VALUES: &[&str] = &[
    "",
    "unix:///run/user/1000/pm/box.sock",
    "/home/a b/c",
    "/home/a   b",
    "  lead and trail  ",
    "$HOME $(id) `id` ${x}",
    "\"; touch pwned; \"",
    "'; touch pwned; '",
    "' * ? [a] [!b] {a,b} ~ !! !id #",
    " * ",
    "\\ \\n \\\\ \\\" \\$x \\*",
    "a\\",
    "naïve 日本語 \u{201c}\u{201d}",
    "-n",
    "-e x",
    "%PATH% %i & | < > ^ ( )",
    "a=b;c=d,e",
];

/// The shells of this host: every value reaches the variable, with and without the quotes around
/// the substitution, in a directory whose files a pattern would match.
#[test]
fn shells_receive_each_value_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "*", "K=\"x\"", "'"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let posix = [
        "eval $(cat lines); printf '%s' \"$K\"",
        "eval \"$(cat lines)\"; printf '%s' \"$K\"",
    ];
    let fish = [
        "eval (cat lines); printf '%s' $K",
        "cat lines | source; printf '%s' $K",
    ];
    let tcsh = ["eval `cat lines`; printenv K | tr -d '\\n'"];
    let elvish = ["eval (cat lines | slurp); print $E:K"];
    let shells: [(&str, &[&str], Shell); 7] = [
        ("sh", &posix, Shell::Posix),
        ("bash", &posix, Shell::Posix),
        ("dash", &posix, Shell::Posix),
        ("zsh", &posix, Shell::Posix),
        ("fish", &fish, Shell::Fish),
        ("tcsh", &tcsh, Shell::Tcsh),
        ("elvish", &elvish, Shell::Elvish),
    ];
    let mut tried = 0;
    for (program, scripts, shell) in shells {
        for (value, script) in VALUES
            .iter()
            .flat_map(|v| scripts.iter().map(move |s| (v, s)))
        {
            let Ok(line) = set_line(shell, value) else {
                continue;
            };
            let unset = Change::UnsetBeside("L").line(shell).unwrap();
            let lines = unset + &line + &super::super::hints::hint(shell, &["true".to_owned()]);
            std::fs::write(dir.path().join("lines"), lines).unwrap();
            let mut command = Command::new(program);
            let command = command.args(["-c", script]).current_dir(dir.path());
            let Ok(output) = command.env("L", "old").output() else {
                continue;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(text, *value, "{program} {script}: {errors}");
            tried += 1;
        }
    }
    assert!(!dir.path().join("pwned").exists());
    // sh is on every host.
    assert!(tried >= 2 * VALUES.len(), "{tried}");
}

#[test]
fn a_shell_is_found_by_flag_parent_and_variable() {
    #[rustfmt::skip]
    let rows = [
        (Some("fish"), Some("bash"), Some("/bin/zsh"), Shell::Fish),
        (Some("nosuch"), Some("fish"), None, Shell::Posix),
        (Some(""), Some("fish"), None, Shell::Fish),
        (None, Some("fish"), Some("/bin/bash"), Shell::Fish),
        (None, Some("-tcsh"), Some("/bin/bash"), Shell::Tcsh),
        (None, Some("python3"), Some("/usr/bin/fish"), Shell::Fish),
        (None, Some("C:\\Windows\\System32\\cmd.exe"), None, Shell::Cmd),
        (None, Some("pwsh.EXE"), None, Shell::PowerShell),
        (None, Some("make"), Some("/opt/none"), Shell::Posix),
        (None, None, Some("/usr/bin/nu"), Shell::Nushell),
        (None, None, None, Shell::Posix),
        (Some("none"), None, None, Shell::None),
    ];
    for (flag, parent, variable, expected) in rows {
        let found = Shell::detect(flag, parent, variable);
        assert_eq!(found, expected, "{flag:?} {parent:?} {variable:?}");
    }
}
