// SPDX-License-Identifier: Apache-2.0
//! Builds PID 1 and its client as static programs: with musl where rustc has that target, else
//! with glibc.
//!
//! With musl all linked parts belong to rustc: the C library, the start files and the linker, so
//! that the same rustc gives the same bytes on any host. With glibc the host's compiler links the
//! host's `libc.a`, and the bytes depend on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::{elf, fsutil, paths, weak_symbols};

mod pie;

/// Separator in `CARGO_ENCODED_RUSTFLAGS`, which no path contains.
const FLAG_SEPARATOR: &str = "\x1f";
/// LLVM makes functions of sequences of instructions that occur several times. For aarch64 LLVM does so by default at
/// `opt-level = "z"`, for x86-64 only on request (llvm/lib/CodeGen/TargetPassConfig.cpp, `EnableMachineOutliner`).
const OUTLINER: &str = "-Cllvm-args=-enable-machine-outliner";

/// C library of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// Static with musl: smaller, and independent of the host.
    Musl,
    /// Static with the host's glibc, where rustc has no musl target.
    Gnu,
}

/// Rust target of PID 1 and its client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Architecture.
    pub arch: &'static Arch,
    /// C library.
    pub libc: Libc,
}

impl Target {
    /// Returns rustc's name of the target.
    pub fn triple(self) -> String {
        let libc = match self.libc {
            Libc::Musl => "musl",
            Libc::Gnu => "gnu",
        };
        format!("{}-unknown-linux-{libc}", self.arch.rustc)
    }

    /// Chooses the target for programs of the host.
    pub fn choose() -> Self {
        Self::choose_for(Arch::host())
    }

    /// Chooses musl if rustc has the target or rustup can install the target, else glibc.
    pub fn choose_for(arch: &'static Arch) -> Self {
        let [musl, gnu] = [Libc::Musl, Libc::Gnu].map(|libc| Target { arch, libc });
        let installed = || is_installed(musl);
        match installed() || (install(musl) && installed()) {
            true => musl,
            false => gnu,
        }
    }
}

fn is_installed(target: Target) -> bool {
    let triple = target.triple();
    let mut rustc = rustc(&["--print", "target-libdir", "--target", &triple]);
    rustc.output().is_ok_and(|output| {
        let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && dir.is_dir()
    })
}

fn install(target: Target) -> bool {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", &target.triple()]);
    rustup.stdout(Stdio::null()).stderr(Stdio::null());
    let status = rustup.current_dir(paths::root()).status();
    status.is_ok_and(|status| status.success())
}

/// Paths of the programs in the image.
#[derive(Debug)]
pub struct Programs {
    /// PID 1.
    pub init: PathBuf,
    /// Client of PID 1, with its helpers.
    pub b2p: PathBuf,
}

/// Builds PID 1 and its client unless both are up to date. Cargo's own messages are on standard
/// error.
///
/// # Errors
/// A program cannot be built, or is not static.
pub fn build(target: Target) -> Result<Programs> {
    let mut command = cargo(target, "build");
    command.args(["--package", "init", "--package", "b2p"]);
    let messages = run(&mut command)?;
    Ok(Programs {
        init: static_program(&messages, "init", target)?,
        b2p: static_program(&messages, "b2p", target)?,
    })
}

/// Returns the path of the C library that rustc links statically with musl.
fn c_library(target: Target) -> Option<PathBuf> {
    let dir = sysroot()?.join("lib/rustlib").join(target.triple());
    Some(dir.join("lib/self-contained/libc.a")).filter(|path| path.exists())
}

/// Builds the program of a package that has the package's name, with the same options as PID 1.
/// `functions` are functions of the C library to which the program refers weakly, besides PID 1's.
///
/// # Errors
/// The program cannot be built, or is not static.
pub fn build_program(target: Target, package: &str, functions: &[&str]) -> Result<PathBuf> {
    // `cargo rustc` passes arguments to the last link alone: with other flags for all crates, the
    // build of PID 1 and this one would each compile their common crates anew.
    let mut command = cargo(target, "rustc");
    command.args(["--package", package, "--bin", package, "--"]);
    if target.libc == Libc::Musl {
        let undefined = functions.iter().map(|name| format!("--undefined={name}"));
        command.args(undefined.map(|option| link_arg(&option, has_lld())));
    }
    static_program(&run(&mut command)?, package, target)
}

/// Builds an example of a package for a test, with the same options as PID 1.
///
/// # Errors
/// The example cannot be built, or is not static.
pub fn build_example(target: Target, package: &str, name: &str) -> Result<PathBuf> {
    let mut command = cargo(target, "build");
    command.args(["--package", package, "--example", name]);
    static_program(&run(&mut command)?, name, target)
}

/// Returns a command of cargo with the profile, the target and the flags of PID 1.
fn cargo(target: Target, subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args([subcommand, "--quiet", "--profile", "init"]);
    command.args(["--target", &target.triple()]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // This variable takes precedence over RUSTFLAGS and every configuration file.
    let flags = rustflags(target).join(FLAG_SEPARATOR);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    command.current_dir(paths::root());
    command
}

/// Returns rustc's flags in addition to the profile. The link-time options are for musl only:
/// glibc's own code unwinds, and its start code may be too old for packed relocations.
fn rustflags(target: Target) -> Vec<String> {
    let remaps = path_remaps().into_iter();
    let mut flags: Vec<String> = remaps
        .map(|remap| format!("--remap-path-prefix={remap}"))
        .collect();
    // The rounds of SHA-2 as loops, for a smaller program. Upgrades and sums use the processor's
    // instructions where available.
    flags.push("--cfg=sha2_backend_soft=\"compact\"".to_owned());
    flags.push(OUTLINER.to_owned());
    match target.libc {
        Libc::Gnu => flags.push("-Ctarget-feature=+crt-static".to_owned()),
        Libc::Musl => flags.extend(link_flags(target)),
    }
    flags
}

/// Returns the flags for linking with musl.
fn link_flags(target: Target) -> Vec<String> {
    let lld = has_lld();
    let version = rustc_output(&["--version"]).unwrap_or_default();
    // Without tables for unwinding (sys/link.ld) and without an index of them. std refers to
    // getrandom(2)'s function weakly. Link-time optimisation makes other references weak as well,
    // lld takes no member out of libc.a for them, and the call would jump to address 0.
    let mut options = vec!["-T", "sys/link.ld", "--no-eh-frame-hdr", "--build-id=none"];
    options.push("--undefined=getrandom");
    if lld {
        // One copy of functions whose instructions are the same. Rust gives no function an address
        // of its own (reference, "Function pointer types").
        options.push("--icf=all");
    }
    if musl_reads_relr(&version) {
        // Relocations as a bitmap (DT_RELR), instead of 24 bytes for each.
        options.extend(match lld {
            true => ["--pack-dyn-relocs=relr"].as_slice(),
            false => &["-z", "pack-relative-relocs"],
        });
    }
    let linker = linker().map(|linker| format!("-Clinker={linker}"));
    linker
        .into_iter()
        .chain(options.into_iter().map(|option| link_arg(option, lld)))
        .chain(pie::flags(target))
        .collect()
}

/// Returns rustc's flag for an option of the linker, which the host's compiler passes on unless LLVM's
/// linker is called.
fn link_arg(option: &str, lld: bool) -> String {
    match lld {
        true => format!("-Clink-arg={option}"),
        false => format!("-Clink-arg=-Wl,{option}"),
    }
}

/// Returns the name of LLVM's linker for rustc, which links for every architecture, where the toolchain has it.
pub fn linker() -> Option<&'static str> {
    has_lld().then_some("rust-lld")
}

fn has_lld() -> bool {
    rust_lld().is_some_and(|lld| lld.exists())
}

/// Returns the path of LLVM's linker, which rustup's toolchains contain, but not every
/// distribution's. Without this linker, the host's compiler links, and the bytes depend on the
/// host's linker.
fn rust_lld() -> Option<PathBuf> {
    let version = rustc_output(&["-vV"])?;
    let host = field(&version, "host: ")?;
    Some(sysroot()?.join(format!("lib/rustlib/{host}/bin/rust-lld")))
}

/// Returns `from=to` pairs for the paths in panic messages, so that the programs contain no path
/// of the host. rustc uses the last pair that matches.
fn path_remaps() -> Vec<String> {
    let mut remaps = vec![format!("{}=boot2podman", paths::root().display())];
    if let Some(home) = cargo_home() {
        let sources = home.join("registry/src");
        // The directory of each registry has a name that depends on the registry's URL.
        let registries = std::fs::read_dir(&sources).into_iter().flatten();
        let mut dirs: Vec<_> = registries.filter_map(|e| Some(e.ok()?.path())).collect();
        dirs.sort();
        dirs.insert(0, sources);
        remaps.extend(dirs.iter().map(|dir| format!("{}=crates", dir.display())));
    }
    // Where the sources of std are installed, rustc puts their path into the programs, elsewhere
    // one with the compiler's commit (rust-lang/rust issue 105907).
    let version = rustc_output(&["-vV"]).unwrap_or_default();
    if let (Some(sysroot), Some(commit)) = (sysroot(), field(&version, "commit-hash: ")) {
        let std = sysroot.join("lib/rustlib/src/rust");
        remaps.push(format!("{}=/rustc/{commit}", std.display()));
    }
    remaps
}

/// Returns the directory in which cargo keeps the sources of crates.
pub fn cargo_home() -> Option<PathBuf> {
    let variable = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    variable.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Returns the directory of the toolchain.
pub fn sysroot() -> Option<PathBuf> {
    let path = rustc_output(&["--print", "sysroot"])?;
    Some(PathBuf::from(path.trim()))
}

fn rustc(args: &[&str]) -> Command {
    let mut rustc = Command::new("rustc");
    rustc.args(args).current_dir(paths::root());
    rustc
}

fn rustc_output(args: &[&str]) -> Option<String> {
    let output = rustc(args).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the value of a line of `rustc -vV`.
fn field<'a>(version: &'a str, prefix: &str) -> Option<&'a str> {
    version.lines().find_map(|line| line.strip_prefix(prefix))
}

/// Returns true if the musl in this rustc processes `DT_RELR`: musl does since 1.2.4, and rustc
/// contains 1.2.5 since 1.93. A program with an older musl would start with unrelocated pointers
/// and crash. (An older ld warns, and packs nothing.)
fn musl_reads_relr(version: &str) -> bool {
    let number = version.split(' ').nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 93)
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

/// Returns the path of the program with this name, without its symbol table. The program must be
/// static, and linked with every function that it may call.
fn static_program(messages: &str, name: &str, target: Target) -> Result<PathBuf> {
    let program = executable(messages, name)
        .with_context(|| format!("cargo build reported no program {name}"))?;
    if let Some(loader) = elf::needs(&program)?.interpreter {
        bail!(
            "{}: the program must be static, but needs {loader}",
            program.display()
        );
    }
    let data = fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    if target.libc == Libc::Musl {
        elf::check_hardened(&data).with_context(|| program.display().to_string())?;
    }
    if let Some(library) = c_library(target) {
        check_weak_references(&data, &library).with_context(|| program.display().to_string())?;
    }
    let dir = program.parent().context("a program is in a directory")?;
    let stripped = dir.join("stripped").join(name);
    let loaded = elf::loaded_part(&data).with_context(|| program.display().to_string())?;
    fsutil::replace_program(&stripped, &loaded)?;
    Ok(stripped)
}

/// Refuses a program in which the call of a function of the C library would jump to address 0. PID 1
/// would crash at the first such call, and no earlier.
fn check_weak_references(program: &[u8], c_library: &Path) -> Result<()> {
    let library = fs::read(c_library).with_context(|| format!("read {}", c_library.display()))?;
    let missing = weak_symbols::missing(program, &library)?;
    if !missing.is_empty() {
        bail!(
            "refers weakly to {}, so a call would jump to address 0: add --undefined=<name> to \
             link_flags in initramfs/src/programs.rs",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Returns the last executable with this name in cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let path = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    let has_name = |path: &PathBuf| path.file_name().is_some_and(|n| n == name);
    messages.lines().filter_map(path).rfind(has_name)
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
            assert_eq!(musl_reads_relr(version), packs, "{version}");
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
