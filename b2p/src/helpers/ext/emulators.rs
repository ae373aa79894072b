// SPDX-License-Identifier: Apache-2.0
//! Emulators of an extension: its files of binfmt.d(5) become rules of the kernel while it is added.

use std::fs;
use std::path::Path;

use sys::error::{Doing, Error, Result};

use super::image;
use crate::common::binfmt::{self, Rule};

/// Directory of the files in an image.
const DIR: &str = "usr/lib/binfmt.d";
/// Longest file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// Most rules: each is a file of the kernel, and QEMU has 31.
const MAX_RULES: usize = 256;

/// Returns the rules of the image at `image`.
///
/// # Errors
/// A file cannot be read, or has something else than rules.
pub fn of(image: &Path) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for entry in fs::read_dir(image.join(DIR)).into_iter().flatten() {
        let path = entry.on(DIR)?.path();
        let name = Path::new(DIR).join(path.file_name().unwrap_or_default());
        if path.extension().is_none_or(|end| end != "conf") {
            continue;
        }
        // Debian's are links within the image.
        let text = image::read(image, &name, MAX_BYTES)?.unwrap_or_default();
        let text = String::from_utf8(text).map_err(|_| Error::invalid("not text"));
        let parsed = text.and_then(|text| binfmt::parse(&text));
        rules.extend(parsed.doing(name.display().to_string())?);
        if rules.len() > MAX_RULES {
            let reason = format!("{DIR}: more than {MAX_RULES} rules");
            return Err(Error::invalid(reason));
        }
    }
    Ok(rules)
}

/// Refuses rules that take programs of the machine, give rights, or have their interpreter elsewhere.
///
/// # Errors
/// The first rule that is not allowed, and why.
pub fn check(image: &Path) -> Result<()> {
    for rule in of(image)? {
        let interpreter = rule.interpreter.strip_prefix("/");
        let is_in_image = interpreter.is_ok_and(|path| image.join(path).is_file());
        let reason = match () {
            () if rule.may_match_own_programs() => "it would take programs of the machine itself",
            () if rule.flags.contains('C') => "its flag C gives the rights of set-user-ID programs",
            () if !rule.flags.contains('F') => {
                "without the flag F, containers lack the interpreter"
            }
            () if !is_in_image => "its interpreter is not in the image",
            () if rule.is_name_taken() => "the kernel has another rule of this name",
            () => continue,
        };
        let step = format!("rule {} of binfmt_misc", rule.name);
        return Err(Error::invalid(reason)).doing(step);
    }
    Ok(())
}

/// Gives the rules of an added extension to the kernel.
///
/// # Errors
/// The kernel refuses one.
pub fn register(target: &Path) -> Result<()> {
    of(target)?.iter().try_for_each(Rule::register)
}

/// Takes the rules of an extension back; the kernel closes its interpreters then.
///
/// # Errors
/// The kernel refuses.
pub fn unregister(target: &Path) -> Result<()> {
    of(target)?.iter().try_for_each(Rule::unregister)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn rules_that_an_extension_may_not_have() {
        let temp = Temp::new();
        assert!(of(temp.dir()).unwrap().is_empty());
        fs::create_dir_all(temp.path(DIR)).unwrap();
        let set = |text: &str| {
            fs::write(temp.path(DIR).join("x.conf"), text).unwrap();
            check(temp.dir())
        };
        fs::write(temp.path(DIR).join("README"), "no rule").unwrap();
        fs::write(temp.path("emulator"), "").unwrap();
        std::os::unix::fs::symlink("../../rule", temp.path(DIR).join("link.conf")).unwrap();
        fs::write(temp.path("usr/rule"), ":y:M::NE::/emulator:F\n").unwrap();
        assert_eq!(set(":x:M::MZ::/emulator:FP\n"), Ok(()));
        assert_eq!(of(temp.dir()).unwrap().len(), 2);
        for (text, reason) in [
            (
                ":x:M::MZ::/emulator:P",
                "rule x of binfmt_misc: without the flag F",
            ),
            (":x:M::MZ::/emulator:FC", "its flag C"),
            (":x:M::MZ::/none:F", "not in the image"),
            (":x:M::MZ::/usr:F", "not in the image"),
            (":x:M::#!::/emulator:F", "programs of the machine itself"),
            ("x", "usr/lib/binfmt.d/x.conf: line 1: "),
        ] {
            assert!(why(set(text)).contains(reason), "{text}");
        }
        let rule = |n: usize| format!(":x{n}:M::MZ::/emulator:F\n");
        let rules = (0..=MAX_RULES).map(rule).collect::<String>();
        assert!(why(set(&rules)).contains("more than 256 rules"));
        assert!(why(set(&"# x\n".repeat(20_000))).contains("longer than 64 KiB"));
    }
}
