// SPDX-License-Identifier: Apache-2.0
//! Options of `b2p data`: those of the kernel flags, or of its own command line.

use std::path::PathBuf;

use config::{Config, DiskSelector, FormatPolicy, FwCfg};
use sys::error::{Error, Result};

/// Options of one run.
#[derive(Debug)]
pub struct Options {
    /// Disk to use.
    pub selector: DiskSelector,
    /// Disks that may be formatted.
    pub policy: FormatPolicy,
    /// Wait that `waitusb=` sets.
    pub wait: Option<Wait>,
    /// Root directory of all paths: `/`, or a directory of a test.
    pub root: PathBuf,
    /// Settings of the command line of a test; settings of the machine are read after those of the
    /// disk are known.
    config: Option<Config>,
}

/// Wait for a disk that appears late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Time to wait in seconds.
    pub seconds: u16,
    /// Disk whose appearance ends the wait.
    pub disk: Option<DiskSelector>,
}

impl Options {
    /// Parses the arguments; without any, reads the flags of the machine.
    ///
    /// # Errors
    /// An argument is unknown or has a wrong value.
    pub fn parse(args: &[String]) -> Result<Options> {
        if args.is_empty() {
            let (config, _) = sys::config_sources::read();
            return Ok(Options::from(&config, PathBuf::from("/")));
        }
        let mut entries = Vec::new();
        let mut cmdline = String::new();
        let mut root = PathBuf::from("/");
        for arg in args {
            match arg.split_once('=') {
                Some(("--data", value)) => entries.push((&b"data"[..], value.as_bytes())),
                Some(("--etc", value)) => entries.push((b"etc", value.as_bytes())),
                Some(("--format", value)) => entries.push((b"format", value.as_bytes())),
                Some(("--wait", value)) => cmdline = format!("waitusb=\"{value}\""),
                Some(("--root", value)) => root = PathBuf::from(value),
                _ => return Err(Error::invalid(format!("{arg}: no such option"))),
            }
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| FwCfg { name, value })
            .collect();
        let (config, diagnostics) = config::parse(cmdline.as_bytes(), &entries);
        match diagnostics.first() {
            Some(first) => Err(Error::invalid(first.to_string())),
            None => Ok(Options {
                config: Some(config.clone()),
                ..Options::from(&config, root)
            }),
        }
    }

    /// Returns all settings, including those of a mounted data disk.
    pub fn settings(&self) -> Config {
        let own = self.config.clone();
        own.unwrap_or_else(|| sys::config_sources::read().0)
    }

    /// Returns true if the flags of the machine are in force, false if a test has given options.
    pub fn come_from_flags(&self) -> bool {
        self.config.is_none()
    }

    fn from(config: &Config, root: PathBuf) -> Options {
        let wait = config.waitusb.as_ref();
        Options {
            selector: config.data.clone(),
            policy: config.format,
            wait: wait.map(|wait| Wait {
                seconds: wait.seconds,
                disk: wait.disk.clone(),
            }),
            root,
            config: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn the_values_are_those_of_the_flags() {
        let options = parse("--data=auto").unwrap();
        let defaults = (DiskSelector::Auto, FormatPolicy::Magic);
        assert_eq!((options.selector, options.policy), defaults);
        let options = parse("--data=LABEL=x --format=blank --wait=5:LABEL=y").unwrap();
        assert_eq!(options.selector, DiskSelector::Label("x".into()));
        assert_eq!(options.policy, FormatPolicy::Blank);
        let wait = |seconds, disk| Some(Wait { seconds, disk });
        let labelled = DiskSelector::Label("y".into());
        assert_eq!(options.wait, wait(5, Some(labelled)));
        let device = DiskSelector::Device("/dev/vda1".into());
        assert_eq!(parse("--data=/dev/vda1").unwrap().selector, device);
        assert_eq!(parse("--wait=7").unwrap().wait, wait(7, None));
        for wrong in ["--data=vda", "--format=yes", "--wait=x", "--what=1", "x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
