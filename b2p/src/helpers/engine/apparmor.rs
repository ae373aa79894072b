// SPDX-License-Identifier: Apache-2.0
//! `apparmor_parser`, as podman calls it: before the first container of root starts, podman looks
//! for its default profile in the kernel and has this program load it (containers/common,
//! pkg/apparmor, `InstallDefault`). The image contains the profile compiled
//! (`initramfs/src/apparmor.rs`), and no compiler: of what podman sends, only the name counts.

use std::fs;
use std::io::{Read, stdin};
use std::path::Path;

use sys::error::{Doing, Error, Result};

/// The compiled profile.
const COMPILED: &str = "/usr/share/boot2podman/containers-default.apparmor";
/// File that takes a compiled profile and replaces one of the same name
/// (security/apparmor/apparmorfs.c).
const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";
/// Prefix of the names of podman's default profile.
const PREFIX: &str = "containers-default-";
/// Bytes before the length of the profile's name: a struct named `profile` begins, then a string
/// (security/apparmor/policy_unpack.c, `unpack_profile`).
const BEFORE_NAME: &[u8] = b"\x04\x08\0profile\0\x07\x05";
/// Limit of a profile's text; podman's has 2 kB.
const MAX_TEXT: u64 = 64 << 10;

/// Version of the compiler that podman may take this for: 4.1 knows all rules of its template.
const VERSION: &str = "AppArmor parser version 4.1.0\n\
                       (b2p: loads the compiled profile of containers, and compiles nothing)";

/// Loads the profile that standard input names, and returns the exit status.
pub fn main(arguments: &[String]) -> i32 {
    if arguments.iter().any(|a| a == "--version" || a == "-V") {
        println!("{VERSION}");
        return 0;
    }
    match replaces(arguments).and_then(|()| load()) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("apparmor_parser: {e}");
            1
        }
    }
}

/// Accepts `-Kr` and the like: a profile from standard input is to be added or replaced.
fn replaces(arguments: &[String]) -> Result<()> {
    let known = |argument: &String| match argument.as_str() {
        "--add" | "--replace" | "--skip-read-cache" | "--quiet" => true,
        short => short
            .strip_prefix('-')
            .is_some_and(|letters| letters.bytes().all(|b| b"KTWqra".contains(&b))),
    };
    match arguments.iter().find(|argument| !known(argument)) {
        None => Ok(()),
        Some(argument) => Err(Error::invalid(format!(
            "{argument}: not supported. This machine has no compiler; podman's default profile is \
             loaded by `apparmor_parser -Kr` from standard input, and a profile that is compiled \
             elsewhere (apparmor_parser --ofile) is loaded by copying it to {REPLACE}"
        ))),
    }
}

fn load() -> Result<()> {
    let mut text = String::new();
    let read = stdin().take(MAX_TEXT).read_to_string(&mut text);
    read.doing("standard input")?;
    let policy = fs::read(COMPILED).on(Path::new(COMPILED))?;
    let policy = renamed(policy, profile_name(&text)?)?;
    fs::write(REPLACE, policy).on(Path::new(REPLACE))
}

/// Returns the name in the text of a profile.
fn profile_name(text: &str) -> Result<&str> {
    let header = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("profile "));
    let name = header.and_then(|rest| rest.split_whitespace().next());
    let name = name.unwrap_or_default().trim_matches('"');
    if name.starts_with(PREFIX) {
        return Ok(name);
    }
    Err(Error::invalid(format!(
        "profile {name:?}: only podman's own, {PREFIX}VERSION, is compiled in this machine"
    )))
}

/// Gives the compiled profile another name. A container keeps the name of the podman that created
/// it. The data after the name is aligned, so the length stays.
fn renamed(mut policy: Vec<u8>, name: &str) -> Result<Vec<u8>> {
    let damaged = || Error::invalid(format!("{COMPILED}: no profile in it"));
    let header = policy
        .windows(BEFORE_NAME.len())
        .position(|bytes| bytes == BEFORE_NAME)
        .ok_or_else(damaged)?;
    let begin = header + BEFORE_NAME.len() + 2;
    let length = policy.get(begin - 2..begin).ok_or_else(damaged)?;
    // The string ends with a NUL, which the length includes.
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let end = (begin + length).saturating_sub(1);
    let old = policy.get_mut(begin..end).ok_or_else(damaged)?;
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
    fn the_name_is_read_from_the_text() {
        let text = "\n@{PROC}=/proc/\n\nprofile containers-default-0.62.2 flags=(x) {\n}\n";
        assert_eq!(profile_name(text).unwrap(), "containers-default-0.62.2");
        assert_eq!(
            profile_name("  profile \"containers-default-1\" {").unwrap(),
            "containers-default-1"
        );
        for text in [
            "",
            "profile",
            "profile mine {",
            "# profile containers-default-1",
        ] {
            let why = profile_name(text).unwrap_err().to_string();
            assert!(why.contains("only podman's own"), "{why}");
        }
    }

    #[test]
    fn a_name_of_the_same_length_replaces_the_other() {
        let before = compiled("containers-default-0.62.2");
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

    #[test]
    fn podmans_options_and_no_others() {
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        for line in ["-Kr", "-K -r", "--replace", "-r -q"] {
            assert!(replaces(&words(line)).is_ok(), "{line}");
        }
        for line in ["-R", "--remove", "-r /etc/apparmor.d/mine", "-Kr extra"] {
            let why = replaces(&words(line)).unwrap_err().to_string();
            assert!(why.contains("no compiler"), "{line}: {why}");
        }
    }
}
