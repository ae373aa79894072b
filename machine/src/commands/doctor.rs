// SPDX-License-Identifier: Apache-2.0
//! `doctor` and `info`: what this host has, and what mends it.

use super::{dirs, inspect_text, json_flag};
use crate::driver::launch::QEMU;
use crate::store::image_source::Source;
use crate::store::{Dirs, Machine};
use crate::text::tabwriter;
use crate::text::template::{Missing, Template};
use crate::{compat, fault::Fault, tool};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};
use std::fs::File;
use std::process::{Command as Process, ExitCode};

/// Free bytes below which a host's disk is named.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// Judgement of one part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    /// `ok`, `warning` or `error`; machines do not start with an error.
    grade: &'static str,
    text: String,
    /// Remedy; empty where nothing has to be mended.
    mend: String,
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::bad(what, "ok", text, "")
    }

    fn bad(what: &'static str, grade: &'static str, text: impl Into<String>, mend: &str) -> Self {
        Self {
            what,
            grade,
            text: text.into(),
            mend: mend.to_owned(),
        }
    }
}

/// Returns the parser of `doctor`.
pub fn command() -> Command {
    Command::new("doctor")
        .about("Look for what machines need on this host, and say what mends it")
        .arg(json_flag())
}

/// Runs `doctor`; fails if a machine could not start.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let mut findings: Vec<Finding> = PROGRAMS.iter().map(program).collect();
    findings.extend([
        kvm(),
        virtiofsd(),
        image(),
        storage(&dirs),
        runtime(&dirs),
        machines(&dirs),
    ]);
    print!("{}", render(&findings, matches.get_flag("json")));
    let failed = findings.iter().any(|finding| finding.grade == "error");
    Ok(ExitCode::from(u8::from(failed)))
}

fn render(findings: &[Finding], as_json: bool) -> String {
    if as_json {
        let object =
            |f: &Finding| json!({"What": f.what, "Grade": f.grade, "Text": f.text, "Mend": f.mend});
        return inspect_text::pretty(&findings.iter().map(object).collect::<Value>()) + "\n";
    }
    let mut text = String::new();
    for finding in findings {
        text += &format!("{}\t{}\t{}\n", finding.grade, finding.what, finding.text);
        if !finding.mend.is_empty() {
            text += &format!("\t\t{}\n", finding.mend);
        }
    }
    tabwriter::align(&text, tabwriter::LS)
}

/// Programs that every machine needs: name, option that prints the version, what mends its absence.
const PROGRAMS: &[(&str, &str, &str)] = &[
    (QEMU, "--version", "apt install qemu-system-x86"),
    ("qemu-img", "--version", "apt install qemu-utils"),
    ("ssh", "-V", "apt install openssh-client"),
    ("ssh-keygen", "", "apt install openssh-client"),
];

fn program((name, option, mend): &(&'static str, &str, &str)) -> Finding {
    let Some(path) = tool::find(name) else {
        return Finding::bad(name, "error", "not in PATH", mend);
    };
    if option.is_empty() {
        return Finding::ok(name, path.display().to_string());
    }
    let output = Process::new(name).arg(option).output();
    let text = output
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Finding::ok(name, text.lines().next().unwrap_or_default())
}

fn kvm() -> Finding {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    let slow = "machines run by TCG, which is ten times slower";
    match opened {
        Ok(_) => Finding::ok(
            "kvm",
            "/dev/kvm can be opened; the first start tries it with the image's kernel",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::bad(
            "kvm",
            "warning",
            format!("/dev/kvm: {error}: {slow}"),
            "sudo usermod -aG kvm $USER, and log in again",
        ),
        Err(error) => Finding::bad(
            "kvm",
            "warning",
            format!("/dev/kvm: {error}: {slow}"),
            "turn on virtualization in the firmware, or nested virtualization of this host's host",
        ),
    }
}

fn virtiofsd() -> Finding {
    match crate::driver::shares::server() {
        Some(path) => Finding::ok("virtiofsd", path.display().to_string()),
        None => Finding::bad(
            "virtiofsd",
            "warning",
            "not found: folders are shared by 9p, for which the image needs the generic kernel",
            "apt install virtiofsd",
        ),
    }
}

fn image() -> Finding {
    match Source::default_place() {
        Ok(source) => Finding::ok("image", source.to_string()),
        Err(_) => Finding::bad(
            "image",
            "warning",
            "no image beside this program",
            "create --image DIR|FILE|URL#SHA256",
        ),
    }
}

/// Widens a number of statvfs(3), whose types differ between systems.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

fn storage(dirs: &Dirs) -> Finding {
    let place = dirs.storage.ancestors().find(|dir| dir.exists());
    let free = place
        .and_then(|dir| statvfs(dir).ok())
        .map(|stat| wide(stat.blocks_available()).saturating_mul(wide(stat.fragment_size())));
    let text = format!(
        "{}: {} GiB free",
        dirs.storage.display(),
        free.unwrap_or_default() >> 30
    );
    match free.is_some_and(|free| free < MIN_FREE_BYTES) {
        true => Finding::bad(
            "storage",
            "warning",
            text,
            "free space: a machine whose host has none stands still",
        ),
        false => Finding::ok("storage", text),
    }
}

fn runtime(dirs: &Dirs) -> Finding {
    match dirs.create() {
        Ok(()) => Finding::ok("runtime", dirs.runtime.display().to_string()),
        Err(error) => Finding::bad("runtime", "error", format!("{error:#}"), "see the text"),
    }
}

fn machines(dirs: &Dirs) -> Finding {
    let names = Machine::names(dirs).unwrap_or_default();
    let torn: Vec<&str> = names
        .iter()
        .filter(|name| Machine::at(dirs, name).config().is_err())
        .map(String::as_str)
        .collect();
    match torn.is_empty() {
        true => Finding::ok("machines", names.len().to_string()),
        false => Finding::bad(
            "machines",
            "warning",
            format!("the configuration of {} cannot be read", torn.join(", ")),
            "mend config.json in the machine's directory, or `rm -f` the machine",
        ),
    }
}

/// Returns the parser of `info`.
pub fn info_command() -> Command {
    Command::new("info")
        .about("Print the program's version, its directories and the number of machines")
        .arg(json_flag().hide(true))
        .arg(
            Arg::new("format")
                .short('f')
                .long("format")
                .value_name("TEMPLATE")
                .help("Print by a Go template"),
        )
}

/// Runs `info`.
pub fn info(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let names = Machine::names(&dirs)?;
    let running = names.iter().filter(|name| {
        super::state(&dirs, &Machine::at(&dirs, name))
            .is_ok_and(|state| state == crate::state::State::Running)
    });
    let object = json!({
        "Host": {
            "Arch": std::env::consts::ARCH, "OS": std::env::consts::OS, "NumberOfMachines": names.len(),
            "Running": running.count(), "MachineConfigDir": dirs.machines(), "MachineImageDir": dirs.cache(),
            "RuntimeDir": dirs.runtime, "VMType": "qemu", "Program": compat::program(),
        },
        "Version": {"Version": env!("CARGO_PKG_VERSION")},
    });
    match matches
        .get_one::<String>("format")
        .filter(|format| *format != "json")
    {
        None => println!("{}", inspect_text::pretty(&object)),
        Some(format) => {
            let wrong = |why: String| Fault::new(format!("template parsing error: {why}"));
            let template = Template::parse(format).map_err(|why| wrong(why.to_string()))?;
            let text = template.execute(&object, Missing::NoValue);
            println!("{}", text.map_err(|why| Fault::new(why.to_string()))?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mends_it_stands_below() {
        let findings = [
            Finding::ok("ssh", "OpenSSH"),
            Finding::bad("kvm", "warning", "no", "do this"),
        ];
        let text = render(&findings, false);
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            words,
            [
                vec!["ok", "ssh", "OpenSSH"],
                vec!["warning", "kvm", "no"],
                vec!["do", "this"]
            ]
        );
        let json: Vec<Value> = serde_json::from_str(&render(&findings, true)).expect("JSON");
        assert_eq!(
            (json[1]["Grade"].as_str(), json[1]["Mend"].as_str()),
            (Some("warning"), Some("do this"))
        );
    }

    #[test]
    fn a_program_that_is_missing_is_an_error() {
        let finding = program(&("no-such-program", "-v", "install it"));
        assert_eq!(
            (finding.grade, finding.mend.as_str()),
            ("error", "install it")
        );
    }
}
