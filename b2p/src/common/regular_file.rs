//! Files of the machine's owner, which may be anything.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The whole file; `None` where there is none.
///
/// # Errors
/// It is no plain file, cannot be read, or is longer than `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    let say = |e: &dyn std::fmt::Display| Err(format!("{}: {e}", path.display()));
    // Without O_NONBLOCK the open of a fifo waits for who writes to it (fifo(7)).
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = match file {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return say(&e),
    };
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return say(&"not a file");
    }
    let mut bytes = Vec::new();
    if let Err(e) = file.take(most + 1).read_to_end(&mut bytes) {
        return say(&e);
    }
    match bytes.len() as u64 > most {
        true => say(&format_args!(
            "longer than {} KiB; none of it is taken",
            most / 1024
        )),
        false => Ok(Some(bytes)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_file_a_link_to_one_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("b2p-plain-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name);
        fs::write(at("file"), vec![b'x'; 1024]).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            read(&at("file"), 1024).unwrap().map(|b| b.len()),
            Some(1024)
        );
        assert_eq!(
            read(&at("link"), 1024).unwrap().map(|b| b.len()),
            Some(1024)
        );
        assert!(
            read(&at("file"), 1023)
                .unwrap_err()
                .contains("file: longer than 0 KiB")
        );
        // The first of these would not come back.
        assert!(
            read(&at("fifo"), 9)
                .unwrap_err()
                .ends_with("fifo: not a file")
        );
        assert!(read(&dir, 9).unwrap_err().ends_with(": not a file"));
        assert_eq!(read(&at("none"), 9), Ok(None));
        assert_eq!(read(&at("file/none"), 9), Ok(None));
        fs::remove_dir_all(dir).unwrap();
    }
}
