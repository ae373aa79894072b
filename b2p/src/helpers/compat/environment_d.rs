// SPDX-License-Identifier: Apache-2.0
//! Variables of environment.d(5) and of /etc/environment, such as the proxies of podman machine's and of Lima's
//! host, for every podman of the machine: a line of containers.conf(5), which each podman reads at its start.

use std::path::Path;

use nix::errno::Errno;
use sys::error::{Error, Result};

use super::conf_files;
use crate::common::{podman_defaults, user_text};

/// File with variables, to which those of the directory are preferred.
pub const ENVIRONMENT: &str = "/etc/environment";
/// Directory of the files.
pub const DIR: &str = "/etc/environment.d/";
/// End of the line with the variables.
const MARK: &str = "# of /etc/environment.d";
/// Longest file that is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;

/// Gives podman the variables of all files that can be read.
///
/// # Errors
/// A file cannot be read, or podman's cannot be written.
pub fn apply() -> Result<()> {
    let (all, mut errors) = read_all(Path::new("/"));
    match podman_defaults::edit(|text| with_env(text, &all)) {
        Err(e) if e.errno() == Some(Errno::ENOENT) => {} // There is no podman.
        edited => errors.extend(edited.err()),
    }
    Error::join(errors)
}

/// Returns the variables of the files below `root`, and the reasons why some cannot be read.
fn read_all(root: &Path) -> (Vec<(String, String)>, Vec<Error>) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let mut files = vec![read(&at(ENVIRONMENT)).map(|mut all| {
        // That of a program is its own.
        all.retain(|(name, _)| name != "PATH");
        all
    })];
    let directory = conf_files(&at(DIR)).into_iter();
    files.extend(directory.map(|path| read_as(&path, unescaped)));
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match file {
            Ok(variables) => all.extend(variables),
            Err(why) => errors.push(why),
        }
    }
    (all, errors)
}

/// Returns the variables of a file in the form of /etc/environment (pam_env(8)); none if there is no file.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<(String, String)>> {
    read_as(path, unquoted)
}

fn read_as(path: &Path, value: fn(&str) -> String) -> Result<Vec<(String, String)>> {
    let text = user_text::read(path, MAX_BYTES)?.unwrap_or_default();
    Ok(variables(&String::from_utf8_lossy(&text), value))
}

/// Returns the lines `NAME=value`, with `value` applied to each value. Other lines do not count.
fn variables(text: &str, value_of: fn(&str) -> String) -> Vec<(String, String)> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = |name: &str| {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(is_first) && name.chars().all(is_valid)
    };
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    let pairs = pairs.filter(|(name, value)| is_name(name) && !value.contains(char::is_control));
    pairs
        .map(|(name, value)| (name.to_owned(), value_of(value)))
        .collect()
}

/// Returns a value without the quotes around the whole of it. A backslash is a character as any other.
fn unquoted(value: &str) -> String {
    let inner = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|v| v.strip_suffix(quote))
    };
    let inner = inner('"').or_else(|| inner('\''));
    inner.unwrap_or(value).to_owned()
}

/// Returns a value of environment.d(5) without quotes and escapes, by the rules of a shell: podman machine writes
/// its values by bash's `printf %q`, which escapes commas. A quote without its other half is a character.
fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\'' | '"' => match quoted_part(tail, c) {
                Some((part, tail)) => {
                    out.push_str(&part);
                    tail
                }
                None => {
                    out.push(c);
                    tail
                }
            },
            '\\' => {
                let mut next = tail.chars();
                out.extend(next.next());
                next.as_str()
            }
            _ => {
                out.push(c);
                tail
            }
        };
    }
    out
}

/// Returns the text before the closing quote, and the text after it. Between double quotes, a backslash escapes
/// the characters with a meaning there (POSIX, "Shell Command Language", 2.2.3).
fn quoted_part(text: &str, quote: char) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            c if c == quote => return Some((part, chars.as_str())),
            '\\' if quote == '"' => {
                let next = chars.next()?;
                if !"\"\\`$".contains(next) {
                    part.push('\\');
                }
                part.push(next);
            }
            c => part.push(c),
        }
    }
}

/// Returns the configuration with these variables, in place of earlier ones. Of two with one name
/// the last counts.
fn with_env(text: &str, variables: &[(String, String)]) -> String {
    let others = text.lines().filter(|line| !line.ends_with(MARK));
    let lines = others.map(|line| format!("{line}\n")).collect::<String>();
    let is_last = |(at, (name, _)): &(usize, &(String, String))| {
        let later = variables.get(at + 1..).unwrap_or_default();
        later.iter().all(|(other, _)| other != name)
    };
    let last = variables.iter().enumerate().filter(is_last);
    let texts: Vec<String> = last
        .map(|(_, (n, v))| quoted(&format!("{n}={v}")))
        .collect();
    match texts.is_empty() {
        true => lines,
        false => {
            let line = format!("env = [{}] {MARK}", texts.join(", "));
            podman_defaults::with_line(&lines, "[engine]", &line)
        }
    }
}

/// Writes a basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn variables_with_and_without_quotes() {
        let text = "#Got nothing\nHTTP_PROXY=\"http://p:1\"\n no_proxy=a,b\nA='x y'\n\
                    2B=x\nC D=x\nE=\nplain\nF=\"half\n";
        let found = variables(text, unquoted);
        let pairs: Vec<_> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        let want = [
            ("HTTP_PROXY", "http://p:1"),
            ("no_proxy", "a,b"),
            ("A", "x y"),
            ("E", ""),
            ("F", "\"half"),
        ];
        assert_eq!(pairs, want);
    }

    #[test]
    fn values_that_a_shell_has_escaped() {
        for (value, want) in [
            (
                r"localhost\,10.0.0.0/8\,.example",
                "localhost,10.0.0.0/8,.example",
            ),
            (r"\*.a\ b\$c", "*.a b$c"),
            (r#""a \"b\" \n" c"#, r#"a "b" \n c"#),
            (r"'a\b'c", r"a\bc"),
            ("\"half", "\"half"),
            ("plain", "plain"),
            (r"end\", "end"),
        ] {
            assert_eq!(unescaped(value), want, "{value}");
            let text = format!("no_proxy={value}\n");
            assert_eq!(variables(&text, unescaped)[0].1, want);
        }
        assert_eq!(unquoted(r"C:\a\,b"), r"C:\a\,b");
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_none_of_the_others_back() {
        let temp = Temp::new();
        let dir = temp.path("etc/environment.d");
        std::fs::create_dir_all(dir.join("a.conf")).unwrap();
        std::fs::write(dir.join("b.conf"), "B=2\n").unwrap();
        std::fs::write(temp.path("etc/environment"), "PATH=/bin\nA=1\n").unwrap();
        let (all, errors) = read_all(temp.dir());
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(all, [pair("A", "1"), pair("B", "2")]);
        assert!(
            errors.len() == 1 && errors[0].to_string().contains("a.conf"),
            "{errors:?}"
        );
    }

    #[test]
    fn with_env_writes_one_line_and_replaces_an_earlier_one() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let text = "[containers]\nx = 1\n[engine]\nruntime = \"crun\"\n";
        let once = with_env(text, &[pair("A", "1"), pair("B", "q\"\\"), pair("A", "2")]);
        let line = r#"env = ["B=q\"\\", "A=2"] # of /etc/environment.d"#;
        assert_eq!(
            once,
            format!("[containers]\nx = 1\n[engine]\n{line}\nruntime = \"crun\"\n")
        );
        assert_eq!(with_env(&once, &[]), text);
        assert_eq!(
            with_env("", &[pair("A", "1")]),
            format!("[engine]\nenv = [\"A=1\"] {MARK}\n")
        );
    }
}
