//! `b2p.share=`: folders of the host.

use crate::builder::Builder;
use crate::diagnostic::Problem;
use crate::settings::SharedFolder;

/// The field of a virtiofs device has 36 bytes (virtio, 5.11.4); so have podman's tags.
const MAX_TAG: usize = 36;
/// Linux `PATH_MAX` is more than anybody types.
const MAX_PATH: usize = 1024;

/// Nothing is mounted over these, nor below them: the machine would not be itself.
const WHOLE: &[&str] = &[
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
/// Nothing is mounted over these; below them is room.
const ITSELF: &[&str] = &[
    "/", "/home", "/mnt", "/root", "/tmp", "/var", "/var/lib", "/var/tmp",
];

/// One more folder; for a path that had one, another.
pub(crate) fn share(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let folder = folder(text)?;
    let all = &mut builder.config.shares;
    all.retain(|other| other.path != folder.path);
    all.push(folder);
    Ok(())
}

fn folder(text: &str) -> Result<SharedFolder, Problem> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text.strip_suffix(":rw").unwrap_or(text), false),
    };
    let Some((tag, path)) = text.split_once(':') else {
        return Err(Problem::bad("not <tag>:<path>, as home:/home/core/host"));
    };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if tag.is_empty() || tag.len() > MAX_TAG || !plain(tag) {
        return Err(Problem::bad(
            "not a tag (printable, at most 36 bytes) before the colon",
        ));
    }
    let path = match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        path => path,
    };
    let strange = |part: &str| part.is_empty() || part == "." || part == "..";
    let parts = path
        .strip_prefix('/')
        .filter(|p| !p.split('/').any(strange) || path == "/");
    if parts.is_none() || path.len() > MAX_PATH || path.chars().any(char::is_control) {
        return Err(Problem::bad(
            "not an absolute path without . and .. behind the colon",
        ));
    }
    if path.contains(':') {
        return Err(Problem::bad("what follows the path is ro, or nothing"));
    }
    if is_the_systems(path) {
        return Err(Problem::bad(
            "a place of the system's; one of its own is /mnt/<name>, or below a home",
        ));
    }
    Ok(SharedFolder {
        tag: tag.to_owned(),
        path: path.to_owned(),
        read_only,
    })
}

fn is_the_systems(path: &str) -> bool {
    let below = |dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    ITSELF.contains(&path) || WHOLE.iter().any(|dir| *dir == path || below(dir))
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
    fn what_is_neither() {
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
