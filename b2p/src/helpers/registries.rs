//! `b2p registries`: files of containers-registries.conf.d(5) that are on the data disk,
//! in `registries.conf.d/`, become podman's, before podman begins; `b2p restart
//! registries` takes them again.
//!
//! podman refuses every pull while one of them is not to its liking, and there is much
//! that it does not like besides a type that is wrong: `http://` before a location, a
//! registry without one, an alias with a tag. So it is asked itself, and whom it names
//! is left out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use log::{info, warn};
use sys::files::replace;
use sys::paths::CONFIGURED_REGISTRIES;
use sys::service_names::REGISTRIES;

use crate::common::degraded::Degraded;
use crate::common::tool;
use crate::helpers::data::owner;

/// Where the owner keeps them.
const FROM: &str = "/var/lib/boot2podman/registries.conf.d";
/// Where podman reads them.
const TO: &str = "/etc/containers/registries.conf.d";
/// For one answer of podman's; it is a second on a slow machine.
const ASKING: Duration = Duration::from_secs(20);

/// The whole of it; the exit status.
pub fn main() -> i32 {
    let earlier = fs::read_to_string(CONFIGURED_REGISTRIES).unwrap_or_default();
    let (names, wrong) = take(Path::new(FROM), Path::new(TO), &earlier, asked);
    if !names.is_empty() {
        info!("registries: {}", names.join(", "));
    }
    let mut degraded = Degraded::of(REGISTRIES);
    wrong.iter().for_each(|why| degraded.warn(why));
    let listed = replace(
        Path::new(CONFIGURED_REGISTRIES),
        names.join("\n").as_bytes(),
        0o644,
    );
    let status = degraded.report();
    match listed {
        Ok(()) => status,
        Err(why) => {
            warn!("registries: {why}");
            1
        }
    }
}

/// Copies the files to where podman reads them, but for those that it cannot read, in
/// place of those of an earlier run. The names of the former, and what is wrong.
fn take(
    from: &Path,
    to: &Path,
    earlier: &str,
    ask: impl Fn() -> Option<String>,
) -> (Vec<String>, Vec<String>) {
    for name in earlier.lines() {
        let _ = fs::remove_file(to.join(name));
    }
    let (files, mut wrong) = owner::read(from, &["conf"]);
    let mut names = Vec::new();
    for (path, bytes) in files {
        let name = Path::new(&path).file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        match replace(&to.join(&name), &bytes, 0o644) {
            Ok(()) => names.push(name),
            Err(why) => wrong.push(why.to_string()),
        }
    }
    while !names.is_empty() {
        let Some(said) = ask() else { break };
        let Some((at, why)) = named(&said, to, &names) else {
            wrong.push(said); // not of these, or not of files at all
            break;
        };
        let why = format!("left out: {why}");
        let name = names.remove(at);
        let _ = fs::remove_file(to.join(&name));
        wrong.push(format!("{}: {why}", from.join(name).display()));
    }
    (names, wrong)
}

/// Whom podman means, and what it has against that: `… "<path>": <why>`.
fn named<'a>(said: &'a str, to: &Path, names: &[String]) -> Option<(usize, &'a str)> {
    let why = |name: &String| {
        let quoted = format!("{:?}: ", to.join(name));
        said.split_once(&quoted).map(|(_, why)| why)
    };
    let mut all = names.iter().map(why).enumerate();
    all.find_map(|(at, why)| Some((at, why?)))
}

/// What podman has against its configuration of registries. This question needs nothing
/// else of it, no store and no network: whoever is not logged in, it says, is not.
fn asked() -> Option<String> {
    let words = ["login", "--get-login", "nobody.invalid"];
    let ended = match tool::run("/usr/bin/podman", &words, ASKING) {
        Ok(ended) => ended,
        Err(why) => return Some(why.to_string()),
    };
    // The first of it has the file's name; of aliases each that is wrong has a line.
    let lines: Vec<&str> = ended.output.lines().map(str::trim).take(3).collect();
    let well = ended.code == Some(0) || ended.output.contains("not logged into");
    (!well).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::PathBuf;

    /// As podman does: it names the first file that is bad.
    fn podman(to: &Path) -> Option<String> {
        let entries = fs::read_dir(to).unwrap().flatten().map(|e| e.path());
        let mut paths: Vec<PathBuf> = entries.collect();
        paths.sort();
        let bad = |p: &&PathBuf| fs::read_to_string(p).unwrap().contains("bad");
        let path = paths.iter().find(bad)?;
        let path = path.display();
        Some(format!("loading registries configuration \"{path}\": x"))
    }

    #[test]
    fn what_podman_cannot_read_is_left_out() {
        let root = std::env::temp_dir().join(format!("b2p-registries-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(from.join("f.conf")).unwrap();
        fs::create_dir_all(&to).unwrap();
        for (name, text) in [
            ("a.conf", "good"),
            ("b.conf", "bad"),
            ("c.conf", "bad"),
            ("d.txt", "bad"),
            ("e.conf", "good"),
        ] {
            fs::write(from.join(name), text).unwrap();
        }
        fs::write(to.join("mine.conf"), "mine").unwrap();
        let (names, wrong) = take(&from, &to, "", || podman(&to));
        assert_eq!(names, ["a.conf", "e.conf"]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        for (said, part) in wrong.iter().zip([
            "f.conf: ",
            "from/b.conf: left out: x",
            "from/c.conf: left out: x",
        ]) {
            assert!(said.contains(part), "{said}");
        }
        // Again, with less; and podman does not answer.
        fs::remove_file(from.join("a.conf")).unwrap();
        let (names, wrong) = take(&from, &to, "a.conf\ne.conf\n", || Some("late".into()));
        assert!(!to.join("a.conf").exists() && to.join("mine.conf").exists());
        assert!(names.contains(&"e.conf".to_owned()) && wrong.contains(&"late".to_owned()));
        fs::remove_dir_all(root).unwrap();
    }
}
