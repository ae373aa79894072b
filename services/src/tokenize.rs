// SPDX-License-Identifier: Apache-2.0
//! Tokens of one line of a service file, and decimal or octal numbers.

use std::fmt;

/// Maximum number of tokens in a line.
pub const MAX_TOKENS: usize = 64;

/// Reason why a line cannot be cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The line contains a control character other than a tab.
    ControlCharacter,
    /// A quote is not closed.
    UnclosedQuote,
    /// A quote begins or ends within a token.
    QuoteWithinToken,
    /// The line has more than [`MAX_TOKENS`] tokens.
    TooManyTokens,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::ControlCharacter => "a control character: only text is allowed here",
            TokenError::UnclosedQuote => "a quote is not closed: add the closing quote",
            TokenError::QuoteWithinToken => "a quote within a word: quote the whole word",
            TokenError::TooManyTokens => {
                return write!(f, "there are more than {MAX_TOKENS} words");
            }
        })
    }
}

/// Cuts a line at spaces and tabs. Quotes, `"` or `'`, enclose a whole token and protect every
/// character but themselves; `#` at the start of a token ends the line.
///
/// # Errors
/// The first reason why the line has no such tokens.
pub fn tokenize(line: &str) -> Result<Vec<&str>, TokenError> {
    // U+0080 to U+009F too: a terminal takes them for escapes.
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(TokenError::ControlCharacter);
    }
    let is_blank = |c: char| c == ' ' || c == '\t';
    let is_quote = |c: char| c == '"' || c == '\'';
    let mut tokens = Vec::new();
    let mut rest = line.trim_ascii();
    while let Some(first) = rest.chars().next().filter(|c| *c != '#') {
        let (token, after) = match rest.strip_prefix(is_quote) {
            Some(inside) => inside.split_once(first).ok_or(TokenError::UnclosedQuote)?,
            None => rest.split_once(is_blank).unwrap_or((rest, "")),
        };
        let quote_inside = !is_quote(first) && token.contains(is_quote);
        let word_behind = is_quote(first) && !after.is_empty() && !after.starts_with(is_blank);
        if quote_inside || word_behind {
            return Err(TokenError::QuoteWithinToken);
        }
        if tokens.len() == MAX_TOKENS {
            return Err(TokenError::TooManyTokens);
        }
        tokens.push(token);
        rest = after.trim_ascii_start();
    }
    Ok(tokens)
}

/// Parses a number that consists of digits of `base` only and is at most `max`.
#[must_use]
pub fn parse_number(digits: &str, base: u32, max: u64) -> Option<u64> {
    // u64::from_str_radix() takes a sign, too.
    let is_number = digits.chars().all(|digit| digit.is_digit(base));
    let number = u64::from_str_radix(digits, base).ok();
    number.filter(|number| is_number && *number <= max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_quotes_and_comments() {
        let ok = |line| tokenize(line).expect(line);
        assert_eq!(ok("exec /a  b\t c # d"), ["exec", "/a", "b", "c"]);
        assert_eq!(
            ok(r#""a b" '' "it's" 'a "b"' "#),
            ["a b", "", "it's", r#"a "b""#]
        );
        assert_eq!(ok("a#b \\n"), ["a#b", "\\n"]);
        assert_eq!(ok("\"#\" #"), ["#"]);
        assert_eq!(ok("  # nothing"), [""; 0]);
        assert_eq!(ok("ä \"ö ü\""), ["ä", "ö ü"]);
    }

    #[test]
    fn each_fault_of_a_line_has_its_error() {
        use TokenError::*;
        for (line, error) in [
            ("\"a", UnclosedQuote),
            ("'", UnclosedQuote),
            ("a\"b\"", QuoteWithinToken),
            ("\"a\"b", QuoteWithinToken),
            ("it's", QuoteWithinToken),
            ("a\0b", ControlCharacter),
            ("a\x1b[1m", ControlCharacter),
            ("a\u{9b}1m", ControlCharacter),
            (&"x ".repeat(65), TooManyTokens),
        ] {
            assert_eq!(tokenize(line), Err(error), "{line:?}");
        }
        assert_eq!(tokenize(&"x ".repeat(64)).map(|t| t.len()), Ok(64));
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(parse_number("0", 10, 9), Some(0));
        assert_eq!(parse_number("0660", 8, 0o777), Some(0o660));
        let max = u64::MAX;
        assert_eq!(parse_number("18446744073709551615", 10, max), Some(max));
        let long = "99999999999999999999999";
        for none in ["", "+1", "-1", "8", "1 ", "x", "1000", long, "ä"] {
            assert_eq!(parse_number(none, 8, 0o777), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_token_is_returned_unchanged(tokens in prop::collection::vec("[^\\x00-\\x1f\\x7f-\\u{9f}']{0,9}", 0..20)) {
            let line: Vec<String> = tokens.iter().map(|t| format!("'{t}'")).collect();
            let cut = tokenize(&line.join(" ")).map(|t| t.join("\n"));
            prop_assert_eq!(cut, Ok(tokens.join("\n")));
        }

        #[test]
        fn any_line_is_survived(line: String) {
            let _ = tokenize(&line);
        }
    }
}
