//! `make iso`: one file that boots on BIOS and UEFI, from a disc, and written to a
//! stick or a disk as it is. Kernel and initrd are plain files on it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bom::medium;
use crate::boot::grub::Loaders;
use crate::boot::menu;
use crate::ext;
use crate::fetch::{Debian, Wanted};
use crate::image;
use crate::packages::Kernel;
use crate::progress::{Step, megabytes};
use crate::run::options::Options;
use crate::stamp::{self, Inputs};
use crate::{disk, paths, sums, tools};

/// Its name under out/.
pub const NAME: &str = "boot2podman.iso";
/// Where the files are on it.
const DIR: &str = "/boot";
/// Bytes 0x8028 to 0x8047 of the file (ECMA-119, 8.4.8): docker-machine and minikube
/// read the version of an ISO there.
const VOLUME: &str = concat!("b2p-v", env!("CARGO_PKG_VERSION"));
/// The time of everything on it, in seconds since 1970: ISO 9660 has none before, and
/// the same inputs make the same file.
const TIME: &str = "315532800";

/// Makes the ISO of `KERNEL=`, with the flags of `APPEND=` and the key of `SSH_KEY=` in
/// its menu, and its checksum beside it. `EXT=` names extensions that it is to have.
///
/// # Errors
/// What went wrong, with the step.
pub fn main() -> Result<()> {
    image::main()?;
    let wanted = Wanted::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    let flags = flags()?;
    let step = Step::of("iso", 1, 2);
    let tree = wanted.fetch_loaders(&step)?;
    let extensions = ext::listed(&wanted, &std::env::var("EXT").unwrap_or_default())?;
    let iso = paths::out_of(wanted.kernel).join(NAME);
    let files = files(wanted.kernel, &extensions);
    make(&tree, &flags, &files, &iso)?;
    let paths: Vec<PathBuf> = files.iter().map(|(file, _)| file.clone()).collect();
    medium::describe(&tree, &wanted.suite, &iso, &paths)?;
    Step::of("iso", 2, 2).note(&format!(
        "{}: {}, volume {VOLUME}",
        iso.display(),
        megabytes(fs::metadata(&iso)?.len())
    ));
    image::same_file(&iso, &paths::out().join(NAME))?;
    for name in [format!("{NAME}.sha256"), medium::name(NAME)] {
        image::same_file(&iso.with_file_name(&name), &paths::out().join(name))?;
    }
    sums::write(&paths::out())
}

/// A file, and the directory below [`DIR`] that it is put in.
type Placed = (PathBuf, &'static str);

/// The kernel and the initrd of a medium; a disk has them, too.
pub(crate) fn own_files(kernel: Kernel) -> [PathBuf; 2] {
    let vmlinuz = paths::out_of(kernel).join("vmlinuz");
    [vmlinuz, image::on_media(kernel)]
}

/// What is on it beside the loaders.
fn files(kernel: Kernel, extensions: &[PathBuf]) -> Vec<Placed> {
    let both = |image: &PathBuf| [image.clone(), ext::manifest_of(image)];
    let extensions = extensions.iter().flat_map(both).map(|file| (file, "ext"));
    let own = own_files(kernel).into_iter().map(|file| (file, ""));
    own.chain(extensions).collect()
}

/// What every entry of the menu gets.
pub(crate) fn flags() -> Result<Vec<String>> {
    let options = Options::read(&[], |name| std::env::var(name).ok())?;
    let mut flags = menu::words(&options.append);
    if let Some(key) = options.asked_key()? {
        flags.push(format!("b2p.ssh_key={}", key.public));
    }
    Ok(flags)
}

/// Makes `iso` of these files, unless it is current.
///
/// # Errors
/// What went wrong.
fn make(tree: &Debian, flags: &[String], files: &[Placed], iso: &Path) -> Result<bool> {
    let menu = menu::config(DIR, flags)?;
    let mut inputs = Inputs::new();
    inputs.add("format", "2").add("loaders", &tree.key);
    inputs.add("volume", VOLUME).add("menu", &menu);
    for (file, below) in files {
        inputs.add_file("file", file)?;
        let name = file.file_name().context("a file has a name")?;
        inputs.add(below, name.as_encoded_bytes());
    }
    let made = stamp::make(iso, &inputs.finish(), |to| write(tree, &menu, files, to))?;
    let sums = iso.with_file_name(format!("{NAME}.sha256"));
    if made || !sums.exists() {
        let line = format!("{}  {NAME}\n", stamp::file_digest(iso)?);
        fs::write(&sums, line).with_context(|| format!("write {}", sums.display()))?;
    }
    Ok(made)
}

fn write(tree: &Debian, menu: &str, files: &[Placed], to: &Path) -> Result<()> {
    let work = paths::cache().join(".tmp.iso");
    stamp::remove(&work)?;
    let (root, mark) = (work.join("root"), format!("{DIR}/grub/{VOLUME}"));
    let dir = root.join(DIR.trim_start_matches('/'));
    fs::create_dir_all(dir.join("grub"))?;
    fs::write(dir.join("grub/grub.cfg"), menu)?;
    fs::write(root.join(mark.trim_start_matches('/')), "")?;
    for (file, below) in files {
        let to = dir.join(below);
        fs::create_dir_all(&to)?;
        let to = to.join(file.file_name().context("a file has a name")?);
        fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(drop))?;
    }
    // For `b2p upgrade`, and for who looks.
    let own = files.iter().filter(|(_, below)| below.is_empty());
    let own: Vec<PathBuf> = own.map(|(file, _)| file.clone()).collect();
    fs::write(dir.join("SHA256SUMS"), disk::sums(&own)?)?;
    let loaders = Loaders {
        tree,
        mark: &mark,
        config: &format!("{DIR}/grub/grub.cfg"),
        dir: &work,
    };
    fs::rename(loaders.bios()?, dir.join("grub/bios.img"))?;
    xorriso(tree, &loaders, &root, to)?;
    stamp::remove(&work)
}

/// As a disc: El Torito, an image for each firmware. As a disk: an MBR that loads the
/// first, and a GPT with the second as EFI system partition, behind the ISO 9660.
fn xorriso(tree: &Debian, loaders: &Loaders<'_>, root: &Path, to: &Path) -> Result<()> {
    let efi = loaders.uefi()?;
    let mut command = tools::command_in(tree, "xorriso")?;
    command.env("SOURCE_DATE_EPOCH", TIME).env("TZ", "UTC");
    #[rustfmt::skip]
    command.args([
        "-as", "mkisofs", "-quiet", "-r", "-V", VOLUME, "-A", "boot2podman",
        "-partition_offset", "16", "--mbr-force-bootable", "-appended_part_as_gpt",
        "-c", "/boot/grub/boot.cat",
        "-b", "/boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4",
        "-boot-info-table", "--grub2-boot-info",
        "-eltorito-alt-boot", "-e", "--interval:appended_partition_2:::", "-no-emul-boot",
    ]);
    command.args(["--set_all_file_dates", &format!("={TIME}")]);
    command.arg("--grub2-mbr").arg(loaders.hybrid_mbr());
    command.args(["-append_partition", "2", "0xef"]).arg(efi);
    command.arg("-o").arg(to).arg(root);
    tools::run(&mut command, "xorriso").map(drop)
}
