//! Why a device is not taken: what there is to say about it, and to whom.

use crate::device::Device;
use crate::format_state::FormatState;
use crate::signature::Signature;

/// Why a device is not taken.
pub(crate) enum Rejection {
    /// It is of no concern.
    Ignore,
    /// For the log.
    Log(String),
    /// For its owner.
    Warn(String),
}

/// Whether a disk asks to be formatted; one that must not have it is told so.
pub(crate) fn asks(device: &Device) -> Result<bool, Rejection> {
    match &device.format_state {
        FormatState::Refused(why) => Err(Rejection::Warn(format!("not formatted: {why}"))),
        FormatState::Requested(_, found) if !found.is_empty() => Err(Rejection::Warn(format!(
            "it asks to be formatted, but there is {} on it; `wipefs -a /dev/{}` first, then the words again",
            kinds(found),
            device.name
        ))),
        FormatState::Requested(..) | FormatState::InProgress(_) => Ok(true),
        FormatState::Unrelated | FormatState::Complete(_) => Ok(false),
    }
}

/// What there is to say about another disk than the one that is used.
pub(crate) fn beside(device: &Device, used: &Device) -> Result<(), Rejection> {
    if device.parent_disk.is_some() || used.parent_disk.as_ref() == Some(&device.name) {
        return Err(Rejection::Ignore);
    }
    let note = match asks(device)? {
        true => format!(
            "it asks to be formatted, but {} is the data disk",
            used.name
        ),
        false => match why_not(device, false, false) {
            Rejection::Log(why) | Rejection::Warn(why) => why,
            Rejection::Ignore => return Err(Rejection::Ignore),
        },
    };
    Err(Rejection::Log(note))
}

/// A partition that was made for data and does not hold any is damaged, unless
/// its making has not come so far.
pub(crate) fn lost(device: &Device, devices: &[Device]) -> Rejection {
    let making = matches!(
        parent(device, devices).map(|d| &d.format_state),
        Some(FormatState::InProgress(_) | FormatState::Refused(_))
    );
    match &device.signatures {
        Ok(found) if device.is_data_partition && found.is_empty() && !making => {
            Rejection::Warn(format!(
                "it is a data partition, but no file system is found on it; is it damaged? `e2fsck /dev/{}` by hand",
                device.name
            ))
        }
        _ => Rejection::Ignore,
    }
}

/// For the log: what there is on a disk that is neither used nor formatted. One that
/// could be `meant` and cannot be read may be the data disk: its owner is told.
pub(crate) fn why_not(device: &Device, named: bool, meant: bool) -> Rejection {
    if device.is_virtual && !named {
        return Rejection::Ignore; // a loop device, of what the machine has itself
    }
    Rejection::Log(match &device.signatures {
        Err(why) if meant => return Rejection::Warn(format!("cannot be read: {why}")),
        Err(why) => format!("cannot be read: {why}"),
        Ok(found) if found.is_empty() && device.is_blank => {
            "it is blank, but does not ask to be formatted; b2p.format=blank does".into()
        }
        Ok(found) if found.is_empty() => {
            "nothing on it is known, and it does not ask to be formatted".into()
        }
        Ok(found) => format!("it holds {}", kinds(found)),
    })
}

pub(crate) fn kinds(found: &[Signature]) -> String {
    let names: Vec<_> = found.iter().map(|f| f.kind.name()).collect();
    names.join(" and ")
}

/// The disk that a partition is on.
pub(crate) fn parent<'a>(device: &Device, devices: &'a [Device]) -> Option<&'a Device> {
    let disk = device.parent_disk.as_ref()?;
    devices.iter().find(|d| d.name == *disk)
}
