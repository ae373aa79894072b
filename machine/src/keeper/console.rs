// SPDX-License-Identifier: Apache-2.0
//! Log of the console: the search for the ready line and for a panic of the kernel, and the rotation of the log.

use super::Event;
use crate::store::logfile;
use crate::store::watch::Watch;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use vmm::{READY, Ready};

/// Size in bytes at which the log becomes `console.log.1`.
const ROTATE: u64 = 4 << 20;
/// Bytes of a boot that are kept for the search.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Message of a kernel that has stopped.
const PANIC: &str = "Kernel panic - not syncing";

/// Watches the log from the offset `from` on, until the process ends.
pub fn watch(path: &Path, from: u64, events: Sender<Event>) -> Result<()> {
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .read(true)
            .open(path)
    };
    open().with_context(|| path.display().to_string())?;
    let watch = Watch::new(path)?;
    let mut reader = Reader {
        path: path.to_owned(),
        at: from,
        text: String::new(),
    };
    thread::spawn(move || {
        loop {
            for event in reader.read() {
                if events.send(event).is_err() {
                    return;
                }
            }
            if watch.wait().is_err() {
                return;
            }
        }
    });
    Ok(())
}

struct Reader {
    path: PathBuf,
    at: u64,
    /// Text since the last ready line.
    text: String,
}

impl Reader {
    /// Reads new lines, and returns their events.
    fn read(&mut self) -> Vec<Event> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            // A shorter file was rotated.
            if file.metadata()?.len() < self.at {
                self.at = 0;
            }
            file.seek(SeekFrom::Start(self.at))?;
            file.read_to_end(&mut bytes)
        });
        if let Err(error) = read {
            eprintln!("{}: {error}", self.path.display());
            return Vec::new();
        }
        self.at += bytes.len() as u64;
        if self.at > ROTATE {
            self.rotate(&mut bytes);
        }
        self.search(&String::from_utf8_lossy(&bytes))
    }

    fn search(&mut self, new: &str) -> Vec<Event> {
        // A busy guest writes often: a line that was complete before is not searched again.
        let line = self.text.rfind('\n').map_or(0, |end| end + 1);
        self.text += new;
        let mut found = Vec::new();
        if !self.text[line..].contains(READY) && !self.text[line..].contains(PANIC) {
            self.cut();
            return found;
        }
        let (mut end, mut last) = (0, None);
        while let Some(ready) = Ready::find(&self.text[end..]) {
            end += ready.end;
            last = Some(ready);
        }
        self.text.drain(..end);
        // A keeper that adopts reads the lines of earlier boots as well; the last one is that of this boot.
        found.extend(last.map(|ready| Event::Ready(Box::new(ready))));
        if self.text.contains(PANIC) {
            self.text.clear();
            found.push(Event::Panic);
        }
        self.cut();
        found
    }

    /// Drops the beginning of a text that has become long.
    fn cut(&mut self) {
        if self.text.len() > MAX_TEXT_BYTES {
            let cut = self.text.len() - MAX_TEXT_BYTES / 2;
            let cut = (cut..self.text.len()).find(|&at| self.text.is_char_boundary(at));
            self.text.drain(..cut.unwrap_or(self.text.len()));
        }
    }

    /// Keeps the log as `console.log.1`, and adds what QEMU has written since the last read to
    /// `bytes`. QEMU appends, so its next write begins the file anew.
    fn rotate(&mut self, bytes: &mut Vec<u8>) {
        match logfile::put_aside(&self.path) {
            Ok(mut kept) => {
                let rest = kept.seek(SeekFrom::Start(self.at));
                if let Err(error) = rest.and_then(|_| kept.read_to_end(bytes)) {
                    eprintln!("{}.1: {error}", self.path.display());
                }
                self.at = 0;
            }
            Err(error) => eprintln!("{}: {error}", self.path.display()),
        }
    }
}

/// Returns the last lines of a text file, without control characters.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let mut last: Vec<String> = text.lines().rev().take(lines).map(plain).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader {
            path: PathBuf::new(),
            at: 0,
            text: String::new(),
        }
    }

    #[test]
    fn each_boot_has_its_ready_line() {
        let mut reader = reader();
        assert!(
            reader
                .search("x\nboot2podman: degraded net: no card\nboot2podman: rea")
                .is_empty()
        );
        let found = reader.search("dy ssh=10.0.2.15:22 data=ram\r\nmore\n");
        let [Event::Ready(ready)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((ready.field("data"), ready.degraded.len()), ("ram", 1));
        assert!(reader.search("and more\n").is_empty());
        let found = reader.search("boot2podman: ready data=vda\n");
        assert!(
            matches!(found.as_slice(), [Event::Ready(r)] if r.degraded.is_empty()),
            "{found:?}"
        );
    }

    #[test]
    fn a_guest_that_repeats_its_ready_line_is_one_event() {
        let text =
            "boot2podman: degraded a: b\nboot2podman: ready data=\x1bram\nmore\n".repeat(1000);
        let found = reader().search(&text);
        assert!(
            matches!(found.as_slice(), [Event::Ready(r)] if r.degraded.len() == 1),
            "{found:?}"
        );
    }

    #[test]
    fn a_panic_is_reported_once() {
        let mut reader = reader();
        assert!(matches!(
            reader.search("Kernel panic - not syncing: x\n").as_slice(),
            [Event::Panic]
        ));
        assert!(reader.search("more\n").is_empty());
    }

    #[test]
    fn the_search_continues_over_a_rotation_of_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("console.log");
        fs::write(&path, "é".repeat(3 << 20)).expect("written");
        let mut reader = Reader {
            path: path.clone(),
            ..reader()
        };
        assert!(reader.read().is_empty());
        assert_eq!(fs::metadata(&path).expect("there").len(), 0);
        assert!(reader.text.len() <= MAX_TEXT_BYTES);
        fs::write(&path, "\nboot2podman: ready data=ram\n").expect("written");
        assert_eq!(reader.read().len(), 1);
        assert_eq!(tail(&path, 1), ["boot2podman: ready data=ram"]);
        assert!(dir.path().join("console.log.1").exists());
    }
}
