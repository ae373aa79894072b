// SPDX-License-Identifier: Apache-2.0
//! Metadata of fetched packages: name, version, source, hash and the code linked into them; the
//! owner of each file; and the copyright files that Debian policy (12.5) requires of each
//! package.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Path of the list of packages in a fetched tree, one per line, with fields separated by tabs.
pub const VERSIONS: &str = "packages.tsv";

/// Path of the list of their files: package and path.
const FILES: &str = "packages.files";

/// Directory of the copyright files.
pub const DOC: &str = "usr/share/doc/";

/// Fetched package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Name.
    pub name: String,
    /// Full version.
    pub version: String,
    /// Name of the source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// SHA-256 of the .deb, as in the signed index of the archive.
    pub sha256: String,
    /// Home page; empty if Debian lists none.
    pub homepage: String,
    /// Source packages, with versions, of which code is linked in: `Built-Using` and
    /// `Static-Built-Using` (Debian policy 7.8).
    pub contains: Vec<(String, String)>,
}

/// Returns a shell command for mmdebstrap's hook, with the tree as `$1`, that writes the list of
/// packages, and with `files` also the list of files, which takes one more unpacking of everything
/// (6 s).
pub fn hook(files: bool) -> String {
    let fields = "${Package}\\t${Version}\\t${source:Package}\\t${source:Version}";
    let more = "${Homepage}\\t${Built-Using}, ${Static-Built-Using}\\n";
    let packages = format!(
        "cd \"$1/var/cache/apt/archives\"; for deb in *.deb; do sum=$(sha256sum \"$deb\"); \
         dpkg-deb -W --showformat='{fields}\\t'\"${{sum%% *}}\"'\\t{more}' \"$deb\"; \
         done > \"$1/{VERSIONS}\""
    );
    if !files {
        return packages;
    }
    format!(
        "{packages}; for deb in *.deb; do name=$(dpkg-deb -f \"$deb\" Package); \
         dpkg-deb --fsys-tarfile \"$deb\" | tar -t | \
         sed -n \"/\\/$/d; /^\\.\\/usr\\/share\\/\\(doc\\|man\\|locale\\)\\//d; \
         s|^\\./|$name\\t|p\"; done > \"$1/{FILES}\""
    )
}

/// Returns the packages of a tree, sorted by name.
///
/// # Errors
/// The list cannot be read.
pub fn packages(root: &Path) -> Result<Vec<Fetched>> {
    let path = root.join(VERSIONS);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut packages: Vec<_> = text.lines().filter_map(package).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn package(line: &str) -> Option<Fetched> {
    let mut fields = line.split('\t').map(str::to_owned);
    let mut next = || fields.next();
    let mut package = Fetched {
        name: next()?,
        version: next()?,
        source: next()?,
        source_version: next()?,
        sha256: next()?,
        homepage: next()?,
        contains: Vec::new(),
    };
    package.contains = next()?.split(',').filter_map(relation).collect();
    package.contains.sort();
    package.contains.dedup();
    Some(package)
}

/// Parses `name (= version)` (deb-control(5)).
fn relation(text: &str) -> Option<(String, String)> {
    let (name, rest) = text.trim().split_once(" (= ")?;
    Some((name.to_owned(), rest.trim_end_matches(')').to_owned()))
}

/// Returns the package of each file, by its path in a tree where /bin, /lib and others are links
/// into /usr.
///
/// # Errors
/// The list cannot be read.
pub fn owners(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = root.join(FILES);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.lines().filter_map(owner).collect())
}

fn owner(line: &str) -> Option<(String, String)> {
    let (name, path) = line.split_once('\t')?;
    let merged = ["bin/", "sbin/", "lib/", "lib64/"];
    let path = match merged.iter().any(|dir| path.starts_with(dir)) {
        true => format!("usr/{path}"),
        false => path.to_owned(),
    };
    Some((path, name.to_owned()))
}

/// Returns true if the path is that of a copyright file or leads to one: the documentation
/// directory of some packages is a symbolic link to that of another.
pub fn is_copyright(path: &str) -> bool {
    path.strip_prefix(DOC).is_some_and(|rest| {
        let rest = rest.trim_end_matches('/');
        !rest.contains('/') || rest.split_once('/').is_some_and(|r| r.1 == "copyright")
    })
}

/// Returns the copyright file of a package; an empty text if there is none.
///
/// # Errors
/// The file exists and cannot be read.
pub fn copyright(root: &Path, package: &str) -> Result<String> {
    let path = root.join(DOC).join(package).join("copyright");
    match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e).with_context(|| format!("read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list() {
        let line = "busybox-static\t1:1.37.0-6+b9\tbusybox\t1:1.37.0-6\tabc\thttp://b.net\t\
                    glibc (= 2.41-12), , glibc (= 2.41-12), a (= 1)";
        let read = package(line).expect("a package");
        assert_eq!(
            (read.name.as_str(), read.source.as_str()),
            ("busybox-static", "busybox")
        );
        assert_eq!(
            (read.sha256.as_str(), read.homepage.as_str()),
            ("abc", "http://b.net")
        );
        let contains = [("a", "1"), ("glibc", "2.41-12")].map(|(n, v)| (n.into(), v.into()));
        assert_eq!(read.contains, contains);
        assert_eq!(package("podman\t5.4.2"), None);
    }

    #[test]
    fn files_have_one_name_in_a_merged_tree() {
        let of = |line| owner(line).expect("an owner").0;
        assert_eq!(of("kmod\tlib/modprobe.d/x"), "usr/lib/modprobe.d/x");
        assert_eq!(of("bash\tusr/bin/bash"), "usr/bin/bash");
        assert_eq!(owner("bash"), None);
    }

    #[test]
    fn copyright_files_are_found_with_their_links() {
        for (path, is) in [
            ("usr/share/doc/bash/copyright", true),
            ("usr/share/doc/libgcc-s1", true),
            ("usr/share/doc/bash/", true),
            ("usr/share/doc/bash/changelog.gz", false),
            ("usr/share/doc/bash/examples/copyright", false),
            ("usr/share/man/bash/copyright", false),
        ] {
            assert_eq!(is_copyright(path), is, "{path}");
        }
    }
}
