//! What the helper is told: by the kernel flags, or in the words of those.

use std::path::PathBuf;

use config::{Config, DiskSelector, FormatPolicy, FwCfg};

/// What it is told.
#[derive(Debug)]
pub struct Asked {
    /// Which disk.
    pub wanted: DiskSelector,
    /// Which may be formatted.
    pub policy: FormatPolicy,
    /// So long it may take for the disk to appear, in seconds, and which one.
    pub wait: Option<(u16, Option<DiskSelector>)>,
    /// `/`, or a directory of a test.
    pub root: PathBuf,
}

impl Asked {
    /// Reads the words; without any, the flags of the machine.
    ///
    /// # Errors
    /// The word that is wrong.
    pub fn parse(words: &[String]) -> Result<Asked, String> {
        if words.is_empty() {
            return Ok(Asked::from(
                &sys::config_sources::read().0,
                PathBuf::from("/"),
            ));
        }
        let mut entries = Vec::new();
        let mut wait = String::new();
        let mut root = PathBuf::from("/");
        for word in words {
            match word.split_once('=') {
                Some(("--data", value)) => entries.push((&b"data"[..], value.as_bytes())),
                Some(("--format", value)) => entries.push((b"format", value.as_bytes())),
                Some(("--wait", value)) => wait = format!("waitusb=\"{value}\""),
                Some(("--root", value)) => root = PathBuf::from(value),
                _ => return Err(format!("{word}: not understood")),
            }
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| FwCfg { name, value })
            .collect();
        let (config, complaints) = config::parse(wait.as_bytes(), &entries);
        if let Some(first) = complaints.first() {
            return Err(first.to_string());
        }
        Ok(Asked::from(&config, root))
    }

    fn from(config: &Config, root: PathBuf) -> Asked {
        let wait = config.waitusb.as_ref();
        Asked {
            wanted: config.data.clone(),
            policy: config.format,
            wait: wait.map(|w| (w.seconds, w.disk.clone())),
            root,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(line: &str) -> Result<Asked, String> {
        Asked::parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_words_of_the_flags() {
        let asked = parse("--data=auto").unwrap();
        assert_eq!(
            (asked.wanted, asked.policy),
            (DiskSelector::Auto, FormatPolicy::Magic)
        );
        let asked = parse("--data=LABEL=x --format=blank --wait=5:LABEL=y").unwrap();
        assert_eq!(asked.wanted, DiskSelector::Label("x".into()));
        assert_eq!(asked.policy, FormatPolicy::Blank);
        assert_eq!(asked.wait, Some((5, Some(DiskSelector::Label("y".into())))));
        assert_eq!(
            parse("--data=/dev/vda1").unwrap().wanted,
            DiskSelector::Device("/dev/vda1".into())
        );
        assert_eq!(parse("--wait=7").unwrap().wait, Some((7, None)));
        for wrong in ["--data=vda", "--format=yes", "--wait=x", "--what=1", "x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
