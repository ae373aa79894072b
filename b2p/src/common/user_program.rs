// SPDX-License-Identifier: Apache-2.0
//! Programs of the user's: scripts, perhaps saved on Windows, and binaries.

use std::borrow::Cow;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use log::info;
use nix::errno::Errno;
use sys::error::{Doing, Result};
use sys::files::{open_regular, read_whole, replace};
use sys::script;

use super::user_text;

/// Bytes of a program that include the first line of a script.
const HEAD_BYTES: u64 = script::HEAD_BYTES as u64;
/// Longest script, in bytes.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;
/// Beginning of a script that names its interpreter (execve(2)).
const INTERPRETER_MARK: &[u8] = b"#!";
/// Beginning of a binary (elf(5)).
const BINARY_MARK: &[u8] = b"\x7fELF";

/// Returns the command that runs a program. A script runs by the program of its first line, else by
/// sh, and need not be executable. `copy` takes a script that Windows has saved.
///
/// # Errors
/// The program is not a file, a script is too long or UTF-16, or the copy cannot be written.
pub fn command(path: &Path, copy: &Path) -> Result<Command> {
    let Some(file) = open_regular(path)? else {
        return Err(Errno::ENOENT.into());
    };
    let mode = file.metadata().as_ref().map_or(0, mode_of);
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).on(path)?;
    if head.starts_with(BINARY_MARK) {
        return Ok(Command::new(path));
    }
    let bytes = read_whole(path, MAX_SCRIPT_BYTES)?.unwrap_or_default();
    let text = match bytes.contains(&0) && !bytes.starts_with(b"\xff\xfe") {
        true => Cow::Borrowed(bytes.as_slice()), // A script with an archive in it.
        false => user_text::normalize(&bytes)?,
    };
    let path = match text.len() == bytes.len() {
        true => path,
        false => {
            let name = path.display();
            info!("{name}: Windows line ends: a copy without them runs");
            replace(copy, &text, mode & 0o777 | 0o400)?;
            copy
        }
    };
    let head = text
        .get(..text.len().min(HEAD_BYTES as usize))
        .unwrap_or_default();
    if head.starts_with(INTERPRETER_MARK) && mode & 0o111 != 0 {
        return Ok(Command::new(path));
    }
    let mut argv = interpreter(head);
    argv.push(path.to_owned());
    let mut argv = argv.into_iter();
    let mut command = Command::new(argv.next().unwrap_or_default());
    command.args(argv);
    Ok(command)
}

/// Returns true if a program that others execute, by its path, is a script of Windows.
#[must_use]
pub fn was_saved_on_windows(path: &Path) -> bool {
    let file = open_regular(path).ok().flatten();
    let mut head = Vec::new();
    let read = file.map(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.is_some_and(|read| read.is_ok()) && script::was_saved_on_windows(&head)
}

fn mode_of(metadata: &Metadata) -> u32 {
    metadata.permissions().mode()
}

/// Returns the program of a `#!` line and its one argument, as execve(2) splits them.
fn interpreter(head: &[u8]) -> Vec<PathBuf> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_prefix(INTERPRETER_MARK).unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let (program, argument) = line
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((line.trim(), ""));
    match program {
        "" => vec![PathBuf::from("/bin/sh")],
        program => [program, argument.trim()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(PathBuf::from)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    /// Returns program and arguments of the command for these bytes.
    fn words(temp: &Temp, bytes: &[u8], mode: u32) -> Vec<String> {
        let path = temp.path("program");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let command = command(&path, &temp.path("copy")).unwrap();
        let all = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        all.map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_first_line_is_split_as_the_kernel_does() {
        let argv = |text: &str| interpreter(text.as_bytes());
        let bash = ["/bin/bash", "-e -x"].map(PathBuf::from);
        assert_eq!(argv("#!/bin/bash -e -x \necho"), bash);
        assert_eq!(argv("#! /bin/awk\n"), [PathBuf::from("/bin/awk")]);
        assert_eq!(argv("echo"), [PathBuf::from("/bin/sh")]);
        assert_eq!(argv("#!\n"), [PathBuf::from("/bin/sh")]);
    }

    #[test]
    fn scripts_binaries_and_files_of_windows() {
        let temp = Temp::new();
        let [program, copy] = ["program", "copy"].map(|n| temp.path(n).display().to_string());
        let (program, copy) = (program.as_str(), copy.as_str());
        for (bytes, mode, want) in [
            (b"#!/bin/bash -e\ntrue\n".as_slice(), 0o755, vec![program]),
            (
                b"#!/bin/bash -e\ntrue\n",
                0o644,
                vec!["/bin/bash", "-e", program],
            ),
            (b"true\n", 0o755, vec!["/bin/sh", program]),
            (b"", 0o644, vec!["/bin/sh", program]),
            (b"#!/bin/sh\r\ntrue\r\n", 0o755, vec![copy]),
            (b"\xef\xbb\xbf#!/bin/sh\ntrue\n", 0o700, vec![copy]),
            (b"true\r\n", 0o644, vec!["/bin/sh", copy]),
            (b"\x7fELF\x02\r\n\0", 0o755, vec![program]),
            (b"#!/bin/sh\nexit\n\0\r\n", 0o755, vec![program]),
        ] {
            assert_eq!(words(&temp, bytes, mode), want, "{bytes:?}");
        }
        assert_eq!(fs::read(copy).unwrap(), b"true\n");
        let was_saved_on_windows = |bytes: &[u8]| {
            fs::write(program, bytes).unwrap();
            super::was_saved_on_windows(Path::new(program))
        };
        assert!(was_saved_on_windows(b"#!/bin/sh\r\n") && !was_saved_on_windows(b"#!/bin/sh\n"));
        let long = [BINARY_MARK, &vec![b'x'; MAX_SCRIPT_BYTES as usize]].concat();
        assert_eq!(
            words(&temp, &long, 0o755),
            [program],
            "a binary has any size"
        );
    }

    #[test]
    fn files_that_are_no_programs_are_refused_with_a_reason() {
        let temp = Temp::new();
        let refused = |bytes: &[u8]| {
            fs::write(temp.path("x"), bytes).unwrap();
            why(command(&temp.path("x"), &temp.path("copy")).map(drop))
        };
        assert!(refused(b"\xff\xfe#\0!\0").contains("UTF-16"));
        assert!(refused(&vec![b'x'; MAX_SCRIPT_BYTES as usize + 1]).contains("longer than"));
        nix::unistd::mkfifo(&temp.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, said) in [("fifo", "a fifo"), ("none", "ENOENT"), (".", "a directory")] {
            let why = why(command(&temp.path(name), &temp.path("copy")).map(drop));
            assert!(why.contains(said), "{name}: {why}");
        }
    }
}
