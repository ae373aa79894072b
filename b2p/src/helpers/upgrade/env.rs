//! GRUB's environment (grub-core/lib/envblk.c): 1024 bytes, a first line, lines
//! `name=value`, then `#` to the end. The menu has what the names mean
//! (`initramfs/src/boot/slots.rs`). All lines are kept in the first 512 bytes and the
//! file is written in place: a power cut leaves the old one or the new.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const FIRST: &str = "# GRUB Environment Block";
/// As GRUB has it.
pub const LENGTH: usize = 1024;
/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;

/// Its lines, but the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    lines: Vec<String>,
}

impl Env {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Env, String> {
        if bytes.len() != LENGTH {
            return Err(format!("it has {} bytes, not {LENGTH}", bytes.len()));
        }
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split('\n').map(str::to_owned);
        if lines.next().as_deref() != Some(FIRST) {
            return Err(format!("its first line is not `{FIRST}`"));
        }
        let kept = |line: &String| !line.is_empty() && !line.starts_with('#');
        Ok(Env {
            lines: lines.filter(kept).collect(),
        })
    }

    /// The value of a name; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        let mut pairs = self.lines.iter().filter_map(|l| l.split_once('='));
        pairs.find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    /// The same with this value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Env {
        let line = format!("{name}={value}");
        let is = |l: &&mut String| l.split_once('=').is_some_and(|(n, _)| n == name);
        match self.lines.iter_mut().find(is) {
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
        self
    }

    /// As it is on the disk.
    ///
    /// # Errors
    /// There is too much of it.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut text = format!("{FIRST}\n");
        self.lines.iter().for_each(|l| text += &format!("{l}\n"));
        if text.len() > SECTOR {
            return Err(format!(
                "more than {SECTOR} bytes cannot be written at once"
            ));
        }
        let mut bytes = text.into_bytes();
        bytes.resize(LENGTH, b'#');
        Ok(bytes)
    }
}

/// Changes the file in place and durably; one that is broken is begun anew.
///
/// # Errors
/// The file, and what is wrong with it or with writing to it.
pub fn change(path: &Path, with: impl FnOnce(Env) -> Env) -> Result<(), String> {
    let say = |e: io::Error| format!("{}: {e}", path.display());
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(say)?;
    let length = file.metadata().map_err(say)?.len();
    if length != LENGTH as u64 {
        // Another length would be other blocks of the file system.
        return Err(format!(
            "{}: it has {length} bytes, not {LENGTH}",
            path.display()
        ));
    }
    let mut old = vec![0; LENGTH];
    file.read_exact_at(&mut old, 0).map_err(say)?;
    let env = Env::parse(&old).unwrap_or_else(|why| {
        log::warn!("{}: begun anew: {why}", path.display());
        Env::default()
    });
    let new = with(env).bytes()?;
    if new != old {
        file.write_all_at(&new, 0).map_err(say)?;
        file.sync_all().map_err(say)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(LENGTH, b'#');
        bytes
    }

    #[test]
    fn what_grub_has_written_is_read_and_kept() {
        let text = "# GRUB Environment Block\n# WARNING: no\ngood=a\ntry=\nmine=x\\\\y=z\n";
        let env = Env::parse(&padded(text)).unwrap();
        assert_eq!(
            (env.get("good"), env.get("try"), env.get("no")),
            ("a", "", "")
        );
        let bytes = env.with("try", "b").with("tried", "").bytes().unwrap();
        let wanted = "# GRUB Environment Block\ngood=a\ntry=b\nmine=x\\\\y=z\ntried=\n";
        assert_eq!(bytes, padded(wanted));
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_again(text in "([a-z]{1,8}=[ -~]{0,20}\n){0,8}", rest in ".{0,40}") {
            let bytes = padded(&format!("{FIRST}\n{text}"));
            let env = Env::parse(&bytes).unwrap();
            proptest::prop_assert_eq!(env.bytes().unwrap(), bytes);
            // And nothing makes it panic.
            let _ = Env::parse(&padded(&rest)).map(|env| env.bytes());
            let _ = crate::helpers::upgrade::sums::find(&rest, "vmlinuz");
        }
    }

    #[test]
    fn only_the_first_sector_ever_changes() {
        let long = Env::default().with("x", &"y".repeat(500));
        assert!(long.bytes().unwrap_err().contains("512"));
        let one = Env::default().with("good", "a").bytes().unwrap();
        let two = Env::default()
            .with("good", "b")
            .with("try", "a")
            .bytes()
            .unwrap();
        assert!(one[..SECTOR] != two[..SECTOR] && one[SECTOR..] == two[SECTOR..]);
    }

    #[test]
    fn a_broken_one_is_begun_anew_and_one_of_another_length_left() {
        let path = std::env::temp_dir().join(format!("b2p-grubenv-{}", std::process::id()));
        std::fs::write(&path, padded("\0\0\0good=a\n")).unwrap();
        change(&path, |env| env.with("good", "b")).unwrap();
        let env = Env::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(env, Env::default().with("good", "b"));
        std::fs::write(&path, "short").unwrap();
        assert!(change(&path, |env| env).unwrap_err().contains("5 bytes"));
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        std::fs::remove_file(path).unwrap();
    }
}
