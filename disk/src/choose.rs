// SPDX-License-Identifier: Apache-2.0
//! Choice of the data disk, from facts about every device and from the flags.
//!
//! A file system with one of [`LABELS`] is used; the label with the highest precedence wins, then
//! the lowest name. Without such a file system, a disk that requests a format is formatted. A
//! device with two signatures is used as neither, and a device with a known signature is never
//! formatted.

use config::{DiskSelector, FormatPolicy};

use crate::device::Device;
use crate::device_name::compare;
use crate::format_state::FormatState;
use crate::rejection::{
    Rejection, describe_unused, may_format, parent_of, rejection_of_partition, rejection_of_table,
    rejection_of_truncated, rejection_of_unused, wants_format,
};
use crate::signature::{Signature, SignatureKind, join_names};
use crate::{LABELS, UNFINISHED_LABEL};

/// Action for the data disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Mount this device, which has a file system of this kind.
    Use(String, SignatureKind),
    /// Format this disk, which requests a format, is blank, or has a format in progress, as
    /// [`FormatState`] distinguishes.
    Format(String),
    /// Finish the format of this disk: erase the magic and the record of the format, then choose again.
    FinishFormat(String),
    /// Use no disk, for this reason.
    NoDisk(String),
}

/// Decision, and its messages for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Action to take.
    pub decision: Decision,
    /// Log lines: the devices that are not used, with the reasons.
    pub notes: Vec<String>,
    /// Faults that the user must know of.
    pub degraded: Vec<String>,
}

/// Chooses the data disk.
#[must_use]
pub fn choose(devices: &[Device], selector: &DiskSelector, policy: FormatPolicy) -> Choice {
    let mut choice = Choice {
        decision: Decision::NoDisk("b2p.data=off".into()),
        notes: Vec::new(),
        degraded: Vec::new(),
    };
    if *selector == DiskSelector::Off {
        return choice;
    }
    let mut candidates: Vec<&Device> = devices.iter().collect();
    let by_name = |a: &Device, b: &Device| compare(&a.name, &b.name);
    candidates.sort_unstable_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| by_name(a, b)));
    let usable = choice.select(&candidates, |d| check_usable(d, devices, selector));
    if let Some((first, others)) = usable.split_first() {
        choice.note_others(first, others, "is used");
        candidates.retain(|d| !usable.iter().any(|u| u.name == d.name));
        choice.select(&candidates, |d| Err(rejection_of_unused(d, first)));
        choice.decision = decide_use(first, devices);
        return choice;
    }
    let formattable = choice.select(&candidates, |d| {
        check_formattable(d, devices, selector, policy)
    });
    if let Some((first, others)) = formattable.split_first() {
        choice.note_others(first, others, "is formatted");
        choice.decision = Decision::Format(first.name.clone());
        return choice;
    }
    let reason = reason_for_none(selector, &choice);
    if *selector != DiskSelector::Auto && choice.degraded.is_empty() {
        choice.degraded.push(reason.clone());
    }
    choice.decision = Decision::NoDisk(reason);
    choice
}

impl Choice {
    /// Returns the devices that `check` accepts, and records the reasons of the others.
    fn select<'a>(
        &mut self,
        devices: &[&'a Device],
        check: impl Fn(&Device) -> Result<(), Rejection>,
    ) -> Vec<&'a Device> {
        let mut accepted = Vec::new();
        for device in devices {
            let line = |why: String| format!("{}: {why}", device.name);
            match check(device) {
                Ok(()) => accepted.push(*device),
                Err(Rejection::Ignore) => {}
                Err(Rejection::Log(why)) => push_once(&mut self.notes, line(why)),
                Err(Rejection::Warn(why)) => push_once(&mut self.degraded, line(why)),
            }
        }
        accepted
    }

    /// Notes the devices that could have been chosen instead of `first`.
    fn note_others(&mut self, first: &Device, others: &[&Device], action: &str) {
        for other in others {
            self.notes.push(format!(
                "{}: could be the data disk too, but {} {action}: {} first, then the lowest name",
                other.name,
                first.name,
                LABELS.join(", then ")
            ));
        }
    }
}

fn push_once(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

fn reason_for_none(selector: &DiskSelector, choice: &Choice) -> String {
    if let Some(first) = choice.degraded.first() {
        return first.clone();
    }
    match selector {
        DiskSelector::Auto | DiskSelector::Off => "no data disk".into(),
        DiskSelector::Label(label) => format!("no file system is labelled {label}"),
        DiskSelector::Uuid(uuid) => format!("no file system has the UUID {uuid}"),
        DiskSelector::PartUuid(uuid) => format!("no partition has the UUID {uuid}"),
        DiskSelector::Device(path) => format!("{path} is not there or holds nothing to use"),
    }
}

/// Returns the position of the device's label in [`LABELS`]; other devices are behind.
fn rank(device: &Device) -> usize {
    let label = only_signature(device).and_then(|s| s.label.as_deref());
    let position = LABELS.iter().position(|known| Some(*known) == label);
    position.unwrap_or(LABELS.len())
}

/// Returns the signature of a device that has exactly one.
fn only_signature(device: &Device) -> Option<&Signature> {
    match device.signatures.as_deref() {
        Ok([one]) => Some(one),
        _ => None,
    }
}

fn decide_use(device: &Device, devices: &[Device]) -> Decision {
    let disk = parent_of(device, devices).unwrap_or(device);
    if matches!(disk.format_state, FormatState::Complete(_)) {
        return Decision::FinishFormat(disk.name.clone());
    }
    match only_signature(device) {
        Some(signature) => Decision::Use(device.name.clone(), signature.kind),
        None => Decision::NoDisk(format!("{}: no single file system", device.name)),
    }
}

/// Returns the name of the larger volume that a disk is a member of.
fn member_of(disk: &Device) -> Option<&'static str> {
    let signatures = disk.signatures.as_deref().unwrap_or_default();
    let member = signatures.iter().find(|s| s.kind.is_volume_member());
    member.map(|s| s.kind.name())
}

/// Checks that the selected file system is on the device and can be used.
fn check_usable(
    device: &Device,
    devices: &[Device],
    selector: &DiskSelector,
) -> Result<(), Rejection> {
    let signatures = match &device.signatures {
        Ok(signatures) => signatures,
        Err(why) => return Err(Rejection::Log(format!("cannot be read: {why}"))),
    };
    if !signatures.iter().any(|s| is_selected(device, s, selector)) {
        return Err(Rejection::Ignore);
    }
    let [signature] = signatures.as_slice() else {
        let names = join_names(signatures);
        return Err(Rejection::Warn(format!(
            "it looks like {names} at once; it is left alone"
        )));
    };
    check_content(signature)?;
    let truncation = device.truncation.as_ref().filter(|t| !t.is_harmless());
    if let Some(why) = truncation.and_then(|t| t.describe(device.size)) {
        return Err(Rejection::Warn(why));
    }
    check_disk_of(device, devices)?;
    if let Some(usage) = &device.in_use {
        return Err(Rejection::Warn(format!("in use: {usage}")));
    }
    if device.read_only {
        return Err(Rejection::Warn("it can only be read".into()));
    }
    Ok(())
}

/// Checks that the only signature of a device is that of a file system for data.
fn check_content(signature: &Signature) -> Result<(), Rejection> {
    if signature.label.as_deref() == Some(UNFINISHED_LABEL) {
        return Err(Rejection::Log("its format was not completed".into()));
    }
    if signature.kind.is_partition_table() {
        return Err(Rejection::Log("it is divided into partitions".into()));
    }
    if !signature.kind.is_posix_file_system() {
        let name = signature.kind.name();
        return Err(Rejection::Warn(format!(
            "it holds {name}, which cannot keep containers"
        )));
    }
    Ok(())
}

/// Checks that the disk of a partition is no member of a larger volume and has no format in
/// progress. A member of a RAID 1 shows the partitions that are in the RAID.
fn check_disk_of(partition: &Device, devices: &[Device]) -> Result<(), Rejection> {
    let Some(disk) = parent_of(partition, devices) else {
        return Ok(());
    };
    if let Some(volume) = member_of(disk) {
        return Err(Rejection::Warn(format!(
            "its disk is a {volume}; it is left alone"
        )));
    }
    if matches!(disk.format_state, FormatState::InProgress(_)) {
        return Err(Rejection::Log("its disk is half formatted".into()));
    }
    Ok(())
}

/// Returns true if the selector means the device, according to one of its signatures.
fn is_selected(device: &Device, signature: &Signature, selector: &DiskSelector) -> bool {
    let label = signature.label.as_deref();
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    let has_data_label = label.is_some_and(|label| LABELS.contains(&label));
    match selector {
        DiskSelector::Off => false,
        DiskSelector::Auto => has_data_label,
        DiskSelector::Label(name) => label == Some(name),
        DiskSelector::Uuid(uuid) => same(signature.uuid.as_deref(), uuid),
        DiskSelector::PartUuid(uuid) => same(device.partuuid.as_deref(), uuid),
        // A disk that this system has formatted stands for its partition.
        DiskSelector::Device(_) => {
            let disk = device.parent_disk.as_deref().filter(|_| has_data_label);
            selector.is_device(&device.name) || disk.is_some_and(|disk| selector.is_device(disk))
        }
    }
}

/// Checks that the device may be formatted.
fn check_formattable(
    device: &Device,
    devices: &[Device],
    selector: &DiskSelector,
    policy: FormatPolicy,
) -> Result<(), Rejection> {
    if device.parent_disk.is_some() {
        return Err(rejection_of_partition(device, devices, selector)); // only whole disks are formatted
    }
    let is_named = selector.is_device(&device.name);
    let truncated = rejection_of_truncated(device, is_named);
    if let Some(rejection) = truncated.or_else(|| rejection_of_table(device, is_named)) {
        return Err(rejection);
    }
    let is_meant = is_named || (*selector == DiskSelector::Auto && !device.is_virtual);
    let is_blank = device.is_blank && device.signatures.as_deref() == Ok(&[]);
    let may_format_blank = is_blank && policy == FormatPolicy::Blank;
    if !wants_format(device)? && !may_format_blank {
        return Err(describe_unused(device, is_named, is_meant));
    }
    if !is_meant {
        return Err(Rejection::Log(
            "it asks to be formatted, but the flags mean another".into(),
        ));
    }
    may_format(device, devices, policy)
}

#[cfg(test)]
mod tests;
