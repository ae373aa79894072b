//! `make kernel`: the slim kernel, from Debian's source with Debian's compiler.
//!
//! What is on is `initramfs/kernel/slim.config`; what the machine needs of it is asked
//! again from the other side ([`needs`]). The build sees the fetched tree as its root and
//! nothing of the host ([`room`]), so that the same versions give the same bytes anywhere.
//! The result lies under `out/kernel/` as one of Debian's kernels lies in its package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::fetch::{Debian, Wanted};
use crate::package_metadata::{self, Fetched, VERSIONS};
use crate::packages::Kernel;
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{image, paths};

pub mod config;
pub mod required_kconfig;
mod sandbox;

use sandbox::Room;

/// Counts up when the way of building changes.
const FORMAT: &str = "1";
/// What the kernel's name of itself ends with.
const SUFFIX: &str = "-slim";
/// The package with the source; its version is part of its name.
const SOURCE: &str = "linux-source-";
/// The kernel as an ELF file, for who boots no bzImage: Firecracker.
const ELF: &str = "vmlinux";

/// Where the result lies.
fn place() -> PathBuf {
    paths::out().join("kernel")
}

/// What is asked for.
fn fragment_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel/slim.config")
}

/// Makes the slim kernel, and says where.
///
/// # Errors
/// What went wrong, with the step.
pub fn main() -> Result<()> {
    let wanted = Wanted {
        kernel: Kernel::Slim,
        ..Wanted::from_env()?
    };
    let _lock = stamp::lock(&paths::out())?;
    let step = Step::of("kernel", 1, 1);
    let made = make(&wanted, &step)?;
    let (release, boot) = (made.kernel_release()?, made.root.join("boot"));
    let size = |name: String| fs::metadata(boot.join(name)).map_or(0, |m| m.len());
    step.note(&format!(
        "{}: {release}, vmlinuz {}, {ELF} {}",
        place().display(),
        megabytes(size(format!("vmlinuz-{release}"))),
        megabytes(size(format!("{ELF}-{release}"))),
    ));
    image::same_file(
        &boot.join(format!("{ELF}-{release}")),
        &paths::out().join(ELF),
    )
}

/// The kernel as an ELF file, for what enters it by PVH.
///
/// # Errors
/// It was not made yet.
pub fn elf() -> Result<PathBuf> {
    let made = Debian {
        root: place(),
        key: String::new(),
    };
    let release = made.kernel_release().context("run `make kernel` first")?;
    Ok(made.root.join(format!("boot/{ELF}-{release}")))
}

/// Makes it unless it is current: the same source, compiler and configuration.
///
/// # Errors
/// What went wrong, with the end of the compiler's output.
pub fn make(wanted: &Wanted, step: &Step) -> Result<Debian> {
    let path = fragment_path();
    let fragment = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let (root, builder) = (place(), wanted.builder());
    // A result is kept though what built it is gone: that is 1.5 GB, and a cache may have
    // the one without the other.
    if !builder.root.exists() && root.join(VERSIONS).exists() {
        let key = key(&fragment, &builder.key, &root)?;
        if stamp::is_current(&root, &key) {
            return Ok(Debian { root, key });
        }
    }
    let builder = wanted.fetch_builder(step)?;
    let key = key(&fragment, &builder.key, &builder.root)?;
    stamp::make(&root, &key, |to| build(&builder, &fragment, to, step))?;
    Ok(Debian { root, key })
}

/// A hash of all that decides about the result; `root` has the list of versions.
fn key(fragment: &str, packages: &str, root: &Path) -> Result<String> {
    let mut inputs = Inputs::new();
    inputs.add("format", FORMAT).add("packages", packages);
    inputs.add("fragment", fragment);
    for Fetched { name, version, .. } in package_metadata::packages(root)? {
        inputs.add(&name, version);
    }
    Ok(inputs.finish())
}

/// From the source to the four files that count.
fn build(builder: &Debian, fragment: &str, to: &Path, step: &Step) -> Result<()> {
    let work = paths::cache_of(Kernel::Slim).join("build");
    stamp::remove(&work)?;
    let room = Room::new(&builder.root, &work)?;
    let source = source(builder)?;
    step.note(&format!("kernel: unpacking {source}"));
    room.run(&["mkdir", "src", "o"])?;
    room.run(&[
        "tar",
        "-xf",
        &format!("/usr/src/{source}.tar.xz"),
        "-C",
        "src",
        "--strip-components=1",
    ])?;
    configure(&room, fragment)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    step.note(&format!(
        "kernel: compiling, {jobs} at a time; 11 minutes on two cores"
    ));
    room.make(&[&format!("-j{jobs}"), "bzImage"], |files| {
        step.note(&format!("kernel: {files} files compiled"));
    })?;
    collect(&room, builder, to)?;
    stamp::remove(&work)
}

/// As `linux-source-6.12`: the archive's name, too.
fn source(builder: &Debian) -> Result<String> {
    let all = package_metadata::packages(&builder.root)?.into_iter();
    let all = all.map(|package| package.name);
    let mut sources = all.filter(|name| name.starts_with(SOURCE));
    sources
        .next()
        .with_context(|| format!("no package {SOURCE}… was fetched"))
}

/// tinyconfig, then ours, then what follows from both; every line of ours must hold.
fn configure(room: &Room, fragment: &str) -> Result<()> {
    room.make(&["tinyconfig"], |_| ())?;
    let path = room.path("o/.config");
    let tiny = fs::read_to_string(&path).context("read what tinyconfig made")?;
    fs::write(&path, format!("{tiny}\n{fragment}")).context("write .config")?;
    room.make(&["olddefconfig"], |_| ())?;
    let text = fs::read_to_string(&path).context("read .config")?;
    let lost = config::lost(fragment, &text);
    if !lost.is_empty() {
        bail!(
            "{}: these do not hold in this kernel, for what they depend on is off or \
             something else turns them on (menuconfig's / says which): {}",
            fragment_path().display(),
            lost.join("; ")
        );
    }
    let missing = required_kconfig::missing(&text);
    ensure!(missing.is_empty(), "{}", missing.join("; "));
    Ok(())
}

/// Lays the result out as one of Debian's packages.
fn collect(room: &Room, builder: &Debian, to: &Path) -> Result<()> {
    let release = room.path("o/include/config/kernel.release");
    let release = fs::read_to_string(&release).context("read the kernel's release")?;
    let release = release.trim();
    ensure!(release.ends_with(SUFFIX), "the release is {release}");
    room.run(&["objcopy", "--strip-all", "o/vmlinux", "o/vmlinux.stripped"])?;
    let (boot, lib) = ("boot", format!("usr/lib/modules/{release}"));
    let files = [
        ("arch/x86/boot/bzImage", format!("{boot}/vmlinuz-{release}")),
        ("vmlinux.stripped", format!("{boot}/{ELF}-{release}")),
        (".config", format!("{boot}/config-{release}")),
        ("modules.builtin", format!("{lib}/modules.builtin")),
        (
            "modules.builtin.modinfo",
            format!("{lib}/modules.builtin.modinfo"),
        ),
    ];
    for dir in [boot, &lib] {
        let dir = to.join(dir);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    }
    for (from, name) in files {
        let from = room.path("o").join(from);
        fs::copy(&from, to.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    fs::write(to.join(lib).join("modules.order"), "").context("write modules.order")?;
    // For the bill of materials.
    let licence = format!("{}{}", package_metadata::DOC, source(builder)?);
    let dir = to.join(&licence);
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    for name in [VERSIONS, &format!("{licence}/copyright")] {
        fs::copy(builder.root.join(name), to.join(name)).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}
