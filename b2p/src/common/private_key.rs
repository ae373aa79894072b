// SPDX-License-Identifier: Apache-2.0
//! Judgement of a private key that sshd is to use: the whole key is read, because sshd does not
//! start with a key that it cannot load, and no client accepts a key whose halves do not match.
//!
//! Keys of type ed25519, which the machine makes itself, are parsed and computed here. Keys of
//! other types belong to a user, and are judged by OpenSSH's own programs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use sys::error::{Error, Result};
use zeroize::Zeroizing;

use super::sshkey::{FIRST_LINE, LAST_LINE};

const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519: &[u8] = b"ssh-ed25519";
/// Block size of the cipher "none", which the padding fills up to.
const BLOCK_SIZE: usize = 8;

/// Result of the judgement of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole ed25519 key, and its line for a `.pub` file.
    Whole(String),
    /// Another type, or another format: OpenSSH's programs know more.
    Unknown,
}

/// Judges the text of a private key.
///
/// # Errors
/// sshd could not use the key; the error gives the reason.
pub fn judge(text: &[u8]) -> Result<Verdict> {
    let text = std::str::from_utf8(text).map_err(|_| wrong("it is not text"))?;
    if text.trim().is_empty() {
        return Err(wrong("it is empty"));
    }
    if !text.starts_with("-----BEGIN ") {
        let is_public = text.starts_with("ssh-") || text.starts_with("ecdsa-");
        return Err(wrong(match is_public {
            true => "it is the public half of a key",
            false => "its first line is not that of a private key",
        }));
    }
    let Some(body) = text.strip_prefix(FIRST_LINE) else {
        return Ok(Verdict::Unknown); // PEM
    };
    let end = body.find(LAST_LINE.trim_end());
    let body = end
        .and_then(|end| body.get(..end))
        .ok_or_else(|| wrong("its end is missing"))?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let bytes = STANDARD.decode(body.as_str());
    let bytes = Zeroizing::new(bytes.map_err(|_| wrong("a line of it is damaged"))?);
    container(&bytes)
}

fn wrong(why: &'static str) -> Error {
    Error::invalid(why)
}

/// Parses the file format (PROTOCOL.key of OpenSSH).
fn container(bytes: &[u8]) -> Result<Verdict> {
    let damaged = || wrong("it is damaged");
    let mut file = Reader(bytes.strip_prefix(MAGIC).ok_or_else(damaged)?);
    let (cipher, kdf) = (file.string()?, file.string()?);
    let options = file.string()?;
    if cipher != b"none" || kdf != b"none" {
        return Err(wrong(
            "it has a passphrase, which nobody can type here (ssh-keygen -p)",
        ));
    }
    let (count, public, private) = (file.number()?, file.string()?, file.string()?);
    if !options.is_empty() || count != 1 || !file.0.is_empty() {
        return Err(damaged());
    }
    match Reader(public).string()? {
        ED25519 => ed25519(public, private).map(Verdict::Whole),
        _ => Ok(Verdict::Unknown),
    }
}

/// Checks that both halves are whole and of one key; returns the line of the public one.
fn ed25519(public: &[u8], private: &[u8]) -> Result<String> {
    let damaged = || wrong("it is damaged");
    let mut outer = Reader(public);
    let (_, outer_key) = (outer.string()?, outer.string()?);
    let mut inner = Reader(private);
    let same_check = inner.number()? == inner.number()?;
    let (kind, inner_key, pair) = (inner.string()?, inner.string()?, inner.string()?);
    let comment = inner.string()?;
    let padding = inner.0;
    let is_padding = private.len().is_multiple_of(BLOCK_SIZE)
        && padding.len() < BLOCK_SIZE
        && padding.iter().zip(1..).all(|(b, n)| *b == n);
    let pair: &[u8; 64] = pair.try_into().map_err(|_| damaged())?;
    let is_pair = SigningKey::from_keypair_bytes(pair).is_ok();
    let same = outer_key == inner_key && pair.get(32..) == Some(inner_key) && kind == ED25519;
    if !(same_check && is_padding && is_pair && same && outer.0.is_empty()) {
        return Err(damaged());
    }
    let line = format!("ssh-ed25519 {}", STANDARD.encode(public));
    // A comment of several lines would be several keys.
    let comment = String::from_utf8_lossy(comment);
    Ok(
        match comment.chars().any(char::is_control) || comment.is_empty() {
            true => format!("{line}\n"),
            false => format!("{line} {comment}\n"),
        },
    )
}

/// The rest of bytes that are read as RFC 4251, 5.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u32> {
        let (number, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| wrong("it is cut off"))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let split = self.0.split_at_checked(length);
        let (string, rest) = split.ok_or_else(|| wrong("it is cut off"))?;
        self.0 = rest;
        Ok(string)
    }
}

#[cfg(test)]
mod tests;
