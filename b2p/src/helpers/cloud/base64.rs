// SPDX-License-Identifier: Apache-2.0
//! Base64 (RFC 4648) of files in user-data.

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

/// Decodes a text; white space between the letters is ignored. Returns `None` if the text is not
/// base64.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let letters: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(letters).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9v\nYmFy\n", b"foobar"),
            ("/+A=", b"\xff\xe0"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        for wrong in ["Zg=", "Zg", "Z===", "Zm9v!", "Zg==Zg=="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
