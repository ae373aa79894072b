// SPDX-License-Identifier: Apache-2.0
//! Patterns of names.

/// Returns true if a name matches a pattern with `*`, `?` and `[…]` (glob(7)).
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    let mut name_rest = name.chars();
    match pattern_rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| matches(rest, name.get(at..).unwrap_or_default()))
        }
        Some(first) => {
            let Some(c) = name_rest.next() else {
                return false;
            };
            let (is_match, rest) = match (first, set(pattern_rest.as_str())) {
                ('[', Some((set, rest))) => (is_in(set, c), rest),
                _ => (first == '?' || first == c, pattern_rest.as_str()),
            };
            is_match && matches(rest, name_rest.as_str())
        }
    }
}

/// Splits the text behind a `[` into the set and what follows the `]`; a `]` that comes first is a member of the set.
fn set(text: &str) -> Option<(&str, &str)> {
    let negation = usize::from(text.starts_with(['!', '^']));
    let members = text.get(negation..)?;
    let mut later = members.char_indices().skip(1);
    let (end, _) = later.find(|(_, c)| *c == ']')?;
    let end = end + negation;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Returns true if a set, such as `abc`, `a-z` or `!0-9`, has the character.
fn is_in(set: &str, c: char) -> bool {
    let members = set.strip_prefix(['!', '^']);
    let is_negated = members.is_some();
    let members: Vec<char> = members.unwrap_or(set).chars().collect();
    let mut rest = members.as_slice();
    let mut has = false;
    while let [first, after @ ..] = rest {
        rest = match after {
            ['-', last, after @ ..] => {
                has |= (*first..=*last).contains(&c);
                after
            }
            _ => {
                has |= *first == c;
                after
            }
        };
    }
    has != is_negated
}

/// Returns true if a word is a pattern, and no name.
#[must_use]
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_glob_7_says() {
        for (pattern, name, right) in [
            ("web*", "web.service", true),
            ("*", "", true),
            ("w?b.*", "wab.service", true),
            ("w?b", "web.service", false),
            ("*.service", "web.socket", false),
            ("a*b*c", "aXbYc", true),
            ("\u{e9}?", "\u{e9}x", true),
            ("web[12].service", "web2.service", true),
            ("web[12].service", "web3.service", false),
            ("web[!0-9]", "webx", true),
            ("web[!0-9]", "web7", false),
            ("[]a]*", "]x", true),
            ("[a-]", "-", true),
            ("[\u{e9}-\u{ea}]", "\u{ea}", true),
            ("[\u{e9}]", "\u{e9}", true),
            ("a[b", "a[b", true),
            ("[]", "[]", true),
            ("[a]", "", false),
        ] {
            assert_eq!(matches(pattern, name), right, "{pattern} {name}");
        }
    }
}
