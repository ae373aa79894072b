//! The kernel command line, cut into parameters as the kernel cuts it
//! (lib/cmdline.c `next_arg()`, kernel/params.c `parse_args()`), so that a line
//! means the same to it and to us.

/// One parameter: `name` or `name=value`, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
    /// A double quote was opened and never closed, so that this token took the
    /// rest of the line: most often a line cut short at the kernel's limit.
    pub open: bool,
}

/// The parameters of `line`, up to a lone `--`: what follows is init's own.
pub(crate) fn tokens(line: &[u8]) -> Tokens<'_> {
    let end = line.iter().position(|byte| *byte == 0);
    let rest = end.and_then(|end| line.get(..end)).unwrap_or(line);
    Tokens { rest }
}

/// See [`tokens`].
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let line = skip_spaces(self.rest);
        if line.is_empty() {
            return None;
        }
        let (token, rest) = next_arg(line);
        self.rest = rest;
        if token.value.is_none() && token.name == b"--" {
            self.rest = &[];
            return None;
        }
        Some(token)
    }
}

/// The first parameter of a line that is not empty, and what follows it.
fn next_arg(line: &[u8]) -> (Token<'_>, &[u8]) {
    let quoted = line.starts_with(b"\"");
    let args = line.strip_prefix(b"\"").unwrap_or(line);
    let mut in_quote = quoted;
    let mut equals = None;
    let mut end = args.len();
    for (at, byte) in args.iter().enumerate() {
        if is_space(*byte) && !in_quote {
            end = at;
            break;
        }
        // A `=` in front is part of the name, as in the kernel.
        if *byte == b'=' && at > 0 && equals.is_none() {
            equals = Some(at);
        }
        if *byte == b'"' {
            in_quote = !in_quote;
        }
    }
    let (text, rest) = args.split_at_checked(end).unwrap_or((args, &[]));
    (split(text, equals, quoted, in_quote), rest)
}

/// Takes name and value apart and the quotes off: one at the front, and one at
/// the end if there was one at the front. Quotes in the middle stay.
fn split(text: &[u8], equals: Option<usize>, quoted: bool, open: bool) -> Token<'_> {
    let close = |text| strip_quote(text, quoted);
    let Some((name, value)) = equals.and_then(|at| text.split_at_checked(at)) else {
        let name = close(text);
        return Token {
            name,
            value: None,
            open,
        };
    };
    let value = value.strip_prefix(b"=").unwrap_or(value);
    let value = match value.strip_prefix(b"\"") {
        Some(inner) => strip_quote(inner, true),
        None => close(value),
    };
    Token {
        name,
        value: Some(value),
        open,
    }
}

fn strip_quote(text: &[u8], wanted: bool) -> &[u8] {
    match text.strip_suffix(b"\"") {
        Some(inner) if wanted => inner,
        _ => text,
    }
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_space(*byte));
    start.and_then(|start| line.get(start..)).unwrap_or(&[])
}

/// ASCII white space. The kernel's isspace() has 0xa0 as well, which would cut
/// UTF-8 letters in two (`à` is c3 a0): the one place where we differ.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        tokens(line.as_bytes())
            .map(|token| (text(token.name), token.value.map(text)))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(value.to_owned()))
    }

    fn word(name: &str) -> (String, Option<String>) {
        (name.to_owned(), None)
    }

    #[test]
    fn words_and_pairs() {
        assert_eq!(
            cut(" quiet \t a=b\n c= =d ==\n"),
            [
                word("quiet"),
                pair("a", "b"),
                pair("c", ""),
                word("=d"),
                pair("=", ""),
            ]
        );
        assert_eq!(cut("a=b=c"), [pair("a", "b=c")]);
        assert_eq!(cut(""), []);
        assert_eq!(cut("  \n"), []);
    }

    #[test]
    fn quotes() {
        assert_eq!(cut(r#"a="b c" d"#), [pair("a", "b c"), word("d")]);
        assert_eq!(cut(r#""a=b c" d"#), [pair("a", "b c"), word("d")]);
        assert_eq!(cut(r#""a b" c"#), [word("a b"), word("c")]);
        assert_eq!(cut(r#"a=L="b c" d"#), [pair("a", r#"L="b c""#), word("d")]);
        assert_eq!(cut(r#"a="" b"#), [pair("a", ""), word("b")]);
        assert_eq!(
            cut(r#"a="x="1" y" b"#),
            [pair("a", r#"x="1" y"#), word("b")]
        );
    }

    #[test]
    fn unterminated_quotes_take_the_rest() {
        for (line, name, value) in [
            (r#"a="b c"#, "a", Some("b c")),
            (r#""a=b c"#, "a", Some("b c")),
            (r#"a=""#, "a", Some("")),
            (r#""a b"#, "a b", None),
            (r#"""#, "", None),
        ] {
            assert_eq!(cut(line), [(name.to_owned(), value.map(str::to_owned))]);
            assert!(tokens(line.as_bytes()).all(|token| token.open), "{line}");
        }
        assert!(tokens(br#"a="b c" d "e=f""#).all(|token| !token.open));
    }

    #[test]
    fn stops_where_the_kernel_stops() {
        assert_eq!(cut("a -- b"), [word("a")]);
        assert_eq!(cut(r#"a "--" b"#), [word("a")]);
        assert_eq!(cut("a --b --=c"), [word("a"), word("--b"), pair("--", "c")]);
        assert_eq!(cut("a\0b c"), [word("a")]);
    }

    #[test]
    fn utf8_is_not_cut() {
        assert_eq!(cut("a=à b"), [pair("a", "à"), word("b")]);
    }
}
