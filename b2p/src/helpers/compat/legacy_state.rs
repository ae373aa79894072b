// SPDX-License-Identifier: Apache-2.0
//! State directories of boot2docker and of the first boot2podman on a data disk.
//!
//! Their keys are taken (`data::keys`). Their hooks are not run, because these were written for
//! Tiny Core and docker (`tce-load`, `/usr/local/etc/init.d/docker restart`, a `DOCKER_HOST` in the
//! profile), and no setting of this system requests them. Their certificate authorities are not
//! trusted. To use one of these files, a user copies it into the state directory; until then a log
//! line names the file.

use std::path::Path;

/// State directories of those systems, below the root of the file system.
pub const DIRS: [&str; 2] = ["var/lib/boot2docker", "var/lib/boot2podman"];
/// Files that this system has by the same names in its own state directory.
const NAMES: [&str; 4] = ["profile", "bootsync.sh", "bootlocal.sh", "certs"];

/// Returns a line that names the files of those systems without a counterpart in `state_dir`, or
/// `None` if there are none.
pub fn unused_files(mount_point: &Path, state_dir: &Path) -> Option<String> {
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    DIRS.iter().find_map(|dir| {
        let dir = mount_point.join(dir);
        let unused = |name: &&&str| exists(&dir.join(name)) && !exists(&state_dir.join(name));
        let names: Vec<&str> = NAMES.iter().filter(unused).copied().collect();
        (!names.is_empty()).then(|| {
            format!(
                "{} has {}, which is for another system and not used; to use it here, copy it \
                 into {}",
                dir.display(),
                names.join(", "),
                state_dir.display()
            )
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;

    #[test]
    fn legacy_files_without_a_counterpart_are_named() {
        let temp = Temp::new();
        let (old, state_dir) = (temp.path(DIRS[0]), temp.path("boot2podman"));
        fs::create_dir_all(old.join("certs")).unwrap();
        fs::create_dir_all(&state_dir).unwrap();
        for name in ["bootlocal.sh", "profile", "userdata.tar"] {
            fs::write(old.join(name), "").unwrap();
        }
        let unused = || unused_files(temp.dir(), &state_dir);
        let line = unused().unwrap();
        assert!(
            line.contains("boot2docker has profile, bootlocal.sh, certs, which"),
            "{line}"
        );
        for name in ["bootlocal.sh", "profile"] {
            fs::write(state_dir.join(name), "").unwrap();
        }
        assert!(unused().unwrap().contains("has certs, which"));
        fs::remove_dir(old.join("certs")).unwrap();
        assert_eq!(unused(), None);
    }
}
