// SPDX-License-Identifier: Apache-2.0
//! File in memory with the saved state. The next execution of PID 1 after a crash inherits the descriptor of the file
//! ([`crash::STATE_FD`]) and reads the text.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::crash;

/// Maximum size of the file in bytes: 256 services of a line each, and degraded lines.
pub const MAX_BYTES: u64 = 64 * 1024;

/// File in memory with the saved state.
#[derive(Debug)]
pub struct StateFile {
    file: File,
    text: String,
}

impl StateFile {
    /// Creates the file; `None` without memory or a descriptor. A crash then loses the requested state of the services.
    #[must_use]
    pub fn create() -> Option<StateFile> {
        let file = memfd_create(c"boot2podman", MFdFlags::MFD_CLOEXEC).ok()?;
        let file = File::from(crash::keep_state(file)?);
        let text = String::new();
        Some(StateFile { file, text })
    }

    /// Writes a text that differs from the written one. After a write that fails, the next call tries again. PID 1 may
    /// crash between the two system calls: the file then has the whole new text, and a part of the old text after it.
    pub fn write(&mut self, text: String) {
        if text == self.text {
            return;
        }
        let written = self.file.write_all_at(text.as_bytes(), 0);
        let written = written.and_then(|()| self.file.set_len(text.len() as u64));
        self.text = match written {
            Ok(()) => text,
            Err(_) => {
                let _ = self.file.set_len(0);
                String::new()
            }
        };
    }
}

/// Takes the file out of the inherited descriptors. Returns it with its text, which is empty if there is no file. The
/// file keeps its number: after a crash before the next write, the next execution reads the same text.
pub fn take_inherited(inherited: &mut Vec<OwnedFd>) -> (Option<StateFile>, String) {
    let is_file = |fd: &OwnedFd| fd.as_raw_fd() == crash::STATE_FD;
    let Some(at) = inherited.iter().position(is_file) else {
        return (None, String::new());
    };
    let file = File::from(inherited.swap_remove(at));
    let text = read(&file);
    let kept = StateFile {
        file,
        text: text.clone(),
    };
    (Some(kept), text)
}

fn read(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |m| m.len().min(MAX_BYTES)) as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_cannot_be_saved_is_saved_later() {
        let full = File::options().write(true).open("/dev/full");
        let mut file = StateFile {
            file: full.expect("/dev/full"),
            text: "the text before".into(),
        };
        file.write("a text".into());
        assert_eq!(file.text, "");
        file.file = memfd_create(c"test", MFdFlags::empty())
            .expect("memory")
            .into();
        file.write("a text".into());
        assert_eq!(file.text, "a text");
        let mut written = [0; 6];
        file.file.read_exact_at(&mut written, 0).expect("written");
        assert_eq!(&written, b"a text");
    }

    #[test]
    fn a_state_is_there_after_a_crash_before_the_next_write() {
        let mut none = vec![File::open("/dev/null").expect("null").into()];
        let (file, text) = take_inherited(&mut none);
        assert!(file.is_none() && text.is_empty() && none.len() == 1);
        let mut first = StateFile::create().expect("memory, and a free number");
        first.write("a text".into());
        let mut inherited = vec![OwnedFd::from(first.file)];
        for _ in 0..2 {
            let (file, text) = take_inherited(&mut inherited);
            assert_eq!(text, "a text");
            let file = file.expect("inherited").file;
            assert_eq!(file.as_raw_fd(), crash::STATE_FD);
            inherited.push(file.into());
        }
    }
}
