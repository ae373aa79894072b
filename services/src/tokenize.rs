//! One line of a service file, as words; and the numbers among them.

/// So many words a line may have.
pub const MOST: usize = 64;

/// Cuts a line at blanks. Quotes, `"` or `'`, stand around a whole word and hold
/// everything but themselves; `#` at the beginning of a word ends the line.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn words(line: &str) -> Result<Vec<&str>, &'static str> {
    // Those of C1 too (U+0080 to U+009F): a terminal takes them for escapes.
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err("there is a control character: only text can stand here");
    }
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while let Some(first) = rest.bytes().next().filter(|b| *b != b'#') {
        let quoted = first == b'"' || first == b'\'';
        let ends = |b: &u8| match quoted {
            true => *b == first,
            false => *b == b' ' || *b == b'\t',
        };
        let from = usize::from(quoted);
        let length = rest.bytes().skip(from).position(|b| ends(&b));
        let (to, after) = match length {
            Some(n) => (from + n, 2 * from + n),
            None if quoted => return Err("a quote is not closed: write another at its end"),
            None => (rest.len(), rest.len()),
        };
        let (word, more) = (rest.get(from..to), rest.get(after..));
        let (Some(word), Some(more)) = (word, more) else {
            break; // cannot be: both ends are at ASCII
        };
        let inside = !quoted && word.bytes().any(|b| b == b'"' || b == b'\'');
        if inside || !more.bytes().next().is_none_or(|b| b == b' ' || b == b'\t') {
            return Err("a quote within a word: write it around the whole word");
        }
        if words.len() == MOST {
            return Err("there are more than 64 words");
        }
        words.push(word);
        rest = more.trim_ascii_start();
    }
    Ok(words)
}

/// A number of digits alone, to that base, and not above `most`.
#[must_use]
pub fn number(digits: &str, base: u64, most: u64) -> Option<u64> {
    let mut all = 0u64;
    for digit in digits.bytes() {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        all = all.checked_mul(base)?.checked_add(digit)?;
        if digit >= base || all > most {
            return None;
        }
    }
    (!digits.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_quotes_and_comments() {
        let ok = |l| words(l).expect(l);
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
    fn says_what_is_wrong() {
        let many = "x ".repeat(65);
        for bad in [
            "\"a",
            "'",
            "a\"b\"",
            "\"a\"b",
            "it's",
            "a\0b",
            "a\x1b[1m",
            "a\u{9b}1m",
            &many,
        ] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
        assert_eq!(words(&"x ".repeat(64)).map(|w| w.len()), Ok(64));
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(number("0", 10, 9), Some(0));
        assert_eq!(number("0660", 8, 0o777), Some(0o660));
        assert_eq!(number("18446744073709551615", 10, u64::MAX), Some(u64::MAX));
        for none in [
            "",
            "+1",
            "-1",
            "8",
            "1 ",
            "x",
            "1000",
            "99999999999999999999999",
            "ä",
        ] {
            assert_eq!(number(none, 8, 0o777), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(all in prop::collection::vec("[^\\x00-\\x1f\\x7f-\\u{9f}']{0,9}", 0..20)) {
            let quote = |w: &String| format!("'{w}'");
            let line: Vec<String> = all.iter().map(quote).collect();
            prop_assert_eq!(words(&line.join(" ")).map(|w| w.join("\n")), Ok(all.join("\n")));
        }

        #[test]
        fn any_line_is_survived(line: String) {
            let _ = words(&line);
        }
    }
}
