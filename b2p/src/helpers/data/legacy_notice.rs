//! What a disk of boot2docker's, or of the first boot2podman's, has in places of theirs.
//!
//! Keys are taken ([`super::keys`]). Hooks are not run: they were written for Tiny Core
//! and docker (`tce-load`, `/usr/local/etc/init.d/docker restart`, a `DOCKER_HOST` in the
//! profile), and nobody has asked for them here. Nor is anybody trusted by them. Whoever
//! wants one puts it where ours are, by hand; until then a line names it.

use std::path::Path;

/// Where they had their state, below the root of the file system.
pub const DIRS: [&str; 2] = ["var/lib/boot2docker", "var/lib/boot2podman"];
/// What is ours by the same names.
const NAMES: [&str; 4] = ["profile", "bootsync.sh", "bootlocal.sh", "certs"];

/// What of it is there and has no counterpart in `state`: the line that says so.
pub fn left(mnt: &Path, state: &Path) -> Option<String> {
    let old = DIRS.map(|dir| mnt.join(dir)).into_iter();
    let mut lines = old.filter_map(|dir| {
        let there = |name: &&&str| {
            dir.join(name).symlink_metadata().is_ok() && state.join(name).symlink_metadata().is_err()
        };
        let names: Vec<&str> = NAMES.iter().filter(there).copied().collect();
        (!names.is_empty()).then(|| {
            let (dir, state) = (dir.display(), state.display());
            format!(
                "{dir} has {}, which is for another system and not used; what is to hold here, put into {state}",
                names.join(", ")
            )
        })
    });
    lines.next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_has_no_counterpart_is_named() {
        let root = std::env::temp_dir().join(format!("b2p-old-{}", std::process::id()));
        let (old, state) = (root.join(DIRS[0]), root.join("boot2podman"));
        fs::create_dir_all(old.join("certs")).unwrap();
        fs::create_dir_all(&state).unwrap();
        for name in ["bootlocal.sh", "profile", "userdata.tar"] {
            fs::write(old.join(name), "").unwrap();
        }
        let said = left(&root, &state).unwrap();
        assert!(
            said.contains("boot2docker has profile, bootlocal.sh, certs, which"),
            "{said}"
        );
        for name in ["bootlocal.sh", "profile"] {
            fs::write(state.join(name), "").unwrap();
        }
        assert!(left(&root, &state).unwrap().contains("has certs, which"));
        fs::remove_dir(old.join("certs")).unwrap();
        assert_eq!(left(&root, &state), None);
        fs::remove_dir_all(root).unwrap();
    }
}
