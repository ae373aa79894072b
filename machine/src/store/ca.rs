// SPDX-License-Identifier: Apache-2.0
//! Certificate authorities for a new machine (RFC 7468): rows of the document of Ignition that `quadlet` describes. A
//! file on the data disk counts from the second boot on, because the machine reads such files before the document; another
//! row adds them to the bundle of the first boot.

use super::quadlet::{MAX_BYTES, data_url};
use crate::fault::{Fault, PRE_CREATE};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Directory of certificate authorities on the data disk of a machine.
const DIR: &str = "/var/lib/boot2podman/certs";
/// Bundle of the certificate authorities that programs of a machine read.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Beginning of every object of PEM.
const ANY: &str = "-----BEGIN ";
/// First line of a certificate.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// [`BEGIN`] with its newline.
const FIRST: &str = "-----BEGIN CERTIFICATE-----\n";
/// Last line of a certificate.
const END: &str = "-----END CERTIFICATE-----";

/// Returns the rows for some files.
///
/// # Errors
/// A file cannot be read, is too large, or has anything but certificates in PEM: the text names it.
pub fn rows(files: &[PathBuf]) -> Result<Vec<Value>, Fault> {
    let mut rows = Vec::new();
    let mut bundle = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let text = read(file).map_err(|why| fault(file, &why))?;
        let path = format!("{DIR}/host-{}.crt", number + 1);
        rows.push(
            json!({"path": path, "mode": 0o644, "contents": {"source": data_url(text.as_bytes())}}),
        );
        bundle.push(json!({"source": data_url(text.as_bytes())}));
    }
    if !bundle.is_empty() {
        rows.push(json!({"path": BUNDLE, "append": bundle}));
    }
    Ok(rows)
}

fn fault(file: &Path, why: &str) -> Fault {
    let text = format!("Error: --ca {}: {why}", file.display());
    Fault::with_status(text, PRE_CREATE)
}

/// Reads the certificates of a file.
fn read(file: &Path) -> Result<String, String> {
    let is_short =
        fs::metadata(file).map(|meta| meta.is_file() && meta.len() <= MAX_BYTES as u64 / 2);
    match is_short {
        Err(why) => return Err(why.to_string()),
        Ok(false) => {
            return Err(format!("must be a file of at most {} KiB", MAX_BYTES >> 11));
        }
        Ok(true) => {}
    }
    let text = fs::read_to_string(file).map_err(|why| why.to_string())?;
    certificates(&text).ok_or_else(|| "must be certificates in PEM alone, and no key".to_owned())
}

/// Returns the certificates of a text without what stands between them; `None` if it has none, or another object.
fn certificates(text: &str) -> Option<String> {
    let mut found = String::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        match (line, is_inside) {
            (BEGIN, false) => is_inside = true,
            (line, _) if line.starts_with(ANY) => return None,
            (_, false) => continue,
            // The outermost part of a certificate is a SEQUENCE of more than 127 bytes (RFC 5280, 4.1; X.690, 8.1).
            (line, true) if found.ends_with(FIRST) && !line.starts_with("MI") => return None,
            (END, true) => is_inside = false,
            _ => {}
        }
        found += line;
        found.push('\n');
    }
    (!is_inside && !found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_alone_are_taken() {
        let with_text = format!("subject: me\r\n{}\nnote\n{ONE}", ONE.replace('\n', "\r\n"));
        assert_eq!(certificates(&with_text), Some(format!("{ONE}{ONE}")));
        let key = ONE.replace("CERTIFICATE", "PRIVATE KEY");
        for wrong in [
            "",
            "x",
            &key,
            &format!("{ONE}{key}"),
            &ONE[..40],
            &ONE[..30],
            &ONE.replace("MIIB", "xIIB"),
        ] {
            assert_eq!(certificates(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn files_become_rows() {
        let tmp = tempfile::tempdir().expect("a directory");
        let file = tmp.path().join("own ca.pem");
        fs::write(&file, ONE).expect("written");
        let rows = rows(&[file.clone(), file.clone()]).expect("right");
        let paths: Vec<&str> = rows.iter().filter_map(|row| row["path"].as_str()).collect();
        assert_eq!(
            paths,
            [
                &format!("{DIR}/host-1.crt"),
                &format!("{DIR}/host-2.crt"),
                BUNDLE
            ]
        );
        assert_eq!(rows[2]["append"].as_array().map(Vec::len), Some(2));
        assert!(super::rows(&[]).expect("none").is_empty());
        fs::write(&file, "x").expect("written");
        for (file, words) in [
            (file, "own ca.pem: must be certificates in PEM"),
            (tmp.path().into(), ": must be a file of at most 64 KiB"),
            (tmp.path().join("none"), "none: No such file"),
        ] {
            let fault = super::rows(&[file]).expect_err("wrong");
            assert_eq!(fault.status, PRE_CREATE);
            assert!(
                fault.text.starts_with("Error: --ca ") && fault.text.contains(words),
                "{}",
                fault.text
            );
        }
    }
}
