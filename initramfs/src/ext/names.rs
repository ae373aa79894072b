// SPDX-License-Identifier: Apache-2.0
//! Names of extensions and of packages.

/// Maximum length of an extension's name, as for `b2p.ext=`.
pub(super) const MAX_NAME: usize = 32;

/// Returns true if `b2p.ext=` takes the name.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(allowed)
}

/// Returns true for a package name by Debian policy, 5.6.1.
pub(super) fn is_package(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b"+-.".contains(&b))
}
