//! Builds PID 1 and its client: static, with musl where the target can be had, else with glibc.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{elf, paths};

/// How PID 1 is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Small, and self-contained for certain.
    Musl,
    /// Where musl cannot be had.
    Gnu,
}

impl Target {
    /// The name rustc knows it by.
    pub fn triple(self) -> &'static str {
        match self {
            Target::Musl => "x86_64-unknown-linux-musl",
            Target::Gnu => "x86_64-unknown-linux-gnu",
        }
    }

    /// What can be built here; tries to install musl's target when it is missing.
    pub fn choose() -> Self {
        if installed(Target::Musl) || (add(Target::Musl) && installed(Target::Musl)) {
            Target::Musl
        } else {
            Target::Gnu
        }
    }
}

fn installed(target: Target) -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.triple()])
        .current_dir(paths::root())
        .output();
    output.is_ok_and(|o| {
        let dir = PathBuf::from(String::from_utf8_lossy(&o.stdout).trim());
        o.status.success() && dir.is_dir()
    })
}

fn add(target: Target) -> bool {
    let status = Command::new("rustup")
        .args(["target", "add", target.triple()])
        .current_dir(paths::root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}

/// What was built.
#[derive(Debug)]
pub struct Programs {
    /// PID 1.
    pub init: PathBuf,
    /// Its client, and the helpers that it runs.
    pub b2p: PathBuf,
}

/// Builds the programs and returns where they are. Cargo's own messages go to
/// the terminal; it knows what is current.
pub fn build(target: Target) -> Result<Programs> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "init", "--package", "b2p"]);
    command.args(["--profile", "init"]);
    command.args([
        "--target",
        target.triple(),
        "--message-format",
        "json-render-diagnostics",
    ]);
    if target == Target::Gnu {
        // RUSTFLAGS would outrank the target's own flags.
        command.env_remove("RUSTFLAGS").env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-Ctarget-feature=+crt-static",
        );
    }
    let output = command
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo to build init")?;
    if !output.status.success() {
        bail!("cargo build of init and b2p: {}", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(Programs {
        init: program(&messages, "init")?,
        b2p: program(&messages, "b2p")?,
    })
}

/// The program of this name, which must be static.
fn program(messages: &str, name: &str) -> Result<PathBuf> {
    let program = executable(messages, name)
        .with_context(|| format!("cargo build named no program {name} that it made"))?;
    if let Some(loader) = elf::needs(&program)?.interpreter {
        bail!(
            "{}: it must be static, but this one wants {loader}",
            program.display()
        );
    }
    Ok(program)
}

/// The last program of this name in cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let read = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    let named = |path: &PathBuf| path.file_name().is_some_and(|n| n == name);
    messages.lines().filter_map(read).rfind(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_read_from_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/init\"}\n\
                        noise\n{\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages, "init"), Some(PathBuf::from("/t/init")));
        assert_eq!(executable(messages, "b2p"), None);
        assert_eq!(executable("", "init"), None);
    }
}
