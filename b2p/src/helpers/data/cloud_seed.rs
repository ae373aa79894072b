// SPDX-License-Identifier: Apache-2.0
//! Devices that carry a seed of cloud-init, noted for `b2p cloud`, which need not search again.

use disk::device::Device;
use disk::signature::{Signature, SignatureKind};
use log::warn;
use sys::paths::{CLOUD_SEED_DEVICES, IGNITION_DEVICES};

use crate::common::paths::Paths;

/// Returns true for a file system of cloud-init's NoCloud: the label `cidata` on ISO 9660 or
/// FAT.
pub fn is_seed(signature: &Signature) -> bool {
    let label = signature.label.as_deref().unwrap_or_default();
    let may_have_it = matches!(signature.kind, SignatureKind::Iso9660 | SignatureKind::Vfat);
    may_have_it && label.eq_ignore_ascii_case("cidata")
}

/// Returns true for a file system that may have a document of Ignition: the label `ignition`.
pub fn is_ignition(signature: &Signature) -> bool {
    let label = signature.label.as_deref().unwrap_or_default();
    let kinds = [
        SignatureKind::Iso9660,
        SignatureKind::Vfat,
        SignatureKind::Ext4,
    ];
    kinds.contains(&signature.kind) && label.eq_ignore_ascii_case("ignition")
}

/// Writes the names of the devices with a seed, one a line, and those with the label `ignition`
/// if there are any: PID 1 takes that file as the wish for `b2p ignition`.
pub fn note(paths: &Paths, devices: &[Device]) {
    let write = |path: &str, names: String| {
        sys::files::replace(&paths.at(path), names.as_bytes(), 0o644)
            .unwrap_or_else(|e| warn!("{e}"));
    };
    write(CLOUD_SEED_DEVICES, names(devices, is_seed));
    let documents = names(devices, is_ignition);
    if !documents.is_empty() {
        write(IGNITION_DEVICES, documents);
    }
}

fn names(devices: &[Device], filter: fn(&Signature) -> bool) -> String {
    let has_it = |device: &&Device| device.signatures.iter().flatten().any(filter);
    let found = devices.iter().filter(has_it);
    found.map(|device| format!("{}\n", device.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_on_a_file_system_that_may_have_it() {
        let signature = |kind, label: &str| Signature {
            kind,
            label: Some(label.into()),
            uuid: None,
        };
        assert!(is_seed(&signature(SignatureKind::Iso9660, "cidata")));
        assert!(is_seed(&signature(SignatureKind::Vfat, "CIDATA")));
        assert!(!is_seed(&signature(SignatureKind::Ext4, "cidata")));
        assert!(!is_seed(&signature(SignatureKind::Vfat, "data")));
        assert!(is_ignition(&signature(SignatureKind::Ext4, "Ignition")));
        assert!(!is_ignition(&signature(SignatureKind::Ext4, "cidata")));
    }
}
