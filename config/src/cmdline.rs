// SPDX-License-Identifier: Apache-2.0
//! Splitting of the kernel command line into parameters, exactly as the kernel splits it
//! (lib/cmdline.c `next_arg()`, kernel/params.c `parse_args()`).

/// Parameter `name` or `name=value`, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
    /// True if a double quote was never closed, so that the parameter took the rest of the line.
    /// Most often the line was cut short at the kernel's limit.
    pub unclosed: bool,
}

/// Returns the parameters of `line` up to a lone `--`. Later ones are arguments of init.
pub(crate) fn tokens(line: &[u8]) -> Tokens<'_> {
    let end = line.iter().position(|byte| *byte == 0);
    let rest = end.and_then(|end| line.get(..end)).unwrap_or(line);
    Tokens { rest }
}

/// Iterator of [`tokens`].
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

/// Splits a line that is not empty into its first parameter and the rest.
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
        // A `=` at the beginning is part of the name, as in the kernel.
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

/// Splits a parameter into name and value and removes the quotes: one at the beginning, and one at
/// the end if there was one at the beginning. Other quotes stay.
fn split(text: &[u8], equals: Option<usize>, quoted: bool, unclosed: bool) -> Token<'_> {
    let close = |text| strip_quote(text, quoted);
    let Some((name, value)) = equals.and_then(|at| text.split_at_checked(at)) else {
        let name = close(text);
        return Token {
            name,
            value: None,
            unclosed,
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
        unclosed,
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

/// Returns true for ASCII white space. The kernel's isspace() includes 0xa0, which would cut UTF-8
/// letters in two (`à` is c3 a0). There is no other difference from the kernel.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_line(line: &str) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        tokens(line.as_bytes())
            .map(|token| (text(token.name), token.value.map(text)))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(value.to_owned()))
    }

    fn bare(name: &str) -> (String, Option<String>) {
        (name.to_owned(), None)
    }

    #[test]
    fn names_and_pairs() {
        assert_eq!(
            split_line(" quiet \t a=b\n c= =d ==\n"),
            [
                bare("quiet"),
                pair("a", "b"),
                pair("c", ""),
                bare("=d"),
                pair("=", ""),
            ]
        );
        assert_eq!(split_line("a=b=c"), [pair("a", "b=c")]);
        assert_eq!(split_line(""), []);
        assert_eq!(split_line("  \n"), []);
    }

    #[test]
    fn split_line_honours_double_quotes() {
        assert_eq!(split_line(r#"a="b c" d"#), [pair("a", "b c"), bare("d")]);
        assert_eq!(split_line(r#""a=b c" d"#), [pair("a", "b c"), bare("d")]);
        assert_eq!(split_line(r#""a b" c"#), [bare("a b"), bare("c")]);
        assert_eq!(
            split_line(r#"a=L="b c" d"#),
            [pair("a", r#"L="b c""#), bare("d")]
        );
        assert_eq!(split_line(r#"a="" b"#), [pair("a", ""), bare("b")]);
        assert_eq!(
            split_line(r#"a="x="1" y" b"#),
            [pair("a", r#"x="1" y"#), bare("b")]
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
            assert_eq!(
                split_line(line),
                [(name.to_owned(), value.map(str::to_owned))]
            );
            assert!(
                tokens(line.as_bytes()).all(|token| token.unclosed),
                "{line}"
            );
        }
        assert!(tokens(br#"a="b c" d "e=f""#).all(|token| !token.unclosed));
    }

    #[test]
    fn stops_where_the_kernel_stops() {
        assert_eq!(split_line("a -- b"), [bare("a")]);
        assert_eq!(split_line(r#"a "--" b"#), [bare("a")]);
        assert_eq!(
            split_line("a --b --=c"),
            [bare("a"), bare("--b"), pair("--", "c")]
        );
        assert_eq!(split_line("a\0b c"), [bare("a")]);
    }

    #[test]
    fn utf8_is_not_split_line() {
        assert_eq!(split_line("a=à b"), [pair("a", "à"), bare("b")]);
    }
}
