// SPDX-License-Identifier: Apache-2.0
//! The compiled profile: its name, its second name, and the way into the kernel.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use sys::error::{Doing, Error, Result};

/// The compiled profile.
pub const COMPILED: &str = "/usr/share/boot2podman/containers-default.apparmor";
/// File that takes a compiled profile and replaces one of the same name
/// (security/apparmor/apparmorfs.c).
pub const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";
/// Names and modes of the profiles in the kernel, a line each.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
/// Bytes before the length of the profile's name: a struct named `profile` begins, then a string
/// (security/apparmor/policy_unpack.c, `unpack_profile`).
pub const BEFORE_NAME: &[u8] = b"\x04\x08\0profile\0\x07\x05";

/// Returns the name of the profile, which is in the kernel then; `None` if the kernel has no
/// AppArmor.
///
/// # Errors
/// The kernel does not take the profile.
pub fn loaded() -> Result<Option<String>> {
    // Without AppArmor, by its configuration or by the command line, there is no such file.
    let profiles = match fs::read_to_string(PROFILES) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        profiles => profiles.on(Path::new(PROFILES))?,
    };
    let policy = fs::read(COMPILED).on(Path::new(COMPILED))?;
    let name = String::from_utf8_lossy(policy.get(name(&policy)?).unwrap_or_default());
    let is_this = |line: &str| {
        line.strip_prefix(&*name)
            .is_some_and(|m| m.starts_with(" ("))
    };
    if !profiles.lines().any(is_this) {
        fs::write(REPLACE, &policy).on(Path::new(REPLACE))?;
    }
    Ok(Some(name.into_owned()))
}

/// Loads the profile under another name.
///
/// # Errors
/// The name has another length, or the kernel does not take the profile.
pub fn load_as(name: &str) -> Result<()> {
    let policy = fs::read(COMPILED).on(Path::new(COMPILED))?;
    let policy = renamed(policy, name)?;
    fs::write(REPLACE, policy).on(Path::new(REPLACE))
}

/// Returns the place of the profile's name.
fn name(policy: &[u8]) -> Result<Range<usize>> {
    let damaged = || Error::invalid(format!("{COMPILED}: no profile in it"));
    let header = policy
        .windows(BEFORE_NAME.len())
        .position(|bytes| bytes == BEFORE_NAME)
        .ok_or_else(damaged)?;
    let begin = header + BEFORE_NAME.len() + 2;
    let length = policy.get(begin - 2..begin).ok_or_else(damaged)?;
    // The string ends with a NUL, which the length includes.
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let place = begin..(begin + length).saturating_sub(1);
    policy.get(place.clone()).ok_or_else(damaged)?;
    Ok(place)
}

/// Gives the compiled profile another name, for a podman of another version. The data after the
/// name is aligned, so the length stays.
fn renamed(mut policy: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    let place = self::name(&policy)?;
    let old = policy.get_mut(place).unwrap_or_default();
    if old.len() != name.len() {
        let has = String::from_utf8_lossy(old);
        return Err(Error::invalid(format!(
            "profile {name}: the machine has {has}. Create the container again, or with \
             --security-opt apparmor=unconfined"
        )));
    }
    old.copy_from_slice(name.as_bytes());
    Ok(policy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compiled(name: &str) -> Vec<u8> {
        let mut bytes = b"\x04\x08\0version\0\x02\x07\x20\x20\0".to_vec();
        bytes.extend(BEFORE_NAME);
        bytes.extend(u16::try_from(name.len() + 1).unwrap().to_le_bytes());
        bytes.extend(name.bytes());
        bytes.extend(b"\0\x04\x06\0flags\0\x07");
        bytes
    }

    #[test]
    fn a_name_of_the_same_length_replaces_the_other() {
        let before = compiled("containers-default-0.62.2");
        assert_eq!(
            &before[name(&before).unwrap()],
            b"containers-default-0.62.2"
        );
        for name in ["containers-default-0.62.2", "containers-default-0.65.1"] {
            assert_eq!(renamed(before.clone(), name).unwrap(), compiled(name));
        }
        let why = renamed(before, "containers-default-0.100.1").unwrap_err();
        let why = why.to_string();
        assert!(why.contains("0.100.1") && why.contains("0.62.2"), "{why}");
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let whole = compiled("containers-default-0.62.2");
        for end in [0, 1, 20, BEFORE_NAME.len() + 18, BEFORE_NAME.len() + 22] {
            let why = renamed(whole[..end].to_vec(), "containers-default-0.62.2").unwrap_err();
            assert!(why.to_string().contains("no profile in it"), "{end}: {why}");
        }
    }
}
