// SPDX-License-Identifier: Apache-2.0
//! `ssh-config`.

use super::{dirs, machine, not_running};
use crate::fault::Fault;
use crate::store::dirs::make_private;
use crate::store::{Dirs, files};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Returns the parser of `ssh-config`.
pub fn command() -> Command {
    Command::new("ssh-config")
        .about("Print the machine's part of ssh's configuration")
        .args(super::one_name())
        .arg(
            Arg::new("install")
                .long("install")
                .action(ArgAction::SetTrue)
                .help(
                    "Add one line to ~/.ssh/config, by which ssh(1) and docker know all machines",
                ),
        )
}

/// Runs `ssh-config`. The port is chosen at each start, which writes the file.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    if matches.get_flag("install") {
        if matches.get_one::<String>("name").is_some() {
            machine(&dirs, matches)?;
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        install(&dirs, &home.context("HOME is not set")?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = machine(&dirs, matches)?.file("ssh_config");
    let text = match fs::read_to_string(&path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Err(not_running()),
        other => other.with_context(|| path.display().to_string())?,
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// Returns the line for ssh_config(5), or `None` for a path that it cannot have: ssh expands its argument by glob(7), and
/// tokens and variables in it.
fn include(machines: &Path) -> Option<String> {
    let path = machines.to_str()?;
    let is_plain = !path.contains(['"', '\\', '%', '$', '*', '?', '[', '\n', '~']);
    is_plain.then(|| format!("Include \"{path}/*/ssh_config\""))
}

/// Adds the line before everything else: behind a `Host` it would be a part of that. Machines that are removed leave
/// nothing to include.
fn install(dirs: &Dirs, home: &Path) -> Result<()> {
    let machines = dirs.machines();
    let line = include(&machines).ok_or_else(|| {
        Fault::new(format!(
            "Error: {}: ssh_config(5) has no way to include files of this path",
            machines.display()
        ))
    })?;
    let named = home.join(".ssh/config");
    make_private(&home.join(".ssh"))?;
    // A link, as to a directory of dotfiles, stays one.
    let file = fs::canonicalize(&named).unwrap_or(named);
    let text = match fs::read_to_string(&file) {
        Err(why) if why.kind() == ErrorKind::NotFound => String::new(),
        other => other.with_context(|| file.display().to_string())?,
    };
    if text.lines().any(|known| known.trim() == line) {
        println!("{} includes the machines already.", file.display());
        return Ok(());
    }
    files::replace(&file, format!("{line}\n{text}").as_bytes())?;
    println!(
        "{} includes the machines: `ssh podman-machine-NAME` logs in.",
        file.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command as Process;

    #[test]
    fn ssh_finds_machines_by_one_line() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().join("a b"),
            runtime: tmp.path().join("run"),
        };
        let ssh = tmp.path().join(".ssh");
        fs::create_dir(&ssh).expect("made");
        fs::write(ssh.join("dotfile"), "Host other\n  Port 1\n").expect("written");
        std::os::unix::fs::symlink("dotfile", ssh.join("config")).expect("linked");
        install(&dirs, tmp.path()).expect("installed");
        install(&dirs, tmp.path()).expect("installed before");
        let text = fs::read_to_string(ssh.join("dotfile")).expect("there");
        assert_eq!(text.matches("Include").count(), 1, "{text}");
        let port = |host: &str| {
            let mut command = Process::new("ssh");
            let out = command.arg("-F").arg(ssh.join("config")).args(["-G", host]);
            let out = out.output().expect("ssh");
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let line = text.lines().find_map(|line| line.strip_prefix("port "));
            line.map(str::to_owned)
        };
        assert_eq!(port("podman-machine-box").as_deref(), Some("22"));
        let machine = dirs.machines().join("box");
        fs::create_dir_all(&machine).expect("made");
        let config = "Host podman-machine-box\n  Port 4\n";
        fs::write(machine.join("ssh_config"), config).expect("written");
        assert_eq!(port("podman-machine-box").as_deref(), Some("4"));
        assert_eq!(port("other").as_deref(), Some("1"));
    }

    #[test]
    fn a_path_that_ssh_would_expand_is_refused() {
        for path in ["/a%h", "/a*", "/${HOME}", "/a\"b", "/[a]"] {
            assert_eq!(include(Path::new(path)), None, "{path}");
        }
    }
}
