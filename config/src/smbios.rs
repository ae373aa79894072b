//! OEM strings of SMBIOS (DMTF DSP0134, type 11), as the kernel shows the whole
//! table in `/sys/firmware/dmi/tables/DMI`.

/// The type of the structure that holds them.
const OEM_STRINGS: u8 = 11;
/// The type of the structure that ends the table.
const END: u8 = 127;
/// Type, length and handle: no structure is shorter (DSP0134 6.1.2).
const HEADER: usize = 4;

/// Every string of every structure of type 11, in order. What does not hang
/// together ends the list: whatever the bytes, there is an answer.
#[must_use]
pub fn oem_strings(table: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = table;
    while let Some((kind, strings, next)) = structure(rest) {
        match kind {
            END => break,
            OEM_STRINGS => found.extend(strings.split(|byte| *byte == 0)),
            _ => {}
        }
        rest = next;
    }
    found.retain(|text| !text.is_empty());
    found
}

/// The type of the first structure, its strings (with a NUL between two), and what
/// follows it. The strings end with two NULs, also where there are none (6.1.3).
fn structure(table: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, length) = (*table.first()?, usize::from(*table.get(1)?));
    let strings = table.get(length..).filter(|_| length >= HEADER)?;
    let end = strings.windows(2).position(|two| two == [0, 0])?;
    let next = strings.get(end + 2..)?;
    Some((kind, strings.get(..end)?, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
        let length = u8::try_from(HEADER + body.len()).unwrap_or(0);
        let mut all = vec![kind, length, 0, 1];
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
    fn only_oem_strings_and_all_of_them() {
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
    fn what_is_cut_or_mad_ends_it() {
        let table = structure(11, &[1], &["one"]);
        for cut in 0..table.len() {
            assert!(oem_strings(table.get(..cut).unwrap_or_default()).is_empty());
        }
        assert!(oem_strings(&[11, 0, 0, 0, b'x', 0, 0]).is_empty());
        assert!(oem_strings(&[11, 255, 0, 0, b'x', 0, 0]).is_empty());
    }
}
