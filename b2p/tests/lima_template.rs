// SPDX-License-Identifier: Apache-2.0
//! The template for Lima in the documentation: YAML with settings that Lima knows, for this machine.
#![allow(clippy::unwrap_used)]

use b2p::helpers::cloud::diagnostics::Diagnostics;
use b2p::helpers::cloud::yaml::{self, Node};
use config::Config;

const TEMPLATE: &str = include_str!("../../docs/guide/lima.yaml");
/// Settings of Lima 1.0 and later that the template uses (lima-vm/lima, pkg/limatype/lima_yaml.go).
const SETTINGS: &[&str] = &[
    "minimumLimaVersion",
    "vmType",
    "images",
    "cpus",
    "memory",
    "disk",
    "user",
    "mountType",
    "mounts",
    "containerd",
    "ssh",
    "portForwards",
    "message",
];

#[test]
fn the_template_is_for_the_machines_user_and_disk() {
    let mut diagnostics = Diagnostics::default();
    let template = yaml::parse("lima.yaml", TEMPLATE, &mut diagnostics).unwrap();
    assert!(diagnostics.failed.is_empty(), "{:?}", diagnostics.failed);
    let Node::Map(settings) = &template else {
        panic!("{template:?}");
    };
    for (name, _) in settings {
        assert!(SETTINGS.contains(&name.as_str()), "{name}");
    }
    let Some(Node::List(images)) = template.get("images") else {
        panic!("{template:?}");
    };
    let location = images[0].get_text("location").unwrap();
    assert!(location.ends_with("/boot2podman.qcow2"), "{location}");
    let user = Config::default().user;
    let of_template = template.get("user").unwrap();
    assert_eq!(of_template.get_text("name"), Some(user.as_str()));
    let home = format!("/home/{user}");
    assert_eq!(of_template.get_text("home"), Some(home.as_str()));
    // 9p, the default for QEMU, is missing in the kernel of the disk.
    assert_eq!(template.get_text("mountType"), Some("virtiofs"));
    let Some(Node::List(forwards)) = template.get("portForwards") else {
        panic!("{template:?}");
    };
    let guest = format!(
        "{}/{{{{.UID}}}}/{}",
        sys::paths::USER_RUNTIME_DIRS,
        sys::paths::USER_PODMAN_SOCKET
    );
    assert_eq!(forwards[0].get_text("guestSocket"), Some(guest.as_str()));
    let host = forwards[0].get_text("hostSocket").unwrap();
    let message = template.get_text("message").unwrap();
    assert!(message.contains(host), "{message}");
}
