// SPDX-License-Identifier: Apache-2.0
//! `apparmor_parser` for podman. podman uses AppArmor only if a program of this name exists, and runs the program to
//! load its default profile for containers whose configuration names the profile (containers/common, pkg/apparmor,
//! `InstallDefault`). The image contains the compiled profile (`initramfs/src/apparmor.rs`), and no compiler: of
//! podman's input, only the name counts. All other containers get the profile by [`confine`].

pub mod confine;
mod policy;

use std::io::{Read, stdin};

use policy::REPLACE;
use sys::error::{Doing, Error, Result};

/// Prefix of the names of podman's default profile.
const PREFIX: &str = "containers-default-";
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
    match check_options(arguments).and_then(|()| load()) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("apparmor_parser: {e}");
            1
        }
    }
}

/// Returns an error for an option that podman does not use to load a profile.
fn check_options(arguments: &[String]) -> Result<()> {
    let known = |argument: &String| match argument.as_str() {
        "--add" | "--replace" | "--skip-read-cache" | "--quiet" => true,
        short => short
            .strip_prefix('-')
            .is_some_and(|letters| letters.bytes().all(|b| b"KTWqra".contains(&b))),
    };
    match arguments.iter().find(|argument| !known(argument)) {
        None => Ok(()),
        Some(argument) => Err(Error::invalid(format!(
            "{argument}: not supported. `apparmor_parser -Kr` loads podman's default profile, named on standard \
             input; a profile that is compiled elsewhere (apparmor_parser --ofile) is loaded by copying it to \
             {REPLACE}"
        ))),
    }
}

fn load() -> Result<()> {
    let mut text = String::new();
    let read = stdin().take(MAX_TEXT).read_to_string(&mut text);
    read.doing("standard input")?;
    policy::load_as(profile_name(&text)?)
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
        "profile {name:?}: this machine can load only podman's default profile, {PREFIX}VERSION"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
            assert!(why.contains("only podman's default profile"), "{why}");
        }
    }

    #[test]
    fn only_podmans_options_of_apparmor_parser_are_accepted() {
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        for line in ["-Kr", "-K -r", "--replace", "-r -q"] {
            assert!(check_options(&words(line)).is_ok(), "{line}");
        }
        for line in ["-R", "--remove", "-r /etc/apparmor.d/mine", "-Kr extra"] {
            let why = check_options(&words(line)).unwrap_err().to_string();
            assert!(why.contains("not supported"), "{line}: {why}");
        }
    }
}
