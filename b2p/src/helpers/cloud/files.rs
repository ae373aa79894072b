//! Files of user-data, put where they belong.

use std::fs::{self, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use super::schema::File;
use crate::common::tool;

/// More than this a compressed file may not become.
const MOST: u64 = 32 << 20;

/// Writes it.
///
/// # Errors
/// What the system said, with the path.
pub fn write(file: &File) -> Result<(), String> {
    let path = Path::new(&file.path);
    let say = |e: std::io::Error| format!("{}: {e}", file.path);
    let owner = file.owner.as_deref().map(owner).transpose()?;
    let mut bytes = match file.append {
        true => fs::read(path).unwrap_or_default(),
        false => Vec::new(),
    };
    bytes.extend(match file.gzip {
        true => gunzip(&file.content).map_err(|why| format!("{}: {why}", file.path))?,
        false => file.content.clone(),
    });
    sys::files::replace(path, &bytes, 0o600)?;
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), gid).map_err(say)?;
    }
    // After the owner: a change of that takes setuid bits away.
    fs::set_permissions(path, Permissions::from_mode(file.mode)).map_err(say)
}

/// `user` or `user:group`, by names or numbers.
fn owner(text: &str) -> Result<(u32, Option<u32>), String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let id = |file: &str, name: &str| {
        let texts = fs::read_to_string(file).unwrap_or_default();
        let row = texts.lines().find(|l| l.split(':').next() == Some(name));
        let known = row.and_then(|r| r.split(':').nth(2)?.parse().ok());
        known
            .or_else(|| name.parse().ok())
            .ok_or_else(|| format!("owner {text}: {file} has no {name}"))
    };
    let group = group.map(|g| id("/etc/group", g)).transpose()?;
    Ok((id("/etc/passwd", user)?, group))
}

/// gzip(1) undoes it, in a process of its own.
fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let say = |e: std::io::Error| format!("gzip: {e}");
    let mut input = tool::memory_file().map_err(say)?;
    input
        .write_all(bytes)
        .and_then(|()| input.rewind())
        .map_err(say)?;
    let mut gzip = Command::new("/usr/bin/gzip");
    let gzip = gzip
        .arg("-dc")
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = gzip.spawn().map_err(say)?;
    let mut out = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MOST + 1).read_to_end(&mut out).map_err(say)?;
    }
    let status = child.wait().map_err(say)?;
    match status.success() && out.len() as u64 <= MOST {
        true => Ok(out),
        false => Err(format!(
            "it is no gzip file, or becomes more than {} MiB",
            MOST >> 20
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn content_mode_and_what_was_there() {
        let dir = std::env::temp_dir().join(format!("b2p-cloud-files-{}", std::process::id()));
        let mut file = File {
            path: dir.join("a/b").display().to_string(),
            content: b"one\n".to_vec(),
            gzip: false,
            mode: 0o755,
            owner: None,
            append: false,
            defer: false,
        };
        write(&file).unwrap();
        file.append = true;
        write(&file).unwrap();
        assert_eq!(fs::read(&file.path).unwrap(), b"one\none\n");
        let mode = fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        file.owner = Some("nobody-is-called-that".into());
        assert!(write(&file).unwrap_err().contains("/etc/passwd has no"));
        fs::remove_dir_all(dir).unwrap();
    }
}
