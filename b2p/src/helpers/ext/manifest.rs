//! What stands beside an extension's image (initramfs/src/ext/manifest.rs writes it), and
//! whether this machine is the one that it is made for. Pure.

/// A manifest that is longer is none.
pub const LONGEST: u64 = 64 * 1024;
/// What it says is told in lines, too.
const LINE: usize = 256;
/// The only format so far.
const FORMAT: &str = "1";
/// As Debian calls it; there is no other yet.
const ARCHITECTURE: &str = "amd64";
/// What there must be, once each.
const ONCE: &[&str] = &[
    "format",
    "name",
    "architecture",
    "suite",
    "libc",
    "size",
    "sha256",
];

/// What is said of an image: a line for each thing, a word and its value; `#` begins a
/// comment. Words that are not known here are passed over.
#[derive(Debug)]
pub struct Manifest<'a> {
    lines: Vec<(&'a str, &'a str)>,
}

/// What a machine is, as far as it matters.
pub struct Machine<'a> {
    /// Its C library's version.
    pub libc: &'a str,
    /// Whether it has a library of this name.
    pub has: &'a dyn Fn(&str) -> bool,
}

impl<'a> Manifest<'a> {
    /// Reads the text of one.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn read(text: &'a [u8]) -> Result<Manifest<'a>, String> {
        if text.len() as u64 >= LONGEST {
            return Err(format!("its manifest is longer than {} KiB", LONGEST >> 10));
        }
        let text = std::str::from_utf8(text).map_err(|e| format!("its manifest: {e}"))?;
        let mut lines: Vec<(&str, &str)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = at + 1;
            let pair = line.split_once(' ').filter(|(_, value)| !value.is_empty());
            let (word, value) = pair.ok_or_else(|| {
                format!("its manifest: line {at}: a word, a blank and its value are right")
            })?;
            if line.len() > LINE {
                return Err(format!("its manifest: line {at}: longer than {LINE} bytes"));
            }
            if line.contains(char::is_control) {
                return Err(format!(
                    "its manifest: line {at}: there is a control character"
                ));
            }
            if ONCE.contains(&word) && lines.iter().any(|(known, _)| *known == word) {
                return Err(format!("its manifest: line {at}: {word} is there twice"));
            }
            lines.push((word, value));
        }
        let manifest = Manifest { lines };
        match ONCE.iter().find(|word| manifest.one(word).is_empty()) {
            Some(word) => Err(format!("its manifest has no {word}")),
            None => Ok(manifest),
        }
    }

    /// The values of a word.
    pub fn all(&self, word: &str) -> impl Iterator<Item = &'a str> {
        let of = self.lines.iter().filter(move |(known, _)| *known == word);
        of.map(|(_, value)| *value)
    }

    /// The value of a word that is there once.
    pub fn one(&self, word: &str) -> &'a str {
        self.all(word).next().unwrap_or_default()
    }

    /// Whether it is of the image with this name, and made for this machine.
    ///
    /// # Errors
    /// Why not, and what would be right.
    pub fn fits(&self, name: &str, machine: &Machine<'_>) -> Result<(), String> {
        let again = "`make ext` makes one that fits, where this machine's image is made";
        let wrong = |what: String| Err(format!("foreign: {what}"));
        let [format, own, architecture, libc] =
            ["format", "name", "architecture", "libc"].map(|word| self.one(word));
        if format != FORMAT {
            return wrong(format!(
                "its manifest has format {format}, this machine reads {FORMAT}; {again}"
            ));
        }
        if own != name {
            return wrong(format!(
                "its manifest is that of {own}; both files keep the name they were made with"
            ));
        }
        if architecture != ARCHITECTURE {
            return wrong(format!(
                "it is made for {architecture}, this machine is {ARCHITECTURE}; {again}"
            ));
        }
        if libc != machine.libc {
            return wrong(format!(
                "it is made for the C library {libc} of Debian {}, this machine has {}; {again}",
                self.one("suite"),
                machine.libc
            ));
        }
        if let Some(user) = self
            .all("user")
            .find(|user| !config::is_extension_name(user))
        {
            return wrong(format!("{user} is no name of a user"));
        }
        let missing = |name: &&str| name.contains('/') || !(machine.has)(name);
        match self.all("needs").find(missing) {
            Some(name) => wrong(format!(
                "it needs {name}, which this machine does not have; {again}"
            )),
            None => Ok(()),
        }
    }

    /// Its packages in a line.
    pub fn packages(&self) -> String {
        self.all("package").collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "# x\nformat 1\nname debug\narchitecture amd64\nsuite trixie\n\
        libc 2.41\nsize 4096\nsha256 ab\n\nneeds libc.so.6\nlater true\n\
        package strace 6.13+ds-1\npackage lsof 4\n";

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
        assert_eq!(manifest.packages(), "strace 6.13+ds-1, lsof 4");
        assert_eq!(
            (manifest.one("size"), manifest.one("sha256")),
            ("4096", "ab")
        );
    }

    #[test]
    fn one_that_does_not_is_told_why() {
        for (from, to, why) in [
            ("format 1", "format 2", "format 2"),
            ("debug", "debag", "that of debag"),
            ("amd64", "arm64", "made for arm64"),
            ("2.41", "2.36", "the C library 2.36 of Debian trixie"),
            ("libc.so.6", "libx.so.1", "needs libx.so.1"),
            ("libc.so.6", "../libc.so.6", "needs ../libc.so.6"),
            ("later true", "user a:b", "a:b is no name"),
            ("sha256 ab", "", "has no sha256"),
            ("later true", "size 1", "line 11: size is there twice"),
            ("later true", "later", "line 11: a word"),
            ("later true", "later \x1b", "line 11: there is a control"),
        ] {
            let said = told(&GOOD.replacen(from, to, 1));
            assert!(said.contains(why), "{to}: {said}");
        }
        let long = format!("{GOOD}later {}\n", "x".repeat(300));
        assert!(told(&long).contains("line 14: longer"), "{}", told(&long));
        let long = format!("{GOOD}#{}", "x".repeat(70_000));
        assert!(told(&long).contains("longer"));
        assert!(Manifest::read(&[0xff]).is_err());
    }
}
