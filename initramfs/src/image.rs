// SPDX-License-Identifier: Apache-2.0
//! `make image`: the stages in order. Each stage is a module of its own and does nothing if its
//! inputs have not changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artifact::Artifact;
use crate::bom::{self, Component, spdx};
use crate::erofs::Compression;
use crate::fetch::{BuildConfig, PackageTree};
use crate::initrd::{self, Layout, Packing, Parts};
use crate::manifest::{self, Manifest};
use crate::modules::{self, Modules};
use crate::packages::Kernel;
use crate::paths::{INITRD, VMLINUZ};
use crate::programs::{Programs, Target};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::tree::Tree;
use crate::{
    apparmor, applets, erofs, fsutil, kernel, ldcache, media, overlay, paths, programs, seccomp,
    sums, userland,
};

/// Number of stages in the progress reports.
const STAGES: usize = 5;

/// Files that are made for each kernel.
const ARTIFACTS: &[&str] = &[VMLINUZ, INITRD, paths::MANIFEST, paths::SPDX];

/// Makes the kernel, the initrd and the manifest for the kernel that `KERNEL=` selects, in
/// `out/<kernel>/`, and links them into `out/`.
pub fn build() -> Result<()> {
    let config = BuildConfig::from_env()?;
    // A wrong value is reported before the work.
    Packing::of_media()?;
    let _lock = stamp::lock(&paths::out())?;
    make(&config)?;
    let (from, to) = (paths::out_of(config.kernel), paths::out());
    ARTIFACTS
        .iter()
        .try_for_each(|name| fsutil::link_or_copy(&from.join(name), &to.join(name)))?;
    sums::write(&to)
}

/// Makes the same files for each of the named kernels, in `out/<kernel>/` only. The tests use
/// several kernels at once.
pub fn build_kernels(names: &[String]) -> Result<()> {
    let config = BuildConfig::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    for name in names {
        let kernel = Kernel::parse(name).map_err(anyhow::Error::msg)?;
        make(&BuildConfig {
            kernel,
            ..config.clone()
        })?;
    }
    Ok(())
}

fn make(config: &BuildConfig) -> Result<()> {
    let step = stage(1);
    let (debian, linux) = (config.fetch_userland(&step)?, kernel::fetch(config, &step)?);
    let step = stage(2);
    let modules = modules::prepare(&debian, &linux, config.kernel, &step)?;
    let target = Target::choose_for(config.arch);
    let mut tree = assemble(&debian, &modules)?;
    let bom = bom::collect(&debian, &linux, &tree, target)?;
    tree.bytes(bom::LIST, bom::list(&bom), 0o644);
    let step = stage(3);
    let userland = make_userland(&debian, &modules, &tree, Compression::PerFile, &step)?;
    let programs = make_programs(target, &stage(4))?;
    let parts = Parts {
        debian: &debian,
        linux: &linux,
        modules: &modules,
        programs: &programs,
        userland: &userland,
    };
    make_artifacts(config, &parts, &stage(STAGES))?;
    if config.kernel == Kernel::Slim {
        let userland = make_userland(&debian, &modules, &tree, Compression::None, &step)?;
        let parts = Parts {
            userland: &userland,
            ..parts
        };
        make_small_initrd(&parts, &step)?;
    }
    describe(config, &parts, target, bom)
}

fn stage(number: usize) -> Step {
    Step::new("image", number, STAGES)
}

fn make_small_initrd(parts: &Parts, step: &Step) -> Result<()> {
    let (initrd, packing) = (media::initrd(Kernel::Slim), Packing::of_media()?);
    if initrd::make(parts, Layout::Solid(packing), &initrd)? {
        let size = megabytes(fsutil::size(&initrd)?);
        step.note(&format!("{}: {size}", initrd.display()));
    }
    Ok(())
}

/// Returns the whole userland as a tree: packages, tables, applets, modules and the project's own
/// files.
pub fn assemble(debian: &PackageTree, modules: &Modules) -> Result<Tree> {
    let mut tree = base(debian)?;
    add_directory(
        &mut tree,
        &modules.userland(),
        &format!("usr/lib/modules/{}", modules.release),
    )?;
    ldcache::add(debian.arch, &mut tree)?;
    apparmor::add(debian, &mut tree, &paths::cache().join(".tmp.apparmor"))?;
    seccomp::restrict(&mut tree)?;
    overlay::apply(&mut tree, &paths::files())?;
    userland::set_modes(&mut tree)?;
    tree.check_parents()?;
    Ok(tree)
}

/// Returns the part of the userland that is from packages and tables: an extension leaves these
/// files out.
pub fn base(debian: &PackageTree) -> Result<Tree> {
    let mut tree = userland::select(debian)?;
    userland::add_tables(&mut tree, &debian.root)?;
    let libraries = format!("/{}\n", debian.arch.libraries);
    tree.bytes("etc/ld.so.conf", libraries, 0o644);
    applets::link(
        &mut tree,
        &applets::list(&debian.tools.join("usr/bin/busybox"))?,
    );
    Ok(tree)
}

/// Adds the files below a directory.
pub fn add_directory(tree: &mut Tree, from: &Path, to: &str) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let path = format!("{to}/{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => add_directory(tree, &entry.path(), &path)?,
            false => tree.file(&path, &entry.path(), 0o644),
        }
    }
    Ok(())
}

fn make_userland(
    debian: &PackageTree,
    modules: &Modules,
    tree: &Tree,
    compression: Compression,
    step: &Step,
) -> Result<PathBuf> {
    let name = match compression {
        Compression::PerFile => "userland.erofs",
        Compression::None => "userland.plain.erofs",
    };
    let image = paths::cache_of(modules.kernel).join(name);
    let key = erofs::key(tree, &[&debian.key, &modules.key], compression);
    stamp::make(&image, &key, |to| {
        let (paths, files) = erofs::count(tree);
        let unpacked = megabytes(tree.size()?);
        step.note(&format!(
            "userland: {paths} paths, {files} files, {unpacked} unpacked"
        ));
        erofs::make(debian, tree, compression, to)?;
        let size = megabytes(fsutil::size(to)?);
        step.note(&format!("userland: {size} as erofs"));
        Ok(())
    })?;
    Ok(image)
}

/// Builds the programs. There is no stamp: only cargo knows if the programs are up to date.
fn make_programs(target: Target, step: &Step) -> Result<Programs> {
    step.note(&format!("init and b2p for {}", target.triple()));
    programs::build(target)
}

fn make_artifacts(config: &BuildConfig, parts: &Parts, step: &Step) -> Result<()> {
    let out = paths::out_of(config.kernel);
    let (vmlinuz, initrd) = (out.join(VMLINUZ), out.join(INITRD));
    copy_kernel(parts.linux, &parts.modules.release, &vmlinuz)?;
    initrd::make(parts, Layout::PerFile, &initrd)?;
    step.note(&format!(
        "{}: vmlinuz {}, initrd.img {}, init {}, b2p {}",
        out.display(),
        megabytes(fsutil::size(&vmlinuz)?),
        megabytes(fsutil::size(&initrd)?),
        megabytes(fsutil::size(&parts.programs.init)?),
        megabytes(fsutil::size(&parts.programs.b2p)?)
    ));
    Ok(())
}

fn copy_kernel(linux: &PackageTree, release: &str, to: &Path) -> Result<bool> {
    let from = initrd::kernel(linux, release);
    let mut inputs = Inputs::new();
    inputs.add("linux", &linux.key).add("release", release);
    stamp::make(to, &inputs.finish(), |temporary| {
        fs::copy(&from, temporary).with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    })
}

/// Writes the manifest and the bill of materials of the artifacts.
fn describe(
    config: &BuildConfig,
    parts: &Parts,
    target: Target,
    packages: Vec<Component>,
) -> Result<()> {
    let out = paths::out_of(config.kernel);
    let artifact = |name| Artifact::of(&out.join(name), name);
    let boot = [artifact(VMLINUZ)?, artifact(INITRD)?];
    let document = spdx::Document {
        suite: &config.suite,
        artifacts: &boot,
        components: &packages,
        created: bom::time::source(),
    };
    fsutil::replace_text(&out.join(paths::SPDX), &document.text()?)?;
    let mut artifacts = Vec::from(boot);
    artifacts.extend([
        Artifact::of(parts.userland, "userland.erofs")?,
        Artifact::of(&parts.programs.init, "init")?,
        Artifact::of(&parts.programs.b2p, "b2p")?,
    ]);
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION"),
        suite: config.suite.clone(),
        arch: config.arch.name,
        kernel: parts.modules.release.clone(),
        init_target: target.triple(),
        artifacts,
        packages,
    };
    manifest::write(&manifest, &out.join(paths::MANIFEST))
}

/// Removes everything under `out/` except the users' data disks.
pub fn clean() -> Result<()> {
    let out = paths::out();
    let Ok(entries) = fs::read_dir(&out) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("data") {
            fsutil::remove(&entry.path())?;
        }
    }
    Ok(())
}
