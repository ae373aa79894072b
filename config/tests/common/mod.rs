// SPDX-License-Identifier: Apache-2.0
//! SSH keys and shorthands of several tests.
#![allow(dead_code, missing_docs)]

use config::{Config, FwCfg, parse};

pub const ED25519: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIH//9eXj/Pn/833c1XFk+duWAeUgkSh2AIvUGn4HXGLh who";
pub const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCwVF3pPTBFb1kSKdqEVDpy/RQuy1vZDL3Yt\
    14iN+mLNBdUmT7i5BC9nTekiF16DNxHmWzLyuHRZ2RWaS7w2a9V5K16NFQt13bdhx4eK/NC13f9Shec0TBfjZNwNuoUw2\
    ElKJTBp2DpFUn9XuG6Ewp6CvC7YpGk64PPi7Z6Dzr5lw== who";
pub const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBB\
    MeodD0o7TT1Ju3m+AwLJQkCd+MRdJn1EvxXcBUMoRHCi4gPeRxVqNlagDBApvhzHY+E+1eUUzcEcp4BNJqjKZE= who";
pub const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhB\
    PXZ8fvQGzP8P3IuPdyLz5Q5Hzibbgy99y1fA72TTTjLyV6S9B6dgGANBsBP1YCbp8QOG4kbJDAGKDaLoEwvoks60OCL1\
    CAf4E5AiZyH+lVv62eW5kHLQ7pVF6vSpgR3+A== who";
pub const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFB\
    ADdP+BvYEoRwJbiwR9VIRHVX4+GSjj08Us4nqt9jDT77ILDtxiavMQ5O4jwuxvpukn6iXJSuDCwhQxGWZmP+9RQPQApY\
    mrUNOYK0+8KXTOPUq4OMuvvYuof5hxYKQvZjs1l96jz0+le7UhFyyxQ1y//+LvF3517dR0go4qePZ4KzREijA== who";
pub const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t\
    AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo= sk";
pub const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZ\
    Ab3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJico\
    KSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8AAAAEc3NoOg== sk";
pub const KEYS: [&str; 7] = [ED25519, RSA, P256, P384, P521, SK_ED25519, SK_P256];

/// Returns the configuration of a command line, which must be valid.
pub fn good(line: &str) -> Config {
    let (config, diagnostics) = parse(line.as_bytes(), &[]);
    assert!(diagnostics.is_empty(), "{line}: {}", diagnostics[0]);
    config
}

/// Returns the default configuration with one change.
pub fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// Returns configuration and diagnostics of a command line.
pub fn read(line: &str) -> (Config, Vec<String>) {
    read_all(line, &[])
}

/// Returns configuration and diagnostics of a command line and fw_cfg entries.
pub fn read_all(line: &str, entries: &[(&str, &str)]) -> (Config, Vec<String>) {
    let entries: Vec<FwCfg<'_>> = entries
        .iter()
        .map(|(name, value)| FwCfg {
            name: name.as_bytes(),
            value: value.as_bytes(),
        })
        .collect();
    let (config, diagnostics) = parse(line.as_bytes(), &entries);
    (
        config,
        diagnostics.iter().map(ToString::to_string).collect(),
    )
}

/// Checks the only diagnostic of a command line.
pub fn check(line: &str, diagnostic: &str) {
    let (config, diagnostics) = read(line);
    assert_eq!(diagnostics, [diagnostic]);
    assert_eq!(config, Config::default(), "{line}");
}

/// Checks a part of the only diagnostic of a command line.
pub fn check_part(line: &str, part: &str) {
    let (config, diagnostics) = read(line);
    assert_eq!(diagnostics.len(), 1, "{line}: {diagnostics:?}");
    assert!(diagnostics[0].contains(part), "{line}: {}", diagnostics[0]);
    assert_eq!(config, Config::default(), "{line}");
}
