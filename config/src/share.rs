// SPDX-License-Identifier: Apache-2.0
//! Parser of `b2p.share=`, folders of the host.

use crate::builder::Builder;
use crate::diagnostic::Problem;
use crate::settings::SharedFolder;

/// Maximum length of a tag in bytes: the size of the field of a virtiofs device (virtio, 5.11.4),
/// which podman's tags fill.
const MAX_TAG: usize = 36;
/// Maximum length of a path in bytes, less than Linux `PATH_MAX`.
const MAX_PATH: usize = 1024;

/// Tag of the folder with macOS's Rosetta, named by vfkit and podman machine.
const ROSETTA_TAG: &str = "rosetta";
/// Mount point of that folder.
pub const ROSETTA_PATH: &str = "/run/boot2podman/rosetta";

/// Directories that the machine needs unchanged: no folder is mounted on or below any of these.
const RESERVED_TREES: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/boot2podman",
    "/var/lib/containers",
    "/mnt/data",
];
/// Directories that no folder is mounted on; a mount below them is allowed.
const RESERVED_DIRS: &[&str] = &[
    "/", "/home", "/mnt", "/root", "/tmp", "/var", "/var/lib", "/var/tmp",
];

/// Applies `b2p.share=`: adds a folder, or replaces the one at the same path.
pub(crate) fn share(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let folder = folder(text)?;
    let shares = &mut builder.config.shares;
    shares.retain(|other| other.path != folder.path);
    shares.push(folder);
    Ok(())
}

/// Applies `b2p.rosetta=`: adds or removes Apple's folder.
pub(crate) fn rosetta(builder: &mut Builder, is_on: bool) {
    let shares = &mut builder.config.shares;
    shares.retain(|other| other.path != ROSETTA_PATH);
    if is_on {
        shares.push(SharedFolder {
            tag: ROSETTA_TAG.to_owned(),
            path: ROSETTA_PATH.to_owned(),
            read_only: true,
        });
    }
}

fn folder(text: &str) -> Result<SharedFolder, Problem> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let Some((tag, path)) = text.split_once(':') else {
        return Err(Problem::invalid(
            "not <tag>:<path>, as in home:/home/core/host",
        ));
    };
    let printable = tag.bytes().all(|b| b.is_ascii_graphic());
    if tag.is_empty() || tag.len() > MAX_TAG || !printable {
        return Err(Problem::invalid(
            "not a tag (printable, at most 36 bytes) before the colon",
        ));
    }
    Ok(SharedFolder {
        tag: tag.to_owned(),
        path: mount_point(path)?.to_owned(),
        read_only,
    })
}

/// Returns the path of a folder without slashes at its end, if a folder may be mounted there.
fn mount_point(path: &str) -> Result<&str, Problem> {
    let path = match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        path => path,
    };
    let is_name = |component: &str| !matches!(component, "" | "." | "..");
    let components = path
        .strip_prefix('/')
        .filter(|rest| rest.split('/').all(is_name) || path == "/");
    if components.is_none() || path.len() > MAX_PATH || path.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "not an absolute path without . and .. after the colon",
        ));
    }
    if path.contains(':') {
        return Err(Problem::invalid("only :ro may follow the path"));
    }
    if is_reserved(path) {
        return Err(Problem::invalid(
            "a directory of the system; use /mnt/<name>, or a path below a home directory",
        ));
    }
    Ok(path)
}

fn is_reserved(path: &str) -> bool {
    let below = |dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    RESERVED_DIRS.contains(&path) || RESERVED_TREES.iter().any(|dir| *dir == path || below(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String, bool)> {
        folder(text).ok().map(|f| (f.tag, f.path, f.read_only))
    }

    #[test]
    fn tags_and_paths() {
        let good = |tag: &str, path: &str, ro| Some((tag.to_owned(), path.to_owned(), ro));
        assert_eq!(read("home:/mnt/home"), good("home", "/mnt/home", false));
        assert_eq!(
            read("a:/home/core/x y:ro"),
            good("a", "/home/core/x y", true)
        );
        assert_eq!(read("a:/Users/me/:rw"), good("a", "/Users/me", false));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "home",
            ":/mnt/x",
            "a b:/mnt/x",
            "home:mnt",
            "home:",
            "home:/mnt/../etc",
            "home:/mnt//x",
            "home:/mnt/./x",
            "home:/mnt/x:rx",
            "home:/",
            "home:/etc",
            "home:/etc/x",
            "home:/var",
            "home:/home",
            "home:/var/lib/containers/storage",
            "home:/mnt/x\n",
            "home:/usr//",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&format!("{}:/mnt/x", "t".repeat(37))), None);
        assert!(read("home:/etcetera").is_some() && read("home:/var/lib/mine").is_some());
    }
}
