// SPDX-License-Identifier: Apache-2.0
//! Licences in the copyright file of a Debian package (copyright-format-1.0). The file describes
//! the whole source package, of which a machine has only parts: the result lists no licence too
//! few, and possibly some that apply to nothing in the machine.

use std::collections::BTreeMap;

use super::licence;

/// Licences of packages whose copyright file is free text: source package, licence, and the part of
/// the file with the licence.
const FREE_TEXT: &[(&str, &str, &str)] = &[
    ("busybox", "GPL-2.0-only", "the second paragraph"),
    (
        "gcc-14",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "the part on the run-time libraries",
    ),
    (
        "krb5",
        "MIT",
        "the first licence; others of the same kind follow",
    ),
    (
        "libxcrypt",
        "LGPL-2.1-or-later",
        "\"The overall license for libxcrypt\"",
    ),
];

/// Licences of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licences {
    /// SPDX expression; `NOASSERTION` if nothing is known.
    pub expression: String,
    /// Text of each `LicenseRef-` in the expression.
    pub texts: BTreeMap<String, String>,
}

/// Reads the copyright file `text` of a package built from `source`.
pub fn read(source: &str, text: &str) -> Licences {
    let paragraphs = paragraphs(text);
    let formatted = paragraphs
        .first()
        .is_some_and(|p| field(p, "Format").is_some());
    match formatted {
        _ if text.trim().is_empty() => Licences {
            expression: "NOASSERTION".to_owned(),
            texts: BTreeMap::new(),
        },
        true => from_paragraphs(source, &paragraphs),
        false => from_free_text(source, text),
    }
}

/// Returns the whole file as a licence text, after its licences in [`FREE_TEXT`].
fn from_free_text(source: &str, text: &str) -> Licences {
    let name = licence::reference(source, "");
    let known = FREE_TEXT.iter().find(|(s, ..)| *s == source);
    let known = known.map(|(_, expression, _)| (*expression).to_owned());
    Licences {
        expression: licence::all_of(known.into_iter().chain([name.clone()])),
        texts: [(name, text.trim().to_owned())].into(),
    }
}

fn from_paragraphs(source: &str, paragraphs: &[Paragraph]) -> Licences {
    let licences = |p: &Paragraph| field(p, "License").map(split);
    let bodies: BTreeMap<String, String> = paragraphs
        .iter()
        .filter_map(licences)
        .filter(|(_, body)| !body.is_empty())
        .collect();
    let mut found = Licences::default();
    let mut expressions = Vec::new();
    let files = paragraphs.iter().filter(|p| field(p, "Files").is_some());
    for (name, _) in files.filter_map(licences) {
        let (expression, unknown) = licence::expression(source, &name);
        expressions.push(expression);
        for name in unknown {
            let text = bodies.get(&name).cloned().unwrap_or_else(|| {
                format!("Named \"{name}\" in the copyright file of Debian's package {source}.")
            });
            found.texts.insert(licence::reference(source, &name), text);
        }
    }
    found.expression = licence::all_of(expressions);
    if found.expression.is_empty() {
        found.expression = "NOASSERTION".to_owned();
    }
    found
}

/// Splits a License field into the short name, on one line, and the text after the name.
fn split(value: &str) -> (String, String) {
    let (name, body) = value.split_once('\n').unwrap_or((value, ""));
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    (name, body.trim_end().to_owned())
}

type Paragraph = Vec<(String, String)>;

fn field<'a>(paragraph: &'a Paragraph, name: &str) -> Option<&'a str> {
    let found = paragraph.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Parses deb822(5): paragraphs are separated by empty lines; a line that begins with a space
/// continues a field, and a single dot on such a line stands for an empty line.
fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = vec![Vec::new()];
    for line in text.lines() {
        let current = paragraphs.last_mut();
        if line.trim().is_empty() {
            paragraphs.push(Vec::new());
        } else if let Some(more) = line.strip_prefix([' ', '\t']) {
            if let Some((_, value)) = current.and_then(|p| p.last_mut()) {
                value.push('\n');
                value.push_str(if more.trim() == "." {
                    ""
                } else {
                    more.trim_end()
                });
            }
        } else if let Some((name, value)) = line.split_once(':')
            && let Some(current) = current
        {
            current.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    paragraphs.retain(|p| !p.is_empty());
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATTED: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: GPL-2+

Files: lib/*
License: Expat or odd

License: odd
 Do as you
 .
 like.

License: GPL-2+
 See /usr/share/common-licenses.
";

    #[test]
    fn licences_of_files_and_texts_of_nonstandard_licences() {
        let read = read("thing", FORMATTED);
        assert_eq!(
            read.expression,
            "GPL-2.0-or-later AND (MIT OR LicenseRef-thing-odd)"
        );
        assert_eq!(read.texts.len(), 1);
        assert_eq!(read.texts["LicenseRef-thing-odd"], "Do as you\n\nlike.");
    }

    #[test]
    fn free_text_is_kept_whole() {
        let read = super::read("busybox", "This is busybox.\n");
        assert_eq!(read.expression, "GPL-2.0-only AND LicenseRef-busybox");
        assert_eq!(read.texts["LicenseRef-busybox"], "This is busybox.");
        let read = super::read("other", "Free.");
        assert_eq!(read.expression, "LicenseRef-other");
        assert_eq!(super::read("none", " \n").expression, "NOASSERTION");
    }

    #[test]
    fn nonsense_is_no_panic() {
        for text in [
            ":",
            " x",
            "Format: x\nFiles: *\nLicense:\n",
            "License: a\n\n\n: b\n c",
        ] {
            let read = super::read("s", text);
            assert!(!read.expression.is_empty(), "{text:?}");
        }
    }
}
