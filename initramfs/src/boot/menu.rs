//! The boot menu.

use anyhow::{Result, ensure};

/// A way to boot.
pub struct Entry {
    /// As the menu has it.
    pub title: &'static str,
    /// The key that picks it.
    pub key: char,
    /// Kernel flags.
    pub flags: &'static str,
    /// What it is for.
    pub why: &'static str,
}

/// The menu, the default first. Who sits at the console owns the machine, so that the
/// first gives a shell (contract.md).
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    Entry { title: "boot2podman",                                     key: 'b', flags: "b2p.console=shell",               why: "the machine, with a root shell on its consoles" },
    Entry { title: "boot2podman, no shell on the console",            key: 'c', flags: "b2p.console=status",              why: "a machine in a room that others enter" },
    Entry { title: "boot2podman without a data disk, all in RAM",     key: 'd', flags: "b2p.console=shell b2p.data=off",  why: "to try it, or when the disk is what is wrong" },
    Entry { title: "rescue: a shell before any service",              key: 'r', flags: "b2p.rescue b2p.console=shell",    why: "to mend what keeps it from coming up" },
];

/// So many seconds the menu waits.
const WAIT: u32 = 2;

/// The serial port is always there to a kernel that is told of it, and tty0 last is the
/// one that people see (Documentation/admin-guide/serial-console.rst).
const CONSOLES: &str = "console=ttyS0 console=tty0";

/// grub.cfg: the kernel and the initrd are files below `dir`, and every entry has
/// `flags` besides its own.
///
/// # Errors
/// A flag that GRUB's quotes cannot hold.
pub fn config(dir: &str, flags: &[String]) -> Result<String> {
    let flags = quoted_all(flags)?;
    let all = ENTRIES.iter().map(|entry| entry.text(dir, "", &flags));
    Ok(format!("{}{}", head(), all.collect::<String>()))
}

/// What every menu begins with.
pub(super) fn head() -> String {
    format!(
        "# A serial port is a terminal, too, where there is one.\n\
         if serial --unit=0 --speed=115200; then\n    \
             terminal_input --append serial\n    \
             terminal_output --append serial\n\
         fi\n\
         set default=0\n\
         set timeout={WAIT}\n"
    )
}

impl Entry {
    /// As grub.cfg has it: `more` and then `flags`, each with a space before, follow its
    /// own flags.
    pub(super) fn text(&self, dir: &str, more: &str, flags: &str) -> String {
        let Entry {
            title,
            key,
            flags: own,
            why,
        } = self;
        format!(
            "\n# {why}\nmenuentry '{title}' --hotkey={key} {{\n    \
             linux {dir}/vmlinuz {CONSOLES} {own}{more}{flags}\n    \
             initrd {dir}/initrd.img\n}}\n"
        )
    }
}

/// Flags as words of GRUB's, a space before each.
///
/// # Errors
/// One that GRUB's quotes cannot hold.
pub(super) fn quoted_all(flags: &[String]) -> Result<String> {
    let all: Vec<String> = flags.iter().map(|f| quoted(f)).collect::<Result<_>>()?;
    Ok(all.iter().map(|f| format!(" {f}")).collect())
}

/// A kernel flag as one word of GRUB's; GRUB quotes it for the kernel where it has
/// spaces (grub-core/lib/cmdline.c).
fn quoted(flag: &str) -> Result<String> {
    let fits = |c: char| c != '\'' && c != '"' && c != '\\' && !c.is_control();
    ensure!(
        flag.chars().all(fits),
        "{flag}: a boot menu cannot hold quotes, backslashes or control characters in a flag"
    );
    Ok(format!("'{flag}'"))
}

/// The words of `APPEND=`, as the kernel would split them: double quotes hold spaces.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut within = false;
    for c in line.chars() {
        match c {
            '"' => within = !within,
            c if c.is_whitespace() && !within => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|w| w.push(c)),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_says_why_and_has_a_key_of_its_own() {
        let mut keys: Vec<char> = ENTRIES.iter().map(|e| e.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ENTRIES.len());
        for entry in ENTRIES {
            assert!(!entry.why.is_empty() && !entry.title.contains('\''));
            let line = entry.flags.as_bytes();
            assert_eq!(config::parse(line, &[]).1, [], "{}", entry.title);
        }
    }

    #[test]
    fn flags_go_through_whole() -> Result<()> {
        let flags = words("quiet b2p.ssh_key=\"ssh-ed25519 AAAA me\"  \"b2p.hostname=box\"");
        assert_eq!(
            flags,
            [
                "quiet",
                "b2p.ssh_key=ssh-ed25519 AAAA me",
                "b2p.hostname=box"
            ]
        );
        let text = super::config("/boot", &flags)?;
        let line =
            "b2p.console=shell 'quiet' 'b2p.ssh_key=ssh-ed25519 AAAA me' 'b2p.hostname=box'\n";
        assert!(text.contains(line), "{text}");
        assert!(super::config("/boot", &["it's".into()]).is_err());
        assert_eq!(words("  "), [""; 0]);
        Ok(())
    }
}
