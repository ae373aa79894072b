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

/// Returns true for control characters (C0 without the tab, DEL, C1), and for those that change
/// the direction of writing, with which a line could look like another.
#[must_use]
pub fn is_control(c: char) -> bool {
    let control = (c < ' ' && c != '\t') || ('\u{7f}'..='\u{9f}').contains(&c);
    control
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}
