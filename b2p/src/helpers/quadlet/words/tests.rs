// SPDX-License-Identifier: Apache-2.0
//! Tests of words and commands.
#![allow(clippy::unwrap_used)]

use super::*;

fn texts(value: &str) -> Result<Vec<String>> {
    Ok(split(value)?.into_iter().map(|word| word.text).collect())
}

#[test]
fn words_quotes_and_escapes() {
    for (value, right) in [
        ("", Some(&[][..])),
        (" a\tb ", Some(&["a", "b"])),
        (
            r#""a  b" 'c "d"' e"f g"h"#,
            Some(&["a  b", "c \"d\"", "ef gh"]),
        ),
        (r#"'' "" x"#, Some(&["", "", "x"])),
        (
            r#""a\"b" \x41\x20 \101 \s \t \\ \u00e9"#,
            Some(&["a\"b", "A ", "A", " ", "\t", "\\", "\u{e9}"]),
        ),
        (r#"'it\'s'"#, Some(&["it's"])),
        (r#""open"#, None),
        (r"a\q \d+ \", Some(&[r"a\q", r"\d+", r"\"])),
        (r"\x4 \x4g", Some(&[r"\x4", r"\x4g"])),
        (r"\x00 \018", Some(&[r"\x00", r"\018"])),
        (r"\ud800", Some(&[r"\ud800"])),
        (r#""open\"#, None),
    ] {
        let right = right.map(|words| words.iter().map(|w| (*w).to_owned()).collect());
        assert_eq!(texts(value).ok(), right, "{value}");
    }
}

fn read(value: &str) -> Result<Vec<Command>> {
    commands(value, |word| match word {
        "%x" => Err(UnitError::Specifier('x')),
        word => Ok(word.replace("%n", "web.service")),
    })
}

#[test]
fn commands_and_their_prefixes() {
    for (value, right) in [
        ("/bin/true", Some(vec![(&["/bin/true"][..], false, true)])),
        (
            "-/bin/a %n",
            Some(vec![(&["/bin/a", "web.service"], true, true)]),
        ),
        (":-+/bin/a $x", Some(vec![(&["/bin/a", "$x"], true, false)])),
        (
            "/bin/a 1 ; -/bin/b \\; ';'",
            Some(vec![
                (&["/bin/a", "1"], false, true),
                (&["/bin/b", ";", ";"], true, true),
            ]),
        ),
        ("|/bin/a b", None),
        ("@/bin/a", None),
        ("-", None),
        ("\"\"", None),
        ("/bin/a %x", None),
    ] {
        let commands = read(value).ok().map(|list| {
            let parts = list
                .into_iter()
                .map(|c| (c.argv, c.ignores_failure, c.expands));
            parts.collect::<Vec<_>>()
        });
        let right = right.map(|list| {
            let argv = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
            list.into_iter()
                .map(|(words, i, e)| (argv(words), i, e))
                .collect::<Vec<_>>()
        });
        assert_eq!(commands, right, "{value}");
    }
}

#[test]
fn variables_of_arguments() {
    let get = |name: &str| match name {
        "ONE" => Some("1".to_owned()),
        "TWO" => Some("a 'b c'".to_owned()),
        _ => None,
    };
    for (word, right) in [
        ("$ONE", &["1"][..]),
        ("$TWO", &["a", "b c"]),
        ("$NONE", &[]),
        ("${TWO}", &["a 'b c'"]),
        ("x${ONE}y${NONE}z", &["x1yz"]),
        ("x$ONE", &["x$ONE"]),
        ("$$ONE", &["$ONE"]),
        ("$$", &["$"]),
        ("a$", &["a$"]),
        ("${ONE", &["${ONE"]),
        ("${1}", &["${1}"]),
    ] {
        let argv = ["/bin/x".to_owned(), word.to_owned()];
        let expanded = expand_variables(&argv, get);
        assert_eq!(expanded.get(1..).unwrap(), right, "{word}");
    }
    assert_eq!(expand_variables(&["$ONE".to_owned()], get), ["$ONE"]);
}

/// Values of variables are not split as those of units (replace_env_argv() of src/basic/env-util.c).
#[test]
fn a_variable_with_an_open_quote_has_words() {
    for (value, right) in [
        ("it's  so", &["its  so"][..]),
        ("a 'b c'd", &["a", "b cd"]),
        (r"\. a\ b \", &[".", "a b", ""]),
        ("a \0", &[]),
    ] {
        let argv = ["/bin/x", "$V"].map(str::to_owned);
        let words = expand_variables(&argv, |_| Some(value.to_owned()));
        assert_eq!(words[1..], *right, "{value}");
    }
}
