//! What stands beside an extension's image (initramfs/src/ext/manifest.rs writes it), and
//! whether this machine is the one that it is made for. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A manifest that is longer is none.
pub const LONGEST: u64 = 64 * 1024;
/// The only format so far.
const FORMAT: u32 = 1;
/// As Debian calls it; there is no other yet.
const ARCHITECTURE: &str = "amd64";

/// What is said of an image. What is not known here is passed over.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    format: u32,
    name: String,
    architecture: String,
    suite: String,
    libc: String,
    /// Of the image, in bytes.
    pub size: u64,
    /// Of the image, in hex.
    pub sha256: String,
    #[serde(default)]
    needs: Vec<String>,
    /// Who programs of it become; each a name.
    #[serde(default)]
    pub users: Vec<String>,
    /// Debian's packages that files of it are from, with their versions.
    #[serde(default)]
    pub packages: BTreeMap<String, String>,
}

/// What is wrong with a text of TOML, in one line.
fn at(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|s| text.get(..s.start));
    let line = before.map_or(0, |t| t.matches('\n').count()) + 1;
    format!("line {line}: {}", error.message().replace('\n', " "))
}

/// What a machine is, as far as it matters.
pub struct Machine<'a> {
    /// Its C library's version.
    pub libc: &'a str,
    /// Whether it has a library of this name.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl Manifest {
    /// Reads the text of one.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn read(text: &[u8]) -> Result<Manifest, String> {
        if text.len() as u64 >= LONGEST {
            return Err(format!("its manifest is longer than {} KiB", LONGEST >> 10));
        }
        let text = std::str::from_utf8(text).map_err(|e| format!("its manifest: {e}"))?;
        let read = toml::from_str(text);
        read.map_err(|e| format!("its manifest: {}", at(text, &e)))
    }

    /// Whether it is of the image with this name, and made for this machine.
    ///
    /// # Errors
    /// Why not, and what would be right.
    pub fn fits(&self, name: &str, machine: &Machine<'_>) -> Result<(), String> {
        let again = "`make ext` makes one that fits, where this machine's image is made";
        if self.format != FORMAT {
            let format = self.format;
            return Err(format!(
                "foreign: its manifest has format {format}, this machine reads {FORMAT}; {again}"
            ));
        }
        if self.name != name {
            return Err(format!(
                "foreign: its manifest is that of {}; both files keep the name they were made with",
                self.name
            ));
        }
        if self.architecture != ARCHITECTURE {
            return Err(format!(
                "foreign: it is made for {}, this machine is {ARCHITECTURE}; {again}",
                self.architecture
            ));
        }
        if self.libc != machine.libc {
            return Err(format!(
                "foreign: it is made for the C library {} of Debian {}, this machine has {}; {again}",
                self.libc, self.suite, machine.libc
            ));
        }
        if let Some(user) = self.users.iter().find(|user| !config::is_extension(user)) {
            return Err(format!("foreign: {user} is no name of a user"));
        }
        let missing = |name: &&String| name.contains('/') || !(machine.has)(name);
        match self.needs.iter().find(missing) {
            Some(name) => Err(format!(
                "foreign: it needs {name}, which this machine does not have; {again}"
            )),
            None => Ok(()),
        }
    }

    /// Its packages in a line.
    pub fn packages(&self) -> String {
        let all = self.packages.iter().map(|(name, v)| format!("{name} {v}"));
        all.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "format = 1\nname = \"debug\"\narchitecture = \"amd64\"\n\
        suite = \"trixie\"\nlibc = \"2.41\"\nsize = 4096\nsha256 = \"ab\"\n\
        needs = [\n  \"libc.so.6\",\n]\nlater = true\n\n[packages]\n\"strace\" = \"6.13+ds-1\"\n";

    fn told(text: &str) -> String {
        let has = |name: &str| name == "libc.so.6";
        let machine = Machine {
            libc: "2.41",
            has: &has,
        };
        let read = Manifest::read(text.as_bytes());
        let fits = read.and_then(|manifest| manifest.fits("debug", &machine));
        fits.err().unwrap_or_default()
    }

    #[test]
    fn one_that_fits() {
        assert_eq!(told(GOOD), "");
        let manifest = Manifest::read(GOOD.as_bytes()).unwrap();
        assert_eq!(manifest.packages(), "strace 6.13+ds-1");
        assert_eq!((manifest.size, &*manifest.sha256), (4096, "ab"));
    }

    #[test]
    fn one_that_does_not_is_told_why() {
        for (from, to, why) in [
            ("format = 1", "format = 2", "format 2"),
            ("debug", "debag", "that of debag"),
            ("amd64", "arm64", "made for arm64"),
            ("2.41", "2.36", "the C library 2.36 of Debian trixie"),
            ("libc.so.6", "libx.so.1", "needs libx.so.1"),
            ("libc.so.6", "../libc.so.6", "needs ../libc.so.6"),
            ("later = true", "users = ['a:b']", "a:b is no name"),
            ("size = 4096", "size = -1", "line 6"),
            ("sha256 = \"ab\"", "", "sha256"),
            ("suite", "[suite", "line 4"),
        ] {
            let said = told(&GOOD.replacen(from, to, 1));
            assert!(said.contains(why), "{to}: {said}");
        }
        let long = format!("{GOOD}#{}", "x".repeat(70_000));
        assert!(told(&long).contains("longer"));
        assert!(Manifest::read(&[0xff]).is_err());
    }
}
