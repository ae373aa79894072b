// SPDX-License-Identifier: Apache-2.0
//! `doctor` and `info`: findings about this host, each with its remedy.

use super::{dirs, inspect_text, json_flag};
use crate::driver::{DRIVERS, Driver, Program, SSH};
use crate::finding::Finding;
use crate::store::image_source::Source;
use crate::store::{Dirs, Machine, space};
use crate::text::go_template::{Missing, Template};
use crate::text::tabwriter;
use crate::{compat, fault::Fault, tool};
use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

/// Free bytes below which a host's disk is named.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// Returns the parser of `doctor`.
pub fn command() -> Command {
    Command::new("doctor")
        .about("Look for what machines need on this host, and say what mends it")
        .arg(json_flag())
}

/// Runs `doctor`; fails if a machine could not start.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let kernel = kernel(&dirs);
    let mut findings = Vec::new();
    for driver in DRIVERS {
        findings.extend(driver.programs().iter().map(program));
        findings.extend(driver.findings(kernel.as_deref()));
    }
    findings.extend(SSH.iter().map(program));
    findings.extend([image(), storage(&dirs), runtime(&dirs), machines(&dirs)]);
    print!("{}", render(&findings, matches.get_flag("json")));
    let failed = findings.iter().any(|finding| finding.grade == "error");
    Ok(ExitCode::from(u8::from(failed)))
}

fn render(findings: &[Finding], as_json: bool) -> String {
    if as_json {
        let object = |f: &Finding| json!({"What": f.what, "Grade": f.grade, "Text": f.text, "Mend": f.remedy});
        return inspect_text::pretty(&findings.iter().map(object).collect::<Value>()) + "\n";
    }
    let mut text = String::new();
    for finding in findings {
        text += &format!("{}\t{}\t{}\n", finding.grade, finding.what, finding.text);
        if !finding.remedy.is_empty() {
            text += &format!("\t\t{}\n", finding.remedy);
        }
    }
    tabwriter::align(&text, tabwriter::LS)
}

/// Returns the kernel of an image in the cache, or of the image that machines get by default.
fn kernel(dirs: &Dirs) -> Option<PathBuf> {
    let cached = fs::read_dir(dirs.cache()).into_iter().flatten().flatten();
    let mut kernels = cached.map(|entry| entry.path().join("vmlinuz"));
    let own = || match Source::default_place() {
        Ok(Source::Dir(dir)) => Some(dir.join("vmlinuz")),
        _ => None,
    };
    kernels.find(|kernel| kernel.is_file()).or_else(own)
}

fn program(program: &Program) -> Finding {
    let name = program.name;
    let Some(path) = tool::find(name) else {
        return Finding::error(
            name,
            "not in PATH",
            format!("apt install {}", program.package),
        );
    };
    if program.version.is_empty() {
        return Finding::ok(name, path.display().to_string());
    }
    let output = Process::new(name).arg(program.version).output();
    let text = output
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match program.too_old(&text) {
        Some(why) => Finding::error(name, why, format!("install a newer {}", program.package)),
        None => Finding::ok(name, text.lines().next().unwrap_or_default()),
    }
}

fn image() -> Finding {
    match Source::default_place() {
        Ok(source) => Finding::ok("image", source.to_string()),
        Err(_) => Finding::warning(
            "image",
            "no image beside this program",
            "create --image DIR|FILE|URL#SHA256",
        ),
    }
}

fn storage(dirs: &Dirs) -> Finding {
    let free = space::free(&dirs.storage);
    let text = format!(
        "{}: {} MiB free",
        dirs.storage.display(),
        free.unwrap_or_default() >> 20
    );
    match free.is_some_and(|free| free < MIN_FREE_BYTES) {
        true => Finding::warning(
            "storage",
            text,
            "free space: a machine whose host has none stands still",
        ),
        false => Finding::ok("storage", text),
    }
}

fn runtime(dirs: &Dirs) -> Finding {
    match dirs.create() {
        Ok(()) => Finding::ok("runtime", dirs.runtime.display().to_string()),
        Err(error) => Finding::error("runtime", format!("{error:#}"), "see the text"),
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
        false => Finding::warning(
            "machines",
            format!("the configuration of {} cannot be read", torn.join(", ")),
            "mend config.json in the machine's directory; `rm -f` removes the machine with its disk",
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
            "RuntimeDir": dirs.runtime, "VMType": DRIVERS.map(Driver::name).join(" "), "Program": compat::program(),
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
    fn the_remedy_follows_its_finding() {
        let findings = [
            Finding::ok("ssh", "OpenSSH"),
            Finding::warning("kvm", "no", "do this"),
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
        let finding = program(&Program {
            name: "no-such-program",
            version: "-v",
            package: "it",
            oldest: (0, 0),
        });
        assert_eq!(
            (finding.grade, finding.remedy.as_str()),
            ("error", "apt install it")
        );
    }
}
