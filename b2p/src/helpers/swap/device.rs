// SPDX-License-Identifier: Apache-2.0
//! Selects the device that a flag names, from facts about all devices.

use config::{DiskSelector, FormatPolicy};
use disk::device::Device;
use disk::signature::{Signature, SignatureKind};
use sys::error::{Error, Result};

use crate::helpers::block::answers::Answers;
use crate::helpers::block::{scan, wait};

/// Content that a device must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A swap area.
    Swap,
    /// A file system that can hold a swap file.
    FileSystem,
}

impl Content {
    fn includes(self, kind: SignatureKind) -> bool {
        match self {
            Content::Swap => kind == SignatureKind::Swap,
            Content::FileSystem => kind.is_posix_file_system() || kind == SignatureKind::Vfat,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Content::Swap => "swap",
            Content::FileSystem => "a file system that can hold a swap file",
        }
    }
}

/// Finds the device, and waits as long as one may appear, at least `wait_seconds`.
///
/// # Errors
/// The device does not exist, or does not have this content.
pub fn find(disk: &DiskSelector, wait_seconds: u16, content: Content) -> Result<Device> {
    let mut answers = Answers::default();
    let look = || {
        let devices = scan::scan(FormatPolicy::Never, &mut answers);
        select(&devices, disk, content)
            .map(|device| device.cloned())
            .transpose()
    };
    let found = wait::until(wait_seconds, look);
    found.unwrap_or_else(|| Err(Error::invalid("there is no such device")))
}

/// Returns the selected device, or `None` while the device is missing.
fn select<'a>(
    devices: &'a [Device],
    disk: &DiskSelector,
    content: Content,
) -> Result<Option<&'a Device>> {
    let matching: Vec<&Device> = devices.iter().filter(|d| matches(d, disk)).collect();
    match matching.as_slice() {
        [] => Ok(None),
        [device] => match reason_against(device, devices, content) {
            None => Ok(Some(*device)),
            // With a flag that names the device, the reason begins with the name already.
            Some(reason) if matches!(disk, DiskSelector::Device(_)) => Err(Error::invalid(reason)),
            Some(reason) => Err(Error::invalid(format!("{}: {reason}", device.name))),
        },
        [first, second, ..] => Err(Error::invalid(format!(
            "{} and {} both match; neither is used",
            first.name, second.name
        ))),
    }
}

fn matches(device: &Device, disk: &DiskSelector) -> bool {
    let signatures = device.signatures.as_deref().unwrap_or_default();
    let any = |is: &dyn Fn(&Signature) -> bool| signatures.iter().any(is);
    let same = |a: &Option<String>, b: &str| a.as_ref().is_some_and(|a| a.eq_ignore_ascii_case(b));
    match disk {
        DiskSelector::Auto | DiskSelector::Off => false,
        DiskSelector::Label(label) => any(&|s| s.label.as_ref() == Some(label)),
        DiskSelector::Uuid(uuid) => any(&|s| same(&s.uuid, uuid)),
        DiskSelector::PartUuid(uuid) => same(&device.partuuid, uuid),
        DiskSelector::Device(_) => disk.is_device(&device.name),
    }
}

/// Returns the reason why the device must not be used, or `None` if there is no reason.
fn reason_against(device: &Device, devices: &[Device], content: Content) -> Option<String> {
    let signatures = match &device.signatures {
        Ok(signatures) => signatures,
        Err(why) => return Some(format!("cannot be read: {why}")),
    };
    let names: Vec<_> = signatures.iter().map(|s| s.kind.name()).collect();
    match signatures.as_slice() {
        [signature] if content.includes(signature.kind) => {}
        [] => return Some(format!("it is not {}; it is left alone", content.name())),
        [_] => {
            let (holds, name) = (names.concat(), content.name());
            return Some(format!("it holds {holds}, not {name}; it is left alone"));
        }
        _ => {
            let names = names.join(" and ");
            return Some(format!("it looks like {names} at once; it is left alone"));
        }
    }
    if let Some(member) = member_of(device, devices) {
        return Some(format!("its disk is a {member}; it is left alone"));
    }
    device.read_only.then(|| "it is read-only".to_owned())
}

/// Returns the kind of array or volume group that the device's disk belongs to, if any: half of
/// a mirror shows the partitions that are in the mirror.
fn member_of(device: &Device, devices: &[Device]) -> Option<&'static str> {
    let disk = device.parent_disk.as_ref()?;
    let disk = devices.iter().find(|d| d.name == *disk)?;
    let signatures = disk.signatures.as_deref().unwrap_or_default();
    let member = signatures.iter().find(|s| s.kind.is_volume_member())?;
    Some(member.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::why;
    use disk::format_state::FormatState;

    fn device(name: &str, kinds: &[SignatureKind]) -> Device {
        let signature = |kind: &SignatureKind| Signature {
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
            signatures: Ok(kinds.iter().map(signature).collect()),
            truncation: None,
            table_fault: None,
            format_state: FormatState::Unrelated,
            is_blank: false,
        }
    }

    fn selected(devices: &[Device], disk: &DiskSelector, content: Content) -> Result<String> {
        let selected = select(devices, disk, content)?;
        Ok(selected.map_or("-".to_owned(), |d| d.name.clone()))
    }

    #[test]
    fn each_selector_finds_the_swap_device() {
        let all = [device("vda", &[SignatureKind::Swap])];
        for disk in [
            DiskSelector::Label("pool".into()),
            DiskSelector::Uuid("ABCD-1234".into()),
            DiskSelector::PartUuid("1234-01".into()),
            DiskSelector::Device("/dev/vda".into()),
        ] {
            assert_eq!(selected(&all, &disk, Content::Swap), Ok("vda".into()));
        }
        for disk in [
            DiskSelector::Label("Pool".into()),
            DiskSelector::Device("/dev/vdb".into()),
            DiskSelector::Auto,
        ] {
            assert_eq!(selected(&all, &disk, Content::Swap), Ok("-".into()));
        }
        let deep = [device("cciss!c0d0", &[SignatureKind::Swap])];
        let named = DiskSelector::Device("/dev/cciss/c0d0".into());
        assert_eq!(
            selected(&deep, &named, Content::Swap),
            Ok("cciss!c0d0".into())
        );
    }

    #[test]
    fn devices_with_another_signature_are_refused() {
        let named = DiskSelector::Device("/dev/vda".into());
        let refused = |device: Device, content| why(selected(&[device], &named, content));
        assert!(refused(device("vda", &[]), Content::Swap).contains("not swap"));
        assert!(
            refused(device("vda", &[SignatureKind::Ext4]), Content::Swap).contains("holds ext4")
        );
        assert!(
            refused(device("vda", &[SignatureKind::Swap]), Content::FileSystem)
                .contains("holds swap")
        );
        let both = device("vda", &[SignatureKind::Swap, SignatureKind::Xfs]);
        assert!(refused(both, Content::Swap).contains("at once"));
        let read_only = Device {
            read_only: true,
            ..device("vda", &[SignatureKind::Swap])
        };
        assert!(refused(read_only, Content::Swap).contains("read-only"));
        let unread = Device {
            signatures: Err(std::io::Error::from_raw_os_error(libc::EIO).into()),
            ..device("vda", &[])
        };
        assert!(refused(unread, Content::Swap).contains("os error 5"));
        let part = Device {
            parent_disk: Some("vdb".to_owned()),
            ..device("vda", &[SignatureKind::Swap])
        };
        let mirror = [part, device("vdb", &[SignatureKind::Raid])];
        assert!(why(selected(&mirror, &named, Content::Swap)).contains("raid_member"));
    }

    #[test]
    fn an_ambiguous_selector_is_refused() {
        let all = [
            device("vda", &[SignatureKind::Swap]),
            device("vdb", &[SignatureKind::Swap]),
        ];
        let named = DiskSelector::Label("pool".into());
        assert!(why(selected(&all, &named, Content::Swap)).contains("vda and vdb"));
        let wrong = why(selected(&all[..1], &named, Content::FileSystem));
        assert!(wrong.starts_with("vda: it holds swap"));
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
                selected(&all, &named, Content::FileSystem).is_ok(),
                fits,
                "{kind:?}"
            );
        }
    }
}
