// SPDX-License-Identifier: Apache-2.0
//! Text of a configuration: `config.json` in the directory of its machine.

use super::config::{MachineConfig, VERSION};
use super::field;
use anyhow::{Context, Result, ensure};

impl MachineConfig {
    /// Parses the file's text.
    ///
    /// # Errors
    /// The text is no configuration, or one of a later version, or a field has a wrong value: the error names the
    /// field and its right form.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text).context("config.json")?;
        ensure!(
            config.version <= VERSION,
            "config.json: version {} is of a later podman-machine, this one knows {VERSION}",
            config.version
        );
        field::check(&config).context("config.json")?;
        Ok(config)
    }

    /// Returns the file's text.
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and numbers alone: nothing that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_image(name: &str) -> MachineConfig {
        MachineConfig {
            image: format!("sha256-{}", "0".repeat(64)),
            ..MachineConfig::new(name)
        }
    }

    #[test]
    fn a_configuration_survives_a_round_trip() {
        let mut config = with_image("box");
        config.flags = vec![("hostname".into(), "box".into())];
        assert_eq!(MachineConfig::parse(&config.text()).expect("ok"), config);
    }

    #[test]
    fn unknown_keys_are_kept() {
        let text = with_image("box")
            .text()
            .replacen('{', "{\n  \"later\": [1, 2],", 1);
        let config = MachineConfig::parse(&text).expect("ok");
        assert!(config.other.contains_key("later"));
        assert!(config.text().contains("\"later\""));
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "{}", "[]", "{\"version\": 1}"] {
            assert!(MachineConfig::parse(text).is_err(), "{text}");
        }
        let later = MachineConfig::new("x")
            .text()
            .replace("\"version\": 1", "\"version\": 99");
        let error = MachineConfig::parse(&later).expect_err("later");
        assert!(error.to_string().contains("version 99"), "{error}");
    }
}
