// SPDX-License-Identifier: Apache-2.0
//! Machine in a file: a tar archive of its configuration, its disk and, if asked for, its key.

use super::config::MachineConfig;
use super::quadlet;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tar::{Archive, Builder, EntryType, Header};

/// Files of an archive, in their order.
const CONTENT: [&str; 6] = [
    "config.json",
    "known_hosts",
    "id_ed25519",
    "id_ed25519.pub",
    quadlet::FILE,
    "disk.qcow2",
];
/// Longest configuration in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Writes an archive of the files that exist; a failure leaves none.
pub fn write(path: &Path, files: &[(&str, PathBuf)]) -> Result<()> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("create {}", path.display()))?;
    let written = append_all(file, files);
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("write {}", path.display()))
}

fn append_all(file: File, files: &[(&str, PathBuf)]) -> Result<()> {
    let mut archive = Builder::new(file);
    for (name, path) in files {
        let mut content = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.with_context(|| path.display().to_string())?,
        };
        let mut header = Header::new_gnu();
        header.set_size(content.metadata()?.len());
        header.set_mode(0o600);
        header.set_entry_type(EntryType::Regular);
        archive.append_data(&mut header, name, &mut content)?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(())
}

/// Reads the configuration, which is the first file of an archive.
pub fn config(path: &Path) -> Result<MachineConfig> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut archive = Archive::new(file);
    let text = || -> Result<String> {
        let entry = archive.entries()?.next().context("it is empty")??;
        ensure!(
            entry.path()?.as_os_str() == CONTENT[0],
            "its first file is not config.json"
        );
        let mut text = String::new();
        entry.take(MAX_CONFIG_BYTES).read_to_string(&mut text)?;
        Ok(text)
    };
    // The reader's own error has bytes of a file that may be from anybody.
    let text = { text }();
    let text = text.map_err(|_| anyhow!("{}: not an archive of `export`", path.display()))?;
    MachineConfig::parse(&text).with_context(|| path.display().to_string())
}

/// Unpacks an archive into a new directory; returns its configuration. Any other file than those of [`CONTENT`] is
/// refused.
pub fn read(path: &Path, to: &Path) -> Result<MachineConfig> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    for entry in Archive::new(file).entries()? {
        let entry = entry.map_err(|_| anyhow!("{}: it is cut or damaged", path.display()));
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if !CONTENT.contains(&name.as_str()) || entry.header().entry_type() != EntryType::Regular {
            bail!(
                "{}: {name}: not a file of an exported machine",
                path.display()
            );
        }
        let mut options = File::options();
        let made = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to.join(&name));
        let mut made = made.with_context(|| format!("{}: {name}", path.display()))?;
        let len = io::copy(&mut entry, &mut made).with_context(|| format!("unpack {name}"))?;
        ensure!(len == entry.size(), "{}: {name} is cut", path.display());
        made.sync_all()?;
    }
    ensure!(
        to.join("disk.qcow2").exists(),
        "{}: no disk",
        path.display()
    );
    config(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> String {
        let config = MachineConfig {
            image: format!("sha256-{}", "0".repeat(64)),
            ..MachineConfig::new("box")
        };
        config.text()
    }

    #[test]
    fn an_archive_has_the_files_that_exist() {
        let tmp = tempfile::tempdir().expect("a directory");
        let (dir, out) = (tmp.path().join("m"), tmp.path().join("out"));
        fs::create_dir(&dir).expect("made");
        fs::create_dir(&out).expect("made");
        fs::write(dir.join("config.json"), configuration()).expect("written");
        fs::write(dir.join("disk.qcow2"), "disk").expect("written");
        let list: Vec<(&str, PathBuf)> =
            CONTENT.iter().map(|name| (*name, dir.join(name))).collect();
        let file = tmp.path().join("box.tar");
        write(&file, &list).expect("written");
        assert!(write(&file, &list).is_err(), "nothing is overwritten");
        assert_eq!(config(&file).expect("read").name, "box");
        assert_eq!(read(&file, &out).expect("read").name, "box");
        assert_eq!(fs::read_dir(&out).expect("list").count(), 2);
    }

    #[test]
    fn other_files_are_refused() {
        let tmp = tempfile::tempdir().expect("a directory");
        let file = tmp.path().join("x.tar");
        let page = b"\x1b]0;title\x07line\n".repeat(300);
        for bytes in [&b""[..], b"x", &[0; 1024], &[b'a'; 4096], &page] {
            fs::write(&file, bytes).expect("written");
            let error = format!("{:#}", config(&file).expect_err("refused"));
            // The file's own bytes do not reach the terminal.
            assert!(
                error.ends_with("x.tar: not an archive of `export`"),
                "{error}"
            );
        }
        for name in ["../x", "disk.qcow3", "a/config.json"] {
            let mut header = Header::new_gnu();
            header.set_size(1);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            let mut archive = Builder::new(Vec::new());
            archive.append(&header, &b"x"[..]).expect("appended");
            fs::write(&file, archive.into_inner().expect("whole")).expect("written");
            let out = tempfile::tempdir().expect("a directory");
            assert!(read(&file, out.path()).is_err(), "{name}");
            assert_eq!(fs::read_dir(out.path()).expect("list").count(), 0, "{name}");
        }
    }

    #[test]
    fn an_archive_that_is_cut_is_refused() {
        let tmp = tempfile::tempdir().expect("a directory");
        let config = tmp.path().join("config.json");
        let disk = tmp.path().join("disk.qcow2");
        fs::write(&config, configuration()).expect("written");
        fs::write(&disk, vec![7; 9000]).expect("written");
        let file = tmp.path().join("box.tar");
        write(&file, &[("config.json", config), ("disk.qcow2", disk)]).expect("written");
        let whole = fs::read(&file).expect("read");
        for len in (0..whole.len() - 1024).step_by(512) {
            fs::write(&file, &whole[..len]).expect("written");
            let out = tempfile::tempdir().expect("a directory");
            assert!(
                read(&file, out.path()).is_err(),
                "{len} bytes of {}",
                whole.len()
            );
        }
    }
}
