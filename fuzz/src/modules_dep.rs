// SPDX-License-Identifier: Apache-2.0
//! Target `modules_dep`: index of kernel modules by depmod(8) (modules.dep, modules.alias,
//! modules.softdep).

use sys::modules::{DepEntry, glob_match, module_name, parse_alias, parse_dep, parse_softdep};

use crate::input::split_array;

pub(crate) const DICTIONARY: &[&str] = &[
    "alias ",
    "softdep ",
    " pre: ",
    " post: ",
    ".ko",
    ".ko.xz",
    "kernel/",
    ": ",
    "-",
    "_",
    "/",
    "\n",
    "*",
    "?",
    "[",
    "]",
    "[0-9]",
    "virtio:d00000001v*",
    "pci:v*d*sv*sd*bc02sc*i*",
];

/// Maximum length of a pattern and of a text: the slow matcher is quadratic.
const MAX_MATCHED: usize = 200;

/// Parts: modules.dep, modules.alias, modules.softdep, a modalias.
///
/// - Names are in the kernel's form, and the form of a name is itself.
/// - Lines that were read, and then written, are read as the same.
/// - A pattern matches exactly the texts that a slow matcher accepts.
pub fn modules_dep(data: &[u8]) {
    let [dep, alias, softdep, modalias] = split_array(data);
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or(&[])).into_owned();
    check_dep(&text(dep));
    let patterns = check_alias(&text(alias));
    check_softdep(&text(softdep));
    let modalias = truncate(modalias.unwrap_or(data));
    for (pattern, _) in patterns.iter().take(4) {
        check_match(truncate(pattern.as_bytes()), modalias);
    }
    let (pattern, text) = modalias.split_at(modalias.len() / 2);
    check_match(pattern, text);
}

fn truncate(bytes: &[u8]) -> &[u8] {
    bytes.get(..MAX_MATCHED).unwrap_or(bytes)
}

fn check_name(name: &str) {
    assert!(!name.contains(['-', '/', '\n']), "{name:?}");
    assert_eq!(module_name(name), name);
}

fn check_dep(text: &str) {
    let entries = parse_dep(text);
    assert!(entries.len() <= text.lines().count());
    let mut written = String::new();
    for dep in &entries {
        check_name(&dep.name);
        dep.needs.iter().for_each(|n| check_name(n));
        assert!(dep.needs.iter().all(|n| !n.contains(char::is_whitespace)));
        let needs = dep.needs.join(" ");
        written.push_str(&format!("{}: {needs}\n", dep.path));
    }
    let again = parse_dep(&written);
    // A path that ends in a slash has no name, and is not written.
    let named = |dep: &DepEntry| {
        dep.needs
            .iter()
            .filter(|n| !n.is_empty())
            .cloned()
            .collect()
    };
    let parts_of = |dep: &DepEntry| -> (String, String, Vec<String>) {
        (dep.name.clone(), dep.path.clone(), named(dep))
    };
    let same = |(a, b): (&DepEntry, &DepEntry)| parts_of(a) == parts_of(b);
    assert!(again.len() == entries.len() && again.iter().zip(&entries).all(same));
}

fn check_alias(text: &str) -> Vec<(String, String)> {
    let aliases = parse_alias(text);
    let line = |(pattern, module): &(String, String)| format!("alias {pattern} {module}\n");
    let written: String = aliases.iter().map(line).collect();
    assert_eq!(parse_alias(&written), aliases);
    aliases
}

fn check_softdep(text: &str) {
    for (module, before) in parse_softdep(text) {
        assert!(!module.contains('-'));
        assert!(!before.is_empty() && !before.contains(char::is_whitespace));
        let written = format!("softdep {module} pre: {before} post: x\n");
        let plain = !before.contains("pre:") && !before.contains("post:") && !module.contains(' ');
        if plain && module.trim() == module {
            assert_eq!(parse_softdep(&written), [(module, before)]);
        }
    }
}

fn check_match(pattern: &[u8], text: &[u8]) {
    let expected = slow_match(pattern, text);
    assert_eq!(glob_match(pattern, text), expected, "{pattern:?} {text:?}");
}

/// Matches a pattern by a table of the beginnings of the text that are matched so far.
fn slow_match(pattern: &[u8], text: &[u8]) -> bool {
    let mut open = vec![false; text.len() + 1];
    open[0] = true;
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'*' {
            let from = open.iter().position(|o| *o).unwrap_or(open.len());
            open[from..].fill(true);
            rest = after;
            continue;
        }
        let close = after.iter().position(|b| *b == b']');
        let (set, next) = match (first, close) {
            (b'[', Some(at)) => (after.get(..at), &after[at + 1..]),
            (b'[', None) => return false,
            _ => (None, after),
        };
        for at in (1..open.len()).rev() {
            let c = text[at - 1];
            let fits = set.map_or(*first == b'?' || *first == c, |set| set_contains(set, c));
            open[at] = open[at - 1] && fits;
        }
        open[0] = false;
        rest = next;
    }
    open[text.len()]
}

fn set_contains(set: &[u8], c: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            if (set[at]..=set[at + 2]).contains(&c) {
                return true;
            }
            at += 3;
        } else if set[at] == c {
            return true;
        } else {
            at += 1;
        }
    }
    false
}
