// SPDX-License-Identifier: Apache-2.0
//! `cargo run -p initramfs -- unit-tests`: the unit tests of the packages whose code runs in the machine, compiled for
//! the architecture that `ARCH=` selects. Tests of another architecture run in QEMU's user emulation, which is in the
//! packages of the extension `qemu-user`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::fetch::BuildConfig;
use crate::programs::{self, Target};
use crate::progress::Step;
use crate::{ext, paths};

/// Packages whose code runs in the machine.
const PACKAGES: &[&str] = &[
    "config", "control", "disk", "services", "sys", "init", "b2p",
];

/// Extension with the emulator.
const EMULATOR: &str = "qemu-user";

/// Compiles the tests and runs them; `filters` are those of cargo test.
///
/// # Errors
/// A test does not compile or fails, or the emulator cannot be fetched.
pub fn run(filters: &[String]) -> Result<()> {
    let config = BuildConfig::from_env()?;
    let triple = Target::choose_for(config.arch).triple();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["test", "--quiet", "--lib", "--target", &triple]);
    command.args(PACKAGES.iter().flat_map(|name| ["--package", name]));
    command.arg("--").args(filters);
    if !config.arch.is_host() {
        let emulator = emulator(&config)?;
        let emulator = emulator
            .to_str()
            .context("the path of the emulator is not UTF-8")?;
        command.env(variable(&triple, "RUNNER"), emulator);
        command.envs(programs::linker().map(|linker| (variable(&triple, "LINKER"), linker)));
    }
    let status = command.current_dir(paths::root()).status();
    let status = status.context("start cargo")?;
    if !status.success() {
        bail!("cargo test for {triple}: {status}");
    }
    Ok(())
}

/// Returns the name of cargo's variable for a target (The Cargo Book, "Environment variables", `CARGO_TARGET_<triple>_…`).
fn variable(triple: &str, name: &str) -> String {
    let triple = triple.replace('-', "_").to_uppercase();
    format!("CARGO_TARGET_{triple}_{name}")
}

/// Returns the path of the host's program that runs programs of the selected architecture.
fn emulator(config: &BuildConfig) -> Result<PathBuf> {
    let host = BuildConfig {
        arch: Arch::host(),
        ..config.clone()
    };
    let trees = ext::fetch(&[EMULATOR], &host, &Step::new("unit-tests", 1, 1))?;
    let tree = trees.first().context("no tree was fetched")?;
    Ok(tree.root.join(format!("usr/bin/qemu-{}", config.arch.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_the_name_of_the_target() {
        let name = variable("aarch64-unknown-linux-musl", "RUNNER");
        assert_eq!(name, "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER");
    }
}
