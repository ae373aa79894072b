// SPDX-License-Identifier: Apache-2.0
//! Quadlet files and certificates for a new machine: a document of Ignition, which QEMU's fw_cfg passes until a run that was
//! ready with its data disk has ended in order (docs/guide/ignition.md). The guest writes the files to its data disk and leaves one that
//! is there already, so that a boot that was cut off is made up for by the next.

use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// File of the document among those of the machine.
pub const FILE: &str = "quadlet.ign";
/// Entry of fw_cfg in which Ignition looks for its document.
const FW_CFG: &str = "opt/com.coreos/config";
/// Directory of the files in the machine.
const TARGET: &str = "/var/lib/boot2podman/quadlet";
/// Most bytes of all files: where the machine is no PC, the time to read them from fw_cfg grows with their square.
pub const MAX_BYTES: usize = 128 << 10;
/// Extensions of quadlet files, each with the section that a file of it has.
const QUADLETS: [(&str, &str); 7] = [
    ("container", "[Container]"),
    ("volume", "[Volume]"),
    ("network", "[Network]"),
    ("pod", "[Pod]"),
    ("kube", "[Kube]"),
    ("image", "[Image]"),
    ("build", "[Build]"),
];
/// Deepest directory that is read.
const MAX_DEPTH: usize = 8;

/// A file for the machine: its name below the directory, its bytes, and true for a program.
type File = (String, Vec<u8>, bool);

/// Returns the value of QEMU's option `-fw_cfg` for a document, whose path is escaped.
#[must_use]
pub fn fw_cfg(file: &str) -> String {
    format!("name={FW_CFG},file={file}")
}

/// Returns the document with these rows of files; `None` without one.
#[must_use]
pub fn document(rows: &[Value]) -> Option<Vec<u8>> {
    let document = json!({"ignition": {"version": "3.4.0"}, "storage": {"files": rows}});
    (!rows.is_empty()).then(|| document.to_string().into_bytes())
}

/// Returns the rows for the files of a directory.
///
/// # Errors
/// The directory cannot be read, has no quadlet file, or one that is wrong; the text names the file.
pub fn rows(dir: &Path) -> Result<Vec<Value>> {
    let mut files = Vec::new();
    read(dir, "", &mut files)?;
    let is_quadlet = |(name, ..): &File| section(name).is_some();
    if !files.iter().any(is_quadlet) {
        return Err(fault(dir, "it has no quadlet file, such as web.container"));
    }
    if files.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>() > MAX_BYTES {
        let why = format!("its files have more than {} KiB", MAX_BYTES >> 10);
        return Err(fault(dir, &why));
    }
    Ok(files.iter().map(row).collect())
}

fn fault(path: &Path, why: &str) -> anyhow::Error {
    Fault::with_status(
        format!("Error: --quadlet: {}: {why}", path.display()),
        PRE_CREATE,
    )
    .into()
}

/// Reads the files of `dir` and of the directories in it, by their names below the first directory. Quadlets name other
/// files, such as configuration files and scripts, by paths below their own directory.
fn read(dir: &Path, below: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("--quadlet: {}", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| dir.display().to_string())?.path());
    }
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if !name.chars().all(plain) {
            return Err(fault(
                &path,
                "must be a name of letters, digits, dots, _, @ and -",
            ));
        }
        let inner = format!("{below}{name}");
        if path.is_dir() && below.matches('/').count() < MAX_DEPTH {
            read(&path, &format!("{inner}/"), files)?;
            continue;
        }
        let (bytes, is_program) = content(&path)?;
        check(&inner, &bytes).map_err(|why| fault(&path, &why))?;
        files.push((inner, bytes, is_program));
    }
    Ok(())
}

/// Returns the bytes of a file, and true if it is a program.
fn content(path: &Path) -> Result<(Vec<u8>, bool)> {
    let file = fs::metadata(path).ok();
    let file = file.filter(|file| file.is_file() && file.len() <= MAX_BYTES as u64);
    let Some(file) = file else {
        let why = format!("must be a file of at most {} KiB", MAX_BYTES >> 10);
        return Err(fault(path, &why));
    };
    let bytes = fs::read(path).map_err(|why| fault(path, &why.to_string()))?;
    Ok((bytes, is_program(&file)))
}

#[cfg(unix)]
fn is_program(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_program(_file: &fs::Metadata) -> bool {
    false
}

/// Returns the section that a quadlet file of this name has; `None` for another file.
fn section(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    let found = QUADLETS.iter().find(|(known, _)| *known == extension);
    found.map(|(_, section)| *section)
}

/// Checks a quadlet file as far as that is possible without podman, whose generator reads it in the machine.
fn check(name: &str, bytes: &[u8]) -> Result<(), String> {
    let Some(section) = section(name) else {
        return Ok(());
    };
    let text = std::str::from_utf8(bytes).map_err(|why| why.to_string())?;
    let has = text.lines().any(|line| line.trim() == section);
    has.then_some(())
        .ok_or_else(|| format!("it has no section {section}"))
}

/// Returns the row of a file.
fn row((name, bytes, is_program): &File) -> Value {
    let mode = if *is_program { 0o755 } else { 0o644 };
    json!({"path": format!("{TARGET}/{name}"), "mode": mode, "contents": {"source": data_url(bytes)}})
}

/// Returns bytes as a URL of RFC 2397.
pub(super) fn data_url(bytes: &[u8]) -> String {
    let mut url = "data:,".to_owned();
    for byte in bytes {
        match byte.is_ascii_alphanumeric() {
            true => url.push(char::from(*byte)),
            // Writing to a string does not fail.
            false => drop(write!(url, "%{byte:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WEB: &str = "[Container]\nImage=docker.io/library/nginx\n";

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn files_become_a_document_of_ignition() {
        let dir = directory(&[
            ("web.container", WEB),
            (
                "web.container.d/10-port.conf",
                "[Container]\nPublishPort=80:80\n",
            ),
            ("site.kube", "[Kube]\nYaml=site.yaml\n"),
            ("site.yaml", "kind: Pod\n"),
            (".web.container.swp", "\0"),
        ]);
        let document = document(&rows(dir.path()).unwrap()).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        let files = document["storage"]["files"].as_array().unwrap();
        let paths: Vec<&str> = files
            .iter()
            .filter_map(|file| file["path"].as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "/var/lib/boot2podman/quadlet/site.kube",
                "/var/lib/boot2podman/quadlet/site.yaml",
                "/var/lib/boot2podman/quadlet/web.container",
                "/var/lib/boot2podman/quadlet/web.container.d/10-port.conf",
            ]
        );
        assert_eq!(
            files[1],
            json!({"path": paths[1], "mode": 420, "contents": {"source": "data:,kind%3A%20Pod%0A"}})
        );
    }

    #[test]
    fn any_file_and_directory_beside_the_quadlets_is_for_the_machine() {
        let dir = directory(&[
            ("web.container", WEB),
            ("nginx.conf", "events {}\n"),
            ("Caddyfile", ":80\n"),
            ("backup.service", "[Service]\nExecStart=/bin/true\n"),
            ("db/init.sql", "create table t ();\n"),
            ("app/web2.container", WEB),
        ]);
        fs::write(dir.path().join("icon.png"), b"\x89PNG\xff").unwrap();
        let rows = rows(dir.path()).unwrap();
        let paths = rows.iter().filter_map(|row| row["path"].as_str());
        let names: Vec<&str> = paths.filter_map(|path| path.strip_prefix(TARGET)).collect();
        assert_eq!(
            names,
            [
                "/Caddyfile",
                "/app/web2.container",
                "/backup.service",
                "/db/init.sql",
                "/icon.png",
                "/nginx.conf",
                "/web.container",
            ]
        );
        assert_eq!(rows[4]["contents"]["source"], "data:,%89PNG%FF");
    }

    #[cfg(unix)]
    #[test]
    fn a_script_stays_one() {
        use std::os::unix::fs::PermissionsExt;
        let dir = directory(&[("web.container", WEB), ("init.sh", "#!/bin/sh\n")]);
        let script = dir.path().join("init.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o750)).unwrap();
        let modes: Vec<_> = rows(dir.path())
            .unwrap()
            .iter()
            .map(|row| row["mode"].clone())
            .collect();
        assert_eq!(modes, [0o755, 0o644]);
    }

    #[test]
    fn wrong_files_are_refused_by_name() {
        let long = "x".repeat(MAX_BYTES + 1);
        for (name, text, why) in [
            (
                "a b.container",
                WEB,
                "a b.container: must be a name of letters",
            ),
            (
                "web.volume",
                "[Container]\n",
                "web.volume: it has no section [Volume]",
            ),
            (
                "a/b/web.container",
                "[Volume]\n",
                "web.container: it has no section [Container]",
            ),
            (
                "1/2/3/4/5/6/7/8/9/a",
                "",
                "9: must be a file of at most 128 KiB",
            ),
            (
                "web.yaml",
                long.as_str(),
                "web.yaml: must be a file of at most 128 KiB",
            ),
        ] {
            let dir = directory(&[("ok.container", WEB), (name, text)]);
            let error = rows(dir.path()).unwrap_err().to_string();
            assert!(
                error.starts_with("Error: --quadlet: ") && error.contains(why),
                "{error}"
            );
        }
        let dir = directory(&[("web.yaml", "kind: Pod\n")]);
        let error = rows(dir.path()).unwrap_err().to_string();
        assert!(error.contains("it has no quadlet file"), "{error}");
        assert!(rows(&dir.path().join("none")).is_err());
        assert_eq!(document(&[]), None);
        fs::write(dir.path().join("web.container"), b"[Container]\n\xff").unwrap();
        let error = rows(dir.path()).unwrap_err().to_string();
        assert!(error.contains("web.container: "), "{error}");
    }
}
