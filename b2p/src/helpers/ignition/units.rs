// SPDX-License-Identifier: Apache-2.0
//! Units of systemd in the document. There is no systemd: units that ask for what the machine does
//! anyway need nothing, mounts are mounts, services and quadlets are files, which `b2p user-services` reads
//! after the ready line, and any other is named.

use std::fmt;

use config::{FwCfg, SharedFolder};

use super::document::Object;
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::cloud::schema::Mount;
use crate::helpers::timers::update_timer;

/// Directory of unit files (systemd.unit(5)).
pub const SERVICES: &str = "/etc/systemd/system";
/// Directory of quadlets (podman-systemd.unit(5)).
pub const QUADLETS: &str = "/etc/containers/systemd";
/// Directory over which podman machine 6 mounts its user's configuration of podman.
const CONTAINERS: &str = "/etc/containers";
/// Kinds of units that podman's generator reads (podman-systemd.unit(5)).
pub(super) const QUADLET_KINDS: &[&str] = &[
    "container",
    "volume",
    "network",
    "pod",
    "kube",
    "image",
    "build",
];

/// Unit that reports to podman machine that the machine is ready.
const READY: &str = "ready.service";
/// Address in its command where the host waits on vsock (socat(1)); the port follows.
const READY_ADDRESS: &str = "VSOCK-CONNECT:2:";

/// Units that need no action, whatever their text says, and why.
#[rustfmt::skip]
const NO_ACTION: &[(&str, &str)] = &[
    ("podman-clean-transient.service", "storage in RAM is empty at boot"),
    (READY,                         "PID 1 tells the host at the moment of the ready line"),
    ("envset-fwcfg.service",        "podman machine 5.4 and 5.5 name it and give no such variables"),
    ("linger-example.service",      "users' services run without a session"),
    ("zincati.service",             "Fedora CoreOS's updates; here it is `b2p upgrade`"),
    ("rpm-ostree-countme.timer",    "Fedora's count of machines"),
    ("immutable-root-off.service",  "the root is never immutable"),
    ("immutable-root-on.service",   "the same"),
    ("systemd-resolved.service",    "`b2p net` writes resolv.conf"),
    ("docker.service",              "/run/docker.sock leads to podman"),
    ("docker.socket",               "the same"),
];

/// Units whose service runs here, and the flag that turns it off.
#[rustfmt::skip]
const RUNNING: &[(&str, &str)] = &[
    ("podman.socket",               "b2p.podman=off"),
    ("podman.service",              "b2p.podman=off"),
    ("podman-restart.service",      "b2p.off=containers"),
    ("sshd.service",                "b2p.sshd=off"),
    ("sshd.socket",                 "b2p.sshd=off"),
];

/// Units that are known and not supported, and the replacement of each here.
#[rustfmt::skip]
const UNSUPPORTED: &[(&str, &str)] = &[
    ("playbook.service",            "there is no ansible: a container with ansible-playbook, or cloud-init's runcmd"),
    ("rosetta-activation.service",  "the flag `b2p.rosetta` turns Rosetta on, on Apple's processors"),
    ("vsock-network.service",       "Hyper-V's network of podman machine; a virtual switch with DHCP"),
];

/// A unit that has an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A folder of the host.
    Share(SharedFolder),
    /// Another file system.
    Mount(Mount),
    /// A file of a service, of podman's quadlets, or a drop-in of either: its path, its text.
    File(String, String),
    /// A unit file that is to be off: its path.
    Off(String),
    /// A service that a target wants: its name. Its file is of the document.
    Enable(String),
    /// A unit that is not to start, though a document that this one includes enables it: its name.
    Disable(String),
    /// Images are updated each day.
    Updates,
    /// Port of vsock on which the host waits for the line that the machine is ready.
    ReadyPort(u32),
}

/// Reason why a unit has no effect: what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnitError {
    /// The name is not that of a unit (systemd.unit(5)).
    Name,
    /// The unit has dropins, and is a part of the machine, or of a kind without any.
    Dropins,
    /// A drop-in has another name, or no text.
    DropinName,
    /// A known unit that is not supported ([`UNSUPPORTED`]).
    Unsupported(&'static str),
    /// The document turns the unit off, for which there is a flag.
    Runs(&'static str),
    /// The command that reports to the host by vsock has no port.
    ReadyPort,
    /// A mount unit has no source or no target.
    MountKeys,
    /// A mount unit names a folder of the host that the flag `b2p.share=` refuses.
    Folder,
    /// Values of a mount unit do not fit a line of fstab(5).
    MountText,
    /// The unit to enable does not exist.
    Unknown,
    /// The unit is of a kind that only systemd runs.
    NotRun,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnitError::Runs(flag) => return write!(f, "the flag {flag} turns it off"),
            UnitError::Name => {
                "must be a name of letters, digits and :-_.\\@ with a type after a point"
            }
            UnitError::Dropins => "its drop-ins have no effect: only those of services and quadlets have one",
            UnitError::DropinName => "must be a drop-in with a name that ends in .conf, and contents",
            UnitError::Unsupported(right) => right,
            UnitError::ReadyPort => "must be a port of vsock, from 0 to 4294967295",
            UnitError::MountKeys => "must have What= and Where= in [Mount]",
            UnitError::Folder => {
                "must have a tag of at most 36 bytes, and a path outside of the system's directories"
            }
            UnitError::MountText => {
                "must have a source, an absolute path and options without spaces"
            }
            UnitError::Unknown => {
                "there is no such unit to enable; `b2p status` lists the services"
            }
            UnitError::NotRun => {
                "units of this kind do not run: use a .service, .timer or .container unit"
            }
        })
    }
}

/// Parses `systemd`.
pub fn parse(mut systemd: Object<'_>, diagnostics: &mut Diagnostics) -> Vec<Unit> {
    let mut units = Vec::new();
    for object in systemd.objects("units", diagnostics) {
        units.extend(unit(object, diagnostics));
    }
    systemd.finish(diagnostics);
    units
}

/// A unit as the document has it.
struct Row<'a> {
    name: &'a str,
    text: Option<&'a str>,
    /// Names and texts.
    dropins: Vec<(&'a str, Option<&'a str>)>,
    enabled: Option<bool>,
    masked: bool,
}

impl<'a> Row<'a> {
    fn read(object: &mut Object<'a>, diagnostics: &mut Diagnostics) -> Row<'a> {
        let mut dropins = Vec::new();
        for mut dropin in object.objects("dropins", diagnostics) {
            let name = dropin.text("name", diagnostics).unwrap_or_default();
            dropins.push((name, dropin.text("contents", diagnostics)));
            dropin.finish(diagnostics);
        }
        Row {
            name: object.text("name", diagnostics).unwrap_or_default(),
            text: object.text("contents", diagnostics),
            dropins,
            enabled: object.flag("enabled", diagnostics),
            masked: object.flag("mask", diagnostics) == Some(true),
        }
    }

    fn disabled(&self) -> Option<Unit> {
        let is_off = self.masked || self.enabled == Some(false);
        is_off.then(|| Unit::Disable(self.name.to_owned()))
    }
}

fn unit(mut object: Object<'_>, diagnostics: &mut Diagnostics) -> Vec<Unit> {
    let row = Row::read(&mut object, diagnostics);
    let path = object.path.clone();
    object.finish(diagnostics);
    let mut failed =
        |why: UnitError| diagnostics.failed(format_args!("{path}: {}: {why}", row.name));
    let kind = row.name.rsplit_once('.').map(|(_, kind)| kind);
    let Some(kind) = kind.filter(|_| is_unit_name(row.name)) else {
        failed(UnitError::Name);
        return Vec::new();
    };
    match of_machine(&row) {
        Some(outcome) => {
            if !row.dropins.is_empty() {
                failed(UnitError::Dropins);
            }
            outcome.map_err(failed).ok().flatten().into_iter().collect()
        }
        None => of_kind(kind, &row, &mut failed),
    }
}

/// Returns what a unit has for an effect that is a part of the machine; `None` for any other unit.
fn of_machine(row: &Row<'_>) -> Option<Result<Option<Unit>, UnitError>> {
    if let (READY, Some(text)) = (row.name, row.text)
        && let Some(port) = ready_port(text)
    {
        return Some(port.map(Unit::ReadyPort).map(Some));
    }
    if row.name == update_timer::UNIT {
        let updates = (row.enabled == Some(true)).then_some(Unit::Updates);
        return Some(Ok(row.disabled().or(updates)));
    }
    let known = known_unit(row.name, row.masked || row.enabled == Some(false));
    known.map(|known| known.map(|()| None))
}

/// Returns whether a unit of the tables needs no action; `None` for another unit. `is_off` is true if the document turns
/// the unit off.
fn known_unit(name: &str, is_off: bool) -> Option<Result<(), UnitError>> {
    let is_known = |(known, _): &&(&str, &str)| *known == name;
    if NO_ACTION.iter().any(|row| is_known(&row)) {
        return Some(Ok(()));
    }
    if let Some((_, flag)) = RUNNING.iter().find(is_known) {
        return Some(match is_off {
            true => Err(UnitError::Runs(flag)),
            false => Ok(()),
        });
    }
    let unsupported = UNSUPPORTED.iter().find(is_known);
    unsupported.map(|(_, right)| Err(UnitError::Unsupported(right)))
}

/// Returns the replacement of a unit of this kind.
fn of_kind(kind: &str, row: &Row<'_>, failed: &mut impl FnMut(UnitError)) -> Vec<Unit> {
    let dir = match kind {
        "service" => SERVICES,
        // A timer of the document; there is none of the system to turn off.
        "timer" if row.text.is_some() => SERVICES,
        kind if QUADLET_KINDS.contains(&kind) => QUADLETS,
        kind => return without_file(kind, row, failed).into_iter().collect(),
    };
    let path = format!("{dir}/{}", row.name);
    if row.masked {
        return vec![Unit::Off(path)];
    }
    let text = row
        .text
        .map(|text| Unit::File(path.clone(), text.to_owned()));
    let mut units: Vec<Unit> = text.into_iter().collect();
    for (name, text) in &row.dropins {
        match text {
            Some(text) if is_unit_name(name) && name.ends_with(".conf") => {
                units.push(Unit::File(format!("{path}.d/{name}"), (*text).to_owned()));
            }
            _ => failed(UnitError::DropinName),
        }
    }
    units.extend(row.disabled());
    // A quadlet's own section decides whether the boot starts it.
    if row.enabled == Some(true) && (dir == SERVICES || row.text.is_none()) {
        units.push(Unit::Enable(row.name.to_owned()));
    }
    units
}

/// Returns what stands for a unit that no program reads as a file.
fn without_file(kind: &str, row: &Row<'_>, failed: &mut impl FnMut(UnitError)) -> Option<Unit> {
    if !row.dropins.is_empty() {
        failed(UnitError::Dropins);
    }
    let unit = match (kind, row.text) {
        ("mount", _) if row.masked || row.enabled == Some(false) => return row.disabled(),
        _ if row.masked => return None,
        ("mount", Some(text)) => mount(text),
        // The system has such a unit elsewhere, and here there is none to turn off.
        (_, None) if row.enabled != Some(true) => return None,
        (_, None) => Err(UnitError::Unknown),
        _ => Err(UnitError::NotRun),
    };
    unit.map_err(failed).ok()
}

/// Returns true for a name that systemd takes (systemd.unit(5)).
fn is_unit_name(name: &str) -> bool {
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    !name.starts_with('.') && name.len() <= 255 && name.bytes().all(is_valid)
}

/// Returns the port of a unit that reports to the host by vsock; `None` for another unit.
fn ready_port(text: &str) -> Option<Result<u32, UnitError>> {
    let (_, rest) = text.split_once(READY_ADDRESS)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    let port = &rest[..digits.unwrap_or(rest.len())];
    Some(port.parse().map_err(|_| UnitError::ReadyPort))
}

/// Returns the values of a unit's section, in their order (systemd.syntax(7)).
fn values<'a>(text: &'a str, section: &str) -> Vec<(&'a str, &'a str)> {
    let mut current = "";
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            current = line;
        } else if let Some((name, value)) = line.split_once('=')
            && current == section
            && !line.starts_with(['#', ';'])
        {
            found.push((name.trim(), value.trim()));
        }
    }
    found
}

/// Returns the mount of a mount unit (systemd.mount(5)).
fn mount(text: &str) -> Result<Unit, UnitError> {
    let values = values(text, "[Mount]");
    let value = |wanted: &str| {
        let found = values.iter().rev().find(|(name, _)| *name == wanted);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    let missing = UnitError::MountKeys;
    let (source, target) = (
        value("What").ok_or(missing)?,
        value("Where").ok_or(missing)?,
    );
    let options = value("Options").unwrap_or_default();
    let fs_type = value("Type").unwrap_or("auto");
    let has = |wanted: &str| options.split(',').any(|option| option == wanted);
    // podman machine 6 on Apple's hypervisors; the mount keeps the image's files by the program of mount.virtiofs.
    let is_containers = fs_type == "virtiofs" && target.trim_end_matches('/') == CONTAINERS;
    if !is_containers && (fs_type == "virtiofs" || fs_type == "9p") {
        let suffix = if has("ro") { ":ro" } else { "" };
        return match shared_folder(&format!("{source}:{target}{suffix}")) {
            Some(folder) => Ok(Unit::Share(folder)),
            None => Err(UnitError::Folder),
        };
    }
    let is_line = |text: &str| !text.contains(char::is_control);
    let is_word = |text: &str| is_line(text) && !text.contains(char::is_whitespace);
    let is_right = is_line(source) && is_line(target) && is_word(fs_type) && is_word(options);
    if !is_right || !target.starts_with('/') {
        return Err(UnitError::MountText);
    }
    let for_mount: Vec<&str> = options.split(',').filter(|o| is_for_mount(o)).collect();
    Ok(Unit::Mount(Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        fs_type: fs_type.to_owned(),
        options: for_mount.join(","),
        nofail: has("nofail"),
    }))
}

/// Returns true for an option that mount(2) or mount(8) knows; the others are for fstab(5) alone.
fn is_for_mount(option: &str) -> bool {
    let is_for_fstab = matches!(option, "_netdev" | "nofail" | "auto" | "noauto");
    !option.starts_with("x-systemd.") && !is_for_fstab
}

/// Parses a folder as the flag `b2p.share=` does.
fn shared_folder(text: &str) -> Option<SharedFolder> {
    let entry = FwCfg {
        name: b"share",
        value: text.as_bytes(),
    };
    let (config, _) = config::parse(b"", &[entry]);
    config.shares.into_iter().next()
}
