//! `make size`: where each byte of the image goes, as a table and as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fetch::{BuildConfig, PackageTree};
use crate::progress::megabytes;
use crate::tree::Node;
use crate::{image, kernel, media, modules, package_metadata, paths, progress::Step, stamp, tools};

/// How many parts of the userland have a line of their own.
const SHOWN: usize = 24;

/// Something that takes room: what, its bytes as they are, and unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Bytes in the artifact.
    pub packed: u64,
    /// Bytes when it is read.
    pub unpacked: u64,
}

/// Makes the image of `KERNEL=`, and says where its bytes are: on standard output, and in
/// `out/size.svg`.
///
/// # Errors
/// What could not be made or read.
pub fn report() -> Result<()> {
    image::build()?;
    let config = BuildConfig::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    let parts = parts(&config)?;
    print!("{}", table(&parts));
    let picture = paths::out().join("size.svg");
    fs::write(&picture, svg(&parts)).with_context(|| format!("write {}", picture.display()))?;
    println!("\nthe same as a picture: {}", picture.display());
    Ok(())
}

fn parts(config: &BuildConfig) -> Result<Vec<Part>> {
    let out = paths::out_of(config.kernel);
    let len = |path: &Path| Ok::<u64, anyhow::Error>(fs::metadata(path)?.len());
    let (vmlinuz, initrd) = (len(&out.join("vmlinuz"))?, len(&out.join("initrd.img"))?);
    let userland = paths::cache_of(config.kernel).join("userland.erofs");
    let whole = |name: &str, bytes| Part {
        name: name.to_owned(),
        packed: bytes,
        unpacked: bytes,
    };
    let head = initrd.saturating_sub(len(&userland)?);
    let mut parts = vec![
        whole("the kernel, vmlinuz", vmlinuz),
        whole("the initrd's head: init, b2p, busybox, early modules", head),
    ];
    let debian = config.userland_tree();
    let mut of_userland = by_owner(&debian, config, &userland)?;
    of_userland.sort_by(|a, b| b.packed.cmp(&a.packed).then(a.name.cmp(&b.name)));
    let rest = of_userland.split_off(of_userland.len().min(SHOWN));
    let (named, known): (Vec<_>, u64) = {
        let known = of_userland.iter().chain(&rest).map(|p| p.packed).sum();
        (of_userland, known)
    };
    parts.extend(named);
    parts.push(Part {
        name: format!("{} more packages", rest.len()),
        packed: rest.iter().map(|p| p.packed).sum(),
        unpacked: rest.iter().map(|p| p.unpacked).sum(),
    });
    // Directories, inodes, the ends of blocks.
    let left = len(&userland)?.saturating_sub(known);
    parts.push(whole("the userland's own tables", left));
    let iso = out.join(paths::ISO);
    if let Ok(iso) = len(&iso) {
        let on_it = vmlinuz + len(&media::initrd(config.kernel))?;
        let name = format!(
            "(the ISO is {}: with GRUB for BIOS and UEFI)",
            megabytes(iso)
        );
        parts.push(whole(&name, iso.saturating_sub(on_it)));
    }
    Ok(parts)
}

/// The userland's files by the package that each comes from.
fn by_owner(debian: &PackageTree, config: &BuildConfig, userland: &Path) -> Result<Vec<Part>> {
    let step = Step::new("size", 1, 1);
    let linux = kernel::fetch(config, &step)?;
    let modules = modules::prepare(debian, &linux, config.kernel, &step)?;
    let (tree, owners) = (
        image::assemble(debian, &modules)?,
        package_metadata::owners(&debian.root)?,
    );
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (path, _) in tree
        .iter()
        .filter(|(_, entry)| matches!(entry.node, Node::File(_)))
    {
        let name = match owners.get(path) {
            Some(package) => package.clone(),
            None if path.starts_with("usr/lib/modules/") => "kernel modules".into(),
            None => "boot2podman's own files, and those made here".into(),
        };
        let (packed, unpacked) = on_disk(debian, userland, path)?;
        let sum = all.entry(name).or_default();
        *sum = (sum.0 + packed, sum.1 + unpacked);
    }
    let part = |(name, (packed, unpacked))| Part {
        name,
        packed,
        unpacked,
    };
    Ok(all.into_iter().map(part).collect())
}

/// A file's bytes in the image and as it is read, by dump.erofs(1).
fn on_disk(debian: &PackageTree, userland: &Path, path: &str) -> Result<(u64, u64)> {
    let mut command = tools::command_in(debian, "dump.erofs")?;
    command.arg(format!("--path=/{path}")).arg(userland);
    let said = tools::run(&mut command, "dump.erofs")?;
    let said = String::from_utf8_lossy(&said);
    sizes(&said).with_context(|| format!("what dump.erofs says of {path}: {said}"))
}

/// `Size: 45138544  On-disk size: 19890176  regular file`.
fn sizes(said: &str) -> Option<(u64, u64)> {
    let line = said.lines().find(|line| line.contains("On-disk size:"))?;
    let (unpacked, packed) = line.split_once("On-disk size:")?;
    let number = |text: &str| text.split_whitespace().find_map(|w| w.parse().ok());
    Some((number(packed)?, number(unpacked)?))
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.packed).sum()
}

/// Lines of Markdown.
pub fn table(parts: &[Part]) -> String {
    let all = total(parts).max(1);
    let mut text = String::from("| What | MB | of all | MB unpacked |\n|---|---|---|---|\n");
    for Part {
        name,
        packed,
        unpacked,
    } in parts
    {
        let (packed_mb, unpacked) = (*packed as f64 / 1e6, *unpacked as f64 / 1e6);
        let share = *packed as f64 * 100.0 / all as f64;
        let _ = writeln!(
            text,
            "| {name} | {packed_mb:.2} | {share:.1} % | {unpacked:.2} |"
        );
    }
    let _ = writeln!(text, "| all of it | {:.2} | 100 % | |", all as f64 / 1e6);
    text
}

/// The same as bars.
pub fn svg(parts: &[Part]) -> String {
    let most = parts.iter().map(|p| p.packed).max().unwrap_or(1).max(1);
    let height = 20 * parts.len() + 10;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    for (n, part) in parts.iter().enumerate() {
        let (y, width) = (5 + 20 * n, part.packed as f64 * 480.0 / most as f64);
        let name = part.name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            text,
            "<text x=\"370\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"380\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"#7a4fb5\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            y + 13,
            384.0 + width,
            y + 13,
            megabytes(part.packed)
        );
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tool_says_is_read() {
        let said = "Path : /usr/bin/podman\nSize: 45138544  On-disk size: 19890176  regular file\n";
        assert_eq!(sizes(said), Some((19_890_176, 45_138_544)));
        assert_eq!(sizes("File not found"), None);
    }

    #[test]
    fn parts_add_up_and_names_do_no_harm() {
        let part = |name: &str, packed| Part {
            name: name.into(),
            packed,
            unpacked: packed * 2,
        };
        let parts = [part("a<b>", 3_000_000), part("c", 1_000_000)];
        let table = table(&parts);
        assert!(table.contains("| a<b> | 3.00 | 75.0 % | 6.00 |"), "{table}");
        assert!(table.contains("| all of it | 4.00 |"), "{table}");
        let svg = svg(&parts);
        assert!(svg.contains("a&lt;b>") && svg.contains("width=\"480.0\""));
    }
}
