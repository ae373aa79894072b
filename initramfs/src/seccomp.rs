// SPDX-License-Identifier: Apache-2.0
//! podman's seccomp profile without keyctl(2).
//!
//! Keyrings have no namespace, and a container of root is uid 0 of the machine: with keyctl, the container links keyrings
//! into the keyring of the user root, reads and empties it, and uses up the quota of uid 0 (keyrings(7)), after which
//! crun cannot make the keyring of any container. Docker's profile has no keyctl either. The profile answers with
//! ENOSYS, as a kernel without keys, which crun in a container accepts.

use anyhow::{Context, Result, ensure};

use crate::tree::{Node, Tree};

/// Path of the profile (containers.conf(5), `seccomp_profile`).
const PROFILE: &str = "usr/share/containers/seccomp.json";
/// Line of the system call in the list of those that are allowed.
const CALL: &str = "\"keyctl\",";
/// Answer to all other system calls.
const DEFAULT: &str = "\"defaultErrno\": \"ENOSYS\"";

/// Replaces the profile of the package in the tree.
pub fn restrict(tree: &mut Tree) -> Result<()> {
    let entry = tree.get(PROFILE).context(PROFILE)?;
    let Node::File(source) = &entry.node else {
        anyhow::bail!("{PROFILE}: not a file");
    };
    let text = String::from_utf8(source.read()?).context(PROFILE)?;
    tree.bytes(PROFILE, without_call(&text).context(PROFILE)?, 0o644);
    Ok(())
}

fn without_call(profile: &str) -> Result<String> {
    let is_call = |line: &&str| line.trim() == CALL;
    let count = profile.lines().filter(is_call).count();
    ensure!(
        count == 1,
        "{count} lines are {CALL}, not one: the package has changed its form"
    );
    ensure!(
        profile.contains(DEFAULT),
        "not {DEFAULT}: what does crun in a container say?"
    );
    let lines = profile.lines().filter(|line| !is_call(line));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGED: &str = "{\n\t\"defaultErrno\": \"ENOSYS\",\n\t\"names\": [\n\t\t\"ipc\",\n\
                            \t\t\"keyctl\",\n\t\t\"kill\"\n\t]\n}\n";

    #[test]
    fn keyctl_is_removed_from_the_seccomp_profile() -> Result<()> {
        let mut tree = Tree::new();
        for dir in ["usr", "usr/share", "usr/share/containers"] {
            tree.dir(dir);
        }
        tree.bytes(PROFILE, PACKAGED, 0o644);
        restrict(&mut tree)?;
        let Some(Node::File(source)) = tree.get(PROFILE).map(|e| &e.node) else {
            anyhow::bail!("no file");
        };
        let want = PACKAGED.replace("\t\t\"keyctl\",\n", "");
        assert_eq!(String::from_utf8(source.read()?)?, want);
        Ok(())
    }

    #[test]
    fn a_profile_of_another_form_is_an_error() {
        for other in [
            "{}",
            &PACKAGED.replace("ENOSYS", "EPERM"),
            &PACKAGED.replace("keyctl", "x"),
        ] {
            assert!(without_call(other).is_err(), "{other}");
        }
    }
}
