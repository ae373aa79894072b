// SPDX-License-Identifier: Apache-2.0
//! `make oci`: kernel and initrd as a container image, and the disk as another one, in archives
//! with the OCI image layout (image-spec 1.1, image-layout.md). KubeVirt boots a machine from
//! either (docs/guide/kubevirt.md). A third archive is for `podman machine init --image docker://…`
//! (docs/guide/ignition.md).

mod machine;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::arch::Arch;
use crate::fetch::BuildConfig;
use crate::paths::{DISK_OCI, INITRD, KERNEL_OCI, MACHINE_OCI, QCOW2, RAW_DISK, VMLINUZ};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{bom, disk, fsutil, image, paths, sums};

/// Directory of the disk in its image, which KubeVirt prescribes.
pub const DISK_DIR: &str = "disk";
/// Directory of kernel and initrd in their image.
pub const KERNEL_DIR: &str = "boot";

const VERSION: &str = env!("CARGO_PKG_VERSION");
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// User and group id of QEMU in KubeVirt, which must own the files.
const QEMU_ID: u64 = 107;

/// Image to make.
struct Image<'a> {
    /// Name of the loaded image.
    name: &'a str,
    /// Title, an annotation.
    title: &'a str,
    /// Architecture of the content.
    arch: &'static Arch,
    /// Directory of the files.
    dir: &'a str,
    files: &'a [PathBuf],
    /// Time of creation, in seconds since 1970.
    created: u64,
}

/// Makes the archive of kernel and initrd, and that of the disk if there is one.
///
/// # Errors
/// A file cannot be read or written.
pub fn build() -> Result<()> {
    image::build()?;
    let config = BuildConfig::from_env()?;
    let out = paths::out();
    let _lock = stamp::lock(&out)?;
    let from = paths::out_of(config.kernel);
    let files = [VMLINUZ, INITRD].map(|name| from.join(name));
    kernel(
        config.arch,
        &files,
        &from.join(KERNEL_OCI),
        &Step::new("oci", 1, 3),
    )?;
    fsutil::link_or_copy(&from.join(KERNEL_OCI), &out.join(KERNEL_OCI))?;
    container_disk(config.arch, &out, &Step::new("oci", 2, 3))?;
    machine(&config, &out, &Step::new("oci", 3, 3))?;
    sums::write(&out)
}

/// Makes the archive for podman machine. Without a disk, an older archive is removed.
fn machine(config: &BuildConfig, out: &Path, step: &Step) -> Result<()> {
    let (raw, to) = (out.join(RAW_DISK), out.join(MACHINE_OCI));
    if !raw.exists() {
        return without(&raw, &to, step);
    }
    let mut disks = vec![(machine::Hypervisor::Qemu, raw)];
    if config.arch.has_apple_machines {
        let raw = paths::cache_of(config.kernel).join("apple.raw");
        disk::for_kernel(config, machine::APPLE_FLAGS, &raw, step)?;
        disks.push((machine::Hypervisor::Apple, raw));
    }
    machine::build(config.arch, &disks, &to, step)
}

/// Removes the archive of a disk that does not exist, and says how to make it.
fn without(disk: &Path, archive: &Path, step: &Step) -> Result<()> {
    fsutil::remove(archive)?;
    let (disk, archive) = (disk.display(), archive.display());
    step.note(&format!("no {disk}: run `make disk` first, for {archive}"));
    Ok(())
}

/// Makes the image for KubeVirt's `kernelBoot` of these files unless the image is up to date.
///
/// # Errors
/// A file cannot be read or written.
pub fn kernel(arch: &'static Arch, files: &[PathBuf], to: &Path, step: &Step) -> Result<()> {
    let image = Image {
        name: "boot2podman-kernel",
        title: "boot2podman: kernel and initrd",
        arch,
        dir: KERNEL_DIR,
        files,
        created: bom::time::source(),
    };
    image.make(to)?;
    step.note(&summary(to)?);
    Ok(())
}

/// Makes the image for KubeVirt's `containerDisk` of the disk in `out`. Without a disk, an older
/// archive is removed.
fn container_disk(arch: &'static Arch, out: &Path, step: &Step) -> Result<()> {
    let (disk, to) = (out.join(QCOW2), out.join(DISK_OCI));
    if !disk.exists() {
        return without(&disk, &to, step);
    }
    let image = Image {
        name: "boot2podman-disk",
        title: "boot2podman: a disk to boot from",
        arch,
        dir: DISK_DIR,
        files: &[disk],
        created: bom::time::source(),
    };
    image.make(&to)?;
    step.note(&summary(&to)?);
    Ok(())
}

fn summary(file: &Path) -> Result<String> {
    let size = megabytes(fsutil::size(file)?);
    Ok(format!("{}: {size}", file.display()))
}

impl Image<'_> {
    fn make(&self, to: &Path) -> Result<bool> {
        let mut inputs = Inputs::new();
        inputs.add("format", "1").add("name", self.name);
        inputs.add("arch", self.arch.debian);
        inputs.add("version", VERSION).add("dir", self.dir);
        inputs.add("created", self.created.to_string());
        for file in self.files {
            inputs.add_file("file", file)?;
        }
        stamp::make(to, &inputs.finish(), |to| self.write(to))
    }

    fn write(&self, to: &Path) -> Result<()> {
        let layer = to.with_extension("layer");
        self.layer(&layer)?;
        let sum = stamp::file_digest(&layer)?;
        let config = self.config(&sum).to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &digest(&config), config.len() as u64),
            "layers": [descriptor(LAYER_TYPE, &sum, fsutil::size(&layer)?)],
            "annotations": self.annotations(),
        })
        .to_string();
        let mut index = descriptor(MANIFEST_TYPE, &digest(&manifest), manifest.len() as u64);
        index["platform"] = json!({"architecture": self.arch.debian, "os": "linux"});
        // `podman load` gives the image this name.
        let name = format!("localhost/{}:{VERSION}", self.name);
        index["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        archive(to, &index, &[&manifest, &config], &[(&layer, sum)])
    }

    /// Writes the layer, without compression: kernel, initrd and disk are compressed already.
    fn layer(&self, to: &Path) -> Result<()> {
        let file = File::create(to).with_context(|| format!("write {}", to.display()))?;
        let mut tar = Builder::new(BufWriter::new(file));
        directory(&mut tar, &format!("{}/", self.dir), QEMU_ID)?;
        for file in self.files {
            let name = format!("{}/{}", self.dir, fsutil::file_name(file)?);
            copy(&mut tar, file, &name, QEMU_ID)?;
        }
        tar.into_inner()?.into_inner()?;
        Ok(())
    }

    fn config(&self, layer: &str) -> Value {
        let created = bom::time::iso8601(self.created);
        json!({
            "created": created,
            "architecture": self.arch.debian,
            "os": "linux",
            "config": {"Labels": self.annotations()},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
            "history": [{"created": created, "created_by": "make oci"}],
        })
    }

    /// Returns the annotations; annotations.md of image-spec defines their names.
    fn annotations(&self) -> Value {
        json!({
            "org.opencontainers.image.title": self.title,
            "org.opencontainers.image.version": VERSION,
            "org.opencontainers.image.created": bom::time::iso8601(self.created),
        })
    }
}

/// Writes an archive with the OCI image layout: the index of one manifest, small blobs, and layers with their sums. The
/// files of the layers are removed.
fn archive(to: &Path, manifest: &Value, blobs: &[&str], layers: &[(&Path, String)]) -> Result<()> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest]});
    let file = File::create(to).with_context(|| format!("write {}", to.display()))?;
    let mut tar = Builder::new(BufWriter::new(file));
    let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
    text(&mut tar, "oci-layout", &layout)?;
    text(&mut tar, "index.json", &index.to_string())?;
    for dir in ["blobs/", "blobs/sha256/"] {
        directory(&mut tar, dir, 0)?;
    }
    for blob in blobs {
        text(&mut tar, &format!("blobs/sha256/{}", digest(blob)), blob)?;
    }
    for (layer, sum) in layers {
        copy(&mut tar, layer, &format!("blobs/sha256/{sum}"), 0)?;
    }
    tar.into_inner()?.into_inner()?.sync_all()?;
    layers
        .iter()
        .try_for_each(|(layer, _)| fsutil::remove(layer))
}

fn descriptor(kind: &str, sum: &str, size: u64) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{sum}"), "size": size})
}

fn digest(text: &str) -> String {
    stamp::digest(text.as_bytes())
}

type Tar = Builder<BufWriter<File>>;

/// Returns a header with a fixed time. All files are readable for all users, because the user that
/// unpacks them is not known.
fn header(kind: EntryType, mode: u32, owner: u64, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn directory(tar: &mut Tar, name: &str, owner: u64) -> Result<()> {
    let mut header = header(EntryType::Directory, 0o755, owner, 0);
    Ok(tar.append_data(&mut header, name, std::io::empty())?)
}

fn text(tar: &mut Tar, name: &str, text: &str) -> Result<()> {
    let mut header = header(EntryType::Regular, 0o644, 0, text.len() as u64);
    Ok(tar.append_data(&mut header, name, text.as_bytes())?)
}

fn copy(tar: &mut Tar, from: &Path, name: &str, owner: u64) -> Result<()> {
    let file = File::open(from).with_context(|| format!("read {}", from.display()))?;
    let size = fsutil::size(from)?;
    let mut header = header(EntryType::Regular, 0o644, owner, size);
    tar.append_data(&mut header, name, file)
        .with_context(|| format!("tar: {name}"))
}

#[cfg(test)]
mod tests;
