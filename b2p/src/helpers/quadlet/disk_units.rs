// SPDX-License-Identifier: Apache-2.0
//! Units that no generator writes: those of kube files and compose projects on the data disk.

use std::path::Path;

use super::generator::Generated;
use super::specifiers::Owner;
use super::unit::split_output;
use super::unit_error::Fault;
use super::{compose, kube};

/// Returns true if the user has kube files or compose projects, which are the machine's.
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
        add_units(output, &made.units);
        output.faults.extend(made.faults);
    }
}

/// Adds units to existing ones, which stay.
fn add_units(output: &mut Generated, units: &str) {
    for (name, text) in split_output(units) {
        let known = split_output(&output.units);
        if known.iter().any(|(known, _)| *known == name) {
            let fault =
                format!("{name}: the unit of a kube file or a project: another file is this unit");
            output.faults.push(Fault::of_quadlet(fault));
        } else {
            output.units += &format!("---{name}---\n{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kube_file_replaces_no_quadlet() {
        let unit = |name: &str, n: u32| format!("---{name}.service---\n[Unit]\nA={n}\n");
        let mut output = Generated {
            units: unit("web", 1),
            faults: Vec::new(),
        };
        add_units(
            &mut output,
            &(unit("web", 2) + &unit("db", 3) + &unit("db", 4)),
        );
        assert_eq!(output.units, unit("web", 1) + &unit("db", 3));
        let faults = output.faults.iter().map(|f| f.why.split(':').next());
        let faults: Vec<_> = faults.flatten().collect();
        assert_eq!(faults, ["web.service", "db.service"]);
    }
}
