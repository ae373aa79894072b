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

/// A `cargo build` for PID 1's profile and target, as yet without what to build.
fn cargo(target: Target) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--profile", "init"]);
    command.args(["--target", target.triple()]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // This variable outranks RUSTFLAGS and every configuration file, and its
    // separator is in no path.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(target).join("\x1f"));
    command.current_dir(paths::root());
    command
}

/// What rustc is told besides the profile. glibc's own code unwinds, and its
/// static start code may be older than the relocations asked for here: there,
/// only what makes it static.
fn flags(target: Target) -> Vec<String> {
    let mut flags: Vec<_> = remaps()
        .iter()
        .map(|r| format!("--remap-path-prefix={r}"))
        .collect();
    let more: &[&str] = match target {
        Target::Gnu => &["-Ctarget-feature=+crt-static"],
        Target::Musl => &[
            // No tables for unwinding (init/link.ld), no index of them.
            "-Clink-arg=-T",
            "-Clink-arg=init/link.ld",
            "-Clink-arg=-Wl,--no-eh-frame-hdr",
            "-Clink-arg=-Wl,--build-id=none",
        ],
    };
    flags.extend(more.iter().map(|&f| f.to_owned()));
    if target == Target::Musl && rustc(&["--version"]).is_some_and(|v| packs_relocations(&v)) {
        // The addresses to mend at the start as a bitmap, not 24 bytes each.
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned());
    }
    flags
}

/// Panic messages name files: not by where they lie on this machine. rustc takes the last
/// of these that fits.
fn remaps() -> Vec<String> {
    let mut all = vec![format!("{}=boot2podman", paths::root().display())];
    if let Some(home) = cargo_home() {
        let sources = home.join("registry/src");
        // A registry has a directory of its own, named after where it was reached.
        let registries = std::fs::read_dir(&sources).into_iter().flatten();
        let mut dirs: Vec<_> = registries.filter_map(|e| Some(e.ok()?.path())).collect();
        dirs.sort();
        dirs.insert(0, sources);
        all.extend(dirs.iter().map(|dir| format!("{}=crates", dir.display())));
    }
    // Where the sources of std are installed as well, it is named by these, else by the
    // compiler's commit (rust-lang/rust issue 105907).
    let say = |words: &[&str]| rustc(words).unwrap_or_default();
    let said = say(&["-vV"]);
    let commit = said.lines().find_map(|l| l.strip_prefix("commit-hash: "));
    if let (sysroot, Some(commit)) = (say(&["--print", "sysroot"]), commit) {
        let std = format!("{}/lib/rustlib/src/rust", sysroot.trim());
        all.push(format!("{std}=/rustc/{commit}"));
    }
    all
}

/// Where cargo keeps the crates.
pub fn cargo_home() -> Option<PathBuf> {
    let given = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    given.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn rustc(words: &[&str]) -> Option<String> {
    let mut rustc = Command::new("rustc");
    let output = rustc.args(words).current_dir(paths::root()).output();
    output
        .ok()
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
}

/// Whether the musl that comes with this rustc reads `DT_RELR`: musl does since
/// 1.2.4, rustc brings 1.2.5 since 1.93. An older one would start with its
/// pointers unmended, and crash. (An older ld warns, and packs nothing.)
fn packs_relocations(version: &str) -> bool {
    let number = version.split(' ').nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 93)
}

/// Builds the programs and returns where they are. Cargo's own messages go to
/// the terminal; it knows what is current.
pub fn build(target: Target) -> Result<Programs> {
    let mut command = cargo(target);
    command.args(["--package", "init", "--package", "b2p"]);
    let messages = run(&mut command)?;
    Ok(Programs {
        init: program(&messages, "init")?,
        b2p: program(&messages, "b2p")?,
    })
}

/// Builds a package's program of the same name, as PID 1 is built.
///
/// # Errors
/// When it cannot be built.
pub fn build_program(target: Target, package: &str) -> Result<PathBuf> {
    let mut command = cargo(target);
    command.args(["--package", package]);
    program(&run(&mut command)?, package)
}

/// Builds an example of a package, as PID 1 is built, for a test to run.
///
/// # Errors
/// When it cannot be built.
pub fn build_example(target: Target, package: &str, name: &str) -> Result<PathBuf> {
    let mut command = cargo(target);
    command.args(["--package", package, "--example", name]);
    program(&run(&mut command)?, name)
}

/// Runs cargo and returns its messages.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("cargo build for PID 1: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
    fn relocations_are_packed_where_musl_can_read_them() {
        for (version, packs) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)\n", true),
            ("rustc 1.93.0-beta.1 (x)", true),
            ("rustc 2.0.0", true),
            ("rustc 1.92.0 (x)", false),
            ("rustc 1.9.9", false),
            ("rustc", false),
            ("", false),
        ] {
            assert_eq!(packs_relocations(version), packs, "{version}");
        }
    }

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
