// SPDX-License-Identifier: Apache-2.0
//! Sources of images: the values of `--image`.

use super::fetch::without_user;
use crate::fault::{Fault, PRE_CREATE};
use anyhow::Result;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Files of an image.
pub const FILES: [&str; 2] = ["vmlinuz", "initrd.img"];

/// Place of an image outside the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Directory with the files of `make image`.
    Dir(PathBuf),
    /// Disc image or disk of `make iso` or `make disk`.
    File(PathBuf),
    /// URL of such a directory or file, and the SHA-256 of its `SHA256SUMS`, or of the file.
    Url {
        /// URL without a slash at its end.
        url: String,
        /// 64 hexadecimal digits.
        sha256: String,
    },
}

impl Source {
    /// Parses the value of `--image`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Fault::with_status(
                format!("Error: --image {}: {why}", without_user(text)),
                PRE_CREATE,
            )
        };
        let remote = ["https://", "http://", "file://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if !remote {
            return match Path::new(text) {
                path if path.is_dir() => Ok(Self::Dir(path.into())),
                path if path.is_file() => Ok(Self::File(path.into())),
                _ => Err(wrong("no such file; must be a directory with vmlinuz and initrd.img, an ISO, a QCOW2, or URL#SHA256 of one").into()),
            };
        }
        let (url, sum) = text.split_once('#').ok_or_else(|| {
            wrong("a URL ends in # and the SHA-256 of the file, or of the SHA256SUMS below a directory")
        })?;
        let url = url.trim_end_matches('/');
        if url.ends_with(':') {
            return Err(wrong("a URL has a host, or the path of a file").into());
        }
        let sum = sum
            .strip_prefix("sha256:")
            .unwrap_or(sum)
            .to_ascii_lowercase();
        if sum.len() != 64 || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong("the part behind # is 64 hexadecimal digits").into());
        }
        Ok(Self::Url {
            url: url.to_owned(),
            sha256: sum,
        })
    }

    /// Finds the image of this build or of the installation.
    pub fn default_place() -> Result<Self> {
        let exe = env::current_exe()
            .and_then(fs::canonicalize)
            .unwrap_or_default();
        let built = exe.ancestors().skip(1).map(|dir| dir.join("out"));
        let installed = exe
            .ancestors()
            .skip(2)
            .take(1)
            .map(|dir| dir.join("share/boot2podman"));
        let here = env::current_dir().map(|dir| dir.join("out"));
        let mut places = installed.chain(built).chain(here);
        let whole = |dir: &PathBuf| FILES.iter().all(|file| dir.join(file).is_file());
        places.find(whole).map(Self::Dir).ok_or_else(|| {
            let text = "Error: no image found: give one with --image DIR, where DIR has vmlinuz and initrd.img";
            Fault::with_status(text, PRE_CREATE).into()
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) | Self::File(path) => write!(f, "{}", path.display()),
            Self::Url { url, .. } => f.write_str(&without_user(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_a_sum_and_is_held_to_it() {
        let sum = "a".repeat(64);
        let parsed = Source::parse(&format!("https://x/y/#sha256:{sum}")).expect("right");
        assert_eq!(
            parsed,
            Source::Url {
                url: "https://x/y".into(),
                sha256: sum
            }
        );
        for wrong in [
            "https://x/y",
            "https://x/y#",
            "https://x#12",
            "http://#0000000000000000000000000000000000000000000000000000000000000000",
            "/nonexistent",
        ] {
            let error = Source::parse(wrong).expect_err(wrong);
            let fault = error.downcast_ref::<Fault>().expect("a fault");
            assert!(
                fault.text.contains(wrong) && fault.status == PRE_CREATE,
                "{fault}"
            );
        }
    }
}
