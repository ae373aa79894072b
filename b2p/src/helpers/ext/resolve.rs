// SPDX-License-Identifier: Apache-2.0
//! Paths below a root, resolved as path_resolution(7) does, but on data: where a path leads once an
//! extension is part of the root. Pure.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Most links that one path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// Reason why a path has no place below its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// More `..` than directories: the kernel would stop at the root, the extension meant another place.
    AboveRoot,
    /// Links that lead in a circle.
    Circle,
}

/// Looks up the target of a symbolic link at an absolute path; `None` for anything else.
pub type Links<'a> = dyn Fn(&Path) -> Option<PathBuf> + 'a;

/// Returns the absolute path that `target`, the content of a link in the absolute directory `dir`,
/// leads to, through the links that `links` has.
///
/// # Errors
/// The path leads out of the root, or nowhere.
pub fn resolve(dir: &Path, target: &Path, links: &Links<'_>) -> Result<PathBuf, Lost> {
    let mut place = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = VecDeque::new();
    prepend(&mut rest, target);
    if !target.is_absolute() {
        prepend(&mut rest, dir);
    }
    let mut followed = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            if !place.pop() {
                return Err(Lost::AboveRoot);
            }
            continue;
        }
        place.push(&name);
        let Some(target) = links(&place) else {
            continue;
        };
        followed += 1;
        if followed > MAX_LINKS {
            return Err(Lost::Circle);
        }
        place.pop();
        if target.is_absolute() {
            place = PathBuf::from("/");
        }
        prepend(&mut rest, &target);
    }
    Ok(place)
}

/// Puts the components of a path before the others.
fn prepend(rest: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_the_kernel_would_go() {
        let links = |path: &Path| {
            let target = match path.to_str()? {
                "/lib" => "usr/lib",
                "/usr/share/up" => "..",
                "/usr/share/root" => "/",
                "/usr/loop" => "loop",
                _ => return None,
            };
            Some(PathBuf::from(target))
        };
        for (dir, target, expected) in [
            ("/usr/bin", "vim.tiny", Ok("/usr/bin/vim.tiny")),
            ("/usr/bin", "../lib/x", Ok("/usr/lib/x")),
            ("/lib", "../x", Ok("/usr/x")),
            ("/usr/bin", "/lib/./x", Ok("/usr/lib/x")),
            ("/usr/bin", "../../etc/x", Ok("/etc/x")),
            ("/usr/bin", "../../../etc/x", Err(Lost::AboveRoot)),
            ("/usr/share", "up/../etc/shadow", Ok("/etc/shadow")),
            ("/usr/share", "root/etc/shadow", Ok("/etc/shadow")),
            ("/usr/share", "root/../x", Err(Lost::AboveRoot)),
            ("/usr", "loop/x", Err(Lost::Circle)),
        ] {
            let place = resolve(Path::new(dir), Path::new(target), &links);
            assert_eq!(place, expected.map(PathBuf::from), "{dir} {target}");
        }
    }
}
