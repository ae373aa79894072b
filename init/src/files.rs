//! Small files, written whole.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path` by `text` with permission bits `mode`, in one step: a reader
/// sees the old content or the new.
///
/// # Errors
/// What the system said, with the path.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> Result<(), String> {
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(say)?;
    }
    let temporary = path.with_extension("b2p-new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(say)?;
    file.write_all(text).map_err(say)?;
    fs::rename(&temporary, path).map_err(say)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
