//! `profile` on the data disk: a shell script whose exports are the environment of the
//! engine and of sessions, as boot2docker had it. It is run, once at boot.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::tool;

/// It sets variables; what takes longer is something else.
const MOST: Duration = Duration::from_secs(10);
/// What a shell sets by itself.
const SHELLS: &[&str] = &["PWD", "OLDPWD", "SHLVL", "_"];
/// What it finds. What it does not change is not its own.
const BEFORE: &[(&str, &str)] = &[
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];
/// Sources the first word, and leaves the environment in the second.
const SCRIPT: &str = r#". "$1" && exec env -0 >"$2""#;

/// What the script at `path` exports, `NAME=value` a line; `scratch` is a file to use.
///
/// # Errors
/// It fails, or is not done in time. None of it is taken then.
pub fn exports(path: &Path, scratch: &Path) -> Result<String, String> {
    let say = |why: &str| format!("{}: {why}", path.display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SCRIPT, "profile"]).arg(path).arg(scratch);
    shell.env_clear().envs(BEFORE.iter().copied());
    shell.current_dir("/");
    let ended = tool::run_command(&mut shell, MOST);
    let bytes = fs::read(scratch).unwrap_or_default();
    let _ = fs::remove_file(scratch);
    match ended.map_err(|why| say(&why.to_string()))? {
        ended if ended.code == Some(0) => {}
        ended => return Err(say(&format!("it fails: {}", ended.last_lines))),
    }
    let (lines, left) = lines(&bytes);
    match left.is_empty() {
        true => Ok(lines),
        false => Err(say(&format!("{} has a line end in it", left.join(", ")))),
    }
}

/// The variables of `env -0` that are the script's own; and the names of those that
/// cannot be told on.
fn lines(bytes: &[u8]) -> (String, Vec<String>) {
    let text = String::from_utf8_lossy(bytes);
    let (mut lines, mut left) = (String::new(), Vec::new());
    for (name, value) in text.split('\0').filter_map(|v| v.split_once('=')) {
        if SHELLS.contains(&name) || BEFORE.contains(&(name, value)) {
            continue;
        }
        match value.chars().any(char::is_control) {
            true => left.push(name.to_owned()),
            false => lines += &format!("{name}={value}\n"),
        }
    }
    (lines, left)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exports_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("b2p-profile-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (path, scratch) = (dir.join("profile"), dir.join("scratch"));
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            exports(&path, &scratch)
        };
        let text =
            "echo noise\nPLAIN=1\nexport HTTP_PROXY=\"http://p:1\" A='b c=d'\nPATH=$PATH:/opt\n";
        let said = of(text).unwrap();
        let mut lines: Vec<_> = said.lines().collect();
        lines.sort_unstable();
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt";
        assert_eq!(lines, ["A=b c=d", "HTTP_PROXY=http://p:1", path]);
        assert_eq!(of("").unwrap(), "");
        assert!(of("false").unwrap_err().contains("it fails"));
        assert!(of("export A=1\nif\n").unwrap_err().contains("profile"));
        assert!(
            of("export A='1\n2'")
                .unwrap_err()
                .contains("A has a line end")
        );
        fs::remove_dir_all(dir).unwrap();
    }
}
