// SPDX-License-Identifier: Apache-2.0
//! Kernels: Debian's packages, or for `KERNEL=slim` the slim kernel, which `make kernel`
//! compiles from Debian's source with Debian's compiler.
//!
//! The slim kernel's options are in `initramfs/kernel/slim.config`, with groups for one architecture;
//! [`required_kconfig`] lists the options that the machine needs, and each build compares the two. The build has the
//! fetched tree as its root and nothing of the host ([`crate::sandbox`]), so that the same versions
//! give the same bytes on any host. The result is under `out/kernel/` with the layout of one of
//! Debian's kernel packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::arch::Arch;
use crate::fetch::{BuildConfig, PackageTree};
use crate::package_metadata::{self, Fetched, VERSIONS};
use crate::packages::Kernel;
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{fsutil, paths};

pub mod kconfig;
mod make;
pub mod required_kconfig;

use make::Build;

/// Version of the way of building.
const FORMAT: &str = "2";
/// Name of the file with the slim kernel's options.
const FRAGMENT: &str = "slim.config";
/// End of the slim kernel's release.
const SUFFIX: &str = "-slim";
/// First part of the source package's name, which ends with the upstream version.
const SOURCE: &str = "linux-source-";
/// Name of the kernel as an ELF file, for Firecracker, which boots no bzImage.
const ELF: &str = "vmlinux";
/// Name of the boot configuration that the kernel of aarch64 contains, in the build's directory.
const BOOT_CONFIG: &str = "slim.bootconfig";

/// Returns the directory of the slim kernel.
fn result_dir(arch: &Arch) -> PathBuf {
    paths::out_for(arch).join("kernel")
}

/// Returns the path of a file of the slim kernel's options.
fn options_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("kernel")
        .join(name)
}

/// Options of the slim kernel of one architecture.
struct Options {
    /// Lines of a kernel's configuration.
    fragment: String,
    /// Boot configuration (Documentation/admin-guide/bootconfig.rst).
    boot_config: String,
}

impl Options {
    fn read(arch: &Arch) -> Result<Self> {
        let read = |name| {
            let path = options_path(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        Ok(Options {
            fragment: kconfig::for_arch(&read(FRAGMENT)?, arch.name),
            boot_config: read(BOOT_CONFIG)?,
        })
    }
}

/// Makes the slim kernel and reports its path.
///
/// # Errors
/// A step of the build failed.
pub fn build() -> Result<()> {
    let config = BuildConfig {
        kernel: Kernel::Slim,
        ..BuildConfig::from_env()?
    };
    let _lock = stamp::lock(&paths::out())?;
    let step = Step::new("kernel", 1, 1);
    let tree = make_slim(&config, &step)?;
    let (release, boot) = (tree.kernel_release()?, tree.root.join("boot"));
    let (vmlinuz, vmlinux) = (format!("vmlinuz-{release}"), format!("{ELF}-{release}"));
    step.note(&format!(
        "{}: {release}, vmlinuz {}, {ELF} {}",
        result_dir(config.arch).display(),
        megabytes(fsutil::size(&boot.join(vmlinuz))?),
        megabytes(fsutil::size(&boot.join(&vmlinux))?),
    ));
    fsutil::link_or_copy(&boot.join(vmlinux), &paths::out().join(ELF))
}

/// Returns the tree of the kernel that `config` selects: fetched, or compiled, unless the tree
/// exists.
///
/// # Errors
/// The kernel cannot be fetched or compiled.
pub fn fetch(config: &BuildConfig, step: &Step) -> Result<PackageTree> {
    match config.kernel {
        Kernel::Slim => make_slim(config, step),
        Kernel::Cloud | Kernel::Generic => config.fetch_linux(step),
    }
}

/// Returns the path of the slim kernel of the host's architecture as an ELF file, for virtual machine monitors that
/// boot by PVH.
///
/// # Errors
/// The slim kernel has not been made yet.
pub fn vmlinux() -> Result<PathBuf> {
    let tree = PackageTree::of_host(result_dir(Arch::host()), String::new());
    let release = tree.kernel_release().context("run `make kernel` first")?;
    Ok(tree.root.join(format!("boot/{ELF}-{release}")))
}

/// Makes the slim kernel, unless the present one was made from the same source, compiler and
/// options.
fn make_slim(config: &BuildConfig, step: &Step) -> Result<PackageTree> {
    let options = Options::read(config.arch)?;
    let (root, builder) = (result_dir(config.arch), config.builder_tree());
    let result = |key| PackageTree {
        arch: config.arch,
        ..PackageTree::of_host(root.clone(), key)
    };
    // The result stays valid without the tree of its compilation: that tree has 1.5 GB, and a
    // restored cache may have the result alone.
    if !builder.root.exists() && root.join(VERSIONS).exists() {
        let key = key(&options, &builder.key, &root)?;
        if stamp::is_current(&root, &key) {
            return Ok(result(key));
        }
    }
    let builder = config.fetch_builder(step)?;
    let key = key(&options, &builder.key, &builder.root)?;
    stamp::make(&root, &key, |to| {
        compile(config.arch, &builder, &options, to, step)
    })?;
    Ok(result(key))
}

/// Returns a hash of all inputs; `root` is the tree with the list of package versions.
fn key(options: &Options, packages: &str, root: &Path) -> Result<String> {
    let mut inputs = Inputs::new();
    inputs.add("format", FORMAT).add("packages", packages);
    inputs.add("fragment", &options.fragment);
    inputs.add("boot configuration", &options.boot_config);
    for Fetched { name, version, .. } in package_metadata::packages(root)? {
        inputs.add(&name, version);
    }
    Ok(inputs.finish())
}

/// Compiles the source and collects the result in `to`.
fn compile(
    arch: &Arch,
    builder: &PackageTree,
    options: &Options,
    to: &Path,
    step: &Step,
) -> Result<()> {
    let work = paths::cache_for(arch)
        .join(Kernel::Slim.name())
        .join("build");
    fsutil::remove(&work)?;
    let build = Build::new(&builder.root, &work, &arch.slim, SUFFIX)?;
    let source = source_package(builder)?;
    step.note(&format!("kernel: unpacking {source}"));
    build.run(&["mkdir", "src", "o", "bin"])?;
    // Maintainer scripts, of which none was run, make the link `awk`.
    build.run(&["ln", "-s", "/usr/bin/gawk", "bin/awk"])?;
    let archive = format!("/usr/src/{source}.tar.xz");
    build.run(&["tar", "-xf", &archive, "-C", "src", "--strip-components=1"])?;
    configure(&build, options)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    step.note(&format!(
        "kernel: compiling, {jobs} at a time; 11 minutes on two cores"
    ));
    build.make(&[&format!("-j{jobs}"), arch.slim.target], |files| {
        step.note(&format!("kernel: {files} files compiled"));
    })?;
    collect(&build, arch, builder, to)?;
    fsutil::remove(&work)
}

/// Returns the name of the source package, as `linux-source-6.12`, which is also the name of its
/// archive.
fn source_package(builder: &PackageTree) -> Result<String> {
    let packages = package_metadata::packages(&builder.root)?.into_iter();
    let mut names = packages.map(|package| package.name);
    names
        .find(|name| name.starts_with(SOURCE))
        .with_context(|| format!("no package {SOURCE}… was fetched"))
}

/// Configures the kernel with tinyconfig, the fragment and the options that follow from both;
/// every line of the fragment must hold afterwards.
fn configure(build: &Build, options: &Options) -> Result<()> {
    let fragment = &options.fragment;
    fs::write(build.path(BOOT_CONFIG), &options.boot_config)
        .context("write the boot configuration")?;
    build.make(&["tinyconfig"], |_| ())?;
    let path = build.path("o/.config");
    let tiny = fs::read_to_string(&path).context("read what tinyconfig made")?;
    fs::write(&path, format!("{tiny}\n{fragment}")).context("write .config")?;
    build.make(&["olddefconfig"], |_| ())?;
    let config = fs::read_to_string(&path).context("read .config")?;
    let mismatches = kconfig::mismatches(fragment, &config);
    if !mismatches.is_empty() {
        bail!(
            "{}: these lines do not hold in this kernel, because what they depend on is off or \
             something else turns them on (the search of menuconfig, /, shows which): {}",
            options_path(FRAGMENT).display(),
            mismatches.join("; ")
        );
    }
    let missing = required_kconfig::missing(&config);
    ensure!(missing.is_empty(), "{}", missing.join("; "));
    Ok(())
}

/// Copies the result into `to` with the layout of one of Debian's kernel packages.
fn collect(build: &Build, arch: &Arch, builder: &PackageTree, to: &Path) -> Result<()> {
    let release = build.path("o/include/config/kernel.release");
    let release = fs::read_to_string(&release).context("read the kernel's release")?;
    let release = release.trim();
    ensure!(release.ends_with(SUFFIX), "the release is {release}");
    build.run_tool(
        "objcopy",
        &["--strip-all", "o/vmlinux", "o/vmlinux.stripped"],
    )?;
    let (boot, lib) = ("boot", format!("usr/lib/modules/{release}"));
    let files = [
        (arch.slim.image, format!("{boot}/vmlinuz-{release}")),
        ("vmlinux.stripped", format!("{boot}/{ELF}-{release}")),
        (".config", format!("{boot}/config-{release}")),
        ("modules.builtin", format!("{lib}/modules.builtin")),
        (
            "modules.builtin.modinfo",
            format!("{lib}/modules.builtin.modinfo"),
        ),
    ];
    for dir in [boot, &lib] {
        create_dir(&to.join(dir))?;
    }
    for (from, name) in files {
        let from = build.path("o").join(from);
        fs::copy(&from, to.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    fs::write(to.join(lib).join("modules.order"), "").context("write modules.order")?;
    copy_metadata(builder, to)
}

/// Copies the list of versions and the copyright file, which the bill of materials needs.
fn copy_metadata(builder: &PackageTree, to: &Path) -> Result<()> {
    let doc = format!("{}{}", package_metadata::DOC, source_package(builder)?);
    create_dir(&to.join(&doc))?;
    for name in [VERSIONS, &format!("{doc}/copyright")] {
        fs::copy(builder.root.join(name), to.join(name)).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}

fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))
}
