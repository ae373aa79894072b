//! `make image`: the stages, in order. Each is a module of its own, each does nothing
//! when its inputs have not changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bom::{self, Component, spdx};
use crate::erofs::Packed;
use crate::fetch::{Debian, Wanted};
use crate::initrd::{self, Layout, Packing, Parts};
use crate::manifest::{self, Artifact, Manifest};
use crate::modules::{self, Modules};
use crate::packages::Kernel;
use crate::programs::Programs;
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::tree::Tree;
use crate::{applets, erofs, ldcache, overlay, paths, programs, sums, userland};

const STAGES: usize = 5;

/// What is made of each kernel.
const ARTIFACTS: &[&str] = &["vmlinuz", "initrd.img", "manifest.json", spdx::NAME];

/// Makes the kernel, the initrd and the manifest that `KERNEL=` asks for. They lie in
/// `out/<kernel>/`, and as the same files in `out/`, until another is asked for.
pub fn main() -> Result<()> {
    let wanted = Wanted::from_env()?;
    Packing::of_media()?; // a word that is wrong is said before the work
    let _lock = stamp::lock(&paths::out())?;
    make(&wanted)?;
    let (from, to) = (paths::out_of(wanted.kernel), paths::out());
    ARTIFACTS
        .iter()
        .try_for_each(|name| same_file(&from.join(name), &to.join(name)))?;
    sums::write(&to)
}

/// Makes those of the kernels that are named, in `out/<kernel>/` only: for who needs
/// several at once, as the tests do.
pub fn beside(names: &[String]) -> Result<()> {
    let wanted = Wanted::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    for name in names {
        let kernel = Kernel::parse(name).map_err(anyhow::Error::msg)?;
        make(&Wanted {
            kernel,
            ..wanted.clone()
        })?;
    }
    Ok(())
}

fn make(wanted: &Wanted) -> Result<()> {
    let step = Step::begin(1, STAGES);
    let (debian, linux) = (wanted.fetch(&step)?, wanted.fetch_kernel(&step)?);
    let step = Step::begin(2, STAGES);
    let modules = modules::prepare(&debian, &linux, wanted.kernel, &step)?;
    let target = programs::Target::choose();
    let mut tree = assemble(&debian, &modules)?;
    let bom = bom::collect(&debian, &linux, &tree, target)?;
    tree.bytes(bom::LIST, bom::list(&bom), 0o644);
    let step = Step::begin(3, STAGES);
    let userland = make_userland(&debian, &modules, &tree, Packed::Files, &step)?;
    let programs = make_programs(target, &Step::begin(4, STAGES))?;
    let parts = Parts {
        debian: &debian,
        linux: &linux,
        modules: &modules,
        programs: &programs,
        userland: &userland,
    };
    make_artifacts(wanted, &parts, &Step::begin(STAGES, STAGES))?;
    if wanted.kernel == Kernel::Slim {
        let userland = make_userland(&debian, &modules, &tree, Packed::No, &step)?;
        let parts = Parts {
            userland: &userland,
            ..parts
        };
        make_small(&parts, &step)?;
    }
    describe(wanted, &parts, target, bom)
}

/// The initrd that goes onto a medium: the same one unless the kernel is the slim one,
/// whose point there is to be small.
pub fn on_media(kernel: Kernel) -> PathBuf {
    let out = paths::out_of(kernel);
    match kernel {
        Kernel::Slim => match Packing::of_media() {
            Ok(Packing::Xz) => out.join("smallest/initrd.img"),
            _ => out.join("small/initrd.img"),
        },
        Kernel::Cloud | Kernel::Generic => out.join("initrd.img"),
    }
}

fn make_small(parts: &Parts, step: &Step) -> Result<()> {
    let (initrd, packing) = (on_media(Kernel::Slim), Packing::of_media()?);
    if initrd::make(parts, Layout::Solid(packing), &initrd)? {
        step.note(&format!(
            "{}: {}",
            initrd.display(),
            megabytes(size(&initrd)?)
        ));
    }
    Ok(())
}

/// Makes `to` another name of `from`; a copy, where the file system has no hard links.
pub fn same_file(from: &Path, to: &Path) -> Result<()> {
    let identity = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
    let there = identity(from).with_context(|| format!("stat {}", from.display()))?;
    if identity(to).is_ok_and(|here| here == there) {
        return Ok(());
    }
    let temporary = to.with_extension("tmp");
    stamp::remove(&temporary)?;
    fs::hard_link(from, &temporary)
        .or_else(|_| fs::copy(from, &temporary).map(drop))
        .with_context(|| format!("link {} to {}", from.display(), temporary.display()))?;
    fs::rename(&temporary, to).with_context(|| format!("rename to {}", to.display()))
}

/// The whole userland as a tree: packages, tables, applets, modules, our own files.
pub fn assemble(debian: &Debian, modules: &Modules) -> Result<Tree> {
    let mut tree = base(debian)?;
    add_directory(
        &mut tree,
        &modules.root(),
        &format!("usr/lib/modules/{}", modules.release),
    )?;
    ldcache::add(debian, &mut tree, &paths::cache().join(".tmp.ldconfig"))?;
    overlay::lay(&mut tree, &paths::files())?;
    userland::own(&mut tree)?;
    Ok(tree)
}

/// What of it is from packages and tables: what an extension need not bring.
pub fn base(debian: &Debian) -> Result<Tree> {
    let mut tree = userland::select(&debian.root)?;
    userland::furnish(&mut tree, &debian.root)?;
    applets::link(
        &mut tree,
        &applets::list(&debian.root.join("usr/bin/busybox"))?,
    );
    Ok(tree)
}

fn add_directory(tree: &mut Tree, from: &Path, to: &str) -> Result<()> {
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
    debian: &Debian,
    modules: &Modules,
    tree: &Tree,
    packed: Packed,
    step: &Step,
) -> Result<PathBuf> {
    let name = match packed {
        Packed::Files => "userland.erofs",
        Packed::No => "userland.plain.erofs",
    };
    let image = paths::cache_of(modules.kernel).join(name);
    let key = erofs::key(tree, &[&debian.key, &modules.key], packed);
    stamp::make(&image, &key, |to| {
        let (paths, files) = erofs::count(tree);
        let unpacked = megabytes(tree.size()?);
        step.note(&format!(
            "userland: {paths} paths, {files} files, {unpacked} unpacked"
        ));
        erofs::make(debian, tree, packed, to)?;
        step.note(&format!("userland: {} as erofs", megabytes(size(to)?)));
        Ok(())
    })?;
    Ok(image)
}

/// Always asks cargo, which alone knows whether they are current.
fn make_programs(target: programs::Target, step: &Step) -> Result<Programs> {
    step.note(&format!("init and b2p for {}", target.triple()));
    programs::build(target)
}

fn make_artifacts(wanted: &Wanted, parts: &Parts, step: &Step) -> Result<()> {
    let out = paths::out_of(wanted.kernel);
    let (vmlinuz, initrd) = (out.join("vmlinuz"), out.join("initrd.img"));
    make_kernel(parts.linux, &parts.modules.release, &vmlinuz)?;
    initrd::make(parts, Layout::Files, &initrd)?;
    step.note(&format!(
        "{}: vmlinuz {}, initrd.img {}, init {}, b2p {}",
        out.display(),
        megabytes(size(&vmlinuz)?),
        megabytes(size(&initrd)?),
        megabytes(size(&parts.programs.init)?),
        megabytes(size(&parts.programs.b2p)?)
    ));
    Ok(())
}

fn make_kernel(linux: &Debian, release: &str, to: &Path) -> Result<bool> {
    let from = initrd::kernel(linux, release);
    let mut inputs = Inputs::new();
    inputs.add("linux", &linux.key).add("release", release);
    stamp::make(to, &inputs.finish(), |temporary| {
        fs::copy(&from, temporary).with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    })
}

/// Writes what the artifacts are and what is in them, as a manifest and as SPDX has it.
fn describe(
    wanted: &Wanted,
    parts: &Parts,
    target: programs::Target,
    packages: Vec<Component>,
) -> Result<()> {
    let out = paths::out_of(wanted.kernel);
    let of = |name| Artifact::of(&out.join(name), name);
    let boot = [of("vmlinuz")?, of("initrd.img")?];
    let document = spdx::Document {
        suite: &wanted.suite,
        artifacts: &boot,
        components: &packages,
        created: bom::time::source(),
    };
    manifest::write_text(&document.text()?, &out.join(spdx::NAME))?;
    let mut artifacts = Vec::from(boot);
    artifacts.extend([
        Artifact::of(parts.userland, "userland.erofs")?,
        Artifact::of(&parts.programs.init, "init")?,
        Artifact::of(&parts.programs.b2p, "b2p")?,
    ]);
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION"),
        suite: wanted.suite.clone(),
        kernel: parts.modules.release.clone(),
        init_target: target.triple(),
        artifacts,
        packages,
    };
    manifest::write(&manifest, &out.join("manifest.json"))
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)
        .with_context(|| format!("stat {}", path.display()))?
        .len())
}

/// Removes everything under out/ but people's data disks.
pub fn clean() -> Result<()> {
    let out = paths::out();
    let Ok(entries) = fs::read_dir(&out) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("data") {
            stamp::remove(&entry.path())?;
        }
    }
    Ok(())
}
