//! base64 (RFC 4648), as files in user-data come in it.

/// The bytes; blanks and ends of lines between the letters are nothing.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = text.bytes().filter(|b| !b.is_ascii_whitespace());
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    let (mut count, mut padding) = (0usize, 0usize);
    for byte in bytes {
        count += 1;
        if byte == b'=' {
            padding += 1;
            continue;
        }
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    (count % 4 == 0 && padding <= 2).then_some(out)
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
