// SPDX-License-Identifier: Apache-2.0
//! Small files, read and written whole.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Doing, Error, Result};
use crate::links;

/// A way to replace a file: path, content, permission bits, and the group if it differs from that
/// of the process. PID 1 has [`replace_at_once`]; a helper may wait until the file is on its disk.
pub type Replace<'a> = &'a dyn Fn(&Path, &[u8], u32, Option<u32>) -> Result<()>;

/// Longest text that [`read_text`] returns, in bytes.
const MAX_TEXT: u64 = 4 << 20;

/// Replaces the file at `path` by `bytes` with permission bits `mode`, in one step: a reader
/// sees the old content or the new. Makes the directory if there is none.
///
/// # Errors
/// The directory or the file cannot be made, written or renamed; the error names `path`.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    replace_by(path, |temporary| write_new(temporary, bytes, mode))
}

/// Replaces a file as [`replace`] does by one that belongs to a group: a process that opens the file sees the new content
/// with its group.
///
/// # Errors
/// The file cannot be replaced ([`replace`]), or its group cannot be set.
pub fn replace_for_group(path: &Path, bytes: &[u8], mode: u32, gid: u32) -> Result<()> {
    replace_by(path, |temporary| {
        write_new(temporary, bytes, mode)?;
        std::os::unix::fs::chown(temporary, None, Some(gid))
    })
}

/// Replaces a file as [`replace`] or [`replace_for_group`] does. No disk is waited for: after a power
/// cut the file may be empty.
///
/// # Errors
/// The file cannot be replaced, or its group cannot be set.
pub fn replace_at_once(path: &Path, bytes: &[u8], mode: u32, gid: Option<u32>) -> Result<()> {
    match gid {
        Some(gid) => replace_for_group(path, bytes, mode, gid),
        None => replace(path, bytes, mode),
    }
}

fn replace_by(path: &Path, write_new: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".b2p-new");
        let temporary = Path::new(&temporary);
        let replaced = write_new(temporary).and_then(|()| fs::rename(temporary, path));
        // A part of the file that a full file system has stored is freed.
        replaced.inspect_err(|_| drop(fs::remove_file(temporary)))
    };
    write().on(path)
}

/// Writes a file in place of the remains of an earlier attempt.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)
}

/// Returns at most `max_bytes` bytes of a regular file, for PID 1, which must not wait.
///
/// # Errors
/// The file cannot be read, or is not a regular one.
pub fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?.map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns a whole regular file, or `None` if there is none: for paths at which a user may have put
/// any kind of file. A symbolic link is followed if its target is on the same disk ([`links`]).
///
/// # Errors
/// The file cannot be read, is longer than `max_bytes`, or is not a regular one; the error names
/// its kind.
pub fn read_whole(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes).on(path)?;
    if bytes.len() as u64 > max_bytes {
        let limit = match max_bytes {
            0..1024 => format!("{max_bytes} bytes"),
            _ => format!("{} KiB", max_bytes / 1024),
        };
        let why = format!("longer than {limit}; none of it is taken");
        return Err(Error::invalid(why)).on(path);
    }
    Ok(Some(bytes))
}

/// Returns a text file by the rules of [`read_whole`], because with `b2p.etc=all` the user of the machine
/// controls all of /etc. Bytes that are not UTF-8 become replacement characters.
///
/// # Errors
/// ENOENT if there is none, and the errors of [`read_whole`].
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let bytes = read_whole(path, MAX_TEXT)?.ok_or(Errno::ENOENT).on(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a regular file, or returns `None` if there is none, as [`read_whole`] does, for callers that limit
/// the size themselves.
///
/// # Errors
/// The file cannot be opened, or is not a regular one.
pub fn open_regular(path: &Path) -> Result<Option<fs::File>> {
    let file = match open(path) {
        Ok(Err(kind)) if kind == SYMLINK => follow(path),
        Ok(file) => file.map_err(not_a_file),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Ok(None);
        }
        Err(e) => Err(e.into()),
    };
    file.map(Some).on(path)
}

/// Opens a regular file to append to it and to read it, or makes it with permission bits `mode`. A
/// symbolic link is not followed, because the data would be written to another file.
///
/// # Errors
/// The file cannot be opened or made, or is not a regular one; the error names its kind.
pub fn open_appended(path: &Path, mode: u32) -> io::Result<fs::File> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path);
    let refusal = |kind| io::Error::other(not_a_file(kind).to_string());
    match opened {
        Ok(file) => match kind(file.metadata()?.file_type()) {
            None => Ok(file),
            Some(kind) => Err(refusal(kind)),
        },
        Err(e) => match fs::symlink_metadata(path).map(|m| kind(m.file_type())) {
            Ok(Some(kind)) => Err(refusal(kind)),
            _ => Err(e),
        },
    }
}

/// Opens the regular file that a symbolic link leads to.
fn follow(path: &Path) -> Result<fs::File> {
    let file = links::open(path).map_err(|e| match e.raw_os_error() {
        Some(libc::EXDEV) => Error::invalid("a symbolic link that leads off its disk"),
        Some(libc::ENOENT | libc::ENOTDIR) => Error::invalid("a symbolic link that leads nowhere"),
        _ => e.into(),
    })?;
    match kind(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(kind) => Err(not_a_file(kind)),
    }
}

fn not_a_file(kind: &'static str) -> Error {
    Error::invalid(format!("not a file: {kind}"))
}

/// Opens a regular file, or returns the kind of another file. The open of a fifo would wait for its
/// other end (fifo(7)), the open of a terminal could make it the controlling one, and a symbolic
/// link may lead to a device, to a disk that hangs, or out of its disk.
fn open(path: &Path) -> io::Result<std::result::Result<fs::File, &'static str>> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path);
    match opened {
        Ok(file) => Ok(match kind(file.metadata()?.file_type()) {
            None => Ok(file),
            Some(kind) => Err(kind),
        }),
        // A second look-up would find nothing either.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(e),
        // ELOOP for a link, ENXIO for a socket and for a device without a driver (open(2)).
        Err(e) => match fs::symlink_metadata(path).map(|m| kind(m.file_type())) {
            Ok(Some(kind)) => Ok(Err(kind)),
            _ => Err(e),
        },
    }
}

/// Name of the type of symbolic links.
const SYMLINK: &str = "a symbolic link";

/// Returns the name of a type of file, or `None` for a regular one.
#[must_use]
pub fn kind(file_type: fs::FileType) -> Option<&'static str> {
    if file_type.is_file() {
        return None;
    }
    let kinds = [
        (file_type.is_dir(), "a directory"),
        (file_type.is_symlink(), SYMLINK),
        (file_type.is_fifo(), "a fifo"),
        (file_type.is_socket(), "a socket"),
    ];
    let known = kinds.iter().find(|(is, _)| *is);
    Some(known.map_or("a device", |(_, name)| name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    #[test]
    fn replaces_content_and_mode() {
        let dir = std::env::temp_dir().join(format!("b2p-files-{}", std::process::id()));
        let path = dir.join("sub/x.conf");
        replace(&path, b"one", 0o644).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // A user's group may read the file, and the writer stays the owner.
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        replace_for_group(&path, b"three", 0o640, gid.as_raw()).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (uid.as_raw(), gid.as_raw())
        );
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_error_names_the_file_and_its_errno() {
        let error = replace(Path::new("/proc/none/x"), b"", 0o644).unwrap_err();
        assert_eq!(error.path(), Some(Path::new("/proc/none/x")));
        assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT));
    }

    #[test]
    fn only_regular_files_are_read_up_to_the_limit() {
        let dir = std::env::temp_dir().join(format!("b2p-bounded-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name);
        fs::write(at("file"), vec![b'x'; 1024]).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(
            read_whole(&at("file"), 1024).unwrap().map(|b| b.len()),
            Some(1024)
        );
        assert_eq!(read_bounded(&at("file"), 3).unwrap(), b"xxx");
        assert_eq!(read_whole(&at("none"), 9), Ok(None));
        assert_eq!(read_whole(&at("file/none"), 9), Ok(None));
        for (path, max, why) in [
            (
                at("file"),
                1023,
                "file: longer than 1023 bytes; none of it is taken",
            ),
            (
                at("file"),
                0,
                "file: longer than 0 bytes; none of it is taken",
            ),
            // A blocking open of the fifo would never return.
            (at("fifo"), 9, "fifo: not a file: a fifo"),
            (at("socket"), 9, "socket: not a file: a socket"),
            (dir.clone(), 9, ": not a file: a directory"),
            (
                PathBuf::from("/dev/zero"),
                9,
                "/dev/zero: not a file: a device",
            ),
        ] {
            let error = read_whole(&path, max).unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
            let truncated = read_bounded(&path, max);
            assert_eq!(truncated.is_ok(), path == at("file"), "{path:?}");
        }
        let big = at("big");
        fs::File::create(&big).unwrap().set_len(1 << 40).unwrap();
        let error = read_whole(&big, 65_536).unwrap_err().to_string();
        assert!(
            error.ends_with("big: longer than 64 KiB; none of it is taken"),
            "{error}"
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_a_file_is_appended_to() {
        let dir = std::env::temp_dir().join(format!("b2p-appended-{}", std::process::id()));
        fs::create_dir_all(dir.join("dir")).unwrap();
        let at = |name: &str| dir.join(name);
        for text in ["a", "b"] {
            let mut file = open_appended(&at("file"), 0o600).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"ab");
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (link, target) in [
            ("link", "file"),
            ("dangling", "none"),
            ("zero", "/dev/zero"),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        for (name, why) in [
            ("fifo", "not a file: a fifo"),
            ("dir", "not a file: a directory"),
            ("link", "not a file: a symbolic link"),
            ("dangling", "not a file: a symbolic link"),
            ("zero", "not a file: a symbolic link"),
        ] {
            let error = open_appended(&at(name), 0o600).unwrap_err().to_string();
            assert_eq!(error, why, "{name}");
        }
        assert!(!at("none").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_link_is_followed_to_a_file_of_its_disk() {
        let dir = std::env::temp_dir().join(format!("b2p-linked-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name);
        fs::write(at("file"), "x").unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (target, why) in [
            ("file", None),
            ("fifo", Some("not a file: a fifo")),
            (".", Some("not a file: a directory")),
            ("/dev/zero", Some("a symbolic link that leads off its disk")),
            ("nowhere", Some("a symbolic link that leads nowhere")),
        ] {
            std::os::unix::fs::symlink(target, at("link")).unwrap();
            let said = read_whole(&at("link"), 9).map_err(|e| e.to_string());
            match why {
                None => assert_eq!(said, Ok(Some(b"x".to_vec()))),
                Some(why) => assert!(said.unwrap_err().ends_with(&format!("link: {why}"))),
            }
            // PID 1 follows none.
            assert!(read_bounded(&at("link"), 9).is_err(), "{target}");
            fs::remove_file(at("link")).unwrap();
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
