// SPDX-License-Identifier: Apache-2.0
//! Cache of templates, one per image and hardware: each is a machine that has booted and stands still.

use super::config::MachineConfig;
use super::{Dirs, Machine, files, space};
use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Begin of the name of a template in the cache.
pub const PREFIX: &str = "saved-";
/// Description of the memory, beside the disk that has it.
pub const DESCRIPTION: &str = "saved.json";
/// Disk with the memory.
pub const DISK: &str = "disk.qcow2";

/// Refuses a machine that a template does not fit: the template was booted without these options.
pub fn check(config: &MachineConfig, has_quadlets: bool, has_ca: bool) -> Result<()> {
    let options = [
        ("--append", config.append.is_empty()),
        ("--flag", config.flags.is_empty()),
        ("--volume", config.shares.is_empty()),
        ("--quadlet", !has_quadlets),
        ("--ca", !has_ca),
    ];
    match options.iter().find(|(_, is_free)| !is_free) {
        None => Ok(()),
        Some((option, _)) => {
            let text = format!(
                "Error: --saved and {option} exclude each other: the template was booted without it; \
                 create the machine without --saved"
            );
            Err(Fault::with_status(text, PRE_CREATE).into())
        }
    }
}

/// Returns the directory of the template that fits a configuration on a host, which its driver describes.
#[must_use]
pub fn dir(dirs: &Dirs, config: &MachineConfig, host: &[String]) -> PathBuf {
    let numbers = [
        config.cpus.to_string(),
        config.memory_mib.to_string(),
        config.disk_bytes.to_string(),
    ];
    let own = [&config.driver, &config.image];
    let parts: Vec<&str> = own
        .into_iter()
        .chain(&numbers)
        .chain(host)
        .map(String::as_str)
        .collect();
    let hash = Sha256::digest(parts.join("\n"));
    let hex = disk::uuid::hex(&hash[..8]);
    dirs.cache().join(format!("{PREFIX}{hex}"))
}

/// Returns the directory in which a process makes a template.
#[must_use]
pub fn draft(cache: &Path, pid: u32) -> PathBuf {
    cache.join(format!(".saved.{pid}.tmp"))
}

/// Returns true if the template is whole: a draft gets this name after its last file is written.
#[must_use]
pub fn is_whole(dir: &Path) -> bool {
    dir.join(DESCRIPTION).is_file()
}

/// Gives a draft its name, unless another command has made the same template meanwhile.
pub fn commit(dirs: &Dirs, draft: &Path, dir: &Path) -> Result<()> {
    match fs::rename(draft, dir) {
        Err(_) if is_whole(dir) => super::dirs::remove_all(draft)?,
        other => other.with_context(|| format!("create {}", dir.display()))?,
    }
    files::sync_dir(&dirs.cache())
}

/// Gives a machine whose files are made in `draft` a copy of the template, from which it continues.
pub fn copy(dir: &Path, draft: &Path) -> Result<()> {
    let (from, disk) = (dir.join(DISK), draft.join(DISK));
    let blocks = fs::metadata(&from).map_or(0, |meta| meta.blocks());
    space::check(
        "the copy of the template",
        draft,
        blocks.saturating_mul(512),
    )?;
    let copied = fs::copy(&from, &disk).and_then(|_| fs::File::open(&disk)?.sync_all());
    copied.with_context(|| format!("copy {} to {}", from.display(), disk.display()))?;
    super::dirs::make_private(&draft.join("state"))?;
    files::replace(&draft.join("state/pending"), b"")?;
    // The description says that disk and memory are whole: its name is flushed after them.
    let description = files::read_text(&dir.join(DESCRIPTION))?;
    files::replace(&draft.join("state/complete"), description.as_bytes())
}

/// Returns the machine that makes a template. Its runtime directory is that of no other machine: a dot
/// begins no machine's name.
#[must_use]
pub fn machine(dirs: &Dirs, draft: &Path) -> Machine {
    let name = format!(".saved.{}", std::process::id());
    Machine {
        run: dirs.run(&name),
        name,
        dir: draft.to_owned(),
        cache: dirs.cache(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(tmp: &Path) -> Dirs {
        Dirs {
            storage: tmp.into(),
            runtime: tmp.join("run"),
        }
    }

    #[test]
    fn each_hardware_has_its_state() {
        let dirs = dirs(Path::new("/nonexistent"));
        let on =
            |config: &MachineConfig, host: [&str; 2]| dir(&dirs, config, &host.map(str::to_owned));
        let at = |change: fn(&mut MachineConfig), qemu: &str| {
            let mut config = MachineConfig::new("box");
            change(&mut config);
            on(&config, [qemu, "Kvm"])
        };
        let plain = at(|_| (), "7.2");
        assert_eq!(plain, at(|c| c.name = "other".into(), "7.2"));
        assert_eq!(plain, at(|c| c.ssh_port = 22, "7.2"));
        for other in [
            at(|_| (), "8.0"),
            at(|c| c.image = "sha256-0".into(), "7.2"),
            // KVM appeared or vanished, and the setting leaves the choice to the host.
            on(&MachineConfig::new("box"), ["7.2", "Tcg"]),
            at(|c| c.driver = "other".into(), "7.2"),
            at(|c| c.cpus = 1, "7.2"),
            at(|c| c.memory_mib = 1, "7.2"),
            at(|c| c.disk_bytes = 1, "7.2"),
        ] {
            assert_ne!(plain, other);
        }
    }

    #[test]
    fn options_that_a_state_has_not_seen_are_refused() {
        check(&MachineConfig::new("box"), false, false).expect("none");
        check(&MachineConfig::new("box"), true, false).expect_err("files");
        check(&MachineConfig::new("box"), false, true).expect_err("an authority");
        let mut config = MachineConfig::new("box");
        config.flags = vec![("tz".into(), "UTC".into())];
        let error = check(&config, false, false)
            .expect_err("a flag")
            .to_string();
        assert!(error.contains("--saved and --flag exclude"), "{error}");
    }

    #[test]
    fn the_second_of_two_drafts_is_dropped() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = dirs(tmp.path());
        let target = dirs.cache().join("saved-0");
        for text in ["first", "second"] {
            let draft = draft(&dirs.cache(), 1);
            fs::create_dir_all(&draft).expect("made");
            fs::write(draft.join(DESCRIPTION), text).expect("written");
            fs::write(draft.join(DISK), text).expect("written");
            commit(&dirs, &draft, &target).expect("committed");
            assert!(!draft.exists());
        }
        let machine = tmp.path().join("box");
        fs::create_dir(&machine).expect("made");
        copy(&target, &machine).expect("copied");
        let read = |name: &str| fs::read_to_string(machine.join(name)).expect(name);
        assert_eq!(
            (read(DISK), read("state/complete")),
            ("first".into(), "first".into())
        );
        assert_eq!(read("state/pending"), "");
    }
}
