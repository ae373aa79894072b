// SPDX-License-Identifier: Apache-2.0
//! Units that no generator writes: those of kube files and compose projects on the data disk.

use std::path::Path;

use super::generator::Generated;
use super::specifiers::Owner;
use super::{compose, kube};

/// Returns true if the owner has kube files or compose projects, which are the machine's.
#[must_use]
pub fn has_files(owner: &Owner) -> bool {
    owner.uid == 0 && (kube::has_files() || compose::has_files())
}

/// Adds the units to those of the generator.
pub fn add(owner: &Owner, output: &mut Generated) {
    if owner.uid != 0 {
        return;
    }
    for made in [
        kube::units(Path::new(kube::DIR)),
        compose::units(Path::new(compose::DIR)),
    ] {
        output.units += &made.units;
        output.faults.extend(made.faults);
    }
}
