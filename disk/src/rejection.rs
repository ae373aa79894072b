//! Why a device is not taken: what there is to say about it, and to whom.

use crate::choose::Device;
use crate::format_state::Standing;
use crate::probe::Found;

/// Why a device is not taken.
pub(crate) enum Not {
    /// It is of no concern.
    Silent,
    /// For the log.
    Note(String),
    /// For its owner.
    Loud(String),
}

/// Whether a disk asks to be formatted; one that must not have it is told so.
pub(crate) fn asks(device: &Device) -> Result<bool, Not> {
    match &device.standing {
        Standing::Refused(why) => Err(Not::Loud(format!("not formatted: {why}"))),
        Standing::Asks(_, found) if !found.is_empty() => Err(Not::Loud(format!(
            "it asks to be formatted, but there is {} on it; `wipefs -a /dev/{}` first, then the words again",
            kinds(found),
            device.name
        ))),
        Standing::Asks(..) | Standing::Half(_) => Ok(true),
        Standing::Apart | Standing::Made(_) => Ok(false),
    }
}

/// What there is to say about another disk than the one that is used.
pub(crate) fn beside(device: &Device, used: &Device) -> Result<(), Not> {
    if device.disk.is_some() || used.disk.as_ref() == Some(&device.name) {
        return Err(Not::Silent);
    }
    let note = match asks(device)? {
        true => format!(
            "it asks to be formatted, but {} is the data disk",
            used.name
        ),
        false => match why_not(device, false, false) {
            Not::Note(why) | Not::Loud(why) => why,
            Not::Silent => return Err(Not::Silent),
        },
    };
    Err(Not::Note(note))
}

/// A partition that was made for data and does not hold any is damaged, unless
/// its making has not come so far.
pub(crate) fn lost(device: &Device, devices: &[Device]) -> Not {
    let making = matches!(
        parent(device, devices).map(|d| &d.standing),
        Some(Standing::Half(_) | Standing::Refused(_))
    );
    match &device.found {
        Ok(found) if device.ours && found.is_empty() && !making => Not::Loud(format!(
            "it is a data partition, but no file system is found on it; is it damaged? `e2fsck /dev/{}` by hand",
            device.name
        )),
        _ => Not::Silent,
    }
}

/// For the log: what there is on a disk that is neither used nor formatted. One that
/// could be `meant` and cannot be read may be the data disk: its owner is told.
pub(crate) fn why_not(device: &Device, named: bool, meant: bool) -> Not {
    if device.made && !named {
        return Not::Silent; // a loop device, of what the machine has itself
    }
    Not::Note(match &device.found {
        Err(why) if meant => return Not::Loud(format!("cannot be read: {why}")),
        Err(why) => format!("cannot be read: {why}"),
        Ok(found) if found.is_empty() && device.blank => {
            "it is blank, but does not ask to be formatted; b2p.format=blank does".into()
        }
        Ok(found) if found.is_empty() => {
            "nothing on it is known, and it does not ask to be formatted".into()
        }
        Ok(found) => format!("it holds {}", kinds(found)),
    })
}

pub(crate) fn kinds(found: &[Found]) -> String {
    let names: Vec<_> = found.iter().map(|f| f.kind.name()).collect();
    names.join(" and ")
}

/// The disk that a partition is on.
pub(crate) fn parent<'a>(device: &Device, devices: &'a [Device]) -> Option<&'a Device> {
    let disk = device.disk.as_ref()?;
    devices.iter().find(|d| d.name == *disk)
}
