// SPDX-License-Identifier: Apache-2.0
//! The kernel's command line: quoting, and its maximum length.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// x86's `COMMAND_LINE_SIZE` without the closing NUL. QEMU passes longer lines, and the kernel then
/// dies before it can report that.
pub const MAX_BYTES: usize = 2047;

/// Start of this project's fw_cfg names; the flag's name without `b2p.` follows.
pub const FW_CFG_PREFIX: &str = "opt/org.boot2podman/";

/// A command line, and the keys for which it has no room.
#[derive(Debug, PartialEq, Eq)]
pub struct Split {
    /// Value of `-append`.
    pub line: OsString,
    /// Keys that did not fit, for the fw_cfg entry `ssh_key`, one per line.
    pub keys: Vec<String>,
}

/// Formats `name=value` for the kernel's parser. The parser knows no escape, and a double quote
/// inside the value would end the value: such quotes are left out.
pub fn flag(name: &str, value: &str) -> String {
    let value: String = value
        .chars()
        .filter(|&c| c != '"' && !c.is_control())
        .collect();
    if value.contains(char::is_whitespace) {
        format!("{name}=\"{value}\"")
    } else {
        format!("{name}={value}")
    }
}

/// Joins `words` and the `keys`, as `b2p.ssh_key` flags, if everything fits. The keys stay
/// together, because keys in two places are hard to find.
pub fn build(words: &[OsString], keys: &[String]) -> Split {
    let line = words.join(OsStr::new(" "));
    let flags: Vec<OsString> = keys
        .iter()
        .map(|key| flag("b2p.ssh_key", key.trim()).into())
        .collect();
    let whole = [std::slice::from_ref(&line), flags.as_slice()]
        .concat()
        .join(OsStr::new(" "));
    if whole.len() <= MAX_BYTES {
        return Split {
            line: trimmed(whole),
            keys: Vec::new(),
        };
    }
    Split {
        line,
        keys: keys.to_vec(),
    }
}

/// Adapts the line for a machine whose CPUs are emulated by TCG. The kernel counts the timer's
/// first ticks against a few milliseconds of its TSC, and panics without them; a busy host may keep
/// QEMU from sending them for longer (arch/x86/kernel/apic/io_apic.c, check_timer(), which skips
/// the check under known hypervisors).
pub fn for_translator(line: OsString) -> OsString {
    with_word(line, "no_timer_check")
}

/// Turns off the randomization of addresses in programs. Where each process has other addresses, QEMU 7.2
/// translates the same code again: after six `podman run` and ten logins by ssh QEMU has translated 1.42 million
/// blocks, and 0.38 million with the word `norandmaps`. Five `podman run` by ssh take 16 s of processor time in place
/// of 30.
pub fn with_fixed_addresses(line: OsString) -> OsString {
    with_word(line, "norandmaps")
}

/// Appends a word if there is room.
fn with_word(mut line: OsString, word: &str) -> OsString {
    if line.len() + 1 + word.len() <= MAX_BYTES {
        line.push(" ");
        line.push(word);
    }
    line
}

fn trimmed(line: OsString) -> OsString {
    OsString::from_vec(line.as_bytes().trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_never_exceeds_its_limit() {
        let long = |n: usize| OsString::from("x".repeat(n));
        assert_eq!(for_translator("a".into()), "a no_timer_check");
        assert_eq!(for_translator(long(MAX_BYTES - 15)).len(), MAX_BYTES);
        assert_eq!(for_translator(long(MAX_BYTES - 14)), long(MAX_BYTES - 14));
        assert_eq!(with_fixed_addresses("a".into()), "a norandmaps");
        assert_eq!(
            with_fixed_addresses(long(MAX_BYTES - 10)),
            long(MAX_BYTES - 10)
        );
    }

    fn words(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn spaces_are_quoted_and_quotes_dropped() {
        assert_eq!(flag("b2p.hostname", "box"), "b2p.hostname=box");
        assert_eq!(
            flag("b2p.ssh_key", "ssh-ed25519 AAAA \"me\""),
            "b2p.ssh_key=\"ssh-ed25519 AAAA me\""
        );
        assert_eq!(flag("x", "a\nb\"c"), "x=abc");
    }

    #[test]
    fn keys_go_on_the_line_while_they_fit() {
        let keys = vec!["ssh-ed25519 AAAA me\n".to_owned()];
        let split = build(&words(&["console=ttyS0", "b2p.net=off"]), &keys);
        assert_eq!(
            split.line,
            "console=ttyS0 b2p.net=off b2p.ssh_key=\"ssh-ed25519 AAAA me\""
        );
        assert!(split.keys.is_empty());
        assert_eq!(
            build(&[], &keys).line,
            "b2p.ssh_key=\"ssh-ed25519 AAAA me\""
        );
    }

    #[test]
    fn a_long_key_goes_by_fw_cfg() {
        let keys = vec![format!("ssh-rsa {} me", "A".repeat(2000))];
        let split = build(
            &words(&["console=ttyS0", "b2p.hostname=a-good-long-name"]),
            &keys,
        );
        assert_eq!(split.line, "console=ttyS0 b2p.hostname=a-good-long-name");
        assert_eq!(split.keys, keys);
    }
}
