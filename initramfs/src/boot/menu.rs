// SPDX-License-Identifier: Apache-2.0
//! Boot menu of the media.

use anyhow::{Result, ensure};

use crate::arch::Arch;

/// Entry of the menu.
pub struct Entry {
    /// Text in the menu.
    pub title: &'static str,
    /// Key that selects the entry.
    pub key: char,
    /// Kernel flags of the entry.
    pub flags: &'static str,
    /// Purpose, a comment in grub.cfg.
    pub why: &'static str,
}

/// Entries of the menu, the default first. A person at the console owns the machine, so that the
/// default gives a shell.
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    Entry { title: "boot2podman",                                     key: 'b', flags: "b2p.console=shell",               why: "the machine, with a root shell on its consoles" },
    Entry { title: "boot2podman, no shell on the console",            key: 'c', flags: "b2p.console=status",              why: "a machine in a place that others have access to" },
    Entry { title: "boot2podman without a data disk, all in RAM",     key: 'd', flags: "b2p.console=shell b2p.data=off",  why: "to try it, or when the disk is what is wrong" },
    Entry { title: "rescue: a shell before any service",              key: 'r', flags: "b2p.rescue b2p.console=shell",    why: "to repair a machine that does not boot" },
];

/// Share of the memory that the unpacked initrd may take (the kernel's init/do_mounts.c). By default the share is one half,
/// which cuts the image off in machines of 184 to 216 MiB. A larger share leaves the kernel of a machine with less than 152
/// MiB too little memory for a rescue shell (docs/measured/figures.md, "Small memory").
pub const INITRD_SHARE: &str = "initramfs_options=size=75%";

/// Seconds before the default is booted.
const TIMEOUT: u32 = 2;

/// Returns a grub.cfg whose kernel and initrd are files in `dir`; every entry has `flags` after
/// its own.
///
/// # Errors
/// GRUB's quotes cannot hold a flag.
pub fn config(dir: &str, arch: &Arch, flags: &[String]) -> Result<String> {
    let flags = quote_all(flags)?;
    let entries = ENTRIES.iter();
    let entries = entries.map(|entry| entry.text(dir, arch.consoles, "", &flags));
    Ok(format!("{}{}", head(), entries.collect::<String>()))
}

/// Returns the first lines of every menu.
pub(super) fn head() -> String {
    format!(
        "# A serial port is a terminal as well if there is one.\n\
         if serial --unit=0 --speed=115200; then\n    \
             terminal_input --append serial\n    \
             terminal_output --append serial\n\
         fi\n\
         set default=0\n\
         set timeout={TIMEOUT}\n"
    )
}

impl Entry {
    /// Returns the entry for grub.cfg: the flags of its consoles, its own flags, `more_flags` and `flags`. The latter
    /// two begin with a space unless empty.
    pub(super) fn text(&self, dir: &str, consoles: &str, more_flags: &str, flags: &str) -> String {
        let Entry {
            title,
            key,
            flags: own,
            why,
        } = self;
        format!(
            "\n# {why}\nmenuentry '{title}' --hotkey={key} {{\n    \
             linux {dir}/vmlinuz {consoles} {INITRD_SHARE} {own}{more_flags}{flags}\n    \
             initrd {dir}/initrd.img\n}}\n"
        )
    }
}

/// Quotes flags for GRUB, with a space before each.
///
/// # Errors
/// GRUB's quotes cannot hold a flag.
pub(super) fn quote_all(flags: &[String]) -> Result<String> {
    flags
        .iter()
        .map(|f| Ok(format!(" {}", quote(f)?)))
        .collect()
}

/// Quotes a kernel flag as one argument for GRUB, which in turn quotes a flag with spaces for the
/// kernel (grub-core/lib/cmdline.c).
fn quote(flag: &str) -> Result<String> {
    let fits = |c: char| c != '\'' && c != '"' && c != '\\' && !c.is_control();
    ensure!(
        flag.chars().all(fits),
        "{flag}: a boot menu cannot hold quotes, backslashes or control characters in a flag"
    );
    Ok(format!("'{flag}'"))
}

/// Splits `APPEND=` into flags as the kernel does: spaces in double quotes separate nothing.
pub fn split_flags(line: &str) -> Vec<String> {
    let mut flags = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => flags.push(String::new()),
            c => flags.last_mut().into_iter().for_each(|flag| flag.push(c)),
        }
    }
    flags.retain(|flag| !flag.is_empty());
    flags
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
        let flags = split_flags("quiet b2p.ssh_key=\"ssh-ed25519 AAAA me\"  \"b2p.hostname=box\"");
        assert_eq!(
            flags,
            [
                "quiet",
                "b2p.ssh_key=ssh-ed25519 AAAA me",
                "b2p.hostname=box"
            ]
        );
        let text = super::config("/boot", Arch::host(), &flags)?;
        assert_eq!(text.matches(INITRD_SHARE).count(), ENTRIES.len(), "{text}");
        let line =
            "b2p.console=shell 'quiet' 'b2p.ssh_key=ssh-ed25519 AAAA me' 'b2p.hostname=box'\n";
        assert!(text.contains(line), "{text}");
        assert!(super::config("/boot", Arch::host(), &["it's".into()]).is_err());
        assert_eq!(split_flags("  "), [""; 0]);
        Ok(())
    }
}
