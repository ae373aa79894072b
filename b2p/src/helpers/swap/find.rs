//! Which device a flag means, from facts about all of them.

use config::Data;
use disk::choose::{Consent, Device};
use disk::probe::{Found, Kind};

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
    fn fits(self, kind: Kind) -> bool {
        match self {
            Wanted::Swap => kind == Kind::Swap,
            Wanted::Files => kind.holds_data() || kind == Kind::Vfat,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Wanted::Swap => "swap",
            Wanted::Files => "a file system that can hold a swap file",
        }
    }
}

/// The disk in the flag's words.
#[must_use]
pub fn words(disk: &Data) -> String {
    match disk {
        Data::Auto => "auto".to_owned(),
        Data::Off => "off".to_owned(),
        Data::Label(label) => format!("LABEL={label}"),
        Data::Uuid(uuid) => format!("UUID={uuid}"),
        Data::PartUuid(uuid) => format!("PARTUUID={uuid}"),
        Data::Device(path) => path.clone(),
    }
}

/// Finds it, and waits for it where there is a reason to.
///
/// # Errors
/// Why there is none to use.
pub fn find(disk: &Data, seconds: u16, wanted: Wanted) -> Result<Device, String> {
    let look = || {
        let devices = scan::scan(Consent::Never);
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
    disk: &Data,
    wanted: Wanted,
) -> Result<Option<&'a Device>, String> {
    let meant: Vec<&Device> = devices.iter().filter(|d| means(d, disk)).collect();
    match meant.as_slice() {
        [] => Ok(None),
        [one] => match usable(one, devices, wanted) {
            Ok(()) => Ok(Some(*one)),
            // Who named the device knows its name.
            Err(why) if matches!(disk, Data::Device(_)) => Err(why),
            Err(why) => Err(format!("{}: {why}", one.name)),
        },
        [one, other, ..] => Err(format!(
            "{} and {} are both called so; neither is used",
            one.name, other.name
        )),
    }
}

fn means(device: &Device, disk: &Data) -> bool {
    let found = device.found.as_deref().unwrap_or_default();
    let any = |is: &dyn Fn(&Found) -> bool| found.iter().any(is);
    let same = |a: &Option<String>, b: &str| a.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(b));
    match disk {
        Data::Auto | Data::Off => false,
        Data::Label(label) => any(&|f| f.label.as_ref() == Some(label)),
        Data::Uuid(uuid) => any(&|f| same(&f.uuid, uuid)),
        Data::PartUuid(uuid) => same(&device.partuuid, uuid),
        // The kernel writes ! for / in /sys/class/block.
        Data::Device(path) => device.name == path.trim_start_matches("/dev/").replace('/', "!"),
    }
}

fn usable(device: &Device, devices: &[Device], wanted: Wanted) -> Result<(), String> {
    let found = match &device.found {
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
    let disk = device.disk.as_ref()?;
    let disk = devices.iter().find(|d| d.name == *disk)?;
    let found = disk.found.as_deref().unwrap_or_default();
    let member = found.iter().find(|f| f.kind.is_member())?;
    Some(member.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::format_state::Standing;

    fn device(name: &str, kinds: &[Kind]) -> Device {
        let found = |kind: &Kind| Found {
            kind: *kind,
            label: Some("pool".to_owned()),
            uuid: Some("aBcd-1234".to_owned()),
        };
        Device {
            name: name.to_owned(),
            disk: None,
            size: 1 << 30,
            read_only: false,
            made: false,
            busy: None,
            partuuid: Some("1234-01".to_owned()),
            ours: false,
            found: Ok(kinds.iter().map(found).collect()),
            standing: Standing::Apart,
            blank: false,
        }
    }

    fn chosen(devices: &[Device], disk: &Data, wanted: Wanted) -> Result<String, String> {
        let chosen = choose(devices, disk, wanted)?;
        Ok(chosen.map_or("-".to_owned(), |d| d.name.clone()))
    }

    #[test]
    fn every_way_to_name_one() {
        let all = [device("vda", &[Kind::Swap])];
        for disk in [
            Data::Label("pool".into()),
            Data::Uuid("ABCD-1234".into()),
            Data::PartUuid("1234-01".into()),
            Data::Device("/dev/vda".into()),
        ] {
            assert_eq!(chosen(&all, &disk, Wanted::Swap), Ok("vda".into()));
        }
        for disk in [
            Data::Label("Pool".into()),
            Data::Device("/dev/vdb".into()),
            Data::Auto,
        ] {
            assert_eq!(chosen(&all, &disk, Wanted::Swap), Ok("-".into()));
        }
        let deep = [device("cciss!c0d0", &[Kind::Swap])];
        let named = Data::Device("/dev/cciss/c0d0".into());
        assert_eq!(chosen(&deep, &named, Wanted::Swap), Ok("cciss!c0d0".into()));
    }

    #[test]
    fn what_is_not_plainly_that_is_left_alone() {
        let named = Data::Device("/dev/vda".into());
        let told = |one: Device, wanted| {
            let why = chosen(&[one], &named, wanted);
            why.expect_err("it must not be taken")
        };
        assert!(told(device("vda", &[]), Wanted::Swap).contains("not swap"));
        assert!(told(device("vda", &[Kind::Ext4]), Wanted::Swap).contains("holds ext4"));
        assert!(told(device("vda", &[Kind::Swap]), Wanted::Files).contains("holds swap"));
        let both = device("vda", &[Kind::Swap, Kind::Xfs]);
        assert!(told(both, Wanted::Swap).contains("at once"));
        let read_only = Device {
            read_only: true,
            ..device("vda", &[Kind::Swap])
        };
        assert!(told(read_only, Wanted::Swap).contains("only be read"));
        let unread = Device {
            found: Err("EIO".to_owned()),
            ..device("vda", &[])
        };
        assert!(told(unread, Wanted::Swap).contains("EIO"));
        let part = Device {
            disk: Some("vdb".to_owned()),
            ..device("vda", &[Kind::Swap])
        };
        let mirror = [part, device("vdb", &[Kind::Raid])];
        assert!(chosen(&mirror, &named, Wanted::Swap).is_err_and(|e| e.contains("raid_member")));
    }

    #[test]
    fn two_of_a_name_are_none() {
        let all = [device("vda", &[Kind::Swap]), device("vdb", &[Kind::Swap])];
        let named = Data::Label("pool".into());
        let why = chosen(&all, &named, Wanted::Swap);
        assert!(why.is_err_and(|e| e.contains("vda and vdb")));
        let why = chosen(&all[..1], &named, Wanted::Files);
        assert!(why.is_err_and(|e| e.starts_with("vda: it holds swap")));
    }

    #[test]
    fn file_systems_for_a_swap_file() {
        let named = Data::Device("/dev/vda".into());
        for (kind, fits) in [
            (Kind::Ext4, true),
            (Kind::Vfat, true),
            (Kind::Btrfs, true),
            (Kind::Ntfs, false),
            (Kind::Iso9660, false),
            (Kind::Luks, false),
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
