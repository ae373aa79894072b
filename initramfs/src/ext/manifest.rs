// SPDX-License-Identifier: Apache-2.0
//! Manifest of an extension, a text file beside its image: the extension's content and the machine
//! that it fits. `b2p ext` reads the manifest (b2p/src/helpers/ext/manifest.rs).

use std::fmt::Write;

use crate::package_metadata::Fetched;

/// Directory of service files in an extension (docs/guide/services.md).
pub const SERVICES: &str = "usr/lib/boot2podman/services";

/// Content of the manifest. No value has a control character: values are names of packages,
/// libraries and the like, and versions (Debian policy 5.6.7, 5.6.12).
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Name of the extension and of its files.
    pub name: String,
    /// Debian release of the packages.
    pub suite: String,
    /// Debian's name of the architecture.
    pub architecture: &'static str,
    /// Version of the C library that the programs are built for, without Debian's revision.
    pub libc: String,
    /// Libraries that the machine must have, by the names in ELF headers.
    pub needs: Vec<String>,
    /// Extensions that are added before this one. Their names have no dot, and those of libraries do.
    pub extensions: Vec<String>,
    /// Release of the kernel that its modules are for; `None` without modules.
    pub kernel: Option<String>,
    /// Modules that are loaded when the extension is added. The others wait until the kernel or
    /// modprobe(8) asks for them.
    pub modules: Vec<String>,
    /// Services, files in [`SERVICES`], which start when the extension is added.
    pub services: Vec<String>,
    /// Users that the programs change to: a name, or a name, a space and a number.
    pub users: Vec<String>,
    /// Packages that the files are from.
    pub packages: Vec<Fetched>,
}

impl Manifest {
    /// Returns the manifest of an image with this size and hash: lines of a keyword and a value.
    pub fn text(&self, size: u64, sha256: &str) -> String {
        let mut text = format!(
            "# An extension of boot2podman {}: docs/guide/extensions.md\n\
             format 1\nname {}\narchitecture {}\nsuite {}\nlibc {}\n\
             size {size}\nsha256 {sha256}\n",
            env!("CARGO_PKG_VERSION"),
            self.name,
            self.architecture,
            self.suite,
            self.libc,
        );
        let package = |p: &Fetched| format!("{} {}", p.name, p.version);
        let packages: Vec<String> = self.packages.iter().map(package).collect();
        let kernel: Vec<String> = self.kernel.iter().cloned().collect();
        for (keyword, values) in [
            ("needs", &self.needs),
            ("needs", &self.extensions),
            ("kernel", &kernel),
            ("module", &self.modules),
            ("service", &self.services),
            ("user", &self.users),
            ("package", &packages),
        ] {
            for value in values {
                // Writing to a String does not fail.
                let _ = writeln!(text, "{keyword} {value}");
            }
        }
        // By the number of its lines, a manifest that was cut off is recognized.
        let lines = text.lines().count() + 1;
        text.replacen("\nformat 1\n", &format!("\nformat 1\nlines {lines}\n"), 1)
    }
}
