// SPDX-License-Identifier: Apache-2.0
//! OEM strings of SMBIOS (DMTF DSP0134, type 11), in the table that the kernel provides as
//! `/sys/firmware/dmi/tables/DMI`.

/// Type of the structures with OEM strings.
const OEM_STRINGS: u8 = 11;
/// Type of the structure that ends the table.
const END_OF_TABLE: u8 = 127;
/// Length of type, length and handle, the minimum of a structure in bytes (DSP0134 6.1.2).
const HEADER_BYTES: usize = 4;

/// Returns every string of every structure of type 11, in order. A malformed structure ends the
/// list.
#[must_use]
pub fn oem_strings(table: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = table;
    while let Some((structure_type, strings, next)) = structure(rest) {
        match structure_type {
            END_OF_TABLE => break,
            OEM_STRINGS => found.extend(strings.split(|byte| *byte == 0)),
            _ => {}
        }
        rest = next;
    }
    found.retain(|text| !text.is_empty());
    found
}

/// Splits a table into the type of its first structure, the strings of that structure (separated
/// by NULs) and the rest. The strings end with two NULs, even if there are none (6.1.3).
fn structure(table: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (structure_type, length) = (*table.first()?, usize::from(*table.get(1)?));
    let strings = table.get(length..).filter(|_| length >= HEADER_BYTES)?;
    let end = strings.windows(2).position(|two| two == [0, 0])?;
    let next = strings.get(end + 2..)?;
    Some((structure_type, strings.get(..end)?, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(structure_type: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
        let length = u8::try_from(HEADER_BYTES + body.len()).unwrap_or(0);
        let mut all = vec![structure_type, length, 0, 1];
        all.extend(body);
        for text in strings {
            all.extend(text.as_bytes());
            all.push(0);
        }
        if strings.is_empty() {
            all.push(0);
        }
        all.push(0);
        all
    }

    #[test]
    fn all_oem_strings_are_read_and_other_strings_are_not() {
        let table = [
            structure(1, &[1, 2, 0, 0], &["QEMU", "boot2podman:no"]),
            structure(11, &[2], &["one", "two three"]),
            structure(32, &[0; 7], &[]),
            structure(11, &[1], &["four"]),
            structure(127, &[], &[]),
            structure(11, &[1], &["behind the end"]),
        ]
        .concat();
        let texts: Vec<&[u8]> = vec![b"one", b"two three", b"four"];
        assert_eq!(oem_strings(&table), texts);
    }

    #[test]
    fn a_malformed_structure_ends_the_list() {
        let table = structure(11, &[1], &["one"]);
        for cut in 0..table.len() {
            assert!(oem_strings(table.get(..cut).unwrap_or_default()).is_empty());
        }
        assert!(oem_strings(&[11, 0, 0, 0, b'x', 0, 0]).is_empty());
        assert!(oem_strings(&[11, 255, 0, 0, b'x', 0, 0]).is_empty());
    }
}
