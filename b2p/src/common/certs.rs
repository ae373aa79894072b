// SPDX-License-Identifier: Apache-2.0
//! Certificate authorities that an administrator adds to those of Debian, in the one file that Go, OpenSSL and GnuTLS
//! read. Pure functions on text (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sys::error::{Error, Result};

/// Beginning of the first line of every kind of object.
const ANY_BEGIN: &str = "-----BEGIN ";
/// First line of a certificate.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// Last line of a certificate.
const END: &str = "-----END CERTIFICATE-----";
/// Length of the lines of base64 (RFC 7468, 2).
const LINE_LENGTH: usize = 64;

/// Returns the bundle with the certificates of all `files` (names and contents) behind its own,
/// each once, and a line for each file that is refused. A file with anything but certificates is
/// refused as a whole: a part of it would be a surprise, and a private key must not be copied to a
/// file that every user can read.
pub fn join(bundle: &str, files: &[(String, Vec<u8>)]) -> (String, Vec<String>) {
    let mut text = bundle.to_owned();
    let mut refused = Vec::new();
    for (name, bytes) in files {
        match certificates(&String::from_utf8_lossy(bytes)) {
            Ok(certificates) => text = with(&text, &certificates),
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    (text, refused)
}

/// Returns the bundle, followed by each of `certificates` that it lacks.
pub fn with(bundle: &str, certificates: &[String]) -> String {
    let mut text = bundle.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for pem in certificates {
        if !text.contains(pem.as_str()) {
            text += pem;
        }
    }
    text
}

/// Returns every certificate of a file, in lines of 64 characters (RFC 7468).
///
/// # Errors
/// The file has no certificate, something else besides, or a certificate that is not whole.
pub fn certificates(text: &str) -> Result<Vec<String>> {
    let mut certificates = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with(ANY_BEGIN) && line != BEGIN {
            let reason = "it has something else in it than certificates";
            return Err(Error::invalid(reason));
        }
        // Other lines are remarks between the certificates.
        if line == BEGIN {
            certificates.push(normalized(&body(&mut lines)?)?);
        }
    }
    match certificates.is_empty() {
        true => Err(Error::invalid(
            "no certificate in PEM (-----BEGIN CERTIFICATE-----)",
        )),
        false => Ok(certificates),
    }
}

/// Returns the base64 up to the last line of the certificate.
fn body<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String> {
    let mut body = String::new();
    loop {
        match lines.next() {
            Some(END) => return Ok(body),
            Some(line) if !line.starts_with("-----") => body += line,
            _ => return Err(Error::invalid("a certificate in it has no end")),
        }
    }
}

/// Returns the certificate with this base64 as text.
fn normalized(body: &str) -> Result<String> {
    let bytes = STANDARD.decode(body);
    let bytes = bytes.map_err(|_| Error::invalid("it is no base64"))?;
    if !is_sequence(&bytes) {
        let reason = "what it holds is no certificate, or only a part of one";
        return Err(Error::invalid(reason));
    }
    let mut text = format!("{BEGIN}\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(LINE_LENGTH) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    Ok(text + END + "\n")
}

/// Returns true if the bytes are exactly one SEQUENCE of DER, the outermost part of a certificate
/// (RFC 5280, 4.1; X.690, 8.1).
fn is_sequence(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else {
        return false;
    };
    match length {
        0..=0x7f => usize::from(*length) == rest.len(),
        0x81..=0x83 => {
            let count = usize::from(length & 0x7f);
            let (size, content) = rest.split_at(count.min(rest.len()));
            let size = size.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            size == content.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns text with the form of a certificate.
    fn pem(byte: u8) -> String {
        let mut der = vec![0x30, 0x81, 100];
        der.extend([byte; 100]);
        normalized(&STANDARD.encode(der)).unwrap_or_default()
    }

    fn files(all: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let file = |(n, t): &(&str, &str)| ((*n).to_owned(), t.as_bytes().to_vec());
        all.iter().map(file).collect()
    }

    #[test]
    fn joined_certificates_have_no_duplicates() {
        let (a, b, c) = (pem(1), pem(2), pem(3));
        let two = format!("a note\n{b}\n{c}{b}").replace('\n', "\r\n");
        let all = files(&[("two.pem", &two), ("a.crt", &a)]);
        let (joined, refused) = join(&a, &all);
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(joined, format!("{a}{b}{c}"));
        assert_eq!(join(&joined, &all).0, joined);
    }

    #[test]
    fn invalid_certificates_are_named_and_left_out() {
        let good = pem(1);
        let cut = good.get(..60).unwrap_or_default();
        let key = format!("{good}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let half = format!("{BEGIN}\nMIIB\n{END}\n");
        let odd = format!("{BEGIN}\n?\n{END}\n");
        for (text, why) in [
            ("", "no certificate"),
            (cut, "no end"),
            (&key, "something else"),
            (&half, "part of one"),
            (&odd, "base64"),
        ] {
            let (joined, refused) = join("", &files(&[("x.pem", text)]));
            assert_eq!(joined, "");
            assert!(refused.len() == 1, "{text}");
            let line = refused.first().map_or("", String::as_str);
            assert!(line.starts_with("x.pem: ") && line.contains(why), "{line}");
        }
    }
}
