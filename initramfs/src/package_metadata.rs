//! What is kept of the packages beside their files: name, version, source, hash and
//! what was linked into them; which package brought which file; the copyright files
//! that Debian's policy (12.5) has in each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// The list of packages in a fetched tree, one a line, fields between tabs.
pub const VERSIONS: &str = "packages.tsv";

/// The list of their files: package and path.
const FILES: &str = "packages.files";

/// Where the copyright files are.
pub const DOC: &str = "usr/share/doc/";

/// A package that was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Its name.
    pub name: String,
    /// Its version in full.
    pub version: String,
    /// The source package that it was built from.
    pub source: String,
    /// That one's version.
    pub source_version: String,
    /// SHA-256 of the .deb, as the signed index of the archive has it.
    pub sha256: String,
    /// Where the program is at home; empty where Debian does not say.
    pub homepage: String,
    /// `Built-Using` and `Static-Built-Using` (Debian policy 7.8): the source packages,
    /// with version, of which code is linked into it.
    pub contains: Vec<(String, String)>,
}

/// For mmdebstrap's hook, with the tree as `$1`: writes both lists. The second means
/// unpacking everything once more, which takes 6 s, and is made where `files` says so.
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

/// The packages of a tree, by name.
///
/// # Errors
/// When the list cannot be read.
pub fn packages(root: &Path) -> Result<Vec<Fetched>> {
    let path = root.join(VERSIONS);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut all: Vec<_> = text.lines().filter_map(package).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
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

/// `name (= version)`, as deb-control(5) has it.
fn relation(text: &str) -> Option<(String, String)> {
    let (name, rest) = text.trim().split_once(" (= ")?;
    Some((name.to_owned(), rest.trim_end_matches(')').to_owned()))
}

/// Which package brought each file, by the path in a tree where /bin, /lib and their
/// like are links into /usr.
///
/// # Errors
/// When the list cannot be read.
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

/// Whether a path of a tree is a copyright file or leads to one: some packages share
/// their directory of documents with another, by a symbolic link.
pub fn is_copyright(path: &str) -> bool {
    path.strip_prefix(DOC).is_some_and(|rest| {
        let rest = rest.trim_end_matches('/');
        !rest.contains('/') || rest.split_once('/').is_some_and(|r| r.1 == "copyright")
    })
}

/// What the copyright file of a package says; empty where there is none.
///
/// # Errors
/// When there is one that cannot be read.
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
    fn copyright_files_and_what_leads_to_them() {
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
