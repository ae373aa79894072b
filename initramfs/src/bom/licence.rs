// SPDX-License-Identifier: Apache-2.0
//! SPDX identifiers (license list 3.x) for Debian's short names of licences
//! (copyright-format-1.0, 7.2). A licence without an identifier becomes a `LicenseRef-`, whose text
//! the document contains.

/// Debian's names in lower case, with SPDX's.
const NAMES: &[(&str, &str)] = &[
    ("0bsd", "0BSD"),
    ("afl-2.0", "AFL-2.0"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("artistic-1", "Artistic-1.0-Perl"),
    ("beerware", "Beerware"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("fsfullrwd", "FSFULLRWD"),
    ("gfdl-niv-1.3", "GFDL-1.3-no-invariants-only"),
    ("isc", "ISC"),
    ("latex2e", "Latex2e"),
    ("mit", "MIT"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("unicode-dfs-2016", "Unicode-DFS-2016"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
];

/// Licences with versions, where `+` means later ones too: Debian's prefix, SPDX's, and the version
/// for a name without one, which allows any version.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("lgpl", "LGPL", "2.0"),
    ("agpl", "AGPL", "3.0"),
    ("gpl", "GPL", "1.0"),
];

/// Exceptions: prefix of the licence that an exception belongs to, the text between `with` and
/// `exception` in lower case, SPDX's name.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("GPL-2", "autoconf", "Autoconf-exception-2.0"),
    ("GPL-3", "autoconf", "Autoconf-exception-3.0"),
    ("GPL", "bison", "Bison-exception-2.2"),
    ("GPL", "libtool", "Libtool-exception"),
    ("GPL", "texinfo", "Texinfo-exception"),
    ("GPL", "linux-syscall-note", "Linux-syscall-note"),
    ("Apache", "llvm", "LLVM-exception"),
];

/// Returns SPDX's expression for a short name, or nothing if there is none.
pub fn spdx(name: &str) -> Option<String> {
    let name = name.trim().to_lowercase();
    let Some((base, exception)) = name.split_once(" with ") else {
        return without_exception(&name);
    };
    let base = without_exception(base.trim())?;
    let exception = exception.trim();
    let exception = exception
        .strip_suffix("exception")
        .unwrap_or(exception)
        .trim();
    let row = EXCEPTIONS
        .iter()
        .find(|(prefix, text, _)| base.starts_with(prefix) && *text == exception)?;
    Some(format!("{base} WITH {}", row.2))
}

fn without_exception(name: &str) -> Option<String> {
    if let Some((_, id)) = NAMES.iter().find(|(n, _)| *n == name) {
        return Some((*id).to_owned());
    }
    let (family, id, any) = FAMILIES.iter().find(|(f, ..)| name.starts_with(f))?;
    let version = &name[family.len()..];
    if version.is_empty() {
        return Some(format!("{id}-{any}-or-later"));
    }
    let version = version.strip_prefix('-')?;
    let (version, later) = match version.strip_suffix('+') {
        Some(version) => (version, "or-later"),
        None => (version, "only"),
    };
    let number = version.trim_end_matches(".0");
    let number = match number {
        "1" | "2" | "3" => format!("{number}.0"),
        "2.1" => number.to_owned(),
        _ => return None,
    };
    Some(format!("{id}-{number}-{later}"))
}

/// Returns an identifier for a licence that SPDX has none for.
pub fn reference(source: &str, name: &str) -> String {
    let sanitize = |text: &str| -> String {
        let keep = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        };
        text.chars().map(keep).collect()
    };
    let name = sanitize(name);
    let name = name.trim_matches('-');
    match name.is_empty() {
        true => format!("LicenseRef-{}", sanitize(source)),
        false => format!("LicenseRef-{}-{name}", sanitize(source)),
    }
}

/// Translates a line `A or B and C`; `and` has precedence in Debian's syntax as in SPDX's. Returns
/// the expression and the names in it that SPDX does not know.
pub fn expression(source: &str, line: &str) -> (String, Vec<String>) {
    let mut unknown = Vec::new();
    if line.contains(',') && line.contains(" or ") && line.contains(" and ") {
        // A comma changes the precedence: such a line is kept as one name.
        return (reference(source, line), vec![line.to_owned()]);
    }
    let line = line.replace(',', "").replace(" and/or ", " or ");
    let mut translate = |name: &str| {
        spdx(name).unwrap_or_else(|| {
            unknown.push(name.trim().to_owned());
            reference(source, name.trim())
        })
    };
    let alternatives: Vec<String> = line
        .split(" or ")
        .map(|part| {
            part.split(" and ")
                .map(&mut translate)
                .collect::<Vec<_>>()
                .join(" AND ")
        })
        .collect();
    (alternatives.join(" OR "), unknown)
}

/// Joins expressions with AND, without duplicates.
pub fn all_of(expressions: impl IntoIterator<Item = String>) -> String {
    let mut set = std::collections::BTreeSet::new();
    for expression in expressions {
        match expression.contains(" OR ") {
            true => drop(set.insert(expression)),
            false => set.extend(expression.split(" AND ").map(str::to_owned)),
        }
    }
    let several = set.len() > 1;
    let parenthesize = |e: &String| match several && e.contains(" OR ") {
        true => format!("({e})"),
        false => e.clone(),
    };
    set.iter()
        .map(parenthesize)
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// Translates the licence field of a crate: an expression, or the older syntax with slashes
/// (The Cargo Book, "The Manifest Format").
pub fn of_crate(field: &str) -> String {
    match field.trim() {
        "" => "NOASSERTION".to_owned(),
        field => field.replace(" / ", " OR ").replace('/', " OR "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spdx_ids_of_debians_short_names() {
        for (name, id) in [
            ("Expat", Some("MIT")),
            ("GPL-2+", Some("GPL-2.0-or-later")),
            ("GPL-2", Some("GPL-2.0-only")),
            ("GPL-2.0+", Some("GPL-2.0-or-later")),
            ("LGPL-2.1+", Some("LGPL-2.1-or-later")),
            ("LGPL", Some("LGPL-2.0-or-later")),
            ("GPL", Some("GPL-1.0-or-later")),
            (
                "GPL-3+ with Bison exception",
                Some("GPL-3.0-or-later WITH Bison-exception-2.2"),
            ),
            (
                "GPL-2+ with Autoconf exception",
                Some("GPL-2.0-or-later WITH Autoconf-exception-2.0"),
            ),
            ("GPL-2+ with gift exception", None),
            (
                "Apache-2.0 with LLVM exception",
                Some("Apache-2.0 WITH LLVM-exception"),
            ),
            ("GPL-2+-with-link-exception", None),
            ("public-domain", None),
            ("", None),
        ] {
            assert_eq!(spdx(name).as_deref(), id, "{name}");
        }
    }

    #[test]
    fn expressions_of_licence_lines() {
        let (read, unknown) = expression("libc", "BSD-3-clause or Odd thing and GPL-2+");
        assert_eq!(
            read,
            "BSD-3-Clause OR LicenseRef-libc-Odd-thing AND GPL-2.0-or-later"
        );
        assert_eq!(unknown, ["Odd thing"]);
        let (read, _) = expression("x", "GPL-2, or X11");
        assert_eq!(read, "GPL-2.0-only OR X11");
        let (read, unknown) = expression("x", "GPL-2 or ISC, and other");
        assert_eq!(
            (read.as_str(), unknown.len()),
            ("LicenseRef-x-GPL-2-or-ISC--and-other", 1)
        );
        let parts = ["MIT", "A OR B", "ISC AND MIT"].map(String::from);
        assert_eq!(all_of(parts), "(A OR B) AND ISC AND MIT");
        assert_eq!(all_of(["A OR B".to_owned()]), "A OR B");
        assert_eq!(of_crate("MIT/Apache-2.0"), "MIT OR Apache-2.0");
    }
}
