// SPDX-License-Identifier: Apache-2.0
//! Printable form of text from outside, for a terminal and the kernel log.

/// Calls `each` with every character of `bytes` that a terminal may see, and with `\xNN` for
/// every other byte: one that is not UTF-8, or that could move the cursor.
pub fn printable(bytes: &[u8], mut each: impl FnMut(&str)) {
    let escape = |byte: &u8, each: &mut dyn FnMut(&str)| {
        let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
        let text = [b'\\', b'x', digit(byte >> 4), digit(*byte)];
        each(std::str::from_utf8(&text).unwrap_or("?"));
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer);
            if is_control(character) {
                text.as_bytes().iter().for_each(|b| escape(b, &mut each));
            } else {
                each(text);
            }
        }
        chunk.invalid().iter().for_each(|b| escape(b, &mut each));
    }
}

/// Returns the text of [`printable`].
#[must_use]
pub fn printable_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    printable(bytes, |part| text.push_str(part));
    text
}

/// Returns the text as one line: a space stands for each tab and each character of [`is_control`].
#[must_use]
pub fn one_line(text: &str) -> String {
    text.replace(|c| c == '\t' || is_control(c), " ")
}

/// Returns true for control characters (C0 without the tab, DEL, C1), and for format characters (general category
/// Cf of Unicode) and separators of lines: those that change the direction of writing or are not shown, with which
/// a line could look like another.
#[must_use]
pub fn is_control(c: char) -> bool {
    let control = (c < ' ' && c != '\t') || ('\u{7f}'..='\u{9f}').contains(&c);
    let is_in = |(first, last): &(char, char)| (*first..=*last).contains(&c);
    control || FORMAT.iter().any(is_in)
}

/// First and last characters of ranges that are not shown; joiners are among them.
const FORMAT: [(char, char); 8] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{e0000}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        for c in [
            '\0',
            '\n',
            '\x1b',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_control(c), "{c:?}");
            assert_eq!(one_line(&format!("a{c}b")), "a b", "{c:?}");
            assert!(
                printable_text(c.to_string().as_bytes()).starts_with("\\x"),
                "{c:?}"
            );
        }
        for c in ['\t', ' ', '\u{a0}', 'é', '漢', '\u{202f}', '🦭'] {
            assert!(!is_control(c), "{c:?}");
        }
    }
}
