// SPDX-License-Identifier: Apache-2.0
//! Target `ignition`: a document of Ignition from a host or a disk.

use b2p::helpers::ignition::plan::{self, Plan};
use b2p::helpers::ignition::units::{QUADLETS, SERVICES, Unit};

use crate::account;

pub(crate) const DICTIONARY: &[&str] = &[
    "{\"ignition\":{\"version\":\"3.2.0\"},",
    "\"passwd\":{",
    "\"users\":[",
    "\"name\":\"",
    "\"uid\":",
    "\"homeDir\":\"/",
    "\"sshAuthorizedKeys\":[",
    "\"storage\":{",
    "\"files\":[",
    "\"links\":[",
    "\"directories\":[",
    "\"path\":\"/",
    "\"target\":\"",
    "\"mode\":493",
    "\"user\":{\"id\":1}",
    "\"overwrite\":true",
    "\"contents\":{\"source\":\"data:,",
    "\"data:;base64,",
    "\"compression\":\"gzip\"",
    "\"append\":[",
    "\"hash\":\"sha512-",
    "\"systemd\":{\"units\":[",
    "[Mount]\\nWhat=a\\nWhere=/mnt/a\\nType=virtiofs\\n",
    ".container\"",
    ".mount\"",
    "%2F",
    "../",
    "null",
    "\\u0000",
    "}]",
    "{}",
];

/// - Diagnostics are bounded and safe on a terminal.
/// - Every path is absolute and leads nowhere else; a mode is one of permission bits.
/// - No value breaks a line of passwd(5) or fstab(5).
pub fn ignition(data: &[u8]) {
    let Ok((plan, diagnostics)) = plan::parse(data) else {
        return;
    };
    assert!(diagnostics.failed.len() <= 32);
    for line in &diagnostics.failed {
        assert!(
            line.len() < 2000 && !line.contains(char::is_control),
            "{line}"
        );
    }
    check_accounts(&plan);
    check_storage(&plan);
    for unit in &plan.units {
        match unit {
            Unit::Share(folder) => assert!(folder.path.starts_with('/')),
            Unit::Mount(mount) => {
                let fields = [&mount.source, &mount.target, &mount.fs_type, &mount.options];
                assert!(fields.iter().all(|f| !f.contains('\n')), "{mount:?}");
            }
            Unit::File(path, _) | Unit::Off(path) => {
                let mut dirs = [QUADLETS, SERVICES].iter();
                let name = dirs.find_map(|dir| path.strip_prefix(dir)?.strip_prefix('/'));
                let name = name.unwrap_or_default();
                // A drop-in is in the directory of its unit.
                let (dir, file) = name.split_once(".d/").unwrap_or((name, "a"));
                assert!(
                    !dir.is_empty() && !dir.contains('/') && !file.contains('/'),
                    "{path}"
                );
                assert!(!dir.starts_with('.') && !file.starts_with('.'), "{path}");
            }
            Unit::Enable(name) | Unit::Disable(name) => {
                assert!(!name.contains('/'), "{name}");
            }
            Unit::Updates => {}
            Unit::ReadyPort(_) => {}
        }
    }
}

fn check_accounts(plan: &Plan) {
    plan.accounts.users.iter().for_each(account::check);
    assert!(
        plan.accounts
            .groups
            .iter()
            .all(|(name, _)| config::is_user_name(name))
    );
}

fn check_storage(plan: &Plan) {
    let storage = &plan.storage;
    let directories = storage
        .directories
        .iter()
        .map(|d| (&d.node, d.mode.unwrap_or(0)));
    let files = storage.files.iter().map(|f| (&f.node, f.mode.unwrap_or(0)));
    let links = storage.links.iter().map(|l| (&l.node, 0));
    for (node, mode) in directories.chain(files).chain(links) {
        assert!(mode <= 0o7777 && node.path.starts_with('/'), "{node:?}");
        let mut parts = node.path.split('/').skip(1);
        assert!(
            parts.all(|part| !matches!(part, "" | "." | "..")),
            "{node:?}"
        );
        assert!(!node.path.starts_with("/proc/"), "{node:?}");
    }
}
