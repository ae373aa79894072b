// SPDX-License-Identifier: Apache-2.0
//! Reasons why a device is not used.

use config::{DiskSelector, FormatPolicy};

use crate::device::Device;
use crate::format_state::FormatState;
use crate::signature::join_names;
use crate::truncation::Truncation;

/// Reason why a device is not used.
pub(crate) enum Rejection {
    /// Report nothing.
    Ignore,
    /// Report in the log.
    Log(String),
    /// Fault that the user must know of.
    Warn(String),
}

/// Returns true if a disk requests a format. A request that must not be granted is a rejection.
pub(crate) fn wants_format(device: &Device) -> Result<bool, Rejection> {
    match &device.format_state {
        FormatState::Refused(why) => Err(Rejection::Warn(format!("not formatted: {why}"))),
        FormatState::Requested(_, found) if !found.is_empty() => Err(Rejection::Warn(format!(
            "it asks to be formatted, but there is {} on it; `wipefs -a /dev/{}` first, then the words again",
            join_names(found),
            device.name
        ))),
        FormatState::Requested(..) | FormatState::InProgress(_) => Ok(true),
        FormatState::Unrelated | FormatState::Complete(_) => Ok(false),
    }
}

/// Checks that nothing forbids the format of a disk that requests a format or is blank.
pub(crate) fn may_format(
    device: &Device,
    devices: &[Device],
    policy: FormatPolicy,
) -> Result<(), Rejection> {
    let but = |why: &str| {
        Err(Rejection::Warn(format!(
            "it asks to be formatted, but {why}"
        )))
    };
    if policy == FormatPolicy::Never {
        return but("b2p.format=never");
    }
    if let Some(usage) = &device.in_use {
        return but(&format!("is in use: {usage}"));
    }
    if device.read_only {
        return but("can only be read");
    }
    // The kernel has read a table, whose bytes may have changed since.
    let has_partitions = devices
        .iter()
        .any(|other| other.parent_disk.as_ref() == Some(&device.name));
    if has_partitions && !matches!(device.format_state, FormatState::InProgress(_)) {
        return but("has partitions");
    }
    Ok(())
}

/// Returns the rejection of a disk that is shorter than the size in its partition table and has
/// data of this system.
pub(crate) fn rejection_of_truncated(device: &Device, is_named: bool) -> Option<Rejection> {
    let is_candidate = is_named || !device.is_virtual;
    let table = device.truncation.as_ref().filter(|_| is_candidate);
    let table = table.filter(|t| matches!(t, Truncation::Table(_)))?;
    table.describe(device.size).map(Rejection::Warn)
}

/// Returns the rejection of a whole disk with data of this system and a partition table that is not read.
pub(crate) fn rejection_of_table(device: &Device, is_named: bool) -> Option<Rejection> {
    let is_candidate = is_named || !device.is_virtual;
    let fault = device.table_fault.filter(|_| is_candidate);
    fault.map(|fault| Rejection::Warn(fault.describe()))
}

/// Returns the rejection of a device beside the one that is used.
pub(crate) fn rejection_of_unused(device: &Device, used: &Device) -> Rejection {
    if let Some(rejection) = rejection_of_truncated(device, false) {
        return rejection;
    }
    if device.parent_disk.is_some() || used.parent_disk.as_ref() == Some(&device.name) {
        return Rejection::Ignore;
    }
    if let Some(rejection) = rejection_of_table(device, false) {
        return rejection;
    }
    if let Err(why) = &device.signatures
        && why.kind() == std::io::ErrorKind::TimedOut
    {
        return Rejection::Warn(format!("cannot be read: {why}"));
    }
    match wants_format(device) {
        Err(rejection) => rejection,
        Ok(true) => Rejection::Log(format!(
            "it asks to be formatted, but {} is the data disk",
            used.name
        )),
        Ok(false) => match describe_unused(device, false, false) {
            Rejection::Warn(why) => Rejection::Log(why),
            other => other,
        },
    }
}

/// Returns the rejection of a partition that is not used. An empty data partition is damaged,
/// unless its format is in progress; one that cannot be read may be the one that is meant.
pub(crate) fn rejection_of_partition(
    device: &Device,
    devices: &[Device],
    selector: &DiskSelector,
) -> Rejection {
    let in_progress = matches!(
        parent_of(device, devices).map(|disk| &disk.format_state),
        Some(FormatState::InProgress(_) | FormatState::Refused(_))
    );
    match &device.signatures {
        Ok(found) if device.is_data_partition && found.is_empty() && !in_progress => {
            Rejection::Warn(format!(
                "it is a data partition, but no file system is found on it; is it damaged? `e2fsck /dev/{}` by hand",
                device.name
            ))
        }
        Err(why) if is_meant_partition(device, selector) => {
            Rejection::Warn(format!("cannot be read: {why}"))
        }
        _ => Rejection::Ignore,
    }
}

/// Returns true if a partition may be the data disk, as far as that is known without its content.
fn is_meant_partition(device: &Device, selector: &DiskSelector) -> bool {
    let disk = device.parent_disk.as_deref().unwrap_or_default();
    match selector {
        DiskSelector::Off => false,
        DiskSelector::Auto | DiskSelector::Label(_) | DiskSelector::Uuid(_) => {
            device.is_data_partition
        }
        DiskSelector::PartUuid(uuid) => {
            let own = device.partuuid.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(uuid))
        }
        DiskSelector::Device(_) => {
            selector.is_device(&device.name)
                || (device.is_data_partition && selector.is_device(disk))
        }
    }
}

/// Returns the rejection of a disk that is neither used nor formatted, with its contents. A disk
/// that the flags mean (`is_meant`) and that cannot be read may be the data disk: the rejection is a warning then.
pub(crate) fn describe_unused(device: &Device, is_named: bool, is_meant: bool) -> Rejection {
    if device.is_virtual && !is_named {
        return Rejection::Ignore; // a loop device or the like of the machine itself
    }
    Rejection::Log(match &device.signatures {
        Err(why) if is_meant => return Rejection::Warn(format!("cannot be read: {why}")),
        Err(why) => format!("cannot be read: {why}"),
        Ok(found) if found.is_empty() && device.is_blank => {
            "it is blank, but does not ask to be formatted; b2p.format=blank does".into()
        }
        Ok(found) if found.is_empty() => {
            "nothing on it is known, and it does not ask to be formatted".into()
        }
        Ok(found) => format!("it holds {}", join_names(found)),
    })
}

/// Returns the disk of a partition.
pub(crate) fn parent_of<'a>(device: &Device, devices: &'a [Device]) -> Option<&'a Device> {
    let disk = device.parent_disk.as_ref()?;
    devices.iter().find(|other| other.name == *disk)
}
