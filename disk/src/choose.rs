//! Which disk is the data disk: from facts about every device and from what the
//! flags say, without touching anything.
//!
//! A file system with one of [`LABELS`] is used, the first label before the
//! others, then the lowest name. Where there is none, a disk that asks for it is
//! formatted. A device that looks like two things is used as neither, and what
//! any known signature matches is never formatted.

use crate::device_order::order;
use crate::format_state::Standing;
use crate::probe::{Found, Kind};
use crate::rejection::{Not, asks, beside, kinds, lost, parent, why_not};
use crate::{LABELS, UNFINISHED};

/// What the flags say, as in `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Ours, by label or by the words.
    Auto,
    /// None.
    Off,
    /// The file system of this name.
    Label(String),
    /// The file system of this UUID.
    Uuid(String),
    /// The partition of this UUID.
    PartUuid(String),
    /// The device of this name, without `/dev/`.
    Device(String),
}

/// Which disks may be formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Those that ask.
    Magic,
    /// Those that are blank, too.
    Blank,
    /// None.
    Never,
}

/// A block device, as it was found.
#[derive(Clone, Debug)]
pub struct Device {
    /// As in /sys/class/block.
    pub name: String,
    /// The disk that it is a partition of.
    pub disk: Option<String>,
    /// In bytes.
    pub size: u64,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// It is no disk by itself (loop, device mapper, RAID): formatted only when it
    /// is named.
    pub made: bool,
    /// Who has it: a mount, swap, another device.
    pub busy: Option<String>,
    /// PARTUUID.
    pub partuuid: Option<String>,
    /// A partition that its table names as the data partition.
    pub ours: bool,
    /// The signatures on it, or why it could not be read.
    pub found: Result<Vec<Found>, String>,
    /// Where it stands, for a whole disk.
    pub standing: Standing,
    /// All zero where anything could be; looked at only when that matters.
    pub blank: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Mount this device, which has a file system of this kind.
    Use(String, Kind),
    /// Format this disk. It asks, or is blank, or was begun: its standing says.
    Format(String),
    /// Sweep the traces of a format from this disk, and look again.
    Sweep(String),
    /// There is none; why.
    None(String),
}

/// A decision, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to do.
    pub decision: Decision,
    /// Every device that was looked at and is not taken, and why.
    pub notes: Vec<String>,
    /// What the machine's owner must know.
    pub degraded: Vec<String>,
}

/// Decides.
#[must_use]
pub fn choose(devices: &[Device], wanted: &Wanted, consent: Consent) -> Choice {
    let mut choice = Choice {
        decision: Decision::None("b2p.data=off".into()),
        notes: Vec::new(),
        degraded: Vec::new(),
    };
    if *wanted == Wanted::Off {
        return choice;
    }
    let mut all: Vec<&Device> = devices.iter().collect();
    all.sort_unstable_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| order(&a.name, &b.name)));
    let usable = sorted_out(&all, &mut choice, |d| usable(d, devices, wanted));
    if let Some((first, others)) = usable.split_first() {
        also(first, others, "is used", &mut choice);
        let rest: Vec<_> = all
            .into_iter()
            .filter(|d| !usable.iter().any(|u| u.name == d.name))
            .collect();
        sorted_out(&rest, &mut choice, |d| beside(d, first));
        choice.decision = used(first, devices);
        return choice;
    }
    let asking = sorted_out(&all, &mut choice, |d| {
        formattable(d, devices, wanted, consent)
    });
    if let Some((first, others)) = asking.split_first() {
        also(first, others, "is formatted", &mut choice);
        choice.decision = Decision::Format(first.name.clone());
        return choice;
    }
    choice.decision = Decision::None(none(wanted, &choice));
    if *wanted != Wanted::Auto && choice.degraded.is_empty() {
        choice.degraded.push(none(wanted, &choice));
    }
    choice
}

fn none(wanted: &Wanted, choice: &Choice) -> String {
    if let Some(first) = choice.degraded.first() {
        return first.clone();
    }
    match wanted {
        Wanted::Auto | Wanted::Off => "no data disk".into(),
        Wanted::Label(l) => format!("no file system is labelled {l}"),
        Wanted::Uuid(u) => format!("no file system has the UUID {u}"),
        Wanted::PartUuid(u) => format!("no partition has the UUID {u}"),
        Wanted::Device(d) => format!("/dev/{d} is not there or holds nothing to use"),
    }
}

/// Those that `judge` takes; the rest is said.
fn sorted_out<'a>(
    all: &[&'a Device],
    choice: &mut Choice,
    judge: impl Fn(&Device) -> Result<(), Not>,
) -> Vec<&'a Device> {
    let mut taken = Vec::new();
    for device in all {
        let say = |why: String| format!("{}: {why}", device.name);
        match judge(device) {
            Ok(()) => taken.push(*device),
            Err(Not::Silent) => {}
            Err(Not::Note(why)) => push(&mut choice.notes, say(why)),
            Err(Not::Loud(why)) => push(&mut choice.degraded, say(why)),
        }
    }
    taken
}

fn push(to: &mut Vec<String>, text: String) {
    if !to.contains(&text) {
        to.push(text);
    }
}

fn also(first: &Device, others: &[&Device], what: &str, choice: &mut Choice) {
    for other in others {
        choice.notes.push(format!(
            "{}: could be the data disk too, but {} {what}: {} first, then the lowest name",
            other.name,
            first.name,
            LABELS.join(", then ")
        ));
    }
}

/// The place of its label among ours; others are behind.
fn rank(device: &Device) -> usize {
    let label = one(device).and_then(|f| f.label.as_deref());
    LABELS
        .iter()
        .position(|l| Some(*l) == label)
        .unwrap_or(LABELS.len())
}

/// The one thing that is on it.
fn one(device: &Device) -> Option<&Found> {
    match device.found.as_deref() {
        Ok([one]) => Some(one),
        _ => None,
    }
}

fn used(device: &Device, devices: &[Device]) -> Decision {
    let disk = parent(device, devices).unwrap_or(device);
    if matches!(disk.standing, Standing::Made(_)) {
        return Decision::Sweep(disk.name.clone());
    }
    let kind = one(device).map_or(Kind::Ext4, |f| f.kind);
    Decision::Use(device.name.clone(), kind)
}

/// What bigger thing a disk is a part of.
fn member(disk: &Device) -> Option<&'static str> {
    let found = disk.found.as_deref().unwrap_or_default();
    found
        .iter()
        .find(|f| f.kind.is_member())
        .map(|f| f.kind.name())
}

fn usable(device: &Device, devices: &[Device], wanted: &Wanted) -> Result<(), Not> {
    let found = match &device.found {
        Ok(found) => found,
        Err(why) => return Err(Not::Note(format!("cannot be read: {why}"))),
    };
    if !found.iter().any(|f| matches(device, f, wanted)) {
        return Err(Not::Silent);
    }
    let [one] = found.as_slice() else {
        return Err(Not::Loud(format!(
            "it looks like {} at once; it is left alone",
            kinds(found)
        )));
    };
    if one.label.as_deref() == Some(UNFINISHED) {
        return Err(Not::Note("a format of it was not finished".into()));
    }
    if !one.kind.holds_data() {
        return Err(match one.kind.is_table() {
            true => Not::Note("it is divided into partitions".into()),
            false => Not::Loud(format!(
                "it holds {}, which cannot keep containers",
                one.kind.name()
            )),
        });
    }
    if let Some(member) = parent(device, devices).and_then(member) {
        // Half of a mirror shows the partitions that are in the mirror.
        return Err(Not::Loud(format!(
            "its disk is a {member}; it is left alone"
        )));
    }
    if matches!(
        parent(device, devices).map(|d| &d.standing),
        Some(Standing::Half(_))
    ) {
        return Err(Not::Note("its disk is half formatted".into()));
    }
    if let Some(who) = &device.busy {
        return Err(Not::Loud(format!("in use: {who}")));
    }
    if device.read_only {
        return Err(Not::Loud("it can only be read".into()));
    }
    Ok(())
}

/// Whether it is what the flags mean, by this of its signatures.
fn matches(device: &Device, found: &Found, wanted: &Wanted) -> bool {
    let label = found.label.as_deref();
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    match wanted {
        Wanted::Off => false,
        Wanted::Auto => label.is_some_and(|l| LABELS.contains(&l)),
        Wanted::Label(name) => label == Some(name),
        Wanted::Uuid(uuid) => same(found.uuid.as_deref(), uuid),
        Wanted::PartUuid(uuid) => same(device.partuuid.as_deref(), uuid),
        // Who names a disk that we have formatted means what is on it.
        Wanted::Device(name) => {
            let ours = label.is_some_and(|l| LABELS.contains(&l));
            device.name == *name || (ours && device.disk.as_ref() == Some(name))
        }
    }
}

fn formattable(
    device: &Device,
    devices: &[Device],
    wanted: &Wanted,
    consent: Consent,
) -> Result<(), Not> {
    let named = matches!(wanted, Wanted::Device(name) if *name == device.name);
    let meant = named || (*wanted == Wanted::Auto && !device.made);
    if device.disk.is_some() {
        return Err(lost(device, devices)); // never a partition
    }
    let blank = device.blank && consent == Consent::Blank && device.found.as_deref() == Ok(&[]);
    if !asks(device)? && !blank {
        return Err(why_not(device, named, meant));
    }
    if !meant {
        return Err(Not::Note(
            "it asks to be formatted, but the flags mean another".into(),
        ));
    }
    let but = |why: &str| Err(Not::Loud(format!("it asks to be formatted, but {why}")));
    if consent == Consent::Never {
        return but("b2p.format=never");
    }
    if let Some(who) = &device.busy {
        return but(&format!("is in use: {who}"));
    }
    if device.read_only {
        return but("can only be read");
    }
    // A table that the kernel has read is somebody's, whatever the bytes say.
    let divided = devices
        .iter()
        .any(|d| d.disk.as_ref() == Some(&device.name));
    if divided && !matches!(device.standing, Standing::Half(_)) {
        return but("has partitions");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
