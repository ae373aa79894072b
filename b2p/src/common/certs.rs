//! Certificate authorities of the machine's owner join those of Debian, in the one file
//! that Go, OpenSSL and GnuTLS read. Pure text (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGINS: &str = "-----BEGIN ";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const ENDS: &str = "-----END CERTIFICATE-----";

/// The bundle with the certificates of all files behind its own, each once; and what is
/// wrong with which file. One that has anything but certificates joins nothing: half of
/// it would be a surprise, and a private key must not be where everybody can read it.
pub fn join(bundle: &str, files: &[(String, Vec<u8>)]) -> (String, Vec<String>) {
    let mut text = bundle.to_owned();
    let mut wrong = Vec::new();
    for (name, bytes) in files {
        match certificates(&String::from_utf8_lossy(bytes)) {
            Ok(all) => text = with(&text, &all),
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    (text, wrong)
}

/// The bundle with these certificates, each once: adding them again changes nothing.
pub fn with(bundle: &str, more: &[String]) -> String {
    let mut text = bundle.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for pem in more {
        if !text.contains(pem.as_str()) {
            text += pem;
        }
    }
    text
}

/// Every certificate of a file, in lines of 64 as RFC 7468 writes them.
///
/// # Errors
/// Why none of them is taken.
pub fn certificates(text: &str) -> Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with(BEGINS) && line != CERTIFICATE {
            return Err("it has something else in it than certificates");
        }
        if line != CERTIFICATE {
            continue; // what people write between them
        }
        let mut body = String::new();
        loop {
            match lines.next() {
                Some(ENDS) => break,
                Some(line) if !line.starts_with("-----") => body += line,
                _ => return Err("a certificate in it has no end"),
            }
        }
        all.push(one(&body)?);
    }
    match all.is_empty() {
        true => Err("no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        false => Ok(all),
    }
}

fn one(body: &str) -> Result<String, &'static str> {
    let bytes = STANDARD.decode(body).map_err(|_| "it is no base64")?;
    if !is_sequence(&bytes) {
        return Err("what it holds is no certificate, or only a part of one");
    }
    let mut text = format!("{CERTIFICATE}\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    Ok(text + ENDS + "\n")
}

/// Whether this is one SEQUENCE of DER, whole: the outermost part of a certificate
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

    /// What looks like a certificate from outside.
    fn pem(byte: u8) -> String {
        let mut der = vec![0x30, 0x81, 100];
        der.extend([byte; 100]);
        one(&STANDARD.encode(der)).unwrap_or_default()
    }

    fn files(all: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let file = |(n, t): &(&str, &str)| ((*n).to_owned(), t.as_bytes().to_vec());
        all.iter().map(file).collect()
    }

    #[test]
    fn each_is_there_once_and_again_the_same() {
        let (a, b, c) = (pem(1), pem(2), pem(3));
        let two = format!("a note\n{b}\n{c}{b}").replace('\n', "\r\n");
        let all = files(&[("two.pem", &two), ("a.crt", &a)]);
        let (joined, wrong) = join(&a, &all);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(joined, format!("{a}{b}{c}"));
        assert_eq!(join(&joined, &all).0, joined);
    }

    #[test]
    fn what_is_wrong_is_named_and_stays_out() {
        let good = pem(1);
        let cut = good.get(..60).unwrap_or_default();
        let key = format!("{good}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        let half = format!("{CERTIFICATE}\nMIIB\n{ENDS}\n");
        let odd = format!("{CERTIFICATE}\n?\n{ENDS}\n");
        for (text, why) in [
            ("", "no certificate"),
            (cut, "no end"),
            (&key, "something else"),
            (&half, "part of one"),
            (&odd, "base64"),
        ] {
            let (joined, wrong) = join("", &files(&[("x.pem", text)]));
            assert_eq!(joined, "");
            assert!(wrong.len() == 1, "{text}");
            let said = wrong.first().map_or("", String::as_str);
            assert!(said.starts_with("x.pem: ") && said.contains(why), "{said}");
        }
    }
}
