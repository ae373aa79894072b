//! The hooks of the ancestors: scripts on the data disk, run by PID 1 as services
//! (`init::table::ON_DISK`): `b2p hook bootsync`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::screen::complain;

/// Where they are.
const DIR: &str = "/var/lib/boot2podman";

/// The file of a hook.
pub fn file(state: &Path, name: &str) -> PathBuf {
    state.join(format!("{name}.sh"))
}

/// Becomes the script, so that its end is the service's. The result is an exit status,
/// where that fails.
pub fn main(words: &[String]) -> i32 {
    let [name] = words else {
        complain("b2p hook: takes the name of one hook");
        return 2;
    };
    let path = file(Path::new(DIR), name);
    let mut command = match alone(&path) {
        true => Command::new(&path),
        false => {
            let mut shell = Command::new("/bin/sh");
            shell.arg(&path);
            shell
        }
    };
    let why = command.exec();
    complain(&format!("b2p hook: {}: {why}", path.display()));
    126
}

/// Whether the kernel can run it: it is executable, and says by what. The ancestors'
/// need not be.
fn alone(path: &Path) -> bool {
    let mut first = [0; 2];
    let read = File::open(path).and_then(|mut f| f.read_exact(&mut first));
    let mode = path.metadata().map_or(0, |m| m.permissions().mode());
    read.is_ok() && first == *b"#!" && mode & 0o100 != 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_says_by_what_it_is_run_is() {
        let dir = std::env::temp_dir().join(format!("b2p-hook-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = file(&dir, "x");
        assert!(!alone(&path));
        for (text, mode, is) in [
            ("#!/bin/sh\n", 0o755, true),
            ("#!/bin/sh\n", 0o644, false),
            ("echo\n", 0o755, false),
            ("", 0o755, false),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(alone(&path), is, "{text:?} {mode:o}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
