// SPDX-License-Identifier: Apache-2.0
//! Boot menu of a disk with two slots, one version of kernel and initrd in each, and the commands
//! that choose the slot before GRUB shows the menu.
//!
//! | Variable in grubenv | Written by | Meaning |
//! |---|---|---|
//! | `good` | `b2p` | slot that is booted |
//! | `try` | `b2p upgrade` as its last step; cleared by GRUB | slot that is booted once, on trial |
//! | `tried` | GRUB; cleared by the machine when it is ready | slot whose trial has begun |
//!
//! All three are in the file's first 512 bytes, and both sides write these bytes in place: after a
//! power failure the file has either the old or the new content. GRUB boots a slot on trial only
//! after it has read back its own write, so that no trial is repeated.

use anyhow::Result;

use super::menu::{self, ENTRIES, Entry};
use crate::arch::Arch;

/// Path of GRUB's environment on the partition with GRUB.
pub const ENVIRONMENT: &str = "/grub/grubenv";

/// Length of GRUB's environment in bytes (grub-core/lib/envblk.h).
const ENVIRONMENT_LEN: usize = 1024;

/// Entry for the other slot, which a person selects.
const PREVIOUS: Entry = Entry {
    title: "boot2podman, the version before",
    key: 'p',
    flags: "b2p.console=shell",
    why: "the version before the last `b2p upgrade`, for one boot",
};

/// Commands that choose the slot and its mark in the flag `b2p.slot`. A kernel panic on trial
/// reboots, which ends the trial.
const CHOOSE_SLOT: &str = r#"
regexp --set=1:disk '^([^,]*),' "$root"
load_env --file $prefix/grubenv good try tried
set slot=a
if [ "$good" = b ]; then set slot=b; fi
if [ "$tried" = a -o "$tried" = b ]; then set mark=:fallback; fi
if [ "$try" = a -o "$try" = b ]; then
    set next=$try
    set tried=$try
    set try=
    if save_env --file $prefix/grubenv try tried; then
        set try=unread
        load_env --file $prefix/grubenv try
        if [ -z "$try" ]; then
            set slot=$next
            set mark=:trial
            set more=panic=10
        fi
    fi
fi
if [ "$slot" = a ]; then
    set other=b
    set here=$disk,gpt3
    set there=$disk,gpt4
else
    set other=a
    set here=$disk,gpt4
    set there=$disk,gpt3
fi
"#;

/// Fallback entry for a slot that cannot be loaded: reboots into the other slot. The entry does not
/// load the other slot directly, because GRUB 2.12 for UEFI uses freed memory in the load of a
/// kernel after one that the firmware has refused. A trial has ended by then; without a trial the
/// other slot becomes the good one. If the other slot has failed before, GRUB stays in its menu.
const REBOOT_PREVIOUS: &str = r#"
menuentry 'start again, with the version before' {
    if [ "$mark" = :trial ]; then reboot; fi
    set good=$other
    set tried=$slot
    if save_env --file $prefix/grubenv good tried; then reboot; fi
}
"#;

/// Returns GRUB's environment on a new disk.
#[must_use]
pub fn environment() -> String {
    let text = "# GRUB Environment Block\ngood=a\ntry=\ntried=\n";
    format!("{text:#<ENVIRONMENT_LEN$}")
}

/// Returns grub.cfg; every entry has `flags` after its own.
///
/// # Errors
/// GRUB's quotes cannot hold a flag.
pub fn config(arch: &Arch, flags: &[String]) -> Result<String> {
    let flags = menu::quote_all(flags)?;
    let entry = |e: &Entry| {
        e.text(
            "($here)",
            arch.consoles,
            " b2p.slot=$slot$mark $more",
            &flags,
        )
    };
    let entries: String = ENTRIES.iter().map(entry).collect();
    let previous = PREVIOUS.text("($there)", arch.consoles, " b2p.slot=$other", &flags);
    let (head, fallback) = (menu::head(), ENTRIES.len() + 1);
    Ok(format!(
        "{head}{CHOOSE_SLOT}{entries}\nif [ -f ($there)/initrd.img ]; then\n    \
         if [ \"$mark\" != :fallback ]; then set fallback={fallback}; fi\n\
         {previous}{REBOOT_PREVIOUS}fi\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_one_of_grubs() {
        let text = environment();
        assert_eq!(text.len(), ENVIRONMENT_LEN);
        assert!(text.starts_with("# GRUB Environment Block\n"));
        assert!(
            text.get(512..)
                .is_some_and(|t| t.bytes().all(|b| b == b'#'))
        );
    }

    #[test]
    fn every_entry_says_its_slot_and_has_the_flags() -> Result<()> {
        let text = config(Arch::host(), &["quiet".into()])?;
        let lines: Vec<_> = text.lines().filter(|l| l.contains("linux (")).collect();
        assert_eq!(lines.len(), ENTRIES.len() + 1);
        assert!(
            lines
                .iter()
                .all(|l| l.ends_with("'quiet'") && l.contains(" b2p.slot=$"))
        );
        assert!(text.contains("set fallback=5;"));
        assert!(ENTRIES.iter().all(|e| e.key != PREVIOUS.key));
        assert!(config(Arch::host(), &["it's".into()]).is_err());
        Ok(())
    }
}
