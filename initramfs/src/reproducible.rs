// SPDX-License-Identifier: Apache-2.0
//! `make reproducible`: builds the commit that is checked out twice and compares the results bit
//! for bit: once on this host, and once on another Debian release, whose packages are the root
//! directory of the second build.
//!
//! The two builds use the same rustc and the same fetched packages: the versions that Debian has
//! today are an input. [`Environment`] lists how the two differ otherwise. With rustc's musl target
//! the results contain nothing of the host; without that target, `init` and `b2p` contain the
//! host's libc.a, and the results differ.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::fetch::{BuildConfig, PackageTree};
use crate::paths::SHA256SUMS;
use crate::progress::{Step, megabytes};
use crate::sandbox::Sandbox;
use crate::{ext, fsutil, kernel, paths, programs, stamp, sums, tools};

/// Targets that each build makes, in this order, with their arguments.
const TARGETS: &[&str] = &["iso", "disk", "oci", "machine", "ext runc nfs"];

/// Extensions of [`TARGETS`]: one of a package, and one with kernel modules.
const EXTENSIONS: &[&str] = &["runc", "nfs"];

/// Variables of the caller, or of the cargo that runs this program, that are not passed on; nor
/// are cargo's own.
const DROPPED: &[&str] = &["APPEND", "SSH_KEY", "EXT", "MAKEFLAGS", "LD_LIBRARY_PATH"];

/// Steps in the progress reports.
const STEPS: usize = 3;

/// Numbers of bytes that a message shows before a difference, and from the difference on.
const SHOWN: (usize, usize) = (16, 48);

/// Environment of a build; the two builds differ in every field.
struct Environment {
    /// Directory below `out/reproducible/`. The second one is longer, because a result could
    /// depend on the length as well.
    dir: &'static str,
    variables: &'static [&'static str],
    umask: &'static str,
}

const THIS_HOST: Environment = Environment {
    dir: "one",
    variables: &["TZ=UTC", "LC_ALL=C"],
    umask: "022",
};

const OTHER_HOST: Environment = Environment {
    dir: "another/with a longer name",
    variables: &["TZ=Pacific/Chatham", "LC_ALL=C.UTF-8"],
    umask: "077",
};

/// Directories of the second build, in its sandbox.
const SANDBOX_BUILD: &str = "/build with another name";
const SANDBOX_CARGO_HOME: &str = "/cargo";
const SANDBOX_RUST: &str = "/rust";

/// Builds twice and compares.
///
/// # Errors
/// A build failed, or the results differ.
pub fn check() -> Result<()> {
    let config = BuildConfig::from_env()?;
    let step = Step::new("reproducible", 1, STEPS);
    let trees = trees(&config, &step)?;
    let commit = head_commit(&step)?;
    let base = paths::out().join("reproducible");
    fsutil::remove(&base)?;
    let [first, second] = [&THIS_HOST, &OTHER_HOST].map(|host| base.join(host.dir));
    for dir in [&first, &second] {
        clone(&commit, dir)?;
        trees.iter().try_for_each(|tree| share(tree, dir))?;
    }
    step.note(&format!("on this host, in {}", first.display()));
    build_on_this_host(&config, &first)?;
    let step = Step::new("reproducible", 2, STEPS);
    build_on_another_host(&config, &second, &step)?;
    let step = Step::new("reproducible", STEPS, STEPS);
    let [first, second] = [&first, &second].map(|dir| results(dir, config.arch));
    compare(&first, &second, &step)?;
    fsutil::remove(&base)
}

/// Fetches the trees that both builds share: the packages, and for another architecture the host's tools.
fn trees(config: &BuildConfig, step: &Step) -> Result<BTreeSet<PathBuf>> {
    let mut trees = vec![
        config.fetch_userland(step)?,
        kernel::fetch(config, step)?,
        config.fetch_loaders(step)?,
    ];
    trees.extend(ext::fetch(EXTENSIONS, config, step)?);
    let both = |tree: PackageTree| [tree.root, tree.tools];
    Ok(trees.into_iter().flat_map(both).collect())
}

/// Returns the directory of the results of the build in `dir` ([`paths::out_for`]).
fn results(dir: &Path, arch: &Arch) -> PathBuf {
    let out = dir.join("out");
    match arch.is_host() {
        true => out,
        false => out.join(arch.name),
    }
}

/// Returns the commit that is checked out. Both builds clone this one, even if HEAD moves
/// meanwhile.
fn head_commit(step: &Step) -> Result<String> {
    let mut status = git(&paths::root());
    status.args(["status", "--porcelain", "--untracked-files=no"]);
    let changed = tools::run(&mut status, "git status")?;
    let count = String::from_utf8_lossy(&changed).lines().count();
    if count > 0 {
        step.note(&format!(
            "{count} changed files are not committed, and not built"
        ));
    }
    let mut head = git(&paths::root());
    let head = tools::run(head.args(["rev-parse", "HEAD"]), "git rev-parse")?;
    Ok(String::from_utf8_lossy(&head).trim().to_owned())
}

fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir);
    git
}

fn clone(commit: &str, to: &Path) -> Result<()> {
    let mut clone = git(&paths::root());
    clone
        .args(["clone", "--quiet", "--no-checkout", "."])
        .arg(to);
    tools::run(&mut clone, "git clone")?;
    let mut checkout = git(to);
    checkout.args(["checkout", "--quiet", "--detach", commit]);
    tools::run(&mut checkout, "git checkout").map(drop)
}

/// Shares a fetched tree and its stamp with the build in `dir`, by hard links.
fn share(tree: &Path, dir: &Path) -> Result<()> {
    let below = tree.strip_prefix(paths::out_for(Arch::host()))?;
    let to = dir.join("out").join(below);
    let to = to.parent().context("a tree is in a directory")?;
    fs::create_dir_all(to)?;
    for from in [tree.to_owned(), stamp::stamp_path(tree)] {
        let mut copy = Command::new("cp");
        copy.arg("-al").arg(from).arg(to);
        tools::run(&mut copy, "cp -al")?;
    }
    Ok(())
}

fn build_on_this_host(config: &BuildConfig, dir: &Path) -> Result<()> {
    // The rest of the environment stays, because cargo may need a variable for a proxy.
    let is_foreign = |name: &OsString| {
        let name = name.to_string_lossy();
        (name.starts_with("CARGO") && name != "CARGO_HOME") || DROPPED.contains(&&*name)
    };
    for target in TARGETS {
        let mut command = Command::new("env");
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_foreign(name)) {
            command.env_remove(name);
        }
        command.args(environment(&THIS_HOST, config, &dir.to_string_lossy()));
        command.args(argv(&THIS_HOST, target));
        run(command.current_dir(dir), target, dir)?;
    }
    Ok(())
}

/// Builds with the packages of another release as root directory. rustc and cargo are those of
/// this host, under other paths, and so are the sources of the crates.
fn build_on_another_host(config: &BuildConfig, dir: &Path, step: &Step) -> Result<()> {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let other = BuildConfig {
        suite: other_release(&os_release).to_owned(),
        ..config.clone()
    };
    let tree = other.fetch_other_host(step)?;
    step.note(&format!("on Debian {}, in {}", other.suite, dir.display()));
    let cargo_home = programs::cargo_home().context("neither CARGO_HOME nor HOME is set")?;
    let rust = programs::sysroot().context("rustc reports no sysroot")?;
    let sandbox = Sandbox::new(&tree.root)?
        .bind(Path::new("/proc"), "/proc")?
        .bind(dir, SANDBOX_BUILD)?
        .bind(&cargo_home, SANDBOX_CARGO_HOME)?
        .bind(&rust, SANDBOX_RUST)?;
    fs::create_dir_all(dir.join("tmp"))?;
    let mut environment = environment(&OTHER_HOST, config, SANDBOX_BUILD);
    environment.extend([
        format!("PATH={SANDBOX_RUST}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        format!("CARGO_HOME={SANDBOX_CARGO_HOME}"),
        format!("TMPDIR={SANDBOX_BUILD}/tmp"),
        // The sources of all crates are there since the first build.
        "CARGO_NET_OFFLINE=true".to_owned(),
        // The link cc is made by a maintainer script, and none was run.
        linker(Arch::host()),
    ]);
    for target in TARGETS {
        let argv = argv(&OTHER_HOST, target);
        run(
            &mut sandbox.command(&environment, SANDBOX_BUILD, &argv),
            target,
            dir,
        )?;
    }
    Ok(())
}

/// Returns cargo's variable that names the linker of the host's programs.
fn linker(host: &Arch) -> String {
    let arch = host.rustc.to_uppercase();
    format!("CARGO_TARGET_{arch}_UNKNOWN_LINUX_GNU_LINKER=gcc")
}

/// Returns the suite of a Debian release that is not the host's.
fn other_release(os_release: &str) -> &'static str {
    let is_trixie = |line: &str| line == "VERSION_CODENAME=trixie";
    match os_release.lines().any(is_trixie) {
        true => "bookworm",
        false => "trixie",
    }
}

/// Returns the variables of a build in `dir`.
fn environment(host: &Environment, config: &BuildConfig, dir: &str) -> Vec<String> {
    let mut variables: Vec<String> = host.variables.iter().map(|&text| text.to_owned()).collect();
    variables.push(format!("CARGO_TARGET_DIR={dir}/target"));
    variables.push(format!("OUT={dir}/out"));
    variables.extend(config.variables());
    if let Ok(pack) = std::env::var("PACK") {
        variables.push(format!("PACK={pack}"));
    }
    variables
}

/// Returns the command that makes a target.
fn argv<'a>(host: &Environment, target: &'a str) -> Vec<&'a str> {
    let shell = ["sh", "-c", "umask $0 && exec \"$@\"", host.umask];
    let cargo = ["cargo", "run", "--quiet", "--release"];
    let initramfs = ["--package", "initramfs", "--"];
    let target: Vec<&str> = target.split(' ').collect();
    [&shell[..], &cargo, &initramfs, &target].concat()
}

fn run(command: &mut Command, target: &str, dir: &Path) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{target} in {}: {status}", dir.display());
    }
    Ok(())
}

/// Prints the hash of each file, and fails if two files differ.
fn compare(first: &Path, second: &Path, step: &Step) -> Result<()> {
    let mut differences = Vec::new();
    for name in sums::FILES.iter().chain(&[SHA256SUMS]) {
        let (a, b) = (first.join(name), second.join(name));
        if !a.exists() && !b.exists() {
            continue;
        }
        match difference(&a, &b)? {
            None => {
                let size = megabytes(fsutil::size(&a)?);
                println!("{}  {name} ({size})", stamp::file_digest(&a)?);
            }
            Some(difference) => differences.push(format!("{name}: {difference}")),
        }
    }
    if !differences.is_empty() {
        let (first, second) = (first.display(), second.display());
        bail!(
            "{first} and {second} differ:\n  {}",
            differences.join("\n  ")
        );
    }
    step.note("the same, bit for bit, in both");
    Ok(())
}

/// Describes the first difference between two files.
fn difference(first: &Path, second: &Path) -> Result<Option<String>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let (a, b) = (read(first)?, read(second)?);
    if a == b {
        return Ok(None);
    }
    let common = a.len().min(b.len());
    let offset = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(common);
    let count = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let excerpt = |bytes: &[u8]| {
        let range = offset.saturating_sub(SHOWN.0)..bytes.len().min(offset + SHOWN.1);
        let bytes = bytes.get(range).unwrap_or_default();
        bytes.escape_ascii().to_string()
    };
    Ok(Some(format!(
        "from byte {offset}, {count} in all, of {} and {}:\n    {}\n    {}",
        a.len(),
        b.len(),
        excerpt(&a),
        excerpt(&b)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_release_differs_from_the_hosts_release() {
        assert_eq!(
            other_release("ID=debian\nVERSION_CODENAME=trixie\n"),
            "bookworm"
        );
        assert_eq!(
            other_release("ID=debian\nVERSION_CODENAME=bookworm\n"),
            "trixie"
        );
        assert_eq!(other_release(""), "trixie");
    }

    #[test]
    fn another_architecture_has_its_own_results_and_the_hosts_linker() -> Result<()> {
        let foreign = Arch::parse(Arch::host().foreign)?;
        let dir = Path::new("/b");
        assert_eq!(results(dir, Arch::host()), Path::new("/b/out"));
        assert_eq!(results(dir, foreign), dir.join("out").join(foreign.name));
        let expected = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=gcc";
        assert_eq!(linker(Arch::parse("aarch64")?), expected);
        Ok(())
    }

    #[test]
    fn a_target_has_arguments() {
        let argv = argv(&THIS_HOST, "ext runc nfs");
        assert!(argv.ends_with(&["--", "ext", "runc", "nfs"]), "{argv:?}");
        // The second build has no program that fetches.
        let shared = format!("ext {}", EXTENSIONS.join(" "));
        assert!(TARGETS.contains(&shared.as_str()), "{TARGETS:?}");
    }

    #[test]
    fn a_difference_is_found_and_shown() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        fs::create_dir_all(&first)?;
        fs::create_dir_all(&second)?;
        let write = |dir: &Path, text: &str| fs::write(dir.join("vmlinuz"), text);
        let step = Step::new("test", 1, 1);
        write(&first, "the same")?;
        write(&second, "the same")?;
        compare(&first, &second, &step)?;
        write(&second, "the sane, or not")?;
        let error = compare(&first, &second, &step)
            .expect_err("they differ")
            .to_string();
        for part in [
            "vmlinuz: from byte 6, 1 in all",
            "of 8 and 16",
            "the sane, or not",
        ] {
            assert!(error.contains(part), "{error}");
        }
        fs::remove_file(second.join("vmlinuz"))?;
        assert!(compare(&first, &second, &step).is_err(), "one is missing");
        Ok(())
    }
}
