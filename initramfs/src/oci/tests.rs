// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use super::*;

type Files = BTreeMap<String, (Vec<u8>, u32, u64)>;

/// Returns content, mode and owner by name; names of directories have no slash at the end.
fn unpacked(bytes: &[u8]) -> Files {
    let mut files = Files::new();
    let mut tar = tar::Archive::new(bytes);
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let (mode, uid) = (entry.header().mode(), entry.header().uid());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        let name = name.trim_end_matches('/').to_owned();
        files.insert(
            name,
            (content, mode.expect("a mode"), uid.expect("an owner")),
        );
    }
    files
}

/// Returns the blob of a descriptor, whose size and hash must be right.
fn blob<'a>(files: &'a Files, descriptor: &Value) -> &'a [u8] {
    let sum = descriptor["digest"]
        .as_str()
        .and_then(|d| d.strip_prefix("sha256:"));
    let sum = sum.expect("a digest");
    let content = &files[&format!("blobs/sha256/{sum}")].0;
    assert_eq!(stamp::digest(content), sum);
    assert_eq!(descriptor["size"], content.len());
    content
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn an_archive_leads_from_its_index_to_its_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = ["vmlinuz", "initrd.img"].map(|name| dir.path().join(name));
    for file in &files {
        fs::write(file, file.file_name().context("a name")?.as_encoded_bytes())?;
    }
    let image = Image {
        name: "k",
        title: "t",
        arch: Arch::host(),
        dir: KERNEL_DIR,
        files: &files,
        created: 0,
    };
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    assert!(image.make(&first)? && !image.make(&first)? && image.make(&second)?);
    let bytes = fs::read(&first)?;
    assert_eq!(bytes, fs::read(&second)?);

    let archive = unpacked(&bytes);
    assert_eq!(archive.len(), 7, "{:?}", archive.keys());
    assert_eq!(
        parsed(&archive["oci-layout"].0)["imageLayoutVersion"],
        "1.0.0"
    );
    let index = parsed(&archive["index.json"].0);
    let entry = &index["manifests"][0];
    let name = format!("localhost/k:{VERSION}");
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        name
    );
    let manifest = parsed(blob(&archive, entry));
    let config = parsed(blob(&archive, &manifest["config"]));
    let layer = &manifest["layers"][0];
    // The layer is not compressed, so that both of its digests are equal.
    assert_eq!(config["rootfs"]["diff_ids"][0], layer["digest"]);
    let layer = unpacked(blob(&archive, layer));
    assert_eq!(layer["boot"].1, 0o755);
    let kernel = &layer["boot/vmlinuz"];
    assert_eq!(
        (kernel.0.as_slice(), kernel.1, kernel.2),
        (&b"vmlinuz"[..], 0o644, QEMU_ID)
    );
    assert!(layer.contains_key("boot/initrd.img") && layer.len() == 3);
    Ok(())
}

#[test]
fn without_a_disk_the_error_names_the_command() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (disk, to) = (dir.path().join(QCOW2), dir.path().join(DISK_OCI));
    fs::write(&disk, "QFI")?;
    let step = Step::new("oci", 2, 2);
    container_disk(Arch::host(), dir.path(), &step)?;
    let archive = unpacked(&fs::read(&to)?);
    let index = parsed(&archive["index.json"].0);
    let manifest = parsed(blob(&archive, &index["manifests"][0]));
    let layer = unpacked(blob(&archive, &manifest["layers"][0]));
    let names: Vec<_> = layer.keys().map(String::as_str).collect();
    assert_eq!(names, ["disk", "disk/boot2podman.qcow2"]);
    fs::remove_file(&disk)?;
    container_disk(Arch::host(), dir.path(), &step)?;
    assert!(!to.exists(), "the archive of a disk that was removed");
    Ok(())
}

#[test]
fn without_a_disk_podman_machines_archive_is_removed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let to = dir.path().join(MACHINE_OCI);
    fs::write(&to, "old")?;
    machine(
        &BuildConfig::from_env()?,
        dir.path(),
        &Step::new("oci", 3, 3),
    )?;
    assert!(!to.exists());
    Ok(())
}

/// Open mapping or sequence: the key whose value follows, the index of the next member, and true
/// for a mapping.
type Level = (Option<String>, usize, bool);

/// Returns the scalars of a YAML text, each with its path: keys and indexes, separated by slashes.
fn flat(yaml: &str) -> Vec<(String, String)> {
    use saphyr_parser::{Event, Parser};
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(yaml) {
        let (event, _) = event.expect("YAML");
        let path = |open: &[Level]| {
            let component = |(key, index, is_mapping): &Level| match is_mapping {
                true => key.clone().unwrap_or_default(),
                false => index.to_string(),
            };
            open.iter().map(component).collect::<Vec<_>>().join("/")
        };
        let done = |open: &mut Vec<Level>| {
            if let Some((key, index, _)) = open.last_mut() {
                (*key, *index) = (None, *index + 1);
            }
        };
        match event {
            Event::MappingStart(..) => open.push((None, 0, true)),
            Event::SequenceStart(..) => open.push((None, 0, false)),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                done(&mut open);
            }
            Event::Scalar(text, ..) => match open.last_mut() {
                Some((key @ None, _, true)) => *key = Some(text.into_owned()),
                _ => {
                    found.push((path(&open), text.into_owned()));
                    done(&mut open);
                }
            },
            _ => {}
        }
    }
    found
}

#[test]
fn examples_of_the_page_name_files_of_the_archives() {
    let page = include_str!("../../../docs/guide/kubevirt.md");
    let blocks: Vec<_> = page.split("```yaml\n").skip(1).collect();
    let [kernel, disk] = blocks.as_slice() else {
        panic!("{} examples", blocks.len())
    };
    let read = |block: &str| flat(block.split("```").next().expect("its end"));
    let (kernel, disk) = (read(kernel), read(disk));
    let values = |example: &[(String, String)], end: &str| -> Vec<String> {
        let is = |(path, _): &&(String, String)| path.ends_with(end);
        example
            .iter()
            .filter(is)
            .map(|(_, value)| value.clone())
            .collect()
    };
    assert_eq!(
        values(&kernel, "kernelBoot/container/kernelPath"),
        [format!("/{KERNEL_DIR}/vmlinuz")]
    );
    assert_eq!(
        values(&kernel, "kernelBoot/container/initrdPath"),
        [format!("/{KERNEL_DIR}/initrd.img")]
    );
    assert_eq!(
        values(&disk, "containerDisk/path"),
        [format!("/{DISK_DIR}/{QCOW2}")]
    );
    for (example, name) in [(&kernel, KERNEL_OCI), (&disk, DISK_OCI)] {
        let name = name.trim_end_matches(".oci.tar");
        let image = format!("registry.example/{name}:{VERSION}");
        assert!(
            example.iter().any(|(_, value)| *value == image),
            "no {image}"
        );
        // Each disk has a volume of the same name.
        let names = |of: &str| -> Vec<String> {
            let is = |(path, _): &&(String, String)| {
                path.contains(&format!("{of}/")) && path.ends_with("/name")
            };
            example
                .iter()
                .filter(is)
                .map(|(_, value)| value.clone())
                .collect()
        };
        assert!(names("disks").len() == 2 && names("disks") == names("volumes"));
    }
    // The kernel's arguments are flags of the kernel or of boot2podman.
    for argument in values(&kernel, "kernelBoot/kernelArgs")
        .join(" ")
        .split(' ')
    {
        let known = argument.starts_with("console=")
            || config::FLAGS
                .iter()
                .any(|flag| argument.starts_with(flag.name));
        assert!(known, "{argument}");
    }
}
