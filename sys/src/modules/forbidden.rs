// SPDX-License-Identifier: Apache-2.0
//! Modules that the kernel loads in no form. Its answer is EPERM, as for a signature that is missing.

use std::fs;
use std::path::Path;

use log::warn;

use super::module_name;

/// Returns true, and logs why, if the kernel loads the module at `path` in no form.
pub(super) fn is_forbidden(path: &Path) -> bool {
    let line = fs::read("/proc/cmdline").unwrap_or_default();
    let disabled = fs::read("/proc/sys/kernel/modules_disabled").unwrap_or_default();
    let why = reason(&line, &disabled, &module_name(&path.to_string_lossy()));
    if let Some(why) = why {
        warn!("module {}: {why}", path.display());
    }
    why.is_some()
}

/// Decides by the kernel command line and the sysctl kernel.modules_disabled (kernel/module/main.c,
/// blacklisted: the last list counts, and names are compared byte by byte).
fn reason(line: &[u8], disabled: &[u8], name: &str) -> Option<&'static str> {
    let words = line.split(u8::is_ascii_whitespace);
    let mut lists = words.filter_map(|word| word.strip_prefix(b"module_blacklist="));
    let list = lists.next_back().unwrap_or_default();
    if list.split(|b| *b == b',').any(|n| n == name.as_bytes()) {
        Some("module_blacklist= on the kernel command line names it")
    } else if disabled.starts_with(b"1") {
        Some("the sysctl kernel.modules_disabled is 1: the kernel loads no module any more")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_module_is_told_from_one_without_its_signature() {
        let list = "module_blacklist=";
        let cases: [(&[u8], &[u8], Option<&str>); 6] = [
            (b"quiet module_blacklist=overlay,erofs", b"0\n", Some(list)),
            (b"module_blacklist=erofs\n", b"", Some(list)),
            (
                b"module_blacklist=erofs module_blacklist=loop\n",
                b"0\n",
                None,
            ),
            (b"module_blacklist=erofs2,ero", b"", None),
            (b"blacklist=erofs", b"", None),
            (b"", b"1\n", Some("modules_disabled")),
        ];
        for (line, disabled, word) in cases {
            let why = reason(line, disabled, "erofs");
            assert_eq!(why.is_some(), word.is_some(), "{why:?}");
            assert!(why.unwrap_or("").contains(word.unwrap_or("")), "{why:?}");
        }
    }
}
