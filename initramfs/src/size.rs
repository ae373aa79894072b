// SPDX-License-Identifier: Apache-2.0
//! `make size`: the size of each part of the image, as a table and as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fetch::{BuildConfig, PackageTree};
use crate::paths::{INITRD, ISO, VMLINUZ};
use crate::progress::{Step, megabytes};
use crate::tree::Node;
use crate::{fsutil, image, kernel, media, modules, package_metadata, paths, stamp, tools};

/// Number of the userland's packages that have a line of their own.
const MAX_PACKAGES: usize = 24;

/// Part of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Description.
    pub name: String,
    /// Size in the artifact, in bytes.
    pub packed: u64,
    /// Unpacked size in bytes.
    pub unpacked: u64,
}

/// Makes the image for the kernel that `KERNEL=` selects, and writes the sizes of its parts to
/// standard output and `out/size.svg`.
///
/// # Errors
/// The image cannot be made or read.
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
    let vmlinuz = fsutil::size(&out.join(VMLINUZ))?;
    let initrd = fsutil::size(&out.join(INITRD))?;
    let userland = paths::cache_of(config.kernel).join("userland.erofs");
    let unpacked_part = |name: &str, bytes| Part {
        name: name.to_owned(),
        packed: bytes,
        unpacked: bytes,
    };
    let head = initrd.saturating_sub(fsutil::size(&userland)?);
    let mut parts = vec![
        unpacked_part("the kernel, vmlinuz", vmlinuz),
        unpacked_part("the initrd's head: init, b2p, busybox, early modules", head),
    ];
    let debian = config.userland_tree();
    let mut packages = by_owner(&debian, config, &userland)?;
    packages.sort_by(|a, b| b.packed.cmp(&a.packed).then(a.name.cmp(&b.name)));
    let in_files = total(&packages);
    let rest = packages.split_off(packages.len().min(MAX_PACKAGES));
    parts.extend(packages);
    parts.push(Part {
        name: format!("{} more packages", rest.len()),
        packed: total(&rest),
        unpacked: rest.iter().map(|p| p.unpacked).sum(),
    });
    // Directories, inodes and the ends of blocks.
    let tables = fsutil::size(&userland)?.saturating_sub(in_files);
    parts.push(unpacked_part("the userland's own tables", tables));
    if let Ok(iso) = fsutil::size(&out.join(ISO)) {
        let boot_files = vmlinuz + fsutil::size(&media::initrd(config.kernel))?;
        let name = format!(
            "(the ISO is {}: with GRUB for BIOS and UEFI)",
            megabytes(iso)
        );
        parts.push(unpacked_part(&name, iso.saturating_sub(boot_files)));
    }
    Ok(parts)
}

/// Returns the sizes of the userland's files, by package.
fn by_owner(debian: &PackageTree, config: &BuildConfig, userland: &Path) -> Result<Vec<Part>> {
    let step = Step::new("size", 1, 1);
    let linux = kernel::fetch(config, &step)?;
    let modules = modules::prepare(debian, &linux, config.kernel, &step)?;
    let (tree, owners) = (
        image::assemble(debian, &modules)?,
        package_metadata::owners(&debian.root)?,
    );
    let mut sizes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (path, _) in tree
        .iter()
        .filter(|(_, entry)| matches!(entry.node, Node::File(_)))
    {
        let name = match owners.get(path) {
            Some(package) => package.clone(),
            None if path.starts_with("usr/lib/modules/") => "kernel modules".into(),
            None => "boot2podman's own files and generated ones".into(),
        };
        let (packed, unpacked) = file_sizes(debian, userland, path)?;
        let sum = sizes.entry(name).or_default();
        *sum = (sum.0 + packed, sum.1 + unpacked);
    }
    let part = |(name, (packed, unpacked))| Part {
        name,
        packed,
        unpacked,
    };
    Ok(sizes.into_iter().map(part).collect())
}

/// Returns a file's packed and unpacked size in bytes, as dump.erofs(1) reports them.
fn file_sizes(debian: &PackageTree, userland: &Path, path: &str) -> Result<(u64, u64)> {
    let mut command = tools::command_in(debian, "dump.erofs")?;
    command.arg(format!("--path=/{path}")).arg(userland);
    let output = tools::run(&mut command, "dump.erofs")?;
    let output = String::from_utf8_lossy(&output);
    parse_sizes(&output).with_context(|| format!("{path}: dump.erofs prints no sizes: {output}"))
}

/// Parses `Size: 45138544  On-disk size: 19890176  regular file`.
fn parse_sizes(output: &str) -> Option<(u64, u64)> {
    let line = output.lines().find(|line| line.contains("On-disk size:"))?;
    let (unpacked, packed) = line.split_once("On-disk size:")?;
    let number = |text: &str| text.split_whitespace().find_map(|w| w.parse().ok());
    Some((number(packed)?, number(unpacked)?))
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.packed).sum()
}

/// Formats the parts as a Markdown table.
pub fn table(parts: &[Part]) -> String {
    let sum = total(parts).max(1);
    let mut text = String::from("| What | MB | of all | MB unpacked |\n|---|---|---|---|\n");
    for Part {
        name,
        packed,
        unpacked,
    } in parts
    {
        let (packed_mb, unpacked) = (*packed as f64 / 1e6, *unpacked as f64 / 1e6);
        let share = *packed as f64 * 100.0 / sum as f64;
        let _ = writeln!(
            text,
            "| {name} | {packed_mb:.2} | {share:.1} % | {unpacked:.2} |"
        );
    }
    let _ = writeln!(text, "| all of it | {:.2} | 100 % | |", sum as f64 / 1e6);
    text
}

/// Draws the parts as bars.
pub fn svg(parts: &[Part]) -> String {
    let largest = parts.iter().map(|p| p.packed).max().unwrap_or(1).max(1);
    let height = 20 * parts.len() + 10;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    for (n, part) in parts.iter().enumerate() {
        let (y, width) = (5 + 20 * n, part.packed as f64 * 480.0 / largest as f64);
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
    fn sizes_are_read_from_the_tools_output() {
        let output =
            "Path : /usr/bin/podman\nSize: 45138544  On-disk size: 19890176  regular file\n";
        assert_eq!(parse_sizes(output), Some((19_890_176, 45_138_544)));
        assert_eq!(parse_sizes("File not found"), None);
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
