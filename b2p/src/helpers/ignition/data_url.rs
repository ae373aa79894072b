// SPDX-License-Identifier: Apache-2.0
//! Contents of files as the document has them: data URLs (RFC 2397), percent-encoded or base64,
//! perhaps compressed, with a checksum.

use disk::uuid::hex;
use percent::decode;
use sha2::{Digest, Sha256, Sha512};
use sys::error::{Error, Result};

use super::document::Object;
use crate::helpers::cloud::base64;
use crate::helpers::cloud::diagnostics::Diagnostics;

/// A content; an empty one if the document names no source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes, compressed if [`Content::is_gzip`].
    pub bytes: Vec<u8>,
    /// True if the bytes are compressed by gzip(1).
    pub is_gzip: bool,
    /// Checksum of the decompressed bytes: `sha512-…` or `sha256-…`.
    pub hash: Option<String>,
}

impl Content {
    /// Compares the decompressed bytes with the checksum.
    ///
    /// # Errors
    /// The checksums differ.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let Some(hash) = &self.hash else {
            return Ok(());
        };
        let found = match hash.starts_with("sha256-") {
            true => format!("sha256-{}", hex(&Sha256::digest(bytes))),
            false => format!("sha512-{}", hex(&Sha512::digest(bytes))),
        };
        match found.eq_ignore_ascii_case(hash) {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "verification.hash: the content has {found}; it is not written"
            ))),
        }
    }
}

/// Returns the content of a resource, such as `contents` of a file: `None` without a source.
///
/// # Errors
/// The content is not supported or not right, and the file must not be written; the error names
/// the place in the document.
pub fn content(mut resource: Object<'_>, diagnostics: &mut Diagnostics) -> Result<Option<Content>> {
    let source = resource.get("source").map(|item| item.text(diagnostics));
    let source_path = resource.path_of("source");
    let compression = resource.text("compression", diagnostics);
    let compression_path = resource.path_of("compression");
    let mut verification = resource.object("verification", diagnostics);
    let hash = verification.text("hash", diagnostics);
    let hash_path = verification.path_of("hash");
    verification.finish(diagnostics);
    resource.finish(diagnostics);
    let wrong = |path: &str, why: &str| Error::invalid(format!("{path}: {why}"));
    let is_gzip = match compression {
        None => false,
        Some("gzip") => true,
        Some(_) => return Err(wrong(&compression_path, "must be gzip, or none")),
    };
    if hash.is_some_and(|hash| !is_hash(hash)) {
        return Err(wrong(
            &hash_path,
            "must be sha512- or sha256- and hexadecimal digits",
        ));
    }
    let source = match source {
        None => return Ok(None),
        Some(None) => return Err(wrong(&source_path, "must be a string")),
        Some(Some(source)) => source,
    };
    match bytes(source) {
        Ok(bytes) => Ok(Some(Content {
            bytes,
            is_gzip,
            hash: hash.map(str::to_owned),
        })),
        Err(why) => Err(wrong(&source_path, &why.to_string())),
    }
}

/// Returns true for a kind of hash and its hexadecimal digits.
fn is_hash(hash: &str) -> bool {
    let (kind, digits) = hash.split_once('-').unwrap_or_default();
    let count = match kind {
        "sha512" => 128,
        "sha256" => 64,
        _ => return false,
    };
    digits.len() == count && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Decodes a data URL; an empty source is an empty file.
fn bytes(source: &str) -> Result<Vec<u8>> {
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = strip_scheme(source) else {
        let right = "must be a data: URL with the content";
        return Err(match source.split_once(':') {
            Some((scheme, _)) if scheme.len() < 16 => {
                Error::invalid(format!("{scheme}: nothing is fetched at boot; {right}"))
            }
            _ => Error::invalid(right),
        });
    };
    let Some((kind, data)) = rest.split_once(',') else {
        let why = "a data: URL without a comma; must be as data:,text";
        return Err(Error::invalid(why));
    };
    let is_base64 = kind
        .rsplit(';')
        .next()
        .is_some_and(|last| kind.contains(';') && last.trim().eq_ignore_ascii_case("base64"));
    let right = "a % without two hexadecimal digits; %25 is one";
    let decoded = decode(data).ok_or_else(|| Error::invalid(right))?;
    if !is_base64 {
        return Ok(decoded);
    }
    let text = std::str::from_utf8(&decoded).ok();
    let decoded = text.and_then(base64::decode);
    decoded.ok_or_else(|| Error::invalid("not base64 (RFC 4648)"))
}

fn strip_scheme(source: &str) -> Option<&str> {
    let scheme = source.get(..5)?;
    let is_data = scheme.eq_ignore_ascii_case("data:");
    source.get(5..).filter(|_| is_data)
}

/// Percent-encoding (RFC 3986, 2.1).
mod percent {
    /// Decodes a text; `None` if a `%` has no two digits.
    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            let byte = match byte {
                b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
                byte => byte,
            };
            bytes.push(byte);
        }
        Some(bytes)
    }

    fn digit(byte: u8) -> Option<u8> {
        let digit = char::from(byte).to_digit(16)?;
        u8::try_from(digit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::why;

    #[test]
    fn urls_with_content() {
        for (source, content) in [
            ("", &b""[..]),
            ("data:,", b""),
            ("data:,a%20b%0A", b"a b\n"),
            ("DATA:text/plain;charset=utf-8,%C3%a9", "é".as_bytes()),
            ("data:,a+b,c", b"a+b,c"),
            ("data:;base64,AP8=", b"\0\xff"),
            ("data:text/plain;charset=utf-8;base64,Zm9v", b"foo"),
            ("data:;base64,Zm%39v", b"foo"),
            // The name of a type is no encoding.
            ("data:base64,Zm9v", b"Zm9v"),
        ] {
            assert_eq!(bytes(source).as_deref(), Ok(content), "{source}");
        }
    }

    #[test]
    fn urls_without_content() {
        for (source, reason) in [
            ("data:,%", "%25 is one"),
            ("data:,%4", "%25 is one"),
            ("data:,%+1", "%25 is one"),
            ("data:,%zz", "%25 is one"),
            ("data:;base64,Zg", "not base64"),
            ("data:;base64,%FF", "not base64"),
            ("data:text", "without a comma"),
            ("http://example.org/x", "http: nothing is fetched"),
            ("s3://bucket/x", "s3: nothing is fetched"),
            ("text", "a data: URL"),
            ("dät", "a data: URL"),
        ] {
            let why = why(bytes(source));
            assert!(why.contains(reason), "{source}: {why}");
        }
    }

    #[test]
    fn verify_compares_the_sha256() {
        let content = |hash: &str| Content {
            hash: Some(hash.to_owned()),
            ..Content::default()
        };
        let sha256 = "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(content(sha256).verify(b"abc"), Ok(()));
        assert!(content(sha256).verify(b"abd").is_err());
        assert_eq!(Content::default().verify(b"any"), Ok(()));
    }
}
