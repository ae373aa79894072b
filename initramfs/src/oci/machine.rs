// SPDX-License-Identifier: Apache-2.0
//! Artifact that podman machine pulls: an index that names the disk of each hypervisor, each a manifest
//! with one layer, the compressed disk (containers/podman, `pkg/machine/ocipull/ociartifact.go`).

use std::path::Path;
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

/// Makes the archive of a raw disk. Without a disk, an older archive is removed.
pub fn build(arch: &Arch, raw: &Path, to: &Path, step: &Step) -> Result<()> {
    if !raw.exists() {
        fsutil::remove(to)?;
        let (raw, to) = (raw.display(), to.display());
        step.note(&format!("no {raw}: run `make disk` first, for {to}"));
        return Ok(());
    }
    let mut inputs = Inputs::new();
    inputs.add("format", "1").add("name", NAME);
    inputs.add("version", VERSION).add_file("raw", raw)?;
    stamp::make(to, &inputs.finish(), |to| {
        let layer = to.with_extension("layer");
        compress(raw, &layer)?;
        write(arch, &layer, to)
    })?;
    step.note(&summary(to)?);
    Ok(())
}

/// Writes the disk as qcow2, compressed. The virtual size is that of the raw disk: podman machine enlarges
/// a disk to `--disk-size` and refuses to make one smaller.
fn compress(raw: &Path, to: &Path) -> Result<()> {
    let qcow2 = to.with_extension("qcow2");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
    tools::run(convert.arg(raw).arg(&qcow2), "qemu-img convert")?;
    let mut zstd = tools::command("zstd")?;
    zstd.args(["-q", "-f", "-3", "-o"]).arg(to).arg(&qcow2);
    tools::run(&mut zstd, "zstd")?;
    fsutil::remove(&qcow2)
}

fn write(arch: &Arch, layer: &Path, to: &Path) -> Result<()> {
    let sum = stamp::file_digest(layer)?;
    let manifest = manifest(arch, &sum, fsutil::size(layer)?).to_string();
    let disks = disks(arch, &manifest).to_string();
    let mut entry = descriptor(INDEX_TYPE, &digest(&disks), disks.len() as u64);
    let name = format!("localhost/{NAME}:{VERSION}");
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    archive(to, &entry, &[&disks, &manifest, EMPTY], layer, &sum)
}

fn manifest(arch: &Arch, sum: &str, size: u64) -> Value {
    let mut layer = descriptor(LAYER_TYPE, sum, size);
    // podman takes the suffix of its own copy from the last two of the title.
    let title = format!("boot2podman.{}.qcow2.zst", arch.name);
    layer["annotations"] = json!({"org.opencontainers.image.title": title});
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(EMPTY_TYPE, &digest(EMPTY), EMPTY.len() as u64),
        "layers": [layer],
    })
}

/// Returns the index, from which podman takes the manifest of its hypervisor and architecture, by the
/// kernel's name of the latter.
fn disks(arch: &Arch, manifest: &str) -> Value {
    let mut disk = descriptor(MANIFEST_TYPE, &digest(manifest), manifest.len() as u64);
    disk["annotations"] = json!({"disktype": "qemu"});
    disk["platform"] = json!({"architecture": arch.name, "os": "linux"});
    json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [disk]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_finds_the_disk_of_its_hypervisor() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (layer, to) = (dir.path().join("layer"), dir.path().join("machine.tar"));
        std::fs::write(&layer, "disk")?;
        write(Arch::host(), &layer, &to)?;
        assert!(!layer.exists(), "the layer is in the archive");
        let mut blobs = std::collections::BTreeMap::new();
        let mut tar = tar::Archive::new(std::fs::File::open(&to)?);
        for entry in tar.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.display().to_string();
            let mut content = String::new();
            std::io::Read::read_to_string(&mut entry, &mut content)?;
            blobs.insert(name, content);
        }
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
        let disk = &disks["manifests"][0];
        assert_eq!(disk["annotations"]["disktype"], "qemu");
        assert_eq!(disk["platform"]["architecture"], Arch::host().name);
        let manifest = parsed(&blob(disk))?;
        assert_eq!(blob(&manifest["config"]), "{}");
        let layers = manifest["layers"].as_array().map_or(0, Vec::len);
        assert_eq!((layers, blob(&manifest["layers"][0]).as_str()), (1, "disk"));
        let title = &manifest["layers"][0]["annotations"]["org.opencontainers.image.title"];
        assert!(
            title
                .as_str()
                .is_some_and(|title| title.ends_with(".qcow2.zst"))
        );
        Ok(())
    }

    #[test]
    fn without_a_disk_an_older_archive_goes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let to = dir.path().join("machine.tar");
        std::fs::write(&to, "old")?;
        build(
            Arch::host(),
            &dir.path().join("raw"),
            &to,
            &Step::new("oci", 3, 3),
        )?;
        assert!(!to.exists());
        Ok(())
    }
}
