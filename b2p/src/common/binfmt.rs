// SPDX-License-Identifier: Apache-2.0
//! Rules by which the kernel runs programs of other architectures through an interpreter
//! (Documentation/admin-guide/binfmt-misc.rst), in the form of binfmt.d(5).

use std::fs;
use std::path::{Path, PathBuf};

use sys::arch::ARCH;
use sys::error::{Doing, Error, Result};
use sys::modules::Modules;
use sys_mount::{Mount, MountFlags};

/// Directory of the rules, a file system of its own.
const DIR: &str = "/proc/sys/fs/binfmt_misc";
/// Names in [`DIR`] that are not names of rules.
const NOT_RULES: &[&str] = &["register", "status", ".", ".."];
/// Maximum number of bytes of a program that the kernel compares (fs/binfmt_misc.c, `create_entry`).
const MAX_HEAD: usize = 128;
/// Maximum length of a line in bytes (fs/binfmt_misc.c, `MAX_REGISTER_LENGTH`).
const MAX_LINE: usize = 1920;
/// Maximum length of the name of a rule.
const MAX_NAME: usize = 64;
/// Offset of the lower byte of the architecture in an ELF header (elf(5), `e_machine`).
const MACHINE: usize = 18;

/// Rule that recognizes programs by their first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    line: String,
    /// Name, which is also the name of a file in [`DIR`].
    pub name: String,
    /// Offset of the bytes, the bytes, and the bits of them that count.
    head: (usize, Vec<u8>, Vec<u8>),
    /// Path of the interpreter.
    pub interpreter: PathBuf,
    /// Flags, as letters (binfmt-misc.rst).
    pub flags: String,
}

/// Parses a file of binfmt.d(5): a rule on each line, `#` and `;` begin a comment.
///
/// # Errors
/// A line is no rule; the error gives the form that would be right.
pub fn parse(text: &str) -> Result<Vec<Rule>> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let rules = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']));
    rules
        .map(|(number, line)| Rule::parse(line).doing(format!("line {number}")))
        .collect()
}

impl Rule {
    /// Parses `:NAME:M:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS`.
    ///
    /// # Errors
    /// A part is wrong, or the rule recognizes programs by the end of their name.
    pub fn parse(line: &str) -> Result<Rule> {
        let wrong = |reason: &str| Err(Error::invalid(reason.to_owned()));
        let parts: Vec<&str> = line.split(':').collect();
        let ["", name, "M", offset, magic, mask, interpreter, flags] = parts[..] else {
            return wrong("must be :NAME:M:OFFSET:MAGIC:MASK:INTERPRETER:FLAGS");
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
        if !is_name || NOT_RULES.contains(&name) || line.len() > MAX_LINE {
            return wrong("no name of a rule, or too long");
        }
        let offset = match offset {
            "" => Some(0),
            offset => offset.parse().ok(),
        };
        let (magic, mask) = (unescape(magic), unescape(mask));
        let (Some(offset), Some(magic), Some(mask)) = (offset, magic, mask) else {
            return wrong("offset, magic and mask are a number and bytes as \\x7f");
        };
        let is_mask = mask.is_empty() || mask.len() == magic.len();
        if magic.is_empty() || !is_mask || magic.len().saturating_add(offset) > MAX_HEAD {
            return wrong("magic and mask are equally long, and end within 128 bytes");
        }
        if !interpreter.starts_with('/') || !flags.bytes().all(|b| b"POCF".contains(&b)) {
            return wrong("must end with the path of an interpreter and flags of P, O, C and F");
        }
        Ok(Rule {
            line: line.to_owned(),
            name: name.to_owned(),
            head: (offset, magic, mask),
            interpreter: interpreter.into(),
            flags: flags.to_owned(),
        })
    }

    /// Returns true if the rule may match a program of this machine or a script.
    pub fn may_match_own_programs(&self) -> bool {
        let [machine, _] = ARCH.elf_machine.to_le_bytes();
        let program = [
            (0, 0x7f),
            (1, b'E'),
            (2, b'L'),
            (3, b'F'),
            (MACHINE, machine),
        ];
        self.may_match(&program) || self.may_match(&[(0, b'#'), (1, b'!')])
    }

    /// Returns true if the rule may match a file with these bytes at these offsets.
    fn may_match(&self, bytes: &[(usize, u8)]) -> bool {
        let (offset, magic, mask) = &self.head;
        bytes.iter().all(|(place, byte)| {
            let at = place.checked_sub(*offset);
            let wanted = at.and_then(|at| magic.get(at));
            let bits = at.and_then(|at| mask.get(at)).copied().unwrap_or(0xff);
            wanted.is_none_or(|wanted| (wanted ^ byte) & bits == 0)
        })
    }

    /// Returns the path of the kernel's file of the rule.
    fn file(&self) -> PathBuf {
        Path::new(DIR).join(&self.name)
    }

    /// Gives the rule to the kernel, unless the kernel has the rule. With the flag F, the kernel
    /// opens the interpreter now, and containers need no interpreter of their own.
    ///
    /// # Errors
    /// The kernel has no binfmt_misc, has another rule of this name, or refuses this one.
    pub fn register(&self) -> Result<()> {
        mount()?;
        let step = format!("rule {} of binfmt_misc", self.name);
        if self.is_known() {
            return Ok(());
        }
        if self.is_name_taken() {
            let reason =
                "the kernel has another of this name; it stays until -1 is written to its file";
            return Err(Error::invalid(reason)).doing(step);
        }
        fs::write(Path::new(DIR).join("register"), &self.line).doing(step)
    }

    /// Returns true if the kernel has another rule of this name.
    #[must_use]
    pub fn is_name_taken(&self) -> bool {
        self.file().exists() && !self.is_known()
    }

    /// Returns true if the kernel has a rule of this name with this interpreter.
    fn is_known(&self) -> bool {
        let known = fs::read_to_string(self.file()).unwrap_or_default();
        let line = format!("interpreter {}", self.interpreter.display());
        known.lines().any(|known| known == line)
    }

    /// Takes the rule back, unless the kernel has another one of this name.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn unregister(&self) -> Result<()> {
        match self.is_known() {
            true => fs::write(self.file(), "-1").on(self.file()),
            false => Ok(()),
        }
    }
}

/// Mounts the kernel's directory of rules, unless it is mounted already.
fn mount() -> Result<()> {
    if Path::new(DIR).join("register").exists() {
        return Ok(());
    }
    // A driver that is missing is reported by the mount.
    if let Ok(mut modules) = Modules::open(Path::new("/")) {
        let _ = modules.load("binfmt_misc");
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let builder = Mount::builder().flags(flags).fstype("binfmt_misc");
    let mounted = builder.mount("binfmt_misc", DIR);
    mounted
        .map(drop)
        .doing("this kernel cannot run programs of other architectures: mount binfmt_misc")
}

/// Returns the bytes of a text with `\xHH`; `None` if a sequence is not complete.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.strip_prefix(b"x")?.get(..2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail.get(3..)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;

    /// Returns a rule for ELF programs of 64 bits with this architecture in the lower byte.
    fn elf(machine: u16, mask: &str) -> String {
        format!(
            ":x:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x{machine:02x}\\x00:\
             \\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff{mask}\\xff:/x:PF"
        )
    }

    #[test]
    fn a_file_has_rules_and_comments() {
        let text = format!(
            "# a\n; b\n\n {} \n:b:M:4:ab::/usr/bin/b:\n",
            elf(0xb7, "\\xff")
        );
        let rules = parse(&text).unwrap();
        assert_eq!(rules.len(), 2);
        let first = &rules[0];
        assert_eq!((first.name.as_str(), first.flags.as_str()), ("x", "PF"));
        assert_eq!(first.head.1.len(), 20);
        assert_eq!(rules[1].head, (4, b"ab".to_vec(), vec![]));
        assert_eq!(rules[1].interpreter, Path::new("/usr/bin/b"));
    }

    #[test]
    fn rules_that_the_kernel_would_refuse_are_named() {
        let long = format!(":x:M::{}::/x:", "a".repeat(129));
        for (line, reason) in [
            ("x", ":NAME:M:OFFSET"),
            (":x:E::py::/x:F", ":NAME:M:OFFSET"),
            (":x:M::a::/x:F:", ":NAME:M:OFFSET"),
            (":register:M::a::/x:", "no name"),
            (":..:M::a::/x:", "no name"),
            (":a/b:M::a::/x:", "no name"),
            (":x:M:z:a::/x:", "a number and bytes"),
            (":x:M::\\x7:a:/x:", "a number and bytes"),
            (":x:M::\\:a:/x:", "a number and bytes"),
            (":x:M::\\xzz:a:/x:", "a number and bytes"),
            (":x:M:::a:/x:", "equally long"),
            (":x:M::ab:a:/x:", "equally long"),
            (":x:M:127:ab::/x:", "within 128 bytes"),
            (":x:M:18446744073709551615:ab::/x:", "within 128 bytes"),
            (&long, "within 128 bytes"),
            (":x:M::a::x:", "the path of an interpreter"),
            (":x:M::a::/x:Z", "the path of an interpreter"),
        ] {
            assert!(why(parse(line)).contains(reason), "{line}");
        }
    }

    #[test]
    fn programs_of_the_machine_are_not_taken() {
        let (own, other) = match ARCH.name {
            "aarch64" => (0xb7, 0x3e),
            _ => (0x3e, 0xb7),
        };
        let takes = |line: &str| Rule::parse(line).unwrap().may_match_own_programs();
        assert!(!takes(&elf(other, "\\xff")) && takes(&elf(own, "\\xff")));
        // A mask that leaves the architecture out, one byte of the header, the bytes after the header,
        // and scripts.
        assert!(takes(&elf(other, "\\x00")));
        for line in [
            ":x:M::\\x7fELF::/x:F",
            ":x:M:2:LF::/x:F",
            ":x:M:40:ab::/x:F",
            ":x:M::#!::/x:F",
            ":x:M::#!/usr/bin/python::/x:F",
        ] {
            assert!(takes(line), "{line}");
        }
        assert!(!takes(":x:M::MZ::/x:F") && !takes(":x:M::\\xca\\xfe\\xba\\xbe::/x:F"));
    }
}
