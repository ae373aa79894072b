// SPDX-License-Identifier: Apache-2.0
//! Quadlet files without those that cannot be loaded. podman's generator (5.4.2, cmd/quadlet/main.go,
//! `loadUnitsFromDir`) drops all files of a directory if one of them cannot be loaded. A second run then
//! reads directories of links to all others, and the paths of these directories are turned into the right
//! ones. The generator cannot load a file with a byte order mark, as editors of Windows write it: the second
//! run reads a copy without the mark.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use sys::error::{Doing, Result};
use sys::files::{open_regular, replace_for_group};

use super::{Generated, USERS_DIR};
use crate::common::user_text::UTF8_MARK;
use crate::helpers::quadlet::paths;
use crate::helpers::quadlet::specifiers::Owner;

/// Start of the line by which the generator reports the load of a file.
const LOADING: &str = "Loading source unit file ";
/// Most links that are made.
const MAX_LINKS: usize = 1_024;
/// Longest file of which a copy is made, in bytes.
const MAX_COPY_BYTES: u64 = 1 << 20;

/// Directories of the generator, in order, and the good files of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoodFiles(Vec<(PathBuf, Vec<PathBuf>)>);

impl GoodFiles {
    /// Reads the messages of a run; `None` if no file was bad, or if a bad file cannot be left out.
    /// `dirs` may have drop-ins for files of others. A bad file is good without its mark, if it `has_mark`.
    #[must_use]
    pub fn of(
        messages: &str,
        dirs: &[PathBuf],
        has_mark: impl Fn(&Path) -> bool,
    ) -> Option<GoodFiles> {
        let texts = messages.lines().map(super::without_program);
        let files: Vec<&str> = texts.filter_map(|l| l.strip_prefix(LOADING)).collect();
        let is_bad = |file: &&str| messages.contains(&format!("error loading \"{file}\", "));
        if !files.iter().any(is_bad) {
            return None;
        }
        let mut good = GoodFiles::default();
        for file in &files {
            let path = Path::new(file);
            let links = good.dir(path.parent()?);
            if !is_bad(file) || has_mark(path) {
                links.push(path.to_owned());
            }
        }
        for dir in dirs {
            good.dir(dir);
        }
        let count: usize = good.0.iter().map(|(_, files)| files.len()).sum();
        let is_plain = good.0.iter().all(|(dir, _)| is_plain(dir));
        (is_plain && count <= MAX_LINKS).then_some(good)
    }

    fn dir(&mut self, dir: &Path) -> &mut Vec<PathBuf> {
        let at = self.0.iter().position(|(other, _)| other == dir);
        let at = at.unwrap_or_else(|| {
            self.0.push((dir.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        // An entry with this index is there.
        &mut self.0[at].1
    }

    /// Makes the links, which their owner may read, and returns the directories for the generator
    /// (`QUADLET_UNIT_DIRS`).
    ///
    /// # Errors
    /// A directory or a link cannot be made.
    pub fn link(&self, owner: &Owner) -> Result<String> {
        let top = paths::quadlet_links(owner);
        let _ = fs::remove_dir_all(&top);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750);
        let mut dirs = Vec::new();
        for (n, (dir, files)) in self.0.iter().enumerate() {
            let links = top.join(n.to_string());
            builder.create(&links).on(&links)?;
            for path in files.iter().cloned().chain(drop_ins(dir)) {
                let link = links.join(path.file_name().unwrap_or_default());
                match without_mark(&path, owner) {
                    Some(text) => replace_for_group(&link, &text, 0o640, owner.gid)?,
                    None => symlink(&path, &link).on(&link)?,
                }
            }
            chown(&links, None, Some(owner.gid)).on(&links)?;
            dirs.push(links.display().to_string());
        }
        chown(&top, None, Some(owner.gid)).on(&top)?;
        Ok(dirs.join(":"))
    }

    /// Returns true for the fault of a file that is read again.
    #[must_use]
    pub fn has_fault(&self, why: &str) -> bool {
        let mut files = self.0.iter().flat_map(|(_, files)| files);
        files.any(|file| why.starts_with(&format!("error loading \"{}\", ", file.display())))
    }

    /// Turns the paths of the links in the generator's output into those of the files.
    pub fn restore(&self, owner: &Owner, output: &mut Generated) {
        let top = paths::quadlet_links(owner);
        let restored = |text: &str| {
            let dirs = self.0.iter().enumerate();
            dirs.fold(text.to_owned(), |text, (n, (dir, _))| {
                let links = format!("{}/{n}", top.display());
                with_directory(&text, &links, &dir.display().to_string())
            })
        };
        output.units = restored(&output.units);
        for fault in &mut output.faults {
            fault.why = restored(&fault.why);
        }
    }
}

/// Returns the text of a file that begins with a byte order mark, without the mark; `None` for any other file, and
/// for one that is not the owner's: the generator, which runs as the owner, might not be allowed to read it.
pub fn without_mark(path: &Path, owner: &Owner) -> Option<Vec<u8>> {
    let file = open_regular(path).ok()??;
    let uid = file.metadata().ok()?.uid();
    let is_for_owner = uid == 0 && path.starts_with(USERS_DIR);
    if owner.uid != 0 && uid != owner.uid && !is_for_owner {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_COPY_BYTES).read_to_end(&mut bytes).ok()?;
    bytes.strip_prefix(UTF8_MARK).map(<[u8]>::to_vec)
}

/// Returns the text with another path of a directory, which ends a path or has names after it: with
/// `SetWorkingDirectory=unit` the directory itself is the context of a build.
fn with_directory(text: &str, old: &str, new: &str) -> String {
    let mut parts = text.split(old);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Another directory's number begins with the same digits.
        let is_whole = !part.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(if is_whole { new } else { old });
        out.push_str(part);
    }
    out
}

/// Returns true for a path that needs no quotes in a unit.
fn is_plain(dir: &Path) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    dir.to_str().is_some_and(|text| text.bytes().all(is_letter))
}

/// Returns the directories of drop-ins in a directory.
fn drop_ins(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.take(MAX_LINKS).map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "d"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::unit_error::Fault;

    const MESSAGES: &str = "quadlet-generator[7]: Loading source unit file /a/bad.container\n\
        quadlet-generator[7]: Loading source unit file /a/ok.container\n\
        quadlet-generator[7]: Loading source unit file /a/b/x.kube\n\
        quadlet-generator[7]: Loading source drop-in file /a/ok.container.d/x.conf\n\
        quadlet-generator[7]: error loading \"/a/bad.container\", file contains line 3\n\
        error loading \"/a/ok.container.d/x.conf\", file contains line 1\n";

    #[test]
    fn all_files_but_the_bad_one_are_read_again() {
        let no_mark = |_: &Path| false;
        let good = GoodFiles::of(MESSAGES, &["/a".into(), "/c".into()], no_mark);
        let file = |path: &str| vec![PathBuf::from(path)];
        let right = vec![
            (PathBuf::from("/a"), file("/a/ok.container")),
            (PathBuf::from("/a/b"), file("/a/b/x.kube")),
            (PathBuf::from("/c"), vec![]),
        ];
        assert_eq!(good, Some(GoodFiles(right)));
        // A drop-in that cannot be loaded takes no unit away.
        let messages = MESSAGES.replace("error loading \"/a/bad", "x \"/a/bad");
        assert_eq!(GoodFiles::of(&messages, &[], no_mark), None);
        let spaces = MESSAGES.replace("/a/", "/a b/");
        assert_eq!(GoodFiles::of(&spaces, &[], no_mark), None);
        let marked = GoodFiles::of(MESSAGES, &[], |path| path.ends_with("bad.container"));
        let files = marked.unwrap_or_default().0.swap_remove(0).1;
        assert_eq!(
            files,
            ["/a/bad.container", "/a/ok.container"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_byte_order_mark_of_an_owners_file_is_left_out() {
        let temp = Temp::new();
        let own = Owner {
            uid: nix::unistd::getuid().as_raw(),
            ..Owner::default()
        };
        let other = Owner {
            uid: own.uid + 1,
            ..Owner::default()
        };
        let (marked, plain) = (temp.path("marked"), temp.path("plain"));
        fs::write(&marked, "\u{feff}[Container]\r\n").unwrap();
        fs::write(&plain, "[Container]\n").unwrap();
        symlink("/dev/zero", temp.path("link")).unwrap();
        let text = |path: &Path, owner| without_mark(path, owner);
        assert_eq!(text(&marked, &own).unwrap(), b"[Container]\r\n");
        assert_eq!(text(&marked, &other), None);
        assert_eq!(text(&plain, &own), None);
        assert_eq!(text(&temp.path("link"), &own), None);
    }

    #[test]
    fn a_directory_is_replaced_at_the_end_of_a_path_and_before_names() {
        let text = "build /l/1\nSourcePath=/l/1/x\nx /l/10 /l/1";
        let expected = "build /a\nSourcePath=/a/x\nx /l/10 /a";
        assert_eq!(with_directory(text, "/l/1", "/a"), expected);
    }

    #[test]
    fn paths_of_links_become_those_of_files() {
        let good = GoodFiles::of(MESSAGES, &[], |_| false).unwrap_or_default();
        let owner = Owner::default();
        let top = paths::quadlet_links(&owner).display().to_string();
        let mut output = Generated {
            units: format!("SourcePath={top}/1/x.kube\nExecStart=/p {top}/1/x.yaml {top}/0/y\n"),
            faults: vec![Fault::of_quadlet(format!("{top}/0/z: no"))],
        };
        good.restore(&owner, &mut output);
        assert_eq!(
            output.units,
            "SourcePath=/a/b/x.kube\nExecStart=/p /a/b/x.yaml /a/y\n"
        );
        assert_eq!(output.faults, [Fault::of_quadlet("/a/z: no")]);
    }
}
