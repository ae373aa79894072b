// SPDX-License-Identifier: Apache-2.0
//! A container image made by hand: tests cannot reach a registry.

use crate::Random;
use anyhow::{Context, Result};
use initramfs::arch::Arch;
use initramfs::fetch::BuildConfig;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Name of the loaded image.
pub const NAME: &str = "localhost/box:1";

/// Commands that the image has.
const COMMANDS: &str = "sh cat dd echo env httpd id ip ls mkdir nc nslookup ping printf ps seq sleep tail test touch true wc wget";

/// Writes a docker-archive with a small busybox system, and returns its path.
pub fn archive(dir: &Path) -> Result<PathBuf> {
    archive_as(dir, NAME, 0)
}

/// Writes a docker-archive with another name and other content: each number makes another layer, a
/// few MiB longer than the first.
pub fn archive_as(dir: &Path, name: &str, number: u64) -> Result<PathBuf> {
    let file = dir.join("box.tar");
    let arch = Arch::from_env()?;
    let layer = layer(&busybox(arch)?, number)?;
    fs::write(&file, docker_archive(&layer, name, arch)?)?;
    Ok(file)
}

/// Writes the same docker-archive for machines of an architecture, whose image has been made.
pub fn archive_for(dir: &Path, arch: &'static Arch) -> Result<PathBuf> {
    archive_with(dir, &busybox(arch)?, arch)
}

/// Writes the same docker-archive with this busybox, a static program for the architecture.
pub fn archive_with(dir: &Path, busybox: &[u8], arch: &Arch) -> Result<PathBuf> {
    let file = dir.join("box.tar");
    let layer = layer(busybox, 0)?;
    fs::write(&file, docker_archive(&layer, NAME, arch)?)?;
    Ok(file)
}

/// The image in the form of a registry's answers (OCI distribution-spec).
pub struct Distributed {
    /// The manifest, without name and tag.
    pub manifest: Vec<u8>,
    /// Digest and content of each blob that the manifest names.
    pub blobs: Vec<(String, Vec<u8>)>,
}

/// Media type of the manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Makes the image of this number for a registry; [`archive_as`] has the numbers.
pub fn distributed(number: u64) -> Result<Distributed> {
    let arch = Arch::from_env()?;
    let layer = layer(&busybox(arch)?, number)?;
    let config = config(&layer, arch).into_bytes();
    let part = |kind: &str, bytes: &[u8]| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", digest(bytes)),
            "size": bytes.len(),
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": part("config.v1+json", &config),
        "layers": [part("layer.v1.tar", &layer)],
    });
    let named = |bytes: Vec<u8>| (format!("sha256:{}", digest(&bytes)), bytes);
    Ok(Distributed {
        manifest: manifest.to_string().into_bytes(),
        blobs: vec![named(config), named(layer)],
    })
}

fn busybox(arch: &'static Arch) -> Result<Vec<u8>> {
    let config = BuildConfig {
        arch,
        ..BuildConfig::from_env()?
    };
    let busybox = config.userland_tree().root.join("usr/bin/busybox");
    fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))
}

/// Returns the content of the file `bulk` in the image of this number.
pub fn bulk(number: u64) -> Vec<u8> {
    Random::new(number).bytes(4 << 20)
}

/// Makes one layer: busybox under many names, a few directories, a web page.
fn layer(busybox: &[u8], number: u64) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (dir, mode) in [
        ("bin/", 0o755),
        ("etc/", 0o755),
        ("tmp/", 0o1777),
        ("www/", 0o755),
    ] {
        add(&mut tar, dir, EntryType::Directory, mode, b"")?;
    }
    add(&mut tar, "bin/busybox", EntryType::Regular, 0o755, busybox)?;
    for name in COMMANDS.split(' ') {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox")?;
    }
    add(
        &mut tar,
        "www/index.html",
        EntryType::Regular,
        0o644,
        b"hello from the box\n",
    )?;
    if number > 0 {
        add(&mut tar, "bulk", EntryType::Regular, 0o644, &bulk(number))?;
    }
    Ok(tar.into_inner()?)
}

fn config(layer: &[u8], arch: &Arch) -> String {
    let config = json!({
        "architecture": arch.debian,
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(layer))]},
        "history": [{"created": "2026-01-01T00:00:00Z"}],
    });
    config.to_string()
}

/// Makes the archive that `docker save` would make of an image with this one layer.
fn docker_archive(layer: &[u8], image: &str, arch: &Arch) -> Result<Vec<u8>> {
    let config = config(layer, arch);
    let name = format!("{}.json", digest(config.as_bytes()));
    let manifest = json!([{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]);
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, "layer.tar", EntryType::Regular, 0o644, layer)?;
    add(
        &mut tar,
        &name,
        EntryType::Regular,
        0o644,
        config.as_bytes(),
    )?;
    add(
        &mut tar,
        "manifest.json",
        EntryType::Regular,
        0o644,
        manifest.to_string().as_bytes(),
    )?;
    Ok(tar.into_inner()?)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn add<W: Write>(
    tar: &mut Builder<W>,
    name: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
        .with_context(|| format!("tar: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_archive_names_its_layer_by_digest() {
        let layer = layer(b"ELF", 0).expect("a layer");
        let archive = docker_archive(&layer, NAME, Arch::host()).expect("an archive");
        let mut tar = tar::Archive::new(archive.as_slice());
        let mut all = std::collections::BTreeMap::new();
        for entry in tar.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("readable");
            all.insert(name, bytes);
        }
        assert_eq!(all["layer.tar"], layer);
        let manifest: serde_json::Value =
            serde_json::from_slice(&all["manifest.json"]).expect("JSON");
        let config = manifest[0]["Config"].as_str().expect("a name");
        assert_eq!(config, format!("{}.json", digest(&all[config])));
        assert!(String::from_utf8_lossy(&all[config]).contains(&digest(&layer)));
    }
}
