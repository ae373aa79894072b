// SPDX-License-Identifier: Apache-2.0
//! Options of `create`.

use super::{flags, lifecycle};
use crate::capacity::{fits_host, has_cpus, host_cpus, host_mib};
use crate::driver::DRIVERS;
use crate::fault::{Fault, PRE_CREATE};
use crate::store::config::MachineConfig;
use crate::store::field::{self, CPUS, MAX_DISK_BYTES, MIN_DISK_BYTES, MIN_MEMORY_MIB};
use crate::store::share::{self, Share};
use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::net::Ipv4Addr;
use std::path::PathBuf;

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
        .arg(
            Arg::new("saved")
                .long("saved")
                .action(ArgAction::SetTrue)
                .help("Begin with a template: a booted machine, kept for the next one of this image and hardware"),
        )
        .arg(
            lifecycle::start_timeout()
                .help("Time limit of the start; a machine that is not ready by then is removed"),
        )
}

/// Returns the parser of `init`.
pub fn init_command() -> Command {
    command()
        .about("Create a machine that is off, as podman machine does")
        .arg(
            Arg::new("now")
                .long("now")
                .action(ArgAction::SetTrue)
                .help("Start it"),
        )
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// Drivers of docker-machine for machines on its own host. Scripts name them, and mean a machine here.
const OTHER_DRIVERS: [&str; 9] = [
    "virtualbox",
    "kvm",
    "kvm2",
    "hyperkit",
    "xhyve",
    "hyperv",
    "vmwarefusion",
    "vmware",
    "parallels",
];

/// Returns the names that `--driver` accepts.
fn driver_names() -> Vec<PossibleValue> {
    let own = DRIVERS
        .iter()
        .map(|driver| PossibleValue::new(driver.name()));
    let others = OTHER_DRIVERS.map(|name| PossibleValue::new(name).hide(true));
    own.chain(others).collect()
}

/// Returns the driver of a machine for which another one may have been asked.
fn driver_of(name: &str) -> &str {
    if !OTHER_DRIVERS.contains(&name) {
        return name;
    }
    let own = DRIVERS[0].name();
    eprintln!("--driver {name}: {own} is used, the only driver of podman-machine");
    own
}

fn hardware() -> [Arg; 6] {
    [
        option("driver", "DRIVER", "Driver of the machine")
            .short('d')
            .value_parser(driver_names())
            .default_value(DRIVERS[0].name())
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
        option(
            "data-disk",
            "FILE",
            "Data disk: one that `rm --keep-disk` has kept, which the machine takes, or a qcow2 file, which is copied",
        )
        .value_parser(value_parser!(PathBuf))
        .conflicts_with_all(["disk", "saved"]),
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

fn guest() -> [Arg; 8] {
    [
        option(
            "image",
            "DIR|ISO|QCOW2|URL#SHA256",
            "Kernel and initrd, by default those of this build",
        ),
        option("append", "WORDS", "Words for the kernel's command line").action(ArgAction::Append),
        option(
            "flag",
            "NAME=VALUE",
            "Flag of the machine without b2p., such as tz=UTC",
        )
        .action(ArgAction::Append),
        option("volume", "SRC[:DST][:ro]", "Directory of this host, at the same place in the machine unless DST is given; `home` is yours")
            .short('v')
            .action(ArgAction::Append),
        option("quadlet", "DIR", "Directory with quadlet files, which the machine has on its disk from its first boot on")
            .value_parser(value_parser!(PathBuf)),
        option("ca", "FILE", "Certificate authority in PEM, which the machine trusts from its first boot on")
            .value_parser(value_parser!(PathBuf))
            .action(ArgAction::Append),
        Arg::new("no-proxy-env")
            .long("no-proxy-env")
            .action(ArgAction::SetTrue)
            .help("Keep the proxies of this host's environment from the machine"),
        option("label", "KEY=VALUE", "Label that ls --filter finds").action(ArgAction::Append),
    ]
}

/// Returns the configuration that a command line asks for.
pub fn configure(name: &str, matches: &ArgMatches) -> Result<MachineConfig> {
    let text = |id: &str| matches.get_one::<String>(id).map_or("", String::as_str);
    let list = |id: &str| -> Vec<String> {
        let values = matches.get_many::<String>(id).into_iter().flatten();
        values.cloned().collect()
    };
    let mut config = MachineConfig::new(name);
    driver_of(text("driver")).clone_into(&mut config.driver);
    config.cpus = *matches.get_one("cpus").unwrap_or(&2);
    memory(&mut config, text("memory"))
        .map_err(|error| Fault::with_status(super::text_of(&error), PRE_CREATE))?;
    fits(&config, matches)?;
    config.disk_bytes = disk_size(text("disk"))
        .map_err(|error| Fault::with_status(super::text_of(&error), PRE_CREATE))?;
    if let Some(&port) = matches.get_one::<u16>("ssh-port") {
        (config.ssh_port, config.ssh_port_fixed) = (port, true);
    }
    config.accel = text("accel").to_owned();
    config.proxy_env = !matches.get_flag("no-proxy-env");
    config.append = list("append");
    config.labels = list("label");
    if let Some(address) = matches.get_one::<Ipv4Addr>("publish-on") {
        config.publish_on = address.to_string();
    }
    for text in list("flag") {
        flags::add(&mut config, &text)?;
    }
    add_shares(&mut config, &list("volume"))?;
    if let Some(problem) = share::problem(&config.flags) {
        return Err(Fault::with_status(format!("Error: --flag: {problem}"), PRE_CREATE).into());
    }
    field::check_settings(&config)
        .map_err(|wrong| Fault::with_status(format!("Error: {wrong}"), PRE_CREATE))?;
    config.created = crate::keeper::now();
    Ok(config)
}

/// Refuses processors and memory that the host does not have, unless they are the default ones.
fn fits(config: &MachineConfig, matches: &ArgMatches) -> Result<()> {
    for (option, fits) in [
        ("cpus", has_cpus(config.cpus, host_cpus())),
        ("memory", fits_host(config.memory_mib, host_mib())),
    ] {
        if let Err(why) = fits
            && matches.value_source(option) != Some(ValueSource::DefaultValue)
        {
            let text = format!("Error: --{option}: {why}");
            return Err(Fault::with_status(text, PRE_CREATE).into());
        }
    }
    Ok(())
}

fn add_shares(config: &mut MachineConfig, volumes: &[String]) -> Result<()> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for text in volumes.iter().filter(|text| !text.is_empty()) {
        add_share(config, Share::parse(text, home.as_deref())?);
    }
    Ok(())
}

/// Adds a folder, in place of one at the same place in the machine.
pub fn add_share(config: &mut MachineConfig, share: Share) {
    config.shares.retain(|other| other.target != share.target);
    config.shares.push(share);
}

/// Sets the number of processors of a machine that exists.
pub fn set_cpus(config: &mut MachineConfig, text: &str) -> Result<()> {
    cpus(config, text)?;
    has_cpus(config.cpus, host_cpus())
        .map_err(|why| Fault::new(format!("Error: cpus: {why}")).into())
}

/// Sets the number of processors.
fn cpus(config: &mut MachineConfig, text: &str) -> Result<()> {
    let number = text.parse().ok().filter(|number| CPUS.contains(number));
    config.cpus = number.with_context(|| format!("cpus {text}: must be a number from 1 to 512"))?;
    Ok(())
}

/// Sets the memory.
pub fn memory(config: &mut MachineConfig, text: &str) -> Result<()> {
    let mib = u32::try_from(size(text, 1 << 20)? >> 20).unwrap_or(u32::MAX);
    if mib < MIN_MEMORY_MIB {
        return Err(Fault::new("Error: --memory: a machine needs at least 256 MiB").into());
    }
    config.memory_mib = mib;
    Ok(())
}

/// Parses the size of a data disk.
pub fn disk_size(text: &str) -> Result<u64> {
    let bytes = size(text, 1 << 30)?;
    match (MIN_DISK_BYTES..=MAX_DISK_BYTES).contains(&bytes) {
        true => Ok(bytes),
        false => Err(Fault::new(format!(
            "Error: disk {text}: a disk has from {} MiB to {} TiB",
            MIN_DISK_BYTES >> 20,
            MAX_DISK_BYTES >> 40
        ))
        .into()),
    }
}

/// Sets the memory of a machine that exists.
pub fn set_memory(config: &mut MachineConfig, text: &str) -> Result<()> {
    memory(config, text)?;
    fits_host(config.memory_mib, host_mib())
        .map_err(|why| Fault::new(format!("Error: memory: {why}")).into())
}

/// Sets the accelerator.
pub fn accel(config: &mut MachineConfig, text: &str) -> Result<()> {
    vmm::AcceleratorChoice::parse(text)?;
    text.clone_into(&mut config.accel);
    Ok(())
}

/// Sets the port of ssh.
pub fn ssh_port(config: &mut MachineConfig, text: &str) -> Result<()> {
    let port = text.parse();
    let port: u16 =
        port.with_context(|| format!("ssh-port {text}: must be a number up to 65535"))?;
    (config.ssh_port, config.ssh_port_fixed) = (port, port > 0);
    Ok(())
}

/// Sets whether the proxies of the host's environment are the machine's.
pub fn proxy_env(config: &mut MachineConfig, text: &str) -> Result<()> {
    config.proxy_env = match text {
        "on" => true,
        "off" => false,
        _ => bail!("proxy-env {text}: must be on or off"),
    };
    Ok(())
}

/// Sets the address of published ports.
pub fn publish_on(config: &mut MachineConfig, text: &str) -> Result<()> {
    let address: Result<Ipv4Addr, _> = text.parse();
    let address = address.with_context(|| format!("publish-on {text}: must be an IPv4 address"))?;
    config.publish_on = address.to_string();
    Ok(())
}

/// Parses a size; `unit` is that of a number alone.
pub fn size(text: &str, unit: u64) -> Result<u64> {
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
        .filter(|_| factor > 0);
    bytes.ok_or_else(|| {
        Fault::new(format!(
            "Error: \"{text}\": a size is a number with M, G or T"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_memories_have_limits() {
        for (text, right) in [
            ("256M", true),
            ("1", true),
            ("1024T", true),
            ("255M", false),
            ("1k", false),
            ("1025T", false),
            ("9999999T", false),
            ("0", false),
        ] {
            assert_eq!(disk_size(text).is_ok(), right, "{text}");
        }
        let mut config = MachineConfig::new("box");
        memory(&mut config, "99999G").expect("a size");
        let error = set_memory(&mut config, "99999T").expect_err("no host has it");
        assert!(super::super::text_of(&error).starts_with("Error: memory: this host has "));
    }

    #[test]
    fn sizes_are_parsed_with_units() {
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
