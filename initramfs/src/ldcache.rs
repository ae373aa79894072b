// SPDX-License-Identifier: Apache-2.0
//! `/etc/ld.so.cache`, the index of libraries that saves the loader a search, in the format of glibc
//! 2.2 and later (sysdeps/generic/dl-cache.h, `struct cache_file_new`). ldconfig(8) reads libraries of
//! its own architecture only, and writes an empty index without a message for another.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::arch::Arch;
use crate::elf;
use crate::tree::{Node, Source, Tree};

/// Path of the index.
const CACHE: &str = "etc/ld.so.cache";
/// Start of the index, with the version of the format.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Flag for little-endian numbers (`cache_file_new_flags_endian_little`).
const LITTLE_ENDIAN: u8 = 2;
/// Size in bytes of the header and of one entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// Adds the index of the libraries in `tree`.
///
/// # Errors
/// A library cannot be read, or there are none.
pub fn add(arch: &Arch, tree: &mut Tree) -> Result<()> {
    let names = libraries(arch, tree)?;
    ensure!(
        !names.is_empty(),
        "no library in /{} for /{CACHE}",
        arch.libraries
    );
    tree.bytes(CACHE, index(&names, arch)?, 0o644);
    Ok(())
}

/// Returns the names that programs load libraries by: those that the libraries call themselves
/// (`DT_SONAME`) and that exist in the directory, as a file or a link.
fn libraries(arch: &Arch, tree: &Tree) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (path, entry) in tree.iter() {
        let name = path.strip_prefix(arch.libraries);
        let name = name.and_then(|rest| rest.strip_prefix('/'));
        let is_direct = name.is_some_and(|name| !name.contains('/'));
        if let (true, Node::File(Source::Path(file))) = (is_direct, &entry.node) {
            let soname = elf::needs(file)?.soname;
            names.extend(soname.filter(|name| tree.has(&format!("{}/{name}", arch.libraries))));
        }
    }
    Ok(names)
}

/// Returns the index of these libraries. The name of a library is the end of its path, which is stored
/// once.
fn index(names: &BTreeSet<String>, arch: &Arch) -> Result<Vec<u8>> {
    let mut sorted: Vec<&String> = names.iter().collect();
    // The loader's binary search expects the largest name first.
    sorted.sort_by(|a, b| compare(b.as_bytes(), a.as_bytes()));
    let strings_at = HEADER + sorted.len() * ENTRY;
    let (mut entries, mut strings) = (Vec::new(), Vec::new());
    for name in sorted {
        let path = strings_at + strings.len();
        strings.extend(format!("/{}/{name}\0", arch.libraries).bytes());
        let key = strings_at + strings.len() - 1 - name.len();
        for number in [
            arch.ld_cache_flags,
            u32::try_from(key)?,
            u32::try_from(path)?,
        ] {
            entries.extend(number.to_le_bytes());
        }
        // Oldest kernel and processor features: none is required.
        entries.extend([0; 12]);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(names.len())?.to_le_bytes());
    bytes.extend(u32::try_from(strings.len())?.to_le_bytes());
    bytes.push(LITTLE_ENDIAN);
    bytes.resize(HEADER, 0);
    Ok([bytes, entries, strings].concat())
}

/// Compares names as the loader does: digits as numbers, and a digit is larger than another character
/// (glibc, elf/dl-cache.c, `_dl_cache_libcmp`).
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let (digit_a, digit_b) = (starts_with_digit(a), starts_with_digit(b));
        let order = match (a.first(), b.first()) {
            _ if digit_a && digit_b => take_number(&mut a).cmp(&take_number(&mut b)),
            (Some(_), Some(_)) if digit_a != digit_b => digit_a.cmp(&digit_b),
            (Some(first_a), Some(first_b)) => {
                (a, b) = (&a[1..], &b[1..]);
                first_a.cmp(first_b)
            }
            (rest_a, rest_b) => return rest_a.is_some().cmp(&rest_b.is_some()),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

/// Removes the digits at the start, and returns their value.
fn take_number(text: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    while let [digit @ b'0'..=b'9', rest @ ..] = *text {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        *text = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_compared_with_their_numbers() {
        for (smaller, larger) in [
            ("liba.so.1", "libb.so.1"),
            ("liba.so.9", "liba.so.10"),
            ("liba.so", "liba.so.1"),
            ("liba-x.so", "liba2.so"),
            ("liba1.so.2", "liba1.so.3"),
        ] {
            assert_eq!(
                compare(smaller.as_bytes(), larger.as_bytes()),
                Ordering::Less
            );
            assert_eq!(
                compare(larger.as_bytes(), smaller.as_bytes()),
                Ordering::Greater
            );
            assert_eq!(
                compare(larger.as_bytes(), larger.as_bytes()),
                Ordering::Equal
            );
        }
    }

    /// ldconfig(8) prints the index of any architecture, in the order of its entries.
    #[test]
    fn ldconfig_reads_the_index() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("cache");
        for arch in crate::arch::ARCHES {
            let names = names(&["libc.so.6", "liba.so.10", "liba.so.9", "ld.so.2"]);
            std::fs::write(&file, index(&names, arch)?)?;
            let mut ldconfig = std::process::Command::new("/sbin/ldconfig");
            let printed = crate::tools::run(ldconfig.arg("-p").arg("-C").arg(&file), "ldconfig")?;
            let printed = String::from_utf8(printed)?;
            let words = printed.lines().skip(1).filter_map(|line| {
                let (name, path) = line.trim().split_once(" => ")?;
                Some((name.split(' ').next()?.to_owned(), path.to_owned()))
            });
            let expected = ["libc.so.6", "liba.so.10", "liba.so.9", "ld.so.2"];
            let path = |name: &str| (name.to_owned(), format!("/{}/{name}", arch.libraries));
            let found: Vec<_> = words
                .filter(|(name, _)| expected.contains(&name.as_str()))
                .collect();
            assert_eq!(found, expected.map(path), "{printed}");
        }
        Ok(())
    }

    #[test]
    fn a_machine_without_libraries_is_refused() {
        let error = add(Arch::host(), &mut Tree::new()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("no library in /usr/lib/")));
    }
}
