// SPDX-License-Identifier: Apache-2.0
//! Writes the files of user-data.

use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use sys::error::{Doing, Error, Result};

use super::schema::File;
use crate::common::confined::{Attributes, Tree};
use crate::common::tool;

/// Largest size of a decompressed file, in bytes.
const MAX_DECOMPRESSED: u64 = 32 << 20;

/// Writes a file below `root`. A link of another user than root does not count: homes are kept, and their owners
/// could have root write elsewhere.
///
/// # Errors
/// The owner does not exist, the content is no gzip file, or the file cannot be written.
pub fn write(root: &Tree, file: &File) -> Result<()> {
    let path = Path::new(&file.path);
    let owner = file.owner.as_deref().map(parse_owner).transpose()?;
    let content = match file.is_gzip {
        true => gunzip(&file.content).on(path)?,
        false => file.content.clone(),
    };
    let bytes = match file.append {
        true => appended(
            root.read(&file.path, MAX_DECOMPRESSED)?.unwrap_or_default(),
            &content,
        ),
        false => content,
    };
    let (uid, gid) = owner.unwrap_or((0, None));
    let attributes = Attributes {
        mode: file.mode,
        uid,
        gid: gid.unwrap_or(0),
    };
    root.replace(&file.path, &bytes, attributes)
}

/// Returns the bytes with `content` as further lines, unless the bytes have these lines: the data disk may
/// keep the file of an earlier boot.
pub fn appended(mut bytes: Vec<u8>, content: &[u8]) -> Vec<u8> {
    if !content.is_empty() && !has_lines(&bytes, content) {
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        bytes.extend(content);
    }
    bytes
}

/// Returns true if whole lines of `bytes` are those of `content`. Content that is no text counts at the end
/// alone. The search takes a time that is linear in both, also with repetitions.
fn has_lines(bytes: &[u8], content: &[u8]) -> bool {
    let lines = |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Some(format!("\n{text}\n"))
    };
    match (lines(bytes), lines(content)) {
        (Some(text), Some(part)) => text.contains(&part),
        _ => bytes.ends_with(content),
    }
}

/// Parses `user` or `user:group`, by names or numbers.
fn parse_owner(text: &str) -> Result<(u32, Option<u32>)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let id = |file: &str, name: &str| {
        let lines = sys::files::read_text(file).unwrap_or_default();
        let line = lines.lines().find(|l| l.split(':').next() == Some(name));
        let id = line.and_then(|l| l.split(':').nth(2)?.parse().ok());
        let id = id.or_else(|| name.parse().ok());
        id.ok_or_else(|| Error::invalid(format!("owner {text}: {file} has no {name}")))
    };
    let group = group.map(|group| id("/etc/group", group)).transpose()?;
    Ok((id("/etc/passwd", user)?, group))
}

/// Decompresses by gzip(1), in a process of its own.
///
/// # Errors
/// The bytes are no gzip file, or become too long.
pub fn gunzip(compressed: &[u8]) -> Result<Vec<u8>> {
    let (success, bytes) = run_gzip(compressed).doing("gzip")?;
    match success && bytes.len() as u64 <= MAX_DECOMPRESSED {
        true => Ok(bytes),
        false => Err(Error::invalid(format!(
            "it is no gzip file, or becomes more than {} MiB",
            MAX_DECOMPRESSED >> 20
        ))),
    }
}

/// Returns true if gzip has succeeded, and its output up to one byte more than is allowed.
fn run_gzip(compressed: &[u8]) -> std::io::Result<(bool, Vec<u8>)> {
    let mut input = tool::memory_file()?;
    input.write_all(compressed)?;
    input.rewind()?;
    let mut child = Command::new("/usr/bin/gzip")
        .arg("-dc")
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_DECOMPRESSED + 1).read_to_end(&mut bytes)?;
    }
    Ok((child.wait()?.success(), bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(path: &str) -> File {
        let uid = nix::unistd::geteuid();
        File {
            path: path.into(),
            content: b"one\n".to_vec(),
            is_gzip: false,
            mode: 0o755,
            owner: Some(format!("{uid}:{}", nix::unistd::getegid())),
            append: false,
            defer: false,
        }
    }

    #[test]
    fn files_are_written_with_content_and_mode_and_replace_others() {
        let temp = Temp::new();
        let root = Tree::open(temp.dir()).unwrap();
        let mut file = file("/a/b");
        write(&root, &file).unwrap();
        file.append = true;
        write(&root, &file).unwrap();
        let content = || fs::read(temp.path("a/b")).unwrap();
        assert_eq!(content(), b"one\n", "it is kept");
        file.content = b"two\n".to_vec();
        write(&root, &file).unwrap();
        assert_eq!(content(), b"one\ntwo\n");
        let mode = fs::metadata(temp.path("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        file.owner = Some("nobody-is-called-that".into());
        assert!(why(write(&root, &file)).contains("/etc/passwd has no"));
    }

    #[test]
    fn an_append_is_left_out_if_its_whole_lines_exist() {
        for (before, part, after) in [
            ("110.0.0.1 a\n", "10.0.0.1 a\n", "110.0.0.1 a\n10.0.0.1 a\n"),
            ("8080\n", "80\n", "8080\n80\n"),
            ("#key\n", "key\n", "#key\nkey\n"),
            ("a\n", "\n", "a\n\n"),
            ("a\n\n", "\n", "a\n\n"),
            ("x\none\ntwo\ny\n", "one\ntwo\n", "x\none\ntwo\ny\n"),
            ("aa\naaa\naaa\n", "aa\naaa\naaa\n", "aa\naaa\naaa\n"),
            // A line of its own; a second time changes nothing.
            ("a", "b", "a\nb"),
            ("a\nb", "b\n", "a\nb"),
            ("", "b", "b"),
            ("a\n", "", "a\n"),
        ] {
            let all = appended(before.into(), part.as_bytes());
            assert_eq!(all, after.as_bytes(), "{before:?} {part:?}");
            assert_eq!(appended(all.clone(), part.as_bytes()), all);
        }
        let binary = appended(b"a\n".to_vec(), b"\xff");
        assert_eq!(appended(binary.clone(), b"\xff"), binary);
    }

    #[test]
    fn links_of_users_lead_nowhere() {
        let temp = Temp::new();
        fs::create_dir_all(temp.path("etc")).unwrap();
        std::os::unix::fs::symlink("/etc", temp.path("planted")).unwrap();
        let root = Tree::open(temp.dir()).unwrap().trusting_another();
        for append in [false, true] {
            let file = File {
                append,
                ..file("/planted/shadow")
            };
            assert!(why(write(&root, &file)).contains("symbolic link of user"));
        }
        assert!(why(root.ensure_directory("/planted/mount")).contains("symbolic link of user"));
        assert_eq!(fs::read_dir(temp.path("etc")).unwrap().count(), 0);
    }
}
