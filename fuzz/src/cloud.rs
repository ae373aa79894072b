// SPDX-License-Identifier: Apache-2.0
//! Target `cloud`: user-data and network-config (cloud-init's NoCloud) on a disk of unknown origin.

use b2p::helpers::cloud::diagnostics::Diagnostics;
use b2p::helpers::cloud::network::{self, Card};
use b2p::helpers::cloud::userdata::{self, UserData};

use crate::account;

pub(crate) const DICTIONARY: &[&str] = &[
    "#cloud-config\n",
    "\n",
    "  ",
    "- ",
    ": ",
    "|\n",
    "'",
    "\"",
    "\\n",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "~",
    "users:\n",
    "name: ",
    "uid: ",
    "homedir: /",
    "gecos: ",
    "shell: /",
    "groups: ",
    "sudo: ",
    "ALL=(ALL) NOPASSWD:ALL",
    "ssh_authorized_keys:\n",
    "write_files:\n",
    "path: /",
    "content: ",
    "encoding: b64",
    "permissions: '0644'",
    "runcmd:\n",
    "mounts:\n",
    "virtiofs",
    "ca_certs:\n",
    "trusted:\n",
    "hostname: ",
    "version: 2\n",
    "ethernets:\n",
    "eth0: ",
    "match: ",
    "macaddress: ",
    "52:55:55:00:00:01",
    "set-name: ",
    "dhcp4: true",
    "addresses: ",
    "10.0.0.5/24",
    "gateway4: ",
    "nameservers: ",
];

/// - Diagnostics are bounded and safe on a terminal.
/// - No value breaks a line of passwd(5), sudoers(5) or fstab(5).
/// - The new name of an interface is valid for the kernel; a plan is a line of arguments.
pub fn cloud(data: &[u8]) {
    let _ = userdata::format(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (data, diagnostics) = userdata::parse(text, "core");
    check_user_data(&data, &diagnostics);
    let card = |name: &str, mac: &str| Card {
        name: name.into(),
        mac: mac.into(),
    };
    let cards = [card("eth0", "52:55:55:00:00:01"), card("eth1", "")];
    if let Ok((network, diagnostics)) = network::parse(text, &cards) {
        check_diagnostics(&diagnostics);
        for (now, name) in &network.renames {
            assert!(cards.iter().any(|c| c.name == *now));
            assert!(!name.is_empty() && name.len() < 16 && !name.contains(['/', ' ']));
        }
        for plan in &network.plans {
            let args: Vec<_> = plan.split(' ').collect();
            assert!(matches!(
                args.as_slice(),
                ["dhcp", _] | ["static", _, _, _, _, ..]
            ));
            assert!(
                args.iter()
                    .all(|arg| !arg.is_empty() && !arg.contains(char::is_control))
            );
        }
    }
}

fn check_user_data(data: &UserData, diagnostics: &Diagnostics) {
    check_diagnostics(diagnostics);
    data.users.iter().for_each(account::check);
    for file in &data.files {
        assert!(file.path.starts_with('/') && file.mode <= 0o7777);
    }
    for mount in &data.mounts {
        let fields = [&mount.source, &mount.target, &mount.fs_type, &mount.options];
        assert!(fields.iter().all(|f| !f.contains('\n')), "{mount:?}");
        assert!(!mount.fs_type.contains(' '), "{mount:?}");
    }
}

fn check_diagnostics(diagnostics: &Diagnostics) {
    for lines in [&diagnostics.unsupported, &diagnostics.failed] {
        assert!(lines.len() <= 32);
        assert!(
            lines
                .iter()
                .all(|n| n.len() < 2000 && !n.contains(char::is_control))
        );
    }
}
