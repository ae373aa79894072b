// SPDX-License-Identifier: Apache-2.0
//! Options of `create`.

use super::lifecycle;
use crate::fault::{Fault, PRE_CREATE};
use crate::store::config::MachineConfig;
use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::net::Ipv4Addr;

/// Returns the parser of `create`.
pub fn command() -> Command {
    Command::new("create")
        .about("Create a machine and start it")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .action(ArgAction::Append)
                .num_args(0..)
                .help("Name of the machine"),
        )
        .args(hardware())
        .args(network())
        .args(guest())
        .arg(
            Arg::new("no-start")
                .long("no-start")
                .action(ArgAction::SetTrue)
                .help("Leave the machine off"),
        )
        .arg(lifecycle::start_timeout())
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn hardware() -> [Arg; 5] {
    [
        option("driver", "DRIVER", "Driver of the machine")
            .short('d')
            .value_parser(["qemu"])
            .default_value("qemu")
            .env("MACHINE_DRIVER"),
        option("cpus", "NUMBER", "Number of processors")
            .short('c')
            .value_parser(value_parser!(u32).range(1..=512))
            .default_value("2"),
        option("memory", "SIZE", "Memory; a number without a unit is MiB")
            .short('m')
            .default_value("2G"),
        option(
            "disk",
            "SIZE",
            "Size of the data disk; a number without a unit is GiB",
        )
        .default_value("100G"),
        option("accel", "ACCEL", "Accelerator")
            .value_parser(["auto", "kvm", "tcg"])
            .default_value("auto"),
    ]
}

fn network() -> [Arg; 2] {
    [
        option(
            "ssh-port",
            "PORT",
            "Port of 127.0.0.1 for ssh, by default any free one",
        )
        .value_parser(value_parser!(u16).range(1..)),
        option(
            "publish-on",
            "ADDRESS",
            "Address of the host for ports that are published without one",
        )
        .value_parser(value_parser!(Ipv4Addr))
        .default_value("127.0.0.1"),
    ]
}

fn guest() -> [Arg; 4] {
    [
        option(
            "image",
            "DIR|URL#SHA256",
            "Kernel and initrd, by default those of this build",
        ),
        option("append", "WORDS", "Words for the kernel's command line").action(ArgAction::Append),
        option(
            "flag",
            "NAME=VALUE",
            "Flag of the machine without b2p., such as tz=UTC",
        )
        .action(ArgAction::Append),
        option("label", "KEY=VALUE", "Label that ls --filter finds").action(ArgAction::Append),
    ]
}

/// Returns the configuration that a command line asks for.
pub fn configure(name: &str, matches: &ArgMatches) -> Result<MachineConfig> {
    let text = |id: &str| matches.get_one::<String>(id).map_or("", String::as_str);
    let list = |id: &str| -> Vec<String> {
        matches
            .get_many::<String>(id)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    };
    let mut config = MachineConfig::new(name);
    config.cpus = *matches.get_one("cpus").unwrap_or(&2);
    config.memory_mib = u32::try_from(size(text("memory"), 1 << 20)? >> 20).context("--memory")?;
    config.disk_bytes = size(text("disk"), 1 << 30)?;
    if config.memory_mib < 256 {
        return Err(Fault::with_status(
            "Error: --memory: a machine needs at least 256 MiB",
            PRE_CREATE,
        )
        .into());
    }
    if let Some(&port) = matches.get_one::<u16>("ssh-port") {
        (config.ssh_port, config.ssh_port_fixed) = (port, true);
    }
    config.accel = text("accel").to_owned();
    config.append = list("append");
    config.labels = list("label");
    if let Some(address) = matches.get_one::<Ipv4Addr>("publish-on") {
        config.publish_on = address.to_string();
    }
    for flag in list("flag") {
        let (name, value) = flag
            .split_once('=')
            .with_context(|| format!("--flag {flag}: NAME=VALUE is right"))?;
        let name = name.strip_prefix("b2p.").unwrap_or(name);
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            bail!("--flag {flag}: the name of a flag has lower-case letters, digits and _");
        }
        config.flags.push((name.to_owned(), value.to_owned()));
    }
    config.created = crate::keeper::now();
    Ok(config)
}

/// Parses a size; `unit` is that of a number alone.
fn size(text: &str, unit: u64) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..]
        .to_ascii_lowercase()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" if digits.len() == text.len() => unit,
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => 0,
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number
        .and_then(|number| number.checked_mul(factor))
        .filter(|&bytes| bytes > 0);
    bytes.ok_or_else(|| {
        Fault::new(format!("Error: {text}: a size is a number with M, G or T")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, unit, expected) in [
            ("2G", 1, 2 << 30),
            ("512", 1 << 20, 512 << 20),
            ("100", 1 << 30, 100 << 30),
            ("1.5G", 1, 0),
            ("4096M", 1, 4 << 30),
            ("2GiB", 1, 2 << 30),
            ("1t", 1, 1 << 40),
            ("99999999999G", 1, 0),
            ("0", 1, 0),
            ("", 1, 0),
            ("G", 1, 0),
            ("-1", 1, 0),
        ] {
            assert_eq!(size(text, unit).unwrap_or(0), expected, "{text}");
        }
    }
}
