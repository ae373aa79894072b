// SPDX-License-Identifier: Apache-2.0
//! Suggestion of the valid word that a misspelt one resembles.

/// Maximum length of a word that gets a suggestion, in bytes. The limit bounds the time.
const MAX_WORD_BYTES: usize = 32;

/// Returns the candidate that `word` resembles most, if any does: at most three letters and half of
/// the candidate are changed, or the candidate contains `word`. Case is ignored; the first of equal
/// candidates wins.
#[must_use]
pub fn suggest<'a>(word: &str, candidates: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_WORD_BYTES {
        return None;
    }
    let mut best = None;
    let mut best_score = usize::MAX;
    for candidate in candidates {
        let score = score(word, candidate);
        if score < best_score {
            best_score = score;
            best = Some(candidate);
        }
    }
    best
}

/// Returns the distance of a word from a candidate; `usize::MAX` for no resemblance.
fn score(word: &str, candidate: &str) -> usize {
    let changes = distance(word.as_bytes(), candidate.as_bytes());
    let begins = candidate.starts_with(word);
    if changes <= (candidate.len() / 2).min(3) {
        2 * changes + usize::from(!begins)
    } else if word.len() >= 3 && candidate.contains(word) {
        7 + changes
    } else {
        usize::MAX
    }
}

/// Returns the Levenshtein distance without ASCII case, computed row by row.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (1..=to.len()).collect();
    for (at, byte) in from.iter().enumerate() {
        let mut diagonal = at;
        let mut left = at + 1;
        for (cell, other) in row.iter_mut().zip(to) {
            let replaced = diagonal + usize::from(!byte.eq_ignore_ascii_case(other));
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(word: &str, words: &[&'static str]) -> Option<&'static str> {
        suggest(word, &mut words.iter().copied())
    }

    #[test]
    fn distance_of_two_words() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("magic", "MAGIC", 0),
            ("magik", "magic", 1),
            ("dhpc", "dhcp", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(from.as_bytes(), to.as_bytes()),
                expected,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn finds_the_intended_word() {
        let words = ["on", "yes", "1", "true", "off", "no", "0", "false"];
        assert_eq!(near("of", &words), Some("off"));
        assert_eq!(near("ON", &words), Some("on"));
        assert_eq!(near("flase", &words), Some("false"));
        assert_eq!(near("x", &words), None);
        assert_eq!(near("", &words), None);
        assert_eq!(near("dhpc", &["dhcp", "off"]), Some("dhcp"));
        assert_eq!(near("key", &["data", "ssh_key"]), Some("ssh_key"));
        assert_eq!(near("zzzzzz", &["data", "ssh_key"]), None);
        assert_eq!(near(&"a".repeat(1000), &["data"]), None);
    }
}
