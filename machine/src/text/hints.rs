// SPDX-License-Identifier: Apache-2.0
//! Hint behind the lines of `env`: a comment with the command that evaluates them.

use super::shell::Shell;

/// Returns the two lines of the hint, or none where no comment is possible. `args` is the command
/// line as typed, with the name of the program.
#[must_use]
pub fn hint(shell: Shell, args: &[String]) -> String {
    // A line break would end the comment, and what follows it would be evaluated.
    if args.iter().any(|arg| arg.contains(char::is_control)) {
        return String::new();
    }
    let line = command_line(args);
    let (comment, command) = match shell {
        Shell::Posix => ("#", format!("eval $({line})")),
        Shell::Fish => ("#", format!("eval ({line})")),
        Shell::PowerShell => ("#", format!("& {line} | Invoke-Expression")),
        Shell::Cmd => (
            "REM",
            format!("\t@FOR /f \"tokens=*\" %i IN ('{line}') DO @%i"),
        ),
        Shell::Tcsh => (":", format!("eval `{line}`")),
        Shell::Emacs => (
            ";;",
            format!("(with-temp-buffer (shell-command \"{line}\" (current-buffer)) (eval-buffer))"),
        ),
        // nushell parses a script before it runs any of it, so that it cannot evaluate text.
        Shell::Nushell => ("#", format!("{line} --json | from json | load-env")),
        Shell::Elvish => ("#", format!("eval ({line} | slurp)")),
        Shell::Xonsh => ("#", format!("execx($({line}))")),
        Shell::None => return String::new(),
    };
    format!("{comment} Run this command to configure your shell: \n{comment} {command}\n")
}

/// Joins the arguments; the program's name is in quotes where a blank or a backslash needs them.
fn command_line(args: &[String]) -> String {
    let mut words: Vec<String> = args.to_vec();
    if let Some(program) = words.first_mut()
        && program.contains([' ', '\\'])
    {
        *program = format!("\"{program}\"");
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_its_comment_and_command() {
        #[rustfmt::skip]
        let rows = [
            (Shell::Posix, "#", "eval $(podman-machine env box)"),
            (Shell::Fish, "#", "eval (podman-machine env box)"),
            (Shell::PowerShell, "#", "& podman-machine env box | Invoke-Expression"),
            (Shell::Cmd, "REM", "\t@FOR /f \"tokens=*\" %i IN ('podman-machine env box') DO @%i"),
            (Shell::Tcsh, ":", "eval `podman-machine env box`"),
            (Shell::Emacs, ";;", "(with-temp-buffer (shell-command \"podman-machine env box\" (current-buffer)) (eval-buffer))"),
            (Shell::Nushell, "#", "podman-machine env box --json | from json | load-env"),
            (Shell::Elvish, "#", "eval (podman-machine env box | slurp)"),
            (Shell::Xonsh, "#", "execx($(podman-machine env box))"),
        ];
        let args = ["podman-machine", "env", "box"].map(str::to_owned);
        for (shell, comment, command) in rows {
            let expected = format!(
                "{comment} Run this command to configure your shell: \n{comment} {command}\n"
            );
            assert_eq!(hint(shell, &args), expected, "{shell:?}");
        }
        assert_eq!(hint(Shell::None, &args), "");
    }

    #[test]
    fn the_program_is_quoted_where_its_path_needs_it() {
        #[rustfmt::skip]
        let rows = [
            ("/usr/bin/podman-machine", "/usr/bin/podman-machine"),
            ("/My Tools/podman-machine", "\"/My Tools/podman-machine\""),
            ("C:\\bin\\docker-machine.exe", "\"C:\\bin\\docker-machine.exe\""),
        ];
        for (program, expected) in rows {
            let args = [program.to_owned(), "env".to_owned()];
            let expected = format!("# eval $({expected} env)\n");
            assert!(hint(Shell::Posix, &args).ends_with(&expected), "{program}");
        }
    }

    #[test]
    fn an_argument_with_a_line_break_gives_no_hint() {
        let args = ["podman-machine", "env", "box\nreboot"].map(str::to_owned);
        assert_eq!(hint(Shell::Posix, &args), "");
    }
}
