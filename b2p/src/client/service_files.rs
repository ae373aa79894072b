//! The files of users' services, brought from the data disk to where PID 1 reads
//! them: a disk may hang, and then it is this process that hangs.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use control::Name;

/// A longer file is no service.
const LONGEST: u64 = 16 * 1024;
/// No more files than this are looked at.
const MOST: usize = 256;

/// Whether the user has a file of that name.
#[must_use]
pub fn is_own(own: &Path, name: &Name) -> bool {
    own.join(name.as_str()).exists()
}

/// The names of all of them, sorted, and those that are none.
#[must_use]
pub fn own(own: &Path) -> (Vec<Name>, Vec<String>) {
    let files = fs::read_dir(own).into_iter().flatten().flatten().take(MOST);
    let mut words: Vec<String> = files
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|word| !word.starts_with('.') && !word.ends_with('~'))
        .collect();
    words.sort_unstable();
    let bad = |word: &String| Name::new(word).is_none();
    let (bad, good): (Vec<String>, Vec<String>) = words.into_iter().partition(bad);
    (
        good.iter().filter_map(|word| Name::new(word)).collect(),
        bad,
    )
}

/// Whether PID 1 was last given another text than the user's file has now.
#[must_use]
pub fn differs(own: &Path, staged: &Path, name: &Name) -> bool {
    let of = |dir: &Path| text(&dir.join(name.as_str())).ok();
    of(own) != of(staged)
}

/// Whether PID 1 would understand the user's file.
///
/// # Errors
/// All that is wrong with it.
pub fn check(own: &Path, name: &Name) -> Result<(), String> {
    let text = text(&own.join(name.as_str())).map_err(|e| format!("b2p: {e}"))?;
    let accounts = |path| fs::read_to_string(path).unwrap_or_default();
    let (passwd, group) = (accounts("/etc/passwd"), accounts("/etc/group"));
    let parsed = services::service_file::parse(name.as_str(), &text, &passwd, &group);
    parsed.map(drop).map_err(|errors| format!("b2p: {errors}"))
}

/// Puts the user's file where PID 1 reads it, whole or not at all.
///
/// # Errors
/// What is wrong with the file, or what the system said.
pub fn put(own: &Path, staged: &Path, name: &Name) -> Result<(), String> {
    let text = text(&own.join(name.as_str())).map_err(|e| format!("b2p: {e}"))?;
    let to = staged.join(name.as_str());
    sys::files::replace(&to, &text, 0o600).map_err(|e| format!("b2p: {e}"))
}

fn text(path: &Path) -> Result<Vec<u8>, String> {
    let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    // Without O_NONBLOCK the open of a fifo waits for who writes to it (fifo(7)).
    let flags = libc::O_NONBLOCK;
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path);
    let file = file.map_err(|e| say(&e))?;
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Err(say(&"not a plain file"));
    }
    let mut text = Vec::new();
    let read = file.take(LONGEST + 1).read_to_end(&mut text);
    let len = read.map_err(|e| say(&e))? as u64;
    if len > LONGEST {
        return Err(say(&"longer than 16 KiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn plain_short_files_are_put_whole() {
        let root = std::env::temp_dir().join(format!("b2p-stage-{}", std::process::id()));
        let (from, to) = (root.join("own"), root.join("run/services"));
        fs::create_dir_all(from.join("dir")).unwrap();
        fs::write(from.join("web"), "exec /bin/web\n").unwrap();
        fs::write(from.join("Web.txt"), "").unwrap();
        fs::write(from.join(".web.swp"), "").unwrap();
        fs::write(from.join("long"), vec![b'x'; 16 * 1024 + 1]).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let name = |n| Name::new(n).unwrap();
        assert!(differs(&from, &to, &name("web")) && is_own(&from, &name("web")));
        put(&from, &to, &name("web")).unwrap();
        assert_eq!(fs::read(to.join("web")).unwrap(), b"exec /bin/web\n");
        assert!(!differs(&from, &to, &name("web")));
        fs::write(from.join("web"), "exec /bin/other\n").unwrap();
        assert!(differs(&from, &to, &name("web")));
        for bad in ["long", "pipe", "dir", "none"] {
            assert!(put(&from, &to, &name(bad)).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        let names = ["dir", "long", "pipe", "web"].map(name).to_vec();
        assert_eq!(own(&from), (names, vec!["Web.txt".to_owned()]));
        assert_eq!(own(&root.join("none")), (vec![], vec![]));
        fs::remove_dir_all(root).unwrap();
    }
}
