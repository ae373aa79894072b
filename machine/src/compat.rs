// SPDX-License-Identifier: Apache-2.0
//! docker-machine's command line: its name, its flags with one dash, and flags without a meaning
//! here.

use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use crate::capacity;
use clap::Command;

static AS_DOCKER: OnceLock<bool> = OnceLock::new();

/// Returns true if the program was called as docker-machine, whose words it then uses.
#[must_use]
pub fn as_docker() -> bool {
    *AS_DOCKER.get_or_init(|| {
        std::env::args_os()
            .next()
            .is_some_and(|name| is_docker(&name))
    })
}

/// Returns the name of this program in messages.
#[must_use]
pub fn program() -> &'static str {
    if as_docker() {
        "docker-machine"
    } else {
        "podman-machine"
    }
}

/// Returns the kind of the machines in messages.
#[must_use]
pub fn kind() -> &'static str {
    if as_docker() {
        "Docker machine"
    } else {
        "Podman machine"
    }
}

/// Returns true for a path to a program named docker-machine.
fn is_docker(program: &std::ffi::OsStr) -> bool {
    Path::new(program)
        .file_stem()
        .is_some_and(|name| name == "docker-machine")
}

/// Option of podman machine's `ssh`, before the machine.
pub const USERNAME: &str = "--username";

/// Flags of docker-machine that have no meaning here, and whether a value follows them.
#[rustfmt::skip]
const IGNORED: &[(&str, bool)] = &[
    ("all-providers", false), ("bugsnag-api-token", true), ("client-certs", false), ("engine-env", true), ("engine-insecure-registry", true),
    ("engine-install-url", true),
    ("engine-opt", true), ("engine-registry-mirror", true), ("engine-storage-driver", true), ("github-api-token", true),
    ("ignition-path", true), ("native-ssh", false), ("playbook", true), ("save-keys", false), ("tls-verify", false), ("usb", true), ("volume-driver", true), ("no-info", false), ("rootful", false), ("save-ignition", false),
    ("save-image", false), ("swap", true), ("timezone", true), ("username", true), ("update-connection", false),
    ("user-mode-networking", false), ("swarm", false), ("swarm-addr", true), ("swarm-discovery", true),
    ("swarm-experimental", false), ("swarm-host", true), ("swarm-image", true),
    ("swarm-join-opt", true), ("swarm-master", false), ("swarm-opt", true),
    ("swarm-strategy", true), ("tls-ca-cert", true), ("tls-ca-key", true),
    ("tls-client-cert", true), ("tls-client-key", true), ("tls-san", true),
];

/// Flags of docker-machine and podman machine, with ours.
#[rustfmt::skip]
const OTHER_NAMES: &[(&str, &str)] = &[("engine-label", "label"), ("disk-size", "disk"), ("image-path", "image")];

/// Drivers of docker-machine, whose names begin those of their flags of `create`.
const DRIVERS: [&str; 8] = [
    "qemu",
    "virtualbox",
    "kvm",
    "hyperv",
    "xhyve",
    "vmwarefusion",
    "vmware",
    "parallels",
];

/// Flags of drivers, behind the name of the driver, with ours. A size without a unit is in megabytes there.
#[rustfmt::skip]
const OF_DRIVERS: &[(&str, &str, bool)] = &[
    ("cpu-count", "cpus", false), ("memory", "memory", true), ("memory-size", "memory", true), ("disk-size", "disk", true),
    ("boot2podman-url", "image", false), ("boot2docker-url", "image", false),
];

/// Flags of drivers that take no value and have no meaning here. All others take one.
#[rustfmt::skip]
const SWITCHES: &[&str] = &[
    "host-dns-resolver", "hostonly-no-dhcp", "no-share", "no-dns-proxy", "dns-proxy", "no-vtx-check", // virtualbox
    "display", "net-vlan", "nographic", "virtio-drives", "hvf", // qemu
    "disable-dynamic-memory", "qcow2", "rawdisk", "virtio-9p", "nested-virtualization", // hyperv, xhyve, parallels
    "experimental-nfs-share", "experimental-nfs-share-enable", // xhyve
];

/// Returns the part of a driver's flag behind the name of the driver.
fn of_driver(flag: &str) -> Option<&str> {
    let mut drivers = DRIVERS.iter();
    drivers.find_map(|driver| flag.strip_prefix(driver)?.strip_prefix('-'))
}

/// Returns the value of one of our flags for that of a driver of docker-machine.
fn value_for(ours: &str, is_size: bool, value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match (ours, value) {
        // All processors of the host, as for virtualbox.
        ("cpus", "-1") => std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .to_string(),
        ("cpus", number) => capacity::within_host(number, capacity::host_cpus()),
        _ if is_size && is_number => format!("{value}M"),
        _ => value.to_owned(),
    }
}

/// Command line as the parser takes it, and the flags that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Arguments.
    pub args: Vec<OsString>,
    /// Flags without a meaning here, with two dashes.
    pub ignored: Vec<String>,
}

/// Translates docker-machine's command line. The arguments of `ssh` behind the machine's name are
/// ssh's, and those behind `--` are no flags.
#[must_use]
pub fn prepare(parser: &Command, args: Vec<OsString>) -> Prepared {
    let mut prepared = Prepared {
        args: Vec::with_capacity(args.len()),
        ignored: Vec::new(),
    };
    let mut args = args.into_iter();
    prepared.args.extend(args.next());
    let mut at = Position {
        parser,
        command: parser,
        words: 0,
    };
    while let Some(arg) = args.next() {
        let text = arg.to_str().unwrap_or_default();
        if text == "--" || at.is_behind_name_of_ssh() {
            prepared.args.push(arg);
            break;
        }
        match Flag::parse(text) {
            Some(flag) => match flag.translate(&at, || args.next()) {
                Translation::Ignored(name) => prepared.ignored.push(format!("--{name}")),
                Translation::Replaced(flag) => prepared.args.push(flag.into()),
                Translation::Same => prepared.args.push(arg),
            },
            None => {
                // The word behind it is a login name.
                if prepared.args.last().is_none_or(|last| last != USERNAME) {
                    at.pass_word(text);
                }
                prepared.args.push(arg);
            }
        }
    }
    prepared.args.extend(args);
    prepared
}

/// Position in a command line: which flags are known there.
struct Position<'a> {
    parser: &'a Command,
    /// The subcommand, or the parser before it.
    command: &'a Command,
    /// Number of words after the subcommand that are no flags.
    words: usize,
}

impl Position<'_> {
    fn is_behind_name_of_ssh(&self) -> bool {
        ["shell", "ssh"].contains(&self.command.get_name()) && self.words > 0
    }

    fn pass_word(&mut self, word: &str) {
        let is_before_subcommand = std::ptr::eq(self.command, self.parser);
        match self.parser.find_subcommand(word) {
            Some(found) if is_before_subcommand => self.command = found,
            _ => self.words += 1,
        }
    }
}

/// Translation of a flag of docker-machine.
enum Translation {
    /// The flag of this name has no meaning here, and is left out with its value.
    Ignored(String),
    /// Another flag takes its place.
    Replaced(String),
    /// The argument stays.
    Same,
}

/// Flag with a long name, behind one dash or two.
struct Flag<'a> {
    /// Number of dashes.
    dashes: usize,
    /// The flag without them.
    text: &'a str,
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    fn parse(text: &'a str) -> Option<Flag<'a>> {
        let text = text.strip_prefix('-')?;
        let (dashes, text) = match text.strip_prefix('-') {
            Some(text) => (2, text),
            None => (1, text),
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        (name.len() > 1).then_some(Flag {
            dashes,
            text,
            name,
            value,
        })
    }

    fn is_known(&self, command: &Command) -> bool {
        let mut arguments = command.get_arguments();
        arguments.any(|arg| arg.get_long() == Some(self.name))
            || ["help", "version"].contains(&self.name)
    }

    /// Translates the flag; `next` takes the argument after it, which may be its value.
    fn translate(&self, at: &Position<'_>, next: impl FnOnce() -> Option<OsString>) -> Translation {
        if self.is_known(at.parser) || self.is_known(at.command) {
            return match self.dashes {
                // docker-machine's parser takes one dash for two.
                1 => Translation::Replaced(format!("--{}", self.text)),
                _ => Translation::Same,
            };
        }
        // podman machine's name for ssh's `-l`.
        let is_login = self.name == "username" && ["shell", "ssh"].contains(&at.command.get_name());
        let row = IGNORED.iter().find(|row| row.0 == self.name && !is_login);
        if let Some((name, takes_value)) = row {
            if *takes_value && self.value.is_none() {
                next();
            }
            return Translation::Ignored((*name).to_owned());
        }
        if let Some((_, ours)) = OTHER_NAMES.iter().find(|row| row.0 == self.name) {
            return self.replaced(ours, false, next);
        }
        match of_driver(self.name).filter(|_| ["create", "init"].contains(&at.command.get_name())) {
            Some(flag) => self.translate_driver(flag, next),
            None => Translation::Same,
        }
    }

    /// Translates the flag of a driver of docker-machine.
    fn translate_driver(&self, flag: &str, next: impl FnOnce() -> Option<OsString>) -> Translation {
        if let Some((_, ours, is_size)) = OF_DRIVERS.iter().find(|row| row.0 == flag) {
            return self.replaced(ours, *is_size, next);
        }
        if !SWITCHES.contains(&flag) && self.value.is_none() {
            next();
        }
        Translation::Ignored(self.name.to_owned())
    }

    fn replaced(
        &self,
        ours: &str,
        is_size: bool,
        next: impl FnOnce() -> Option<OsString>,
    ) -> Translation {
        let value = self.value.map(str::to_owned);
        let value = value.or_else(|| next()?.into_string().ok());
        let value = value_for(ours, is_size, &value.unwrap_or_default());
        Translation::Replaced(format!("--{ours}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(line: &str) -> (String, String) {
        let args = line.split(' ').map(OsString::from).collect();
        let prepared = prepare(&crate::cli::parser(), args);
        let words: Vec<_> = prepared.args.iter().map(|a| a.to_string_lossy()).collect();
        (words.join(" "), prepared.ignored.join(" "))
    }

    #[test]
    fn the_name_of_the_program_selects_its_words() {
        #[rustfmt::skip]
        let rows = [
            ("docker-machine", true), ("/usr/bin/docker-machine", true), ("docker-machine.exe", true),
            ("podman-machine", false), ("docker-machine-driver-kvm", false), ("", false),
        ];
        for (name, expected) in rows {
            assert_eq!(is_docker(name.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn long_flags_may_have_one_dash() {
        #[rustfmt::skip]
        let rows = [
            ("dm ls -quiet", "dm ls --quiet"),
            ("dm ls -q", "dm ls -q"),
            ("dm ls -format {{.Name}} -filter=name=x", "dm ls --format {{.Name}} --filter=name=x"),
            ("dm -storage-path /s ls -t 5", "dm --storage-path /s ls -t 5"),
            ("dm env -shell fish -no-proxy box", "dm env --shell fish --no-proxy box"),
            ("dm inspect -f {{.Name}} box", "dm inspect -f {{.Name}} box"),
            ("dm ls -nope", "dm ls -nope"),
            ("dm -version", "dm --version"),
        ];
        for (line, expected) in rows {
            assert_eq!(
                prepared(line),
                (expected.to_owned(), String::new()),
                "{line}"
            );
        }
    }

    #[test]
    fn flags_without_a_meaning_are_named() {
        #[rustfmt::skip]
        let rows = [
            ("dm --native-ssh ssh box -native-ssh", "dm ssh box -native-ssh", "--native-ssh"),
            ("dm --tls-ca-cert /a --github-api-token=x ls", "dm ls", "--tls-ca-cert --github-api-token"),
            ("dm create --swarm --swarm-image i -engine-install-url u box", "dm create box", "--swarm --swarm-image --engine-install-url"),
            ("dm env --swarm box", "dm env box", "--swarm"),
            ("dm create -d virtualbox --virtualbox-no-vtx-check --virtualbox-hostonly-cidr 192.168.99.1/24 box", "dm create -d virtualbox box", "--virtualbox-no-vtx-check --virtualbox-hostonly-cidr"),
            ("dm create --qemu-virtio-drives -qemu-network user --qemu-program=q --qemu-display box", "dm create box", "--qemu-virtio-drives --qemu-network --qemu-program --qemu-display"),
            ("dm create --xhyve-experimental-nfs-share --xhyve-virtio-9p --xhyve-uuid u box", "dm create box", "--xhyve-experimental-nfs-share --xhyve-virtio-9p --xhyve-uuid"),
            ("dm ls --virtualbox-no-share", "dm ls --virtualbox-no-share", ""),
            ("pm init --usb v --volume-driver=d --tls-verify --playbook p box", "pm init box", "--usb --volume-driver --tls-verify --playbook"),
            ("pm rm --save-keys -f box", "pm rm -f box", "--save-keys"),
            ("dm ls -- --swarm", "dm ls -- --swarm", ""),
            ("dm ls --tls-san", "dm ls", "--tls-san"),
            ("pm init --username u --timezone local box", "pm init box", "--username --timezone"),
            ("pm init --swap 1024 --ignition-path=x box", "pm init box", "--swap --ignition-path"),
            ("pm rm --save-image --save-ignition -f box", "pm rm -f box", "--save-image --save-ignition"),
            ("pm list --all-providers", "pm list", "--all-providers"),
            ("pm start -q box", "pm start -q box", ""),
            ("pm start --quiet box", "pm start --quiet box", ""),
            ("pm ssh --username root box --swarm", "pm ssh --username root box --swarm", ""),
        ];
        for (line, expected, ignored) in rows {
            assert_eq!(
                prepared(line),
                (expected.to_owned(), ignored.to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn flags_of_drivers_are_in_megabytes() {
        #[rustfmt::skip]
        let rows = [
            ("dm create --qemu-memory 1024 box", "dm create --memory=1024M box"),
            ("dm create --qemu-disk-size=20000 --qemu-cpu-count 1 box", "dm create --disk=20000M --cpus=1 box"),
            ("dm create -virtualbox-memory 2G box", "dm create --memory=2G box"),
            ("dm create --kvm-memory 512 --vmwarefusion-memory-size=600 box", "dm create --memory=512M --memory=600M box"),
            ("dm create --hyperv-cpu-count 1 --xhyve-boot2docker-url /i box", "dm create --cpus=1 --image=/i box"),
            ("dm init --disk-size 50 --image-path /i box", "dm init --disk=50 --image=/i box"),
            ("dm set --disk-size 200 box", "dm set --disk=200 box"),
            ("dm create --virtualbox-boot2docker-url file:///x box", "dm create --image=file:///x box"),
        ];
        for (line, expected) in rows {
            assert_eq!(prepared(line).0, expected, "{line}");
        }
    }

    #[test]
    fn arguments_of_ssh_are_left_alone() {
        #[rustfmt::skip]
        let lines = [
            "dm ssh box -C echo foo", "dm ssh box -- ls -lah /", "dm ssh box -storage-path x",
            "dm ssh box uname --version", "dm ssh", "dm shell box ls --filter",
        ];
        for line in lines {
            assert_eq!(prepared(line), (line.to_owned(), String::new()), "{line}");
        }
    }
}
