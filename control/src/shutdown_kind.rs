// SPDX-License-Identifier: Apache-2.0
//! Kinds of shutdown.

use nix::sys::reboot::RebootMode;

/// Final state of the machine after a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownKind {
    /// Switch the power off.
    PowerOff,
    /// Start the machine again.
    Reboot,
    /// Stop the CPUs and leave the power on.
    Halt,
}

impl ShutdownKind {
    /// Every kind.
    pub const ALL: [ShutdownKind; 3] = [
        ShutdownKind::PowerOff,
        ShutdownKind::Reboot,
        ShutdownKind::Halt,
    ];

    /// Keyword of the kind in requests and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ShutdownKind::PowerOff => "poweroff",
            ShutdownKind::Reboot => "reboot",
            ShutdownKind::Halt => "halt",
        }
    }

    /// Returns the kind whose keyword is `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ShutdownKind> {
        ShutdownKind::ALL.into_iter().find(|k| k.word() == word)
    }

    /// Letter of the kind in an argument of one character.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            ShutdownKind::PowerOff => b'p',
            ShutdownKind::Reboot => b'r',
            ShutdownKind::Halt => b'h',
        }
    }

    /// Returns the kind whose letter is `letter`.
    #[must_use]
    pub fn from_letter(letter: u8) -> Option<ShutdownKind> {
        ShutdownKind::ALL.into_iter().find(|k| k.letter() == letter)
    }

    /// Command of the kind for reboot(2).
    #[must_use]
    pub const fn reboot_mode(self) -> RebootMode {
        match self {
            ShutdownKind::PowerOff => RebootMode::RB_POWER_OFF,
            ShutdownKind::Reboot => RebootMode::RB_AUTOBOOT,
            ShutdownKind::Halt => RebootMode::RB_HALT_SYSTEM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters_are_read_back() {
        for kind in ShutdownKind::ALL {
            assert_eq!(ShutdownKind::from_word(kind.word()), Some(kind));
            assert_eq!(ShutdownKind::from_letter(kind.letter()), Some(kind));
        }
        assert_eq!(ShutdownKind::from_word("sleep"), None);
        assert_eq!(ShutdownKind::from_letter(0), None);
    }
}
