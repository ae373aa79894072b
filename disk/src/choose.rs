//! Which disk is the data disk: from facts about every device and from what the
//! flags say, without touching anything.
//!
//! A file system with one of [`LABELS`] is used, the first label before the
//! others, then the lowest name. Where there is none, a disk that asks for it is
//! formatted. A device that looks like two things is used as neither, and what
//! any known signature matches is never formatted.

use config::{DiskSelector, FormatPolicy};

use crate::device::Device;
use crate::device_name::compare;
use crate::format_state::FormatState;
use crate::rejection::{Rejection, asks, beside, kinds, lost, parent, why_not};
use crate::signature::{Signature, SignatureKind};
use crate::{LABELS, UNFINISHED};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Mount this device, which has a file system of this kind.
    Use(String, SignatureKind),
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
pub fn choose(devices: &[Device], wanted: &DiskSelector, policy: FormatPolicy) -> Choice {
    let mut choice = Choice {
        decision: Decision::None("b2p.data=off".into()),
        notes: Vec::new(),
        degraded: Vec::new(),
    };
    if *wanted == DiskSelector::Off {
        return choice;
    }
    let mut all: Vec<&Device> = devices.iter().collect();
    all.sort_unstable_by(|a, b| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| compare(&a.name, &b.name))
    });
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
        formattable(d, devices, wanted, policy)
    });
    if let Some((first, others)) = asking.split_first() {
        also(first, others, "is formatted", &mut choice);
        choice.decision = Decision::Format(first.name.clone());
        return choice;
    }
    choice.decision = Decision::None(none(wanted, &choice));
    if *wanted != DiskSelector::Auto && choice.degraded.is_empty() {
        choice.degraded.push(none(wanted, &choice));
    }
    choice
}

fn none(wanted: &DiskSelector, choice: &Choice) -> String {
    if let Some(first) = choice.degraded.first() {
        return first.clone();
    }
    match wanted {
        DiskSelector::Auto | DiskSelector::Off => "no data disk".into(),
        DiskSelector::Label(l) => format!("no file system is labelled {l}"),
        DiskSelector::Uuid(u) => format!("no file system has the UUID {u}"),
        DiskSelector::PartUuid(u) => format!("no partition has the UUID {u}"),
        DiskSelector::Device(d) => format!("{d} is not there or holds nothing to use"),
    }
}

/// Those that `judge` takes; the rest is said.
fn sorted_out<'a>(
    all: &[&'a Device],
    choice: &mut Choice,
    judge: impl Fn(&Device) -> Result<(), Rejection>,
) -> Vec<&'a Device> {
    let mut taken = Vec::new();
    for device in all {
        let say = |why: String| format!("{}: {why}", device.name);
        match judge(device) {
            Ok(()) => taken.push(*device),
            Err(Rejection::Ignore) => {}
            Err(Rejection::Log(why)) => push(&mut choice.notes, say(why)),
            Err(Rejection::Warn(why)) => push(&mut choice.degraded, say(why)),
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
    let label = the_signature(device).and_then(|f| f.label.as_deref());
    LABELS
        .iter()
        .position(|l| Some(*l) == label)
        .unwrap_or(LABELS.len())
}

/// The one thing that is on it.
fn the_signature(device: &Device) -> Option<&Signature> {
    match device.signatures.as_deref() {
        Ok([one]) => Some(one),
        _ => None,
    }
}

fn used(device: &Device, devices: &[Device]) -> Decision {
    let disk = parent(device, devices).unwrap_or(device);
    if matches!(disk.format_state, FormatState::Complete(_)) {
        return Decision::Sweep(disk.name.clone());
    }
    let kind = the_signature(device).map_or(SignatureKind::Ext4, |f| f.kind);
    Decision::Use(device.name.clone(), kind)
}

/// What bigger thing a disk is a part of.
fn member(disk: &Device) -> Option<&'static str> {
    let found = disk.signatures.as_deref().unwrap_or_default();
    found
        .iter()
        .find(|f| f.kind.is_member())
        .map(|f| f.kind.name())
}

fn usable(device: &Device, devices: &[Device], wanted: &DiskSelector) -> Result<(), Rejection> {
    let found = match &device.signatures {
        Ok(found) => found,
        Err(why) => return Err(Rejection::Log(format!("cannot be read: {why}"))),
    };
    if !found.iter().any(|f| matches(device, f, wanted)) {
        return Err(Rejection::Ignore);
    }
    let [one] = found.as_slice() else {
        return Err(Rejection::Warn(format!(
            "it looks like {} at once; it is left alone",
            kinds(found)
        )));
    };
    if one.label.as_deref() == Some(UNFINISHED) {
        return Err(Rejection::Log("a format of it was not finished".into()));
    }
    if !one.kind.holds_data() {
        return Err(match one.kind.is_table() {
            true => Rejection::Log("it is divided into partitions".into()),
            false => Rejection::Warn(format!(
                "it holds {}, which cannot keep containers",
                one.kind.name()
            )),
        });
    }
    if let Some(member) = parent(device, devices).and_then(member) {
        // Half of a mirror shows the partitions that are in the mirror.
        return Err(Rejection::Warn(format!(
            "its disk is a {member}; it is left alone"
        )));
    }
    if matches!(
        parent(device, devices).map(|d| &d.format_state),
        Some(FormatState::InProgress(_))
    ) {
        return Err(Rejection::Log("its disk is half formatted".into()));
    }
    if let Some(who) = &device.in_use {
        return Err(Rejection::Warn(format!("in use: {who}")));
    }
    if device.read_only {
        return Err(Rejection::Warn("it can only be read".into()));
    }
    Ok(())
}

/// Whether it is what the flags mean, by this of its signatures.
fn matches(device: &Device, found: &Signature, wanted: &DiskSelector) -> bool {
    let label = found.label.as_deref();
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    match wanted {
        DiskSelector::Off => false,
        DiskSelector::Auto => label.is_some_and(|l| LABELS.contains(&l)),
        DiskSelector::Label(name) => label == Some(name),
        DiskSelector::Uuid(uuid) => same(found.uuid.as_deref(), uuid),
        DiskSelector::PartUuid(uuid) => same(device.partuuid.as_deref(), uuid),
        // Who names a disk that we have formatted means what is on it.
        DiskSelector::Device(_) => {
            let ours = label.is_some_and(|l| LABELS.contains(&l));
            let disk = device.parent_disk.as_deref().filter(|_| ours);
            wanted.is_device(&device.name) || disk.is_some_and(|disk| wanted.is_device(disk))
        }
    }
}

fn formattable(
    device: &Device,
    devices: &[Device],
    wanted: &DiskSelector,
    policy: FormatPolicy,
) -> Result<(), Rejection> {
    let named = wanted.is_device(&device.name);
    let meant = named || (*wanted == DiskSelector::Auto && !device.is_virtual);
    if device.parent_disk.is_some() {
        return Err(lost(device, devices)); // never a partition
    }
    let blank =
        device.is_blank && policy == FormatPolicy::Blank && device.signatures.as_deref() == Ok(&[]);
    if !asks(device)? && !blank {
        return Err(why_not(device, named, meant));
    }
    if !meant {
        return Err(Rejection::Log(
            "it asks to be formatted, but the flags mean another".into(),
        ));
    }
    let but = |why: &str| {
        Err(Rejection::Warn(format!(
            "it asks to be formatted, but {why}"
        )))
    };
    if policy == FormatPolicy::Never {
        return but("b2p.format=never");
    }
    if let Some(who) = &device.in_use {
        return but(&format!("is in use: {who}"));
    }
    if device.read_only {
        return but("can only be read");
    }
    // A table that the kernel has read is somebody's, whatever the bytes say.
    let divided = devices
        .iter()
        .any(|d| d.parent_disk.as_ref() == Some(&device.name));
    if divided && !matches!(device.format_state, FormatState::InProgress(_)) {
        return but("has partitions");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
