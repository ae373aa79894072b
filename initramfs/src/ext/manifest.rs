//! What stands beside an extension's image: what it is, and which machine it fits.
//! `b2p` reads it (b2p/src/ext/manifest.rs).

use std::fmt::Write;

use crate::package_metadata::Fetched;

/// The manifest. None of its texts has a blank or a control character: they are names of
/// packages and of libraries, and versions (Debian policy 5.6.7, 5.6.12).
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The extension's name, which is that of its files.
    pub name: String,
    /// The Debian release that its packages are of.
    pub suite: String,
    /// The version of the C library that they are made for, without Debian's revision.
    pub libc: String,
    /// Libraries that the machine must have, by the names that programs ask for.
    pub needs: Vec<String>,
    /// Users that its programs become.
    pub users: Vec<String>,
    /// The packages that files of it are from.
    pub packages: Vec<Fetched>,
}

impl Manifest {
    /// The manifest of an image with this many bytes and this hash: a line for each thing,
    /// a word and its value.
    pub fn text(&self, size: u64, sha256: &str) -> String {
        let mut text = format!(
            "# An extension of boot2podman {}: docs/guide/extensions.md\n\
             format 1\nname {}\narchitecture amd64\nsuite {}\nlibc {}\n\
             size {size}\nsha256 {sha256}\n",
            env!("CARGO_PKG_VERSION"),
            self.name,
            self.suite,
            self.libc,
        );
        let package = |p: &Fetched| format!("{} {}", p.name, p.version);
        let packages: Vec<String> = self.packages.iter().map(package).collect();
        for (word, values) in [
            ("needs", &self.needs),
            ("user", &self.users),
            ("package", &packages),
        ] {
            for value in values {
                // Writing to a String does not fail.
                let _ = writeln!(text, "{word} {value}");
            }
        }
        text
    }
}
