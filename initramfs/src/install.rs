// SPDX-License-Identifier: Apache-2.0
//! `make install`: `podman-machine` with the image of this build, its manual pages and completions.
//! `make machine`: the same without the image, in an archive for releases.
//!
//! `PREFIX=` is the directory that the program looks for its image in, `/usr/local` by default;
//! `DESTDIR=` is prefixed to that path in the build of a package (GNU Coding Standards, "DESTDIR").

use std::fs::{self, File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::arch::Arch;
use crate::paths::{INITRD, MACHINE_TAR, SHA256SUMS, VMLINUZ};
use crate::programs::{self, Target};
use crate::progress::{Step, megabytes};
use crate::{fsutil, image, paths, stamp, sums};

/// Name of the program.
const PROGRAM: &str = "podman-machine";
/// Functions of the C library to which std refers weakly: `fs::copy` has another way where the kernel
/// lacks copy_file_range(2).
const FUNCTIONS: &[&str] = &["copy_file_range"];
/// Largest size of the program, which is static and has no symbol table.
const MAX_BYTES: u64 = 5_000_000;
/// Directory of the image below the prefix.
const IMAGE: &str = "share/boot2podman";

/// Builds and installs everything.
///
/// # Errors
/// A step of the build fails, or a file cannot be written.
pub fn install() -> Result<()> {
    let arch = Arch::from_env()?;
    ensure!(
        arch.is_host(),
        "ARCH={}: make install is for this host, which is {}",
        arch.name,
        Arch::host().name
    );
    image::build()?;
    let prefix = prefix(&|name| std::env::var(name).ok());
    let step = Step::new("install", 1, 1);
    let program = program(arch, &step)?;
    let installed = prefix.join("bin").join(PROGRAM);
    place(&program, &installed, 0o755)?;
    let files = [VMLINUZ, INITRD].map(|name| prefix.join(IMAGE).join(name));
    for file in &files {
        let name = file.file_name().context("a file without a name")?;
        place(&paths::out().join(name), file, 0o644)?;
    }
    let sums = prefix.join(IMAGE).join(SHA256SUMS);
    fs::write(&sums, sums::lines(&files)?).with_context(|| format!("write {}", sums.display()))?;
    pages(&prefix.join("share"))?;
    let size = megabytes(fsutil::size(&installed)?);
    step.note(&format!("{}: {size}", installed.display()));
    Ok(())
}

/// Makes the archive of the program, its manual pages and completions: `bin/` and `share/`.
///
/// # Errors
/// A step of the build fails, or a file cannot be written.
pub fn archive() -> Result<()> {
    let out = paths::out();
    fs::create_dir_all(&out)?;
    let _lock = stamp::lock(&out)?;
    let step = Step::new("machine", 1, 1);
    let program = program(Arch::from_env()?, &step)?;
    let tree = paths::cache().join("machine");
    fsutil::remove(&tree)?;
    place(&program, &tree.join("bin").join(PROGRAM), 0o755)?;
    pages(&tree.join("share"))?;
    let to = out.join(MACHINE_TAR);
    write_tar(&tree, &to).with_context(|| format!("write {}", to.display()))?;
    step.note(&format!(
        "{}: {}, the program {}",
        to.display(),
        megabytes(fsutil::size(&to)?),
        megabytes(fsutil::size(&program)?)
    ));
    sums::write(&out)
}

/// Builds the program for hosts of this architecture, and refuses one that has become too large.
fn program(arch: &'static Arch, step: &Step) -> Result<PathBuf> {
    let target = Target::choose_for(arch);
    step.note(&format!("{PROGRAM} for {}", target.triple()));
    let program = programs::build_program(target, PROGRAM, FUNCTIONS)?;
    check_size(fsutil::size(&program)?)?;
    Ok(program)
}

fn check_size(bytes: u64) -> Result<()> {
    ensure!(
        bytes <= MAX_BYTES,
        "{PROGRAM} has {bytes} bytes, and {MAX_BYTES} is the most"
    );
    Ok(())
}

/// Writes the files below a directory, in the order of their names and without times and owners.
fn write_tar(tree: &Path, to: &Path) -> Result<()> {
    let draft = to.with_extension("new");
    let mut tar = tar::Builder::new(BufWriter::new(File::create(&draft)?));
    for name in files_below(tree, Path::new(""))? {
        let file = tree.join(&name);
        let mut header = tar::Header::new_gnu();
        let is_program = name.starts_with("bin");
        header.set_mode(if is_program { 0o755 } else { 0o644 });
        header.set_size(fsutil::size(&file)?);
        tar.append_data(&mut header, &name, File::open(&file)?)?;
    }
    tar.into_inner()?.into_inner()?;
    Ok(fs::rename(&draft, to)?)
}

fn files_below(tree: &Path, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tree.join(dir))? {
        let name = dir.join(entry?.file_name());
        match tree.join(&name).is_dir() {
            true => files.extend(files_below(tree, &name)?),
            false => files.push(name),
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the directory to install in. An empty variable counts as unset, as in make.
fn prefix(variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let prefix = set("PREFIX").unwrap_or_else(|| "/usr/local".to_owned());
    match set("DESTDIR") {
        Some(dir) => Path::new(&dir).join(prefix.trim_start_matches('/')),
        None => PathBuf::from(prefix),
    }
}

/// Copies a file in one step: a running machine keeps its program.
fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        let draft = to.with_extension("new");
        fs::copy(from, &draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(mode))?;
        fs::rename(&draft, to)
    };
    copy().with_context(|| format!("install {} as {}", from.display(), to.display()))
}

/// Writes the manual pages and completions below `share`.
fn pages(share: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "run",
        "--quiet",
        "--package",
        PROGRAM,
        "--example",
        "pages",
        "--",
    ]);
    let share = std::path::absolute(share)?;
    let status = command.arg(share).current_dir(paths::root()).status()?;
    if !status.success() {
        bail!("manual pages and completions: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, check_size, files_below, prefix, write_tar};
    use std::fs;
    use std::path::{Path, PathBuf};

    #[test]
    fn a_program_has_a_largest_size() {
        check_size(MAX_BYTES).expect("small enough");
        check_size(MAX_BYTES + 1).expect_err("too large");
    }

    #[test]
    fn an_archive_depends_on_names_and_contents_alone() {
        let tmp = tempfile::tempdir().expect("a directory");
        let tree = tmp.path().join("tree");
        let names = ["bin/p", "share/man/man1/p.1", "share/zsh/_p"];
        let archive = |name: &str| {
            let _ = fs::remove_dir_all(&tree);
            for name in names {
                let file = tree.join(name);
                fs::create_dir_all(file.parent().expect("a directory")).expect("made");
                fs::write(file, name).expect("written");
            }
            let to = tmp.path().join(name);
            write_tar(&tree, &to).expect("written");
            fs::read(to).expect("read")
        };
        assert!(archive("a.tar") == archive("b.tar"));
        let found = files_below(&tree, Path::new("")).expect("listed");
        assert_eq!(found, names.map(PathBuf::from));
    }

    #[test]
    fn destdir_stands_before_the_prefix() {
        for (prefix_is, destdir, want) in [
            ("", "", "/usr/local"),
            ("/opt/b2p", "", "/opt/b2p"),
            ("", "/tmp/package", "/tmp/package/usr/local"),
            ("/usr", "/tmp/package/", "/tmp/package/usr"),
        ] {
            let variable = |name: &str| {
                let value = if name == "PREFIX" { prefix_is } else { destdir };
                Some(value.to_owned())
            };
            assert_eq!(prefix(&variable), Path::new(want));
        }
    }
}
