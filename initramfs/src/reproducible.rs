//! `make reproducible`: builds the commit that is checked out twice, in two directories
//! and two environments, and compares what comes out, bit for bit.
//!
//! What both have in common is the compiler and the fetched packages: which versions
//! Debian has today is no matter of ours. How the two differ is [`PLACES`].

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::fetch::{BuildConfig, PackageTree};
use crate::progress::{Step, megabytes};
use crate::{fsutil, kernel, paths, stamp, sums, tools};

/// A place to build in.
struct Place {
    /// Below `out/reproducible/`; one is longer, because a length leaks as well.
    dir: &'static str,
    /// Where the two environments differ.
    env: &'static [(&'static str, &'static str)],
    umask: &'static str,
    /// Whether cargo's home, where the crates are, goes by another name.
    other_home: bool,
}

const PLACES: [Place; 2] = [
    Place {
        dir: "one",
        env: &[("TZ", "UTC"), ("LC_ALL", "C")],
        umask: "022",
        other_home: false,
    },
    Place {
        dir: "another/with a longer name",
        env: &[("TZ", "Pacific/Chatham"), ("LC_ALL", "C.UTF-8")],
        umask: "077",
        other_home: true,
    },
];

/// What is built, one after the other.
const TARGETS: &[&str] = &["iso", "disk", "oci"];

/// Builds and compares.
///
/// # Errors
/// When a build fails, or the two differ.
pub fn check() -> Result<()> {
    let config = BuildConfig::from_env()?;
    let step = Step::new("reproducible", 1, 3);
    let trees = [
        config.fetch_userland(&step)?,
        kernel::fetch(&config, &step)?,
        config.fetch_loaders(&step)?,
    ];
    let commit = commit(&step)?;
    let base = paths::out().join("reproducible");
    fsutil::remove(&base)?;
    let mut made = Vec::new();
    for (number, place) in (1..).zip(&PLACES) {
        let step = Step::new("reproducible", number, 3);
        let dir = base.join(place.dir);
        step.note(&dir.display().to_string());
        clone(&commit, &dir)?;
        trees.iter().try_for_each(|tree| share(tree, &dir))?;
        TARGETS
            .iter()
            .try_for_each(|target| build(place, &dir, target))?;
        made.push(dir.join("out"));
    }
    compare(&made[0], &made[1], &Step::new("reproducible", 3, 3))?;
    fsutil::remove(&base)
}

/// What is checked out: only what is committed is built, and both times the same,
/// whatever is committed meanwhile.
fn commit(step: &Step) -> Result<String> {
    let mut status = git(&paths::root());
    status.args(["status", "--porcelain", "--untracked-files=no"]);
    let changed = tools::run(&mut status, "git status")?;
    let lines = String::from_utf8_lossy(&changed).lines().count();
    if lines > 0 {
        step.note(&format!(
            "{lines} changed files are not committed, and not built"
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

/// Gives the other build a fetched tree with its stamp: hard links, nothing copied.
fn share(tree: &PackageTree, dir: &Path) -> Result<()> {
    let below = tree.root.strip_prefix(paths::out())?;
    let to = dir.join("out").join(below);
    let to = to.parent().context("a tree is in a directory")?;
    fs::create_dir_all(to)?;
    for from in [tree.root.clone(), stamp::stamp_path(&tree.root)] {
        let mut copy = Command::new("cp");
        copy.arg("-al").arg(from).arg(to);
        tools::run(&mut copy, "cp -al")?;
    }
    Ok(())
}

fn build(place: &Place, dir: &Path, target: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new("sh");
    command.args(["-c", "umask $0 && exec \"$@\"", place.umask]);
    command.arg(cargo).args(["run", "--quiet", "--release"]);
    command.args(["--package", "initramfs", "--", target]);
    // Neither what cargo told this process, nor flags and keys of a caller.
    let foreign = |name: &OsString| {
        let name = name.to_string_lossy();
        let ours = ["APPEND", "SSH_KEY", "MAKEFLAGS", "LD_LIBRARY_PATH"];
        (name.starts_with("CARGO") && name != "CARGO_HOME") || ours.contains(&&*name)
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(name)) {
        command.env_remove(name);
    }
    command.env("CARGO_TARGET_DIR", dir.join("target"));
    command.env("OUT", dir.join("out"));
    command.envs(place.env.iter().copied());
    if place.other_home {
        command.env("CARGO_HOME", home(dir)?);
    }
    let status = command.current_dir(dir).stdin(Stdio::null()).status();
    let status = status.context("start sh")?;
    if !status.success() {
        bail!("{target} in {}: {status}", dir.display());
    }
    Ok(())
}

/// Another name of cargo's home.
fn home(dir: &Path) -> Result<PathBuf> {
    let link = dir.join("cargo-home");
    let real = crate::programs::cargo_home().context("neither CARGO_HOME nor HOME is set")?;
    if !link.exists() {
        std::os::unix::fs::symlink(real, &link)?;
    }
    Ok(link)
}

/// Says what each file is, and fails where two differ.
fn compare(one: &Path, two: &Path, step: &Step) -> Result<()> {
    let mut faults = Vec::new();
    for name in sums::FILES.iter().chain(&[paths::SHA256SUMS]) {
        let (a, b) = (one.join(name), two.join(name));
        if !a.exists() && !b.exists() {
            continue;
        }
        match difference(&a, &b)? {
            None => {
                let size = megabytes(fs::metadata(&a)?.len());
                println!("{}  {name} ({size})", stamp::file_digest(&a)?);
            }
            Some(what) => faults.push(format!("{name}: {what}")),
        }
    }
    if !faults.is_empty() {
        let (one, two) = (one.display(), two.display());
        bail!("{one} and {two} differ:\n  {}", faults.join("\n  "));
    }
    step.note("the same, bit for bit, in both");
    Ok(())
}

/// Where two files differ first.
fn difference(one: &Path, two: &Path) -> Result<Option<String>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let (a, b) = (read(one)?, read(two)?);
    if a == b {
        return Ok(None);
    }
    let at = a.iter().zip(&b).position(|(a, b)| a != b);
    let at = at.unwrap_or(a.len().min(b.len()));
    let count = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(16);
        let part = bytes
            .get(from..bytes.len().min(at + 48))
            .unwrap_or_default();
        part.escape_ascii().to_string()
    };
    let (sizes, texts) = ((a.len(), b.len()), (around(&a), around(&b)));
    Ok(Some(format!(
        "from byte {at}, {count} in all, of {} and {}:\n    {}\n    {}",
        sizes.0, sizes.1, texts.0, texts.1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_and_shown() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir_all(&one)?;
        fs::create_dir_all(&two)?;
        let write = |dir: &Path, text: &str| fs::write(dir.join("vmlinuz"), text);
        let step = Step::new("test", 1, 1);
        write(&one, "the same")?;
        write(&two, "the same")?;
        compare(&one, &two, &step)?;
        write(&two, "the sane, or not")?;
        let error = compare(&one, &two, &step)
            .expect_err("they differ")
            .to_string();
        for word in [
            "vmlinuz: from byte 6, 1 in all",
            "of 8 and 16",
            "the sane, or not",
        ] {
            assert!(error.contains(word), "{error}");
        }
        fs::remove_file(two.join("vmlinuz"))?;
        assert!(compare(&one, &two, &step).is_err(), "one is missing");
        Ok(())
    }
}
