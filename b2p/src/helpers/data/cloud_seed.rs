// SPDX-License-Identifier: Apache-2.0
//! Devices that carry a seed of cloud-init, noted for `b2p cloud`, which need not look for them
//! again.

use disk::device::Device;
use disk::signature::{Signature, SignatureKind};
use log::warn;
use sys::paths::CLOUD_SEED_DEVICES;

use crate::common::paths::Paths;

/// Returns true for a file system of cloud-init's NoCloud: the label `cidata` on ISO 9660 or
/// FAT.
pub fn is_seed(signature: &Signature) -> bool {
    let label = signature.label.as_deref().unwrap_or_default();
    let may_have_it = matches!(signature.kind, SignatureKind::Iso9660 | SignatureKind::Vfat);
    may_have_it && label.eq_ignore_ascii_case("cidata")
}

/// Writes the names of the devices with a seed, one a line.
pub fn note(paths: &Paths, devices: &[Device]) {
    let has_seed = |device: &&Device| device.signatures.iter().flatten().any(is_seed);
    let seeds = devices.iter().filter(has_seed);
    let names: String = seeds.map(|device| format!("{}\n", device.name)).collect();
    sys::files::replace(&paths.at(CLOUD_SEED_DEVICES), names.as_bytes(), 0o644)
        .unwrap_or_else(|e| warn!("{e}"));
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
    }
}
