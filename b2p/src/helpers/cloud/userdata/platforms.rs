// SPDX-License-Identifier: Apache-2.0
//! Documents in the formats that platforms write: Proxmox VE (`PVE/QemuServer/Cloudinit.pm`), virt-install
//! (`virtinst/install/cloudinit.py`), multipass (`base_cloud_init_config.h`). Lima's is in the tests of
//! `userdata`, the meta-data of KubeVirt and OpenStack in those of `cloud`.
#![allow(clippy::unwrap_used)]
use super::tests::{KEY, diagnostics, good};

/// Proxmox VE with `ciuser`, `sshkeys` and a domain.
const PROXMOX: &str = "\
#cloud-config
hostname: web
manage_etc_hosts: true
fqdn: web.example.org
user: bob
ssh_authorized_keys:
  - KEY
chpasswd:
  expire: False
users:
  - default
package_upgrade: true
";

#[test]
fn the_user_of_proxmox_takes_the_place_of_core() {
    let data = good(&PROXMOX.replace("KEY", KEY));
    assert!(data.replaces_core);
    let names: Vec<_> = data.users.iter().map(|u| &*u.account.name).collect();
    assert_eq!(names, ["bob", "bob"]);
    assert_eq!(
        data.users[0].account.groups,
        ["adm", "wheel", "sudo", "podman"]
    );
    assert_eq!(data.keys, [KEY]);
    let with_password = PROXMOX.replace("user: bob", "user: bob\npassword: $5$secret");
    let found = diagnostics(&with_password.replace("KEY", KEY));
    assert_eq!(found.failed.len(), 1, "{found:?}");
    // Without `ciuser`, and with root.
    let plain = good(&PROXMOX.replace("KEY", KEY).replace("user: bob\n", ""));
    assert!(!plain.replaces_core && plain.users[0].account.name == "core");
    let root = good("user: root\ndisable_root: False\nchpasswd:\n  expire: False\n");
    assert!(!root.replaces_core && root.users[0].account.groups.is_empty());
    // Settings of the user, and an entry that is no user.
    let map = good("user: {name: ann, shell: /bin/sh}\nusers: [default, {name: eve}]\n");
    let names: Vec<_> = map.users.iter().map(|u| &*u.account.name).collect();
    assert_eq!(names, ["ann", "ann", "eve"]);
    assert_eq!(diagnostics("user: [ann]").failed.len(), 1);
    // With `b2p.user=joe`.
    let data = super::parse("users: [default, {name: eve}]\n", "joe").0;
    let names: Vec<_> = data.users.iter().map(|u| &*u.account.name).collect();
    assert_eq!(names, ["joe", "eve"]);
}

#[test]
fn virt_install_and_multipass() {
    let root = format!(
        "#cloud-config\nusers:\n  - default\n  - name: root\n    ssh_authorized_keys:\n      - {KEY}\n\
         ssh_authorized_keys:\n  - {KEY}\nruncmd:\n- echo \"Disabled by virt-install\" > /etc/cloud/cloud-init.disabled\n"
    );
    let data = good(&root);
    assert_eq!(
        (&data.users[1].keys[..], &data.keys[..]),
        (&[KEY.to_owned()][..], &[KEY.to_owned()][..])
    );
    let found = diagnostics("chpasswd:\n  list: |\n    root:secret\n  expire: True\n");
    assert_eq!(found.failed.len(), 1);
    good(
        "growpart:\n    mode: auto\n    devices: [\"/\"]\n    ignore_growroot_disabled: false\n\
         users:\n    - default\nmanage_etc_hosts: true\n",
    );
}
