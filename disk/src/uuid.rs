// SPDX-License-Identifier: Apache-2.0
//! UUIDs: sixteen bytes, their text, and their byte order in a GPT.

/// UUID in the byte order of its text.
pub type Uuid = [u8; 16];

/// Returns the text `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` (RFC 9562) in lower case.
#[must_use]
pub fn text(uuid: &Uuid) -> String {
    grouped(&hex(uuid), &[8, 4, 4, 4, 12])
}

/// Returns the text of a UUID; `None` for the nil UUID, which was never set.
#[must_use]
pub fn text_unless_nil(uuid: &Uuid) -> Option<String> {
    (*uuid != [0; 16]).then(|| text(uuid))
}

/// Converts between the byte order of a GPT and that of the text: the first three fields are
/// little-endian in a GPT (UEFI 2.10, appendix A).
#[must_use]
pub fn swap_byte_order(u: &Uuid) -> Uuid {
    [
        u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13],
        u[14], u[15],
    ]
}

/// Returns a random UUID (RFC 9562, version 4) from sixteen random bytes.
#[must_use]
pub fn from_random(mut bytes: Uuid) -> Uuid {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// Returns the bytes in hexadecimal, in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(*b)])
        .collect()
}

/// Returns `text` with dashes between groups of the given lengths; further letters are left out.
#[must_use]
pub fn grouped(text: &str, groups: &[usize]) -> String {
    let mut letters = text.chars();
    let mut out = String::new();
    for group in groups {
        if !out.is_empty() {
            out.push('-');
        }
        out.extend(letters.by_ref().take(*group));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_order() {
        let uuid: Uuid = std::array::from_fn(|n| n as u8);
        assert_eq!(text(&uuid), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(
            text(&swap_byte_order(&uuid)),
            "03020100-0504-0706-0809-0a0b0c0d0e0f"
        );
        assert_eq!(swap_byte_order(&swap_byte_order(&uuid)), uuid);
        assert_eq!(text_unless_nil(&[0; 16]), None);
        assert_eq!(from_random([0xff; 16])[6], 0x4f);
    }
}
