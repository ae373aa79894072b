//! The boot menu of a disk with two slots, one version of kernel and initrd in each, and
//! what GRUB does before it shows it.
//!
//! | grubenv | Who writes it | |
//! |---|---|---|
//! | `good` | `b2p` | the slot that is booted |
//! | `try` | `b2p upgrade`, last of all; GRUB takes it away | the slot that is booted once, on trial |
//! | `tried` | GRUB; the machine takes it away once it is ready | the slot whose trial has begun |
//!
//! All three are in the file's first 512 bytes, and both write it in place: it is the old
//! one or the new, whenever the power goes. GRUB boots a slot on trial only where it has
//! seen its own write, so that no trial is ever repeated.

use anyhow::Result;

use super::menu::{self, ENTRIES, Entry};

/// The file of GRUB's environment, on the partition that GRUB is on.
pub const ENVIRONMENT: &str = "/grub/grubenv";

/// As long as GRUB has it (grub-core/lib/envblk.h).
const LENGTH: usize = 1024;

/// The other slot, for a person.
const BEFORE: Entry = Entry {
    title: "boot2podman, the version before",
    key: 'p',
    flags: "b2p.console=shell",
    why: "what was there before the last `b2p upgrade`, for once",
};

/// Which slot, and with which mark (the flag `b2p.slot`). A panic on trial starts again,
/// which ends the trial.
const CHOICE: &str = r#"
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

/// What follows where the first entry cannot be loaded: the other slot, but by a start of
/// its own. GRUB 2.12 for UEFI uses what it has freed, when it loads a kernel after one
/// that the firmware has refused. A trial is over by then; whoever was kept so far is no
/// more, unless the other slot has failed before: then GRUB stays in its menu.
const AGAIN: &str = r#"
menuentry 'start again, with the version before' {
    if [ "$mark" = :trial ]; then reboot; fi
    set good=$other
    set tried=$slot
    if save_env --file $prefix/grubenv good tried; then reboot; fi
}
"#;

/// What GRUB's environment is on a disk that is new.
#[must_use]
pub fn environment() -> String {
    let text = "# GRUB Environment Block\ngood=a\ntry=\ntried=\n";
    format!("{text:#<LENGTH$}")
}

/// grub.cfg; every entry has `flags` besides its own.
///
/// # Errors
/// A flag that GRUB's quotes cannot hold.
pub fn config(flags: &[String]) -> Result<String> {
    let flags = menu::quoted_all(flags)?;
    let entry = |e: &Entry| e.text("($here)", " b2p.slot=$slot$mark $more", &flags);
    let all: String = ENTRIES.iter().map(entry).collect();
    let before = BEFORE.text("($there)", " b2p.slot=$other", &flags);
    let (head, again) = (menu::head(), ENTRIES.len() + 1);
    Ok(format!(
        "{head}{CHOICE}{all}\nif [ -f ($there)/initrd.img ]; then\n    \
         if [ \"$mark\" != :fallback ]; then set fallback={again}; fi\n\
         {before}{AGAIN}fi\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_one_of_grubs() {
        let text = environment();
        assert_eq!(text.len(), LENGTH);
        assert!(text.starts_with("# GRUB Environment Block\n"));
        assert!(
            text.get(512..)
                .is_some_and(|t| t.bytes().all(|b| b == b'#'))
        );
    }

    #[test]
    fn every_entry_says_its_slot_and_has_the_flags() -> Result<()> {
        let text = config(&["quiet".into()])?;
        let lines: Vec<_> = text.lines().filter(|l| l.contains("linux (")).collect();
        assert_eq!(lines.len(), ENTRIES.len() + 1);
        assert!(
            lines
                .iter()
                .all(|l| l.ends_with("'quiet'") && l.contains(" b2p.slot=$"))
        );
        assert!(text.contains("set fallback=5;"));
        assert!(ENTRIES.iter().all(|e| e.key != BEFORE.key));
        assert!(config(&["it's".into()]).is_err());
        Ok(())
    }
}
