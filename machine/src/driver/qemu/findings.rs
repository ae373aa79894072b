// SPDX-License-Identifier: Apache-2.0
//! Judgement of the host for QEMU: acceleration, and a server for folders.

use super::shares;
use crate::finding::Finding;
use std::fs::File;
use std::io::ErrorKind;

/// Consequence of a host without KVM.
const SLOW: &str = "machines run by TCG, which is ten times slower";

pub(super) fn all() -> Vec<Finding> {
    vec![kvm(), virtiofsd()]
}

fn kvm() -> Finding {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    match opened {
        Ok(_) => Finding::ok(
            "kvm",
            "/dev/kvm can be opened; the first start tries it with the image's kernel",
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::warning(
            "kvm",
            format!("/dev/kvm: {error}: {SLOW}"),
            "sudo usermod -aG kvm $USER, and log in again",
        ),
        Err(error) => Finding::warning(
            "kvm",
            format!("/dev/kvm: {error}: {SLOW}"),
            "turn on virtualization in the firmware, or nested virtualization of this host's host",
        ),
    }
}

fn virtiofsd() -> Finding {
    match shares::server() {
        Some(path) => Finding::ok("virtiofsd", path.display().to_string()),
        None => Finding::warning(
            "virtiofsd",
            "not found: folders are shared by 9p, for which the image needs the generic kernel",
            "apt install virtiofsd",
        ),
    }
}
