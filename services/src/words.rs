//! One line of a service file, as words.

/// So many words a line may have.
pub const MOST: usize = 64;

/// Cuts a line at blanks. Double quotes hold blanks, within them `\"` and `\\`
/// stand for themselves; `#` at the beginning of a word ends the line.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn words(line: &str) -> Result<Vec<String>, &'static str> {
    if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return Err("there is a control character: only text can stand here");
    }
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| blank(*c)).is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(words),
            Some(_) if words.len() == MOST => return Err("there are more than 64 words"),
            Some(_) => words.push(word(&mut chars)?),
        }
    }
}

fn blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, &'static str> {
    let (mut word, mut quoted) = (String::new(), false);
    while let Some(c) = chars.next_if(|c| quoted || !blank(*c)) {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => match chars.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                _ => return Err("within quotes \\ stands before \\ or \" only: write \\\\"),
            },
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed: write \" at its end");
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_quotes_and_comments() {
        let ok = |l: &str| words(l).expect(l);
        assert_eq!(ok("exec /a  b\t c # d"), ["exec", "/a", "b", "c"]);
        assert_eq!(ok(r#"a"b c"d "" "\"\\""#), ["ab cd", "", r#""\"#]);
        assert_eq!(ok("a#b \\n"), ["a#b", "\\n"]);
        assert_eq!(ok("  # nothing"), [""; 0]);
    }

    #[test]
    fn says_what_is_wrong() {
        for bad in [
            "\"a",
            r#""a\""#,
            r#""\n""#,
            "a\0b",
            "a\x1b[1m",
            &"x ".repeat(65),
        ] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
        assert_eq!(words(&"x ".repeat(64)).map(|w| w.len()), Ok(64));
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(all in prop::collection::vec("[^\\x00-\\x1f\\x7f]{0,9}", 0..20)) {
            let quote = |w: &String| format!("\"{}\"", w.replace('\\', "\\\\").replace('"', "\\\""));
            let line: Vec<String> = all.iter().map(quote).collect();
            prop_assert_eq!(words(&line.join(" ")), Ok(all));
        }

        #[test]
        fn any_line_is_survived(line: String) {
            let _ = words(&line);
        }
    }
}
