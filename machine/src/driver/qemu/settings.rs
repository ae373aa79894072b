// SPDX-License-Identifier: Apache-2.0
//! Settings of a guest, which QEMU passes by fw_cfg from files: ps(1) does not show them.

use super::shares::Folder;
use crate::store::config::MachineConfig;
use std::path::{Path, PathBuf};

/// Returns the fw_cfg entries of a machine: name without the prefix, and content.
#[must_use]
pub fn entries(
    config: &MachineConfig,
    public_key: &str,
    folders: &[Folder],
    proxies: &[(String, String)],
) -> Vec<(String, String)> {
    let mut entries = vec![
        ("machine".to_owned(), "qemu".to_owned()),
        ("ssh_key".to_owned(), public_key.trim().to_owned() + "\n"),
        ("format".to_owned(), "blank".to_owned()),
        ("hostname".to_owned(), config.name.to_ascii_lowercase()),
    ];
    entries.extend_from_slice(proxies);
    for (name, value) in &config.flags {
        match entries.iter_mut().find(|(other, _)| other == name) {
            // Without its own key the keeper could not log in.
            Some((_, own)) if name == "ssh_key" => own.push_str(value),
            Some((_, own)) => own.clone_from(value),
            None => entries.push((name.clone(), value.clone())),
        }
    }
    let flags = folders
        .iter()
        .map(|folder| folder.share.flag(&folder.tag) + "\n");
    let flags: String = flags.collect();
    match entries.iter_mut().find(|(name, _)| name == "share") {
        Some((_, value)) => value.insert_str(0, &flags),
        None if flags.is_empty() => {}
        None => entries.push(("share".to_owned(), flags)),
    }
    entries
}

/// Returns the file of a fw_cfg entry.
#[must_use]
pub fn file(run: &Path, name: &str) -> PathBuf {
    run.join(format!("fw_cfg.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_defaults_and_stay_off_the_command_line() {
        let mut config = MachineConfig::new("Box");
        config.flags = vec![
            ("hostname".into(), "web".into()),
            ("tz".into(), "UTC".into()),
            ("http_proxy".into(), "own:1".into()),
            (
                "ssh_key".into(),
                "ssh-ed25519 AAAA of-a-friend\nssh-rsa BBBB".into(),
            ),
        ];
        let proxies = [("http_proxy".to_owned(), "of-host:1".to_owned())];
        let list = entries(&config, "k", &[], &proxies);
        let named = |name: &str| list.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
        assert_eq!(
            named("hostname"),
            [&("hostname".to_owned(), "web".to_owned())]
        );
        assert_eq!(named("tz").len(), 1);
        assert_eq!(
            named("ssh_key"),
            [&(
                "ssh_key".to_owned(),
                "k\nssh-ed25519 AAAA of-a-friend\nssh-rsa BBBB".to_owned()
            )]
        );
        assert_eq!(
            named("http_proxy"),
            [&("http_proxy".to_owned(), "own:1".to_owned())]
        );
        assert_eq!(
            entries(&MachineConfig::new("Box"), "k", &[], &[])[3].1,
            "box"
        );
    }
}
