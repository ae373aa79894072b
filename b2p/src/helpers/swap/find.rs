//! Which device a flag means, from facts about all of them.

use config::{DiskSelector, FormatPolicy};
use disk::device::Device;
use disk::signature::{Signature, SignatureKind};

use crate::helpers::data::{scan, wait};

/// What must be on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Swap.
    Swap,
    /// A file system that can hold a swap file.
    Files,
}

impl Wanted {
    fn fits(self, kind: SignatureKind) -> bool {
        match self {
            Wanted::Swap => kind == SignatureKind::Swap,
            Wanted::Files => kind.holds_data() || kind == SignatureKind::Vfat,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Swap => "swap",
            Wanted::Files => "a file system that can hold a swap file",
        }
    }
}

/// Finds it, and waits for it where there is a reason to.
///
/// # Errors
/// Why there is none to use.
pub fn find(disk: &DiskSelector, seconds: u16, wanted: Wanted) -> Result<Device, String> {
    let look = || {
        let devices = scan::scan(FormatPolicy::Never);
        match choose(&devices, disk, wanted) {
            Ok(None) => None,
            Ok(Some(device)) => Some(Ok(device.clone())),
            Err(why) => Some(Err(why)),
        }
    };
    wait::until(seconds, look).unwrap_or_else(|| Err("there is no such device".into()))
}

/// The one that is meant; `None` while it is not there.
fn choose<'a>(
    devices: &'a [Device],
    disk: &DiskSelector,
    wanted: Wanted,
) -> Result<Option<&'a Device>, String> {
    let meant: Vec<&Device> = devices.iter().filter(|d| means(d, disk)).collect();
    match meant.as_slice() {
        [] => Ok(None),
        [one] => match usable(one, devices, wanted) {
            Ok(()) => Ok(Some(*one)),
            // Who named the device knows its name.
            Err(why) if matches!(disk, DiskSelector::Device(_)) => Err(why),
            Err(why) => Err(format!("{}: {why}", one.name)),
        },
        [one, other, ..] => Err(format!(
            "{} and {} are both called so; neither is used",
            one.name, other.name
        )),
    }
}

fn means(device: &Device, disk: &DiskSelector) -> bool {
    let found = device.signatures.as_deref().unwrap_or_default();
    let any = |is: &dyn Fn(&Signature) -> bool| found.iter().any(is);
    let same = |a: &Option<String>, b: &str| a.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(b));
    match disk {
        DiskSelector::Auto | DiskSelector::Off => false,
        DiskSelector::Label(label) => any(&|f| f.label.as_ref() == Some(label)),
        DiskSelector::Uuid(uuid) => any(&|f| same(&f.uuid, uuid)),
        DiskSelector::PartUuid(uuid) => same(&device.partuuid, uuid),
        DiskSelector::Device(_) => disk.is_device(&device.name),
    }
}

fn usable(device: &Device, devices: &[Device], wanted: Wanted) -> Result<(), String> {
    let found = match &device.signatures {
        Ok(found) => found,
        Err(why) => return Err(format!("cannot be read: {why}")),
    };
    let names: Vec<_> = found.iter().map(|f| f.kind.name()).collect();
    match found.as_slice() {
        [one] if wanted.fits(one.kind) => {}
        [] => return Err(format!("it is not {}; it is left alone", wanted.name())),
        [_] => {
            let (holds, name) = (names.concat(), wanted.name());
            return Err(format!("it holds {holds}, not {name}; it is left alone"));
        }
        _ => {
            let names = names.join(" and ");
            return Err(format!("it looks like {names} at once; it is left alone"));
        }
    }
    if let Some(member) = member(device, devices) {
        return Err(format!("its disk is a {member}; it is left alone"));
    }
    if device.read_only {
        return Err("it can only be read".to_owned());
    }
    Ok(())
}

/// What bigger thing its disk is a part of: half of a mirror shows the partitions
/// that are in the mirror.
fn member(device: &Device, devices: &[Device]) -> Option<&'static str> {
    let disk = device.parent_disk.as_ref()?;
    let disk = devices.iter().find(|d| d.name == *disk)?;
    let found = disk.signatures.as_deref().unwrap_or_default();
    let member = found.iter().find(|f| f.kind.is_member())?;
    Some(member.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::format_state::FormatState;

    fn device(name: &str, kinds: &[SignatureKind]) -> Device {
        let found = |kind: &SignatureKind| Signature {
            kind: *kind,
            label: Some("pool".to_owned()),
            uuid: Some("aBcd-1234".to_owned()),
        };
        Device {
            name: name.to_owned(),
            parent_disk: None,
            size: 1 << 30,
            read_only: false,
            is_virtual: false,
            in_use: None,
            partuuid: Some("1234-01".to_owned()),
            is_data_partition: false,
            signatures: Ok(kinds.iter().map(found).collect()),
            format_state: FormatState::Unrelated,
            is_blank: false,
        }
    }

    fn chosen(devices: &[Device], disk: &DiskSelector, wanted: Wanted) -> Result<String, String> {
        let chosen = choose(devices, disk, wanted)?;
        Ok(chosen.map_or("-".to_owned(), |d| d.name.clone()))
    }

    #[test]
    fn every_way_to_name_one() {
        let all = [device("vda", &[SignatureKind::Swap])];
        for disk in [
            DiskSelector::Label("pool".into()),
            DiskSelector::Uuid("ABCD-1234".into()),
            DiskSelector::PartUuid("1234-01".into()),
            DiskSelector::Device("/dev/vda".into()),
        ] {
            assert_eq!(chosen(&all, &disk, Wanted::Swap), Ok("vda".into()));
        }
        for disk in [
            DiskSelector::Label("Pool".into()),
            DiskSelector::Device("/dev/vdb".into()),
            DiskSelector::Auto,
        ] {
            assert_eq!(chosen(&all, &disk, Wanted::Swap), Ok("-".into()));
        }
        let deep = [device("cciss!c0d0", &[SignatureKind::Swap])];
        let named = DiskSelector::Device("/dev/cciss/c0d0".into());
        assert_eq!(chosen(&deep, &named, Wanted::Swap), Ok("cciss!c0d0".into()));
    }

    #[test]
    fn what_is_not_plainly_that_is_left_alone() {
        let named = DiskSelector::Device("/dev/vda".into());
        let told = |one: Device, wanted| {
            let why = chosen(&[one], &named, wanted);
            why.expect_err("it must not be taken")
        };
        assert!(told(device("vda", &[]), Wanted::Swap).contains("not swap"));
        assert!(told(device("vda", &[SignatureKind::Ext4]), Wanted::Swap).contains("holds ext4"));
        assert!(told(device("vda", &[SignatureKind::Swap]), Wanted::Files).contains("holds swap"));
        let both = device("vda", &[SignatureKind::Swap, SignatureKind::Xfs]);
        assert!(told(both, Wanted::Swap).contains("at once"));
        let read_only = Device {
            read_only: true,
            ..device("vda", &[SignatureKind::Swap])
        };
        assert!(told(read_only, Wanted::Swap).contains("only be read"));
        let unread = Device {
            signatures: Err("EIO".to_owned()),
            ..device("vda", &[])
        };
        assert!(told(unread, Wanted::Swap).contains("EIO"));
        let part = Device {
            parent_disk: Some("vdb".to_owned()),
            ..device("vda", &[SignatureKind::Swap])
        };
        let mirror = [part, device("vdb", &[SignatureKind::Raid])];
        assert!(chosen(&mirror, &named, Wanted::Swap).is_err_and(|e| e.contains("raid_member")));
    }

    #[test]
    fn two_of_a_name_are_none() {
        let all = [
            device("vda", &[SignatureKind::Swap]),
            device("vdb", &[SignatureKind::Swap]),
        ];
        let named = DiskSelector::Label("pool".into());
        let why = chosen(&all, &named, Wanted::Swap);
        assert!(why.is_err_and(|e| e.contains("vda and vdb")));
        let why = chosen(&all[..1], &named, Wanted::Files);
        assert!(why.is_err_and(|e| e.starts_with("vda: it holds swap")));
    }

    #[test]
    fn file_systems_for_a_swap_file() {
        let named = DiskSelector::Device("/dev/vda".into());
        for (kind, fits) in [
            (SignatureKind::Ext4, true),
            (SignatureKind::Vfat, true),
            (SignatureKind::Btrfs, true),
            (SignatureKind::Ntfs, false),
            (SignatureKind::Iso9660, false),
            (SignatureKind::Luks, false),
        ] {
            let all = [device("vda", &[kind])];
            assert_eq!(
                chosen(&all, &named, Wanted::Files).is_ok(),
                fits,
                "{kind:?}"
            );
        }
    }
}
