// SPDX-License-Identifier: Apache-2.0
//! Patterns of names.

/// Returns true if a name matches a pattern with `*` and `?` (glob(7)).
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| matches(rest, name.get(at..).unwrap_or_default()))
        }
        Some(c) => {
            let mut name_rest = name.chars();
            let first = name_rest.next();
            first.is_some_and(|n| c == '?' || c == n)
                && matches(pattern_rest.as_str(), name_rest.as_str())
        }
    }
}

/// Returns true if a word is a pattern, and no name.
#[must_use]
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, right) in [
            ("web*", "web.service", true),
            ("*", "", true),
            ("w?b.*", "wab.service", true),
            ("w?b", "web.service", false),
            ("*.service", "web.socket", false),
            ("a*b*c", "aXbYc", true),
            ("\u{e9}?", "\u{e9}x", true),
        ] {
            assert_eq!(matches(pattern, name), right, "{pattern} {name}");
        }
    }
}
