// SPDX-License-Identifier: Apache-2.0
//! Artifact that podman machine pulls: an index that names the disk of each hypervisor, each a manifest
//! with one layer, the compressed disk (containers/podman, `pkg/machine/ocipull/ociartifact.go`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::{INDEX_TYPE, MANIFEST_TYPE, VERSION, archive, descriptor, digest, summary};
use crate::arch::Arch;
use crate::progress::Step;
use crate::stamp::{self, Inputs};
use crate::{fsutil, tools};

/// Name of the image in the archive.
const NAME: &str = "boot2podman-machine";
const LAYER_TYPE: &str = "application/zstd";
const ARTIFACT_TYPE: &str = "application/vnd.unknown.artifact.v1";
/// Empty object, the configuration of an artifact (image-spec 1.1, manifest.md).
const EMPTY: &str = "{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A hypervisor of podman machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// QEMU: podman machine gives a document of Ignition by fw_cfg.
    Qemu,
    /// Apple's Virtualization.framework, which reads raw disks only: podman machine serves the document over vsock.
    Apple,
}

impl Hypervisor {
    /// Returns podman's name of the hypervisor's disks.
    fn disk_type(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Apple => "applehv",
        }
    }

    /// Returns the format of the hypervisor's disks.
    fn format(self) -> &'static str {
        match self {
            Self::Qemu => "qcow2",
            Self::Apple => "raw",
        }
    }
}

/// Flags in the menu of [`Hypervisor::Apple`]'s disk: podman machine gives no command line, and the machine asks for a
/// document over vsock only if a flag says so (docs/guide/ignition.md).
pub const APPLE_FLAGS: &[&str] = &["b2p.ignition=vsock"];

/// A raw disk, for a hypervisor.
pub type Disk = (Hypervisor, PathBuf);
/// A compressed disk, for a hypervisor.
type Layer = Disk;

/// Makes the archive of raw disks.
pub fn build(arch: &Arch, disks: &[Disk], to: &Path, step: &Step) -> Result<()> {
    let mut inputs = Inputs::new();
    inputs.add("format", "1").add("name", NAME);
    inputs.add("arch", arch.name).add("version", VERSION);
    for (hypervisor, raw) in disks {
        inputs.add_file(hypervisor.disk_type(), raw)?;
    }
    stamp::make(to, &inputs.finish(), |to| {
        let compressed = |(hypervisor, raw): &Disk| {
            let layer = to.with_extension(hypervisor.disk_type());
            compress(*hypervisor, raw, &layer)?;
            Ok((*hypervisor, layer))
        };
        let layers: Result<Vec<Layer>> = disks.iter().map(compressed).collect();
        write(arch, &layers?, to)
    })?;
    step.note(&summary(to)?);
    Ok(())
}

/// Writes the disk in the hypervisor's format, compressed. The virtual size is that of the raw disk: podman machine enlarges
/// a disk to `--disk-size` and refuses to make one smaller.
fn compress(hypervisor: Hypervisor, raw: &Path, to: &Path) -> Result<()> {
    let mut zstd = tools::command("zstd")?;
    zstd.args(["-q", "-f", "-3", "-o"]).arg(to);
    if hypervisor.format() == "raw" {
        return tools::run(zstd.arg(raw), "zstd").map(drop);
    }
    let converted = to.with_extension(hypervisor.format());
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", hypervisor.format()]);
    tools::run(convert.arg(raw).arg(&converted), "qemu-img convert")?;
    tools::run(zstd.arg(&converted), "zstd")?;
    fsutil::remove(&converted)
}

fn write(arch: &Arch, layers: &[Layer], to: &Path) -> Result<()> {
    let (mut manifests, mut rows, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for (hypervisor, layer) in layers {
        let sum = stamp::file_digest(layer)?;
        let text = manifest(arch, *hypervisor, &sum, fsutil::size(layer)?).to_string();
        rows.push(disk(arch, *hypervisor, &text));
        manifests.push(text);
        blobs.push((layer.as_path(), sum));
    }
    // podman takes the manifest of its hypervisor and architecture from this index.
    let disks = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": rows}).to_string();
    let mut entry = descriptor(INDEX_TYPE, &digest(&disks), disks.len() as u64);
    let name = format!("localhost/{NAME}:{VERSION}");
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let texts = manifests.iter().map(String::as_str);
    let texts: Vec<&str> = [disks.as_str(), EMPTY].into_iter().chain(texts).collect();
    archive(to, &entry, &texts, &blobs)
}

fn manifest(arch: &Arch, hypervisor: Hypervisor, sum: &str, size: u64) -> Value {
    let mut layer = descriptor(LAYER_TYPE, sum, size);
    // podman takes the suffix of its own copy from the last two of the title.
    let title = format!("boot2podman.{}.{}.zst", arch.name, hypervisor.format());
    layer["annotations"] = json!({"org.opencontainers.image.title": title});
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(EMPTY_TYPE, &digest(EMPTY), EMPTY.len() as u64),
        "layers": [layer],
    })
}

/// Returns the row of a manifest in the index, with the kernel's name of the architecture.
fn disk(arch: &Arch, hypervisor: Hypervisor, manifest: &str) -> Value {
    let mut disk = descriptor(MANIFEST_TYPE, &digest(manifest), manifest.len() as u64);
    disk["annotations"] = json!({"disktype": hypervisor.disk_type()});
    disk["platform"] = json!({"architecture": arch.name, "os": "linux"});
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_finds_the_disk_of_its_hypervisor() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let to = dir.path().join("machine.tar");
        let layers = [Hypervisor::Qemu, Hypervisor::Apple]
            .map(|hypervisor| (hypervisor, dir.path().join(hypervisor.disk_type())));
        for (hypervisor, layer) in &layers {
            std::fs::write(layer, hypervisor.format())?;
        }
        write(Arch::host(), &layers, &to)?;
        assert!(
            layers.iter().all(|(_, layer)| !layer.exists()),
            "the layers are in the archive"
        );
        let blobs = contents(&to)?;
        let blob = |entry: &Value| -> String {
            let digest = entry["digest"].as_str().unwrap_or_default();
            let content = blobs[&digest.replace("sha256:", "blobs/sha256/")].clone();
            assert_eq!(entry["size"], content.len(), "{entry}");
            content
        };
        let parsed = |text: &str| serde_json::from_str::<Value>(text);
        let index = parsed(&blobs["index.json"])?;
        assert_eq!(index["manifests"][0]["mediaType"], INDEX_TYPE);
        let disks = parsed(&blob(&index["manifests"][0]))?;
        assert_eq!(disks["manifests"].as_array().map_or(0, Vec::len), 2);
        for (n, (kind, format)) in [("qemu", "qcow2"), ("applehv", "raw")]
            .into_iter()
            .enumerate()
        {
            let disk = &disks["manifests"][n];
            assert_eq!(disk["annotations"]["disktype"], kind);
            assert_eq!(disk["platform"]["architecture"], Arch::host().name);
            let manifest = parsed(&blob(disk))?;
            assert_eq!(blob(&manifest["config"]), "{}");
            let layers = manifest["layers"].as_array().map_or(0, Vec::len);
            assert_eq!((layers, blob(&manifest["layers"][0]).as_str()), (1, format));
            let title = &manifest["layers"][0]["annotations"]["org.opencontainers.image.title"];
            let suffix = format!(".{format}.zst");
            assert!(title.as_str().is_some_and(|title| title.ends_with(&suffix)));
        }
        Ok(())
    }

    fn contents(archive: &Path) -> Result<std::collections::BTreeMap<String, String>> {
        let mut tar = tar::Archive::new(std::fs::File::open(archive)?);
        let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            let mut content = String::new();
            std::io::Read::read_to_string(&mut entry, &mut content)?;
            Ok((name, content))
        };
        tar.entries()?.map(read).collect()
    }

    #[test]
    fn the_flags_of_apples_disk_are_known() {
        for flag in APPLE_FLAGS {
            assert_eq!(config::parse(flag.as_bytes(), &[]).1, [], "{flag}");
        }
    }
}
