// SPDX-License-Identifier: Apache-2.0
//! Crates that are linked into PID 1 and its client, and Rust's own libraries.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Component, ComponentKind, licence};
use crate::programs::{Libc, Target};
use crate::{paths, tools};

/// Returns the crates that `init` and `b2p` are built from with this target, as cargo lists them,
/// without those that only run at build time (procedural macros, build scripts).
///
/// # Errors
/// cargo failed, or Cargo.lock cannot be read.
pub fn linked(target: Target) -> Result<Vec<Component>> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths::root());
    command.args(["tree", "--locked", "--package", "init", "--package", "b2p"]);
    command.args(["--edges", "normal,no-proc-macro", "--no-dedupe"]);
    command.args(["--target", &target.triple(), "--prefix", "none"]);
    command.args(["--format", "{p}\t{l}\t{r}"]);
    let tree = tools::run(&mut command, "cargo tree")?;
    let lock = paths::root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("read {}", lock.display()))?;
    let mut crates = parse(&String::from_utf8_lossy(&tree), &checksums(&lock));
    crates.extend(standard_library(target)?);
    Ok(crates)
}

/// Parses the output of cargo tree. Crates of this workspace, which are the program itself, have no
/// checksum in Cargo.lock and are left out.
fn parse(tree: &str, sums: &BTreeMap<(String, String), String>) -> Vec<Component> {
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        let mut fields = line.split('\t');
        let mut package = fields.next().unwrap_or_default().split(' ');
        let (Some(name), Some(version)) = (package.next(), package.next()) else {
            continue;
        };
        let key = (name.to_owned(), version.trim_start_matches('v').to_owned());
        let Some(sum) = sums.get(&key) else { continue };
        let component = Component {
            kind: ComponentKind::Crate,
            name: key.0.clone(),
            version: key.1.clone(),
            licence: licence::of_crate(fields.next().unwrap_or_default()),
            sha256: sum.clone(),
            homepage: fields.next().unwrap_or_default().to_owned(),
            ..Component::default()
        };
        found.insert(key, component);
    }
    found.into_values().collect()
}

/// Returns the checksums in Cargo.lock by name and version; cargo writes one field per line.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |line: &str, name: &str| -> Option<String> {
        let rest = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        Some(rest.trim().trim_matches('"').to_owned())
    };
    let mut sums = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name| package.lines().find_map(|line| value(line, name));
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            sums.insert((name, version), sum);
        }
    }
    sums
}

/// Returns the libraries that are compiled already and part of the compiler: std, core and alloc,
/// and for the musl target a C library.
fn standard_library(target: Target) -> Result<Vec<Component>> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV").current_dir(paths::root());
    let version = tools::run(&mut rustc, "rustc -vV")?;
    let version = String::from_utf8_lossy(&version).into_owned();
    let release = version.lines().find_map(|l| l.strip_prefix("release: "));
    let release = release.context("rustc -vV prints no release")?;
    let library = |name: &str, licence: &str, homepage: &str| Component {
        kind: ComponentKind::Rust,
        name: name.to_owned(),
        version: release.to_owned(),
        licence: licence.to_owned(),
        homepage: homepage.to_owned(),
        ..Component::default()
    };
    let mut libraries = vec![library(
        "rust-std",
        "MIT OR Apache-2.0",
        "https://www.rust-lang.org/",
    )];
    if target.libc == Libc::Musl {
        // rustc does not report musl's version; the version of Rust determines the version of musl.
        libraries.push(library("musl-in-rust", "MIT", "https://musl.libc.org/"));
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_with_their_checksums_and_none_of_ours() {
        let lock = "version = 4\n\n[[package]]\nname = \"log\"\nversion = \"0.4.1\"\n\
                    source = \"registry\"\nchecksum = \"aa\"\n\n[[package]]\nname = \"b2p\"\n\
                    version = \"0.1.0\"\n";
        let tree = "b2p v0.1.0 (/x/b2p)\tApache-2.0\t\nlog v0.4.1\tMIT/Apache-2.0\thttps://l\n\
                    log v0.4.1\tMIT/Apache-2.0\thttps://l\n\n";
        let crates = parse(tree, &checksums(lock));
        let [log] = crates.as_slice() else {
            panic!("{crates:?}")
        };
        assert_eq!((log.name.as_str(), log.version.as_str()), ("log", "0.4.1"));
        assert_eq!(
            (log.licence.as_str(), log.sha256.as_str()),
            ("MIT OR Apache-2.0", "aa")
        );
    }

    #[test]
    fn crates_of_the_real_programs_are_listed() -> Result<()> {
        let crates = linked(Target::choose())?;
        for name in ["nix", "smoltcp", "rust-std"] {
            assert!(
                crates.iter().any(|c| c.name == name),
                "no {name}: {crates:?}"
            );
        }
        assert!(
            crates.iter().all(|c| c.licence != "NOASSERTION"),
            "{crates:?}"
        );
        Ok(())
    }
}
