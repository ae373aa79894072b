//! The index of modules as depmod(8) writes it: modules.dep, modules.alias,
//! modules.softdep, and the files of the modules themselves.

use sys::modules::{
    DepEntry, glob_match, module_name, parse_alias, parse_dep, parse_softdep, without_signature,
};

use crate::input::some;

pub(crate) const WORDS: &[&str] = &[
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
    "~Module signature appended~\n",
];

/// A pattern and a text that are longer are cut: the check below is quadratic.
const LONGEST: usize = 200;

/// Parts: modules.dep, modules.alias, modules.softdep, a modalias.
///
/// - Names are as the kernel has them, and a name of a name is itself.
/// - What was read and written again is read the same.
/// - A pattern matches what a slower matcher says that it matches.
/// - A signature that is put on is taken off, and nothing else.
pub fn modules_dep(data: &[u8]) {
    let [dep, alias, softdep, wanted] = some(data);
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or(&[])).into_owned();
    dep_lines(&text(dep));
    let patterns = alias_lines(&text(alias));
    softdep_lines(&text(softdep));
    let wanted = cut(wanted.unwrap_or(data));
    for (pattern, _) in patterns.iter().take(4) {
        matching(cut(pattern.as_bytes()), wanted);
    }
    let (one, two) = wanted.split_at(wanted.len() / 2);
    matching(one, two);
    signature(data);
}

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..LONGEST).unwrap_or(bytes)
}

fn is_name(name: &str) {
    assert!(!name.contains(['-', '/', '\n']), "{name:?}");
    assert_eq!(module_name(name), name);
}

fn dep_lines(text: &str) {
    let all = parse_dep(text);
    assert!(all.len() <= text.lines().count());
    let mut written = String::new();
    for dep in &all {
        is_name(&dep.name);
        dep.needs.iter().for_each(|n| is_name(n));
        assert!(dep.needs.iter().all(|n| !n.contains(char::is_whitespace)));
        let needs = dep.needs.join(" ");
        written.push_str(&format!("{}: {needs}\n", dep.path));
    }
    let again = parse_dep(&written);
    // A path that ends in a slash has no name, and is not seen when it is written.
    let named = |dep: &DepEntry| {
        dep.needs
            .iter()
            .filter(|n| !n.is_empty())
            .cloned()
            .collect()
    };
    let all_of = |dep: &DepEntry| -> (String, String, Vec<String>) {
        (dep.name.clone(), dep.path.clone(), named(dep))
    };
    let same = |(a, b): (&DepEntry, &DepEntry)| all_of(a) == all_of(b);
    assert!(again.len() == all.len() && again.iter().zip(&all).all(same));
}

fn alias_lines(text: &str) -> Vec<(String, String)> {
    let all = parse_alias(text);
    let line = |(pattern, module): &(String, String)| format!("alias {pattern} {module}\n");
    let written: String = all.iter().map(line).collect();
    assert_eq!(parse_alias(&written), all);
    all
}

fn softdep_lines(text: &str) {
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

fn matching(pattern: &[u8], text: &[u8]) {
    let expected = slow(pattern, text);
    assert_eq!(glob_match(pattern, text), expected, "{pattern:?} {text:?}");
}

/// The same, by a table of which beginnings of the text are matched so far.
fn slow(pattern: &[u8], text: &[u8]) -> bool {
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
            let fits = set.map_or(*first == b'?' || *first == c, |set| holds(set, c));
            open[at] = open[at - 1] && fits;
        }
        open[0] = false;
        rest = next;
    }
    open[text.len()]
}

fn holds(set: &[u8], c: u8) -> bool {
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

fn signature(data: &[u8]) {
    assert!(data.starts_with(without_signature(data)));
    let (body, signature) = data.split_at(data.len() / 2);
    let mut file = [body, signature, &[0; 8]].concat();
    file.extend((signature.len() as u32).to_be_bytes());
    file.extend(b"~Module signature appended~\n");
    assert_eq!(without_signature(&file), body);
}
