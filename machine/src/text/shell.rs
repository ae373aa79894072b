// SPDX-License-Identifier: Apache-2.0
//! Lines that set and unset environment variables in the user's shell.
//!
//! The lines are evaluated, as by `eval "$(podman-machine env box)"`. A value must therefore reach the
//! variable as it is, or be refused. Most people leave the quotes around the substitution away. The
//! shell then splits the text at white space and expands `*`, `?` and `[` before it evaluates the
//! lines, joined by blanks, so that a value must survive this, too.

use crate::fault::Fault;

/// Kind of shell, by the syntax of its assignments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash, zsh, sh, dash, ksh, and every shell of another name.
    Posix,
    /// fish.
    Fish,
    /// Windows PowerShell and PowerShell 7 (pwsh).
    PowerShell,
    /// cmd.exe.
    Cmd,
    /// tcsh and csh.
    Tcsh,
    /// Emacs Lisp.
    Emacs,
    /// nushell.
    Nushell,
    /// elvish.
    Elvish,
    /// xonsh.
    Xonsh,
    /// No shell: `K=V`, as in the files of `--env-file` and of systemd.
    None,
}

/// Names of shells in `--shell`, of their processes, and in `SHELL`.
#[rustfmt::skip]
const NAMES: &[(&str, Shell)] = &[
    ("bash", Shell::Posix), ("zsh", Shell::Posix), ("sh", Shell::Posix), ("dash", Shell::Posix),
    ("ash", Shell::Posix), ("ksh", Shell::Posix), ("mksh", Shell::Posix), ("fish", Shell::Fish),
    ("powershell", Shell::PowerShell), ("pwsh", Shell::PowerShell), ("cmd", Shell::Cmd),
    ("tcsh", Shell::Tcsh), ("csh", Shell::Tcsh), ("emacs", Shell::Emacs), ("nushell", Shell::Nushell),
    ("nu", Shell::Nushell), ("elvish", Shell::Elvish), ("xonsh", Shell::Xonsh),
];

impl Shell {
    /// Returns the shell of `--shell`: an unknown name means a POSIX shell.
    #[must_use]
    pub fn named(name: &str) -> Shell {
        match name {
            "none" => Shell::None,
            name => Shell::known(name).unwrap_or(Shell::Posix),
        }
    }

    /// Returns the shell of a program: a path, also with `.exe`, or `-bash` for a login shell.
    #[must_use]
    pub fn known(program: &str) -> Option<Shell> {
        let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.strip_prefix('-').unwrap_or(name).to_ascii_lowercase();
        let name = name.strip_suffix(".exe").unwrap_or(&name);
        let row = NAMES.iter().find(|(known, _)| *known == name);
        row.map(|(_, shell)| *shell)
    }

    /// Returns the shell that the lines are for: the one of `--shell`, or the parent process if it
    /// is a shell, or the one of `SHELL`, or sh. `SHELL` is the login shell, which is another one in
    /// a script and in a shell that was started by hand.
    #[must_use]
    pub fn detect(flag: Option<&str>, parent: Option<&str>, variable: Option<&str>) -> Shell {
        if let Some(name) = flag.filter(|name| !name.is_empty()) {
            return Shell::named(name);
        }
        parent
            .and_then(Shell::known)
            .or_else(|| variable.and_then(Shell::known))
            .unwrap_or(Shell::Posix)
    }
}

/// Change of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the variable to a value.
    Set(&'static str, String),
    /// Removes the variable, and is the only kind of change in the text.
    Unset(&'static str),
    /// Removes the variable in a text that also sets some: without an error where it is not set,
    /// and ended so that the next line is another command even where lines are joined.
    UnsetBeside(&'static str),
}

impl Change {
    /// Returns the line for a shell, with its line break.
    ///
    /// # Errors
    /// A value that cannot reach a variable of this shell unchanged.
    pub fn line(&self, shell: Shell) -> Result<String, Fault> {
        match self {
            Change::Set(name, value) => set(shell, name, value),
            Change::Unset(name) => Ok(unset(shell, name)),
            Change::UnsetBeside(name) => Ok(unset_beside(shell, name)),
        }
    }
}

fn set(shell: Shell, name: &str, value: &str) -> Result<String, Fault> {
    if let Some(c) = value.chars().find(|c| refused(shell, *c)) {
        return Err(refusal(shell, name, value, c));
    }
    if shell == Shell::Tcsh && value.contains("  ") {
        return Err(refusal(shell, name, value, ' '));
    }
    let v = quoted(shell, value);
    Ok(match shell {
        Shell::Posix => format!("export {name}=\"{v}\"\n"),
        Shell::Fish => format!("set -gx {name} \"{v}\";\n"),
        Shell::PowerShell => format!("$Env:{name} = \"{v}\"\n"),
        // Quotes around the whole keep the special characters of cmd.exe in the value.
        Shell::Cmd if value.contains(['&', '|', '<', '>', '^', '(', ')']) => {
            format!("SET \"{name}={v}\"\n")
        }
        Shell::Cmd => format!("SET {name}={v}\n"),
        Shell::Tcsh => format!("setenv {name} \"{v}\";\n"),
        Shell::Emacs => format!("(setenv \"{name}\" \"{v}\")\n"),
        Shell::Nushell => format!("$env.{name} = \"{v}\"\n"),
        Shell::Elvish => format!("set-env {name} \"{v}\"\n"),
        Shell::Xonsh => format!("${name} = \"{v}\"\n"),
        Shell::None => format!("{name}={v}\n"),
    })
}

fn unset(shell: Shell, name: &str) -> String {
    match shell {
        Shell::Posix => format!("unset {name}\n"),
        Shell::Fish => format!("set -e {name};\n"),
        Shell::PowerShell => format!("Remove-Item Env:\\\\{name}\n"),
        Shell::Cmd => format!("SET {name}=\n"),
        Shell::Tcsh => format!("unsetenv {name};\n"),
        Shell::Emacs => format!("(setenv \"{name}\" nil)\n"),
        Shell::Nushell => format!("hide-env --ignore-errors {name}\n"),
        Shell::Elvish => format!("unset-env {name}\n"),
        Shell::Xonsh => format!("${{...}}.pop(\"{name}\", None)\n"),
        // The reader of such a file knows no way to remove a variable.
        Shell::None => format!("{name}=\n"),
    }
}

fn unset_beside(shell: Shell, name: &str) -> String {
    match shell {
        Shell::Posix => format!("unset {name};\n"),
        Shell::PowerShell => {
            format!("Remove-Item Env:\\\\{name} -ErrorAction SilentlyContinue\n")
        }
        // A file begins without any variable.
        Shell::None => String::new(),
        shell => unset(shell, name),
    }
}

/// Characters that no quoting of the shell protects, before and while the line is evaluated.
fn refused(shell: Shell, c: char) -> bool {
    let special = match shell {
        // `%` and `!` are expanded within quotes, too, and a quote cannot be escaped.
        Shell::Cmd => "\"%!",
        // History is expanded within all quotes. A backslash depends on `backslash_quote`. The
        // others are expanded in the substitution's words.
        Shell::Tcsh => "\\!*?[{~",
        _ => "",
    };
    c.is_control() || special.contains(c)
}

fn refusal(shell: Shell, name: &str, value: &str, c: char) -> Fault {
    let value = value.escape_debug();
    let other = match shell {
        Shell::Cmd | Shell::Tcsh => "; use `env --json`, or a shell other than this one",
        _ => "",
    };
    let c = match c {
        ' ' => "a sequence of blanks".to_owned(),
        c => format!("the character {c:?}"),
    };
    Fault::new(format!(
        "Error: {name} would be \"{value}\", and {c} cannot be passed to this shell{other}"
    ))
}

/// Returns the value as it stands in the double quotes of a shell.
fn quoted(shell: Shell, value: &str) -> String {
    let mut out = String::new();
    let mut previous = 'x';
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        let next = rest.as_str().chars().next();
        let escape = match shell {
            Shell::Posix => posix(previous, c, next),
            Shell::Fish => "\"$\\".contains(c).then(|| format!("\\{c}")),
            // PowerShell takes typographic quotes for quotes.
            Shell::PowerShell => "\"$`\u{201c}\u{201d}\u{201e}"
                .contains(c)
                .then(|| format!("`{c}")),
            Shell::Tcsh => match c {
                '"' | '$' | '`' => Some(format!("\"'{c}'\"")),
                _ => None,
            },
            Shell::Emacs | Shell::Nushell | Shell::Elvish | Shell::Xonsh => {
                "\"\\".contains(c).then(|| format!("\\{c}"))
            }
            Shell::Cmd | Shell::None => None,
        };
        match escape {
            Some(text) => out.push_str(&text),
            None => out.push(c),
        }
        previous = c;
    }
    out
}

/// Returns the escape of a character in double quotes of a POSIX shell.
///
/// Single quotes protect characters that are special in double quotes, because a word with a backslash can be
/// taken for a pattern before it is evaluated. A pattern and a second blank are written by printf(1)
/// when the line is evaluated, so that the line contains neither. The two escapes of the bridge of varlink have the
/// form that podman-machine 0.17 printed.
fn posix(previous: char, c: char, next: Option<char>) -> Option<String> {
    match c {
        '\\' if next == Some('\'') => None,
        '\\' if next == Some('$') => Some("\\\\".to_owned()),
        '$' if previous == '\\' => Some("\\$".to_owned()),
        '"' | '$' | '`' | '\\' => Some(format!("\"'{c}'\"")),
        '*' | '?' | '[' => Some(format!("$(printf '\\{:03o}')", u32::from(c))),
        ' ' if previous == ' ' => Some("$(printf '\\040')".to_owned()),
        _ => None,
    }
}

/// Formats a word of a command that a person copies into a POSIX shell.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._:@%+,=-".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
